"""Whether what a message was planned with still fits its template, when that was edited since.
Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.sender.model import Message, Template

_VARIABLE: Final = re.compile(r"\{\{\s*([a-z0-9_]+)\s*\}\}")
_SUB_TYPES: Final = {
    "QUICK_REPLY": "quick_reply",
    "URL": "url",
    "OTP": "url",
    "COPY_CODE": "copy_code",
    "FLOW": "flow",
    "CATALOG": "catalog",
    "MPM": "mpm",
    "SPM": "spm",
    "ORDER_DETAILS": "order_details",
    "VOICE_CALL": "voice_call",
}
_NEEDED: Final = frozenset({"OTP", "COPY_CODE", "MPM", "ORDER_DETAILS"})

Parts = Sequence[Mapping[str, Any]]
Slots = dict[str, str]
"""By variable, what fills it."""


def unfit(message: Message, template: Template) -> str:
    """The first variable that is missing, too much or of another kind; empty when all fit."""
    if template.components_time <= message.plan_time:
        return ""
    sent = msgspec.json.decode(message.body).get("template", {}).get("components", [])
    code = template.category.upper() == "AUTHENTICATION"
    needed: Slots = {}
    allowed: Slots = {}
    for name, kind, need in _wanted(msgspec.json.decode(template.components), code, ""):
        allowed[name] = kind
        if need:
            needed[name] = kind
    given = dict(_given(sent, ""))
    for name in needed:
        if name not in given:
            return name
    return next((name for name, kind in given.items() if allowed.get(name) != kind), "")


def _wanted(parts: Parts, code: bool, prefix: str) -> Iterator[tuple[str, str, bool]]:
    """What the template has to be filled with: variable, kind, and whether it must be."""
    for part in parts:
        match str(part.get("type", "")).upper():
            case "HEADER":
                format_ = str(part.get("format", "TEXT")).upper()
                if format_ != "TEXT" or _VARIABLE.search(part.get("text", "")):
                    yield f"{prefix}header", format_.lower(), True
            case "BODY" if code:
                yield f"{prefix}body.1", "text", True
            case "BODY":
                for name in dict.fromkeys(_VARIABLE.findall(part.get("text", ""))):
                    yield f"{prefix}body.{name}", "text", True
            case "BUTTONS":
                for index, button in enumerate(part.get("buttons", ())):
                    kind = str(button.get("type", "")).upper()
                    varies = kind == "URL" and "{{" in button.get("url", "")
                    if kind in _SUB_TYPES and (kind != "URL" or varies):
                        needed = varies or kind in _NEEDED
                        yield f"{prefix}button.{index}", _SUB_TYPES[kind], needed
            case "LIMITED_TIME_OFFER":
                ends = (part.get("limited_time_offer") or {}).get("has_expiration") is True
                yield "offer_expire_time", "limited_time_offer", ends
            case "CAROUSEL":
                for place, card in enumerate(part.get("cards", ())):
                    yield from _wanted(card.get("components", ()), code, f"card.{place}.")


def _given(parts: Parts, prefix: str) -> Iterator[tuple[str, str]]:
    """What the message fills."""
    for part in parts:
        parameters = part.get("parameters", ())
        match part.get("type"):
            case "header":
                yield f"{prefix}header", str(parameters[0].get("type"))
            case "body":
                for place, one in enumerate(parameters, 1):
                    yield f"{prefix}body.{one.get('parameter_name') or place}", "text"
            case "button":
                yield f"{prefix}button.{part.get('index')}", str(part.get("sub_type")).lower()
            case "limited_time_offer":
                yield "offer_expire_time", "limited_time_offer"
            case "carousel":
                for card in part.get("cards", ()):
                    inner = f"card.{card.get('card_index')}."
                    yield from _given(card.get("components", ()), inner)
