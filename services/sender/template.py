"""Templates as Meta writes them: which variables they have, and how they are filled. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.sender.model import Template

_VARIABLE: Final = re.compile(r"\{\{\s*([a-z0-9_]+)\s*\}\}")
_MEDIA: Final = frozenset({"IMAGE", "VIDEO", "DOCUMENT"})
_SPACE: Final = re.compile(r"\s+")


def components_of(template: Template) -> list[dict[str, Any]]:
    """Meta's `components` array."""
    decoded: list[dict[str, Any]] = msgspec.json.decode(template.components)
    return decoded


def variables(template: Template) -> tuple[str, ...]:
    """What a send must fill: `header`, `body.1`, `body.first_name`, `button.0`, in order."""
    return tuple(_variables(components_of(template), template.category))


def _variables(components: Sequence[Mapping[str, Any]], category: str) -> Iterator[str]:
    for component in components:
        match str(component.get("type", "")).upper():
            case "HEADER":
                kind = str(component.get("format", "TEXT")).upper()
                if kind in _MEDIA or _VARIABLE.search(component.get("text", "")):
                    yield "header"
            case "BODY" if category.upper() == "AUTHENTICATION":
                yield "body.1"
            case "BODY":
                names = dict.fromkeys(_VARIABLE.findall(component.get("text", "")))
                yield from (f"body.{name}" for name in names)
            case "BUTTONS":
                for index, button in enumerate(component.get("buttons", ())):
                    if _needs_value(button):
                        yield f"button.{index}"


def _needs_value(button: Mapping[str, Any]) -> bool:
    kind = str(button.get("type", "")).upper()
    return kind in {"OTP", "COPY_CODE"} or (kind == "URL" and "{{" in button.get("url", ""))


def clean(value: str) -> str:
    """A value as Meta accepts it: no line breaks, no tabs, no runs of spaces."""
    return _SPACE.sub(" ", value).strip()


def fill(template: Template, values: Mapping[str, str]) -> bytes:
    """Meta's message object with every variable filled, as JSON.

    `values` has one, not empty, for each of `variables`; those of quick replies are optional.
    """
    filled: list[dict[str, Any]] = []
    for component in components_of(template):
        match str(component.get("type", "")).upper():
            case "HEADER" if "header" in values:
                filled.append({"type": "header", "parameters": [_header(component, values)]})
            case "BODY":
                texts = [(k[5:], v) for k, v in values.items() if k.startswith("body.")]
                if texts:
                    ordered = texts if template.named else sorted(texts, key=lambda t: int(t[0]))
                    parameters = [_text(value, name, template.named) for name, value in ordered]
                    filled.append({"type": "body", "parameters": parameters})
            case "BUTTONS":
                for index, button in enumerate(component.get("buttons", ())):
                    if value := values.get(f"button.{index}"):
                        filled.append(_button(index, button, value))
    content: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    if filled:
        content["components"] = filled
    return msgspec.json.encode({"type": "template", "template": content})


def _text(value: str, name: str, named: bool) -> dict[str, str]:
    parameter = {"type": "text", "text": value}
    return {**parameter, "parameter_name": name} if named else parameter


def _header(component: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    kind = str(component.get("format", "TEXT")).lower()
    value = values["header"]
    if kind == "text":
        names = _VARIABLE.findall(component.get("text", ""))
        return _text(value, names[0], not names[0].isdigit())
    source = "link" if value.startswith(("https://", "http://")) else "id"
    return {"type": kind, kind: {source: value}}


def _button(index: int, button: Mapping[str, Any], value: str) -> dict[str, Any]:
    kind = str(button.get("type", "")).upper()
    if kind == "QUICK_REPLY":
        sub_type, parameter = "quick_reply", {"type": "payload", "payload": value}
    elif kind == "COPY_CODE":
        sub_type, parameter = "copy_code", {"type": "coupon_code", "coupon_code": value}
    else:
        sub_type, parameter = "url", {"type": "text", "text": value}
    return {
        "type": "button",
        "sub_type": sub_type,
        "index": str(index),
        "parameters": [parameter],
    }
