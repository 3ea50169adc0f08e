"""Templates of the wild, and how tests write their own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.sender.templates.draft import Draft

SHARED = Path(__file__).parents[4] / "shared"
SENDS = SHARED / "sends"
WEBHOOKS = SHARED / "webhooks"
needs_the_wild = pytest.mark.skipif(
    not SENDS.exists() and os.environ.get("CI") != "true",
    reason="the bodies seen in the wild are not beside the repository",
)


def read(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


def plain(template: Mapping[str, Any]) -> dict[str, Any]:
    """Spelled as Meta answers: words in upper case, numbers as numbers, parts in one order."""
    found = {**template, "components": [_part(one) for one in template.get("components", ())]}
    found["components"].sort(key=lambda one: ORDER.index(one["type"]))
    for key in ("category", "parameter_format"):
        if key in found:
            found[key] = found[key].upper()
    if "message_send_ttl_seconds" in found:
        found["message_send_ttl_seconds"] = int(found["message_send_ttl_seconds"])
    return found


ORDER = (
    *("HEADER", "LIMITED_TIME_OFFER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL"),
    "CALL_PERMISSION_REQUEST",
)


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    found = {**part, "type": part["type"].upper()}
    if found["type"] == "HEADER":
        found["format"] = found.get("format", "TEXT").upper()
    if "buttons" in found:
        found["buttons"] = [{**one, "type": one["type"].upper()} for one in found["buttons"]]
    if "cards" in found:
        found["cards"] = [plain(card) for card in found["cards"]]
    return found


def body(text: str = "Merhaba {{1}}, yeni sezon geldi.", *examples: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "BODY", "text": text}
    if examples or "{{1}}" in text:
        found["example"] = {"body_text": [list(examples or ("Ayşe",))]}
    return found


def header(text: str = "Sipariş", *examples: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "HEADER", "format": "TEXT", "text": text}
    return {**found, "example": {"header_text": list(examples)}} if examples else found


def media(format_: str = "IMAGE", handle: str = "4::x") -> dict[str, Any]:
    found: dict[str, Any] = {"type": "HEADER", "format": format_}
    return {**found, "example": {"header_handle": [handle]}} if handle else found


def footer(text: str = "Durdurmak için DUR yazın") -> dict[str, Any]:
    return {"type": "FOOTER", "text": text}


def buttons(*given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": list(given)}


def reply(text: str = "Evet") -> dict[str, Any]:
    return {"type": "QUICK_REPLY", "text": text}


def link(url: str = "https://shop.example/o", **more: Any) -> dict[str, Any]:
    return {"type": "URL", "url": url, "text": "Aç", **more}


def card(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"components": list(parts or (media(), buttons(link())))}


def carousel(*cards: dict[str, Any]) -> dict[str, Any]:
    return {"type": "CAROUSEL", "cards": list(cards or (card(), card()))}


def offer(text: str = "Son gün!") -> dict[str, Any]:
    inner = {"text": text, "has_expiration": True}
    return {"type": "LIMITED_TIME_OFFER", "limited_time_offer": inner}


def otp(otp_type: str = "COPY_CODE", **more: Any) -> dict[str, Any]:
    return {"type": "OTP", "otp_type": otp_type, **more}


def draft(*parts: dict[str, Any], **more: Any) -> Draft:
    """A marketing template that breaks no rule, unless it is told to."""
    told: dict[str, Any] = {
        "waba_id": "1",
        "name": "yeni_sezon",
        "language": "tr",
        "category": "MARKETING",
        "named": False,
        **more,
    }
    return Draft(components=list(parts or (body(), footer())), **told)
