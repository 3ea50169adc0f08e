"""Message bodies: the contract's content as Meta's JSON."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from google.protobuf.json_format import MessageToDict

from chassis.failures import Unimplemented
from merhaba.event.v1 import Location
from merhaba.sender.v1 import (
    Attachment,
    ContactCards,
    Content,
    Interactive,
    TemplateButtonParameter,
    TemplateHeaderParameter,
    TemplateMessage,
    TemplateParameter,
)
from services.sender.model import ContentInvalid

_MEDIA: Final = ("image", "video", "audio", "document", "sticker")
_TEXT_LIMIT: Final = 4096


def body_of(content: Content) -> bytes:
    """Meta's message object (`type` and what belongs to it) as JSON.

    Raises ContentInvalid for what Meta refuses, Unimplemented for kinds that are still to come.
    """
    kind = content.WhichOneof("kind")
    if kind is None:
        raise ContentInvalid("content: say something", field="content", rule="required")
    if kind in _MEDIA:
        return _encode(kind, _attachment(getattr(content, kind)))
    builder = _BUILDERS.get(kind)
    if builder is None:
        raise Unimplemented(f"content of kind {kind} cannot be sent yet")
    return _encode(kind, builder(getattr(content, kind)))


def _encode(kind: str, value: Any) -> bytes:
    return msgspec.json.encode({"type": kind, kind: value})


def _text(text: Any) -> dict[str, Any]:
    if not text.body or len(text.body) > _TEXT_LIMIT:
        raise ContentInvalid(
            f"content.text.body: 1 to {_TEXT_LIMIT} characters",
            field="content.text.body",
            rule="length",
            limit=str(_TEXT_LIMIT),
        )
    preview = {"preview_url": text.preview_url} if text.HasField("preview_url") else {}
    return {"body": text.body, **preview}


def _attachment(attachment: Attachment) -> dict[str, Any]:
    source = attachment.WhichOneof("source")
    if source in {"fetch_url", "file_id"}:
        raise Unimplemented("media are sent by media_id or link, not yet from files")
    if source is None:
        raise ContentInvalid("media: give media_id or link", field="content", rule="required")
    found: dict[str, Any] = {"id" if source == "media_id" else "link": getattr(attachment, source)}
    for field in ("caption", "filename", "voice"):
        if value := getattr(attachment, field):
            found[field] = value
    return found


def _location(location: Location) -> dict[str, Any]:
    found: dict[str, Any] = {"latitude": location.latitude, "longitude": location.longitude}
    return {**found, **{k: v for k in ("name", "address") if (v := getattr(location, k))}}


def _contacts(cards: ContactCards) -> list[dict[str, Any]]:
    found = []
    for card in cards.cards:
        one = MessageToDict(card, preserving_proto_field_name=True)
        if "organization" in one:
            one["org"] = one.pop("organization")
        found.append(one)
    return found


def _reaction(reaction: Any) -> dict[str, str]:
    return {"message_id": reaction.wamid, "emoji": reaction.emoji}


def _interactive(interactive: Interactive) -> dict[str, Any]:
    action = interactive.WhichOneof("action")
    found: dict[str, Any] = {}
    if interactive.HasField("header"):
        kind = interactive.header.WhichOneof("header") or "text"
        value = getattr(interactive.header, kind)
        found["header"] = {"type": kind, kind: value if kind == "text" else _attachment(value)}
    found["body"] = {"text": interactive.body}
    if interactive.footer:
        found["footer"] = {"text": interactive.footer}
    match action:
        case "reply_buttons":
            buttons = [
                {"type": "reply", "reply": {"id": b.id, "title": b.title}}
                for b in interactive.reply_buttons.buttons
            ]
            return {"type": "button", **found, "action": {"buttons": buttons}}
        case "option_list":
            options = interactive.option_list
            sections = [MessageToDict(section) for section in options.sections]
            action_json = {"button": options.button, "sections": sections}
            return {"type": "list", **found, "action": action_json}
        case "url_button":
            url = interactive.url_button
            parameters = {"display_text": url.display_text, "url": url.url}
            return {
                "type": "cta_url",
                **found,
                "action": {"name": "cta_url", "parameters": parameters},
            }
        case "ask" if interactive.ask == Interactive.ASK_LOCATION:
            return {
                "type": "location_request_message",
                **found,
                "action": {"name": "send_location"},
            }
        case _:
            raise Unimplemented(f"interactive messages with {action} cannot be sent yet")


def _template(template: TemplateMessage) -> dict[str, Any]:
    language: dict[str, str] = {"code": template.language}
    if template.language_policy:
        language["policy"] = template.language_policy
    components: list[dict[str, Any]] = []
    if template.HasField("header"):
        components.append({"type": "header", "parameters": [_header(template.header)]})
    if template.body:
        parameters = [_parameter(parameter) for parameter in template.body]
        components.append({"type": "body", "parameters": parameters})
    components += [_button(button) for button in template.buttons]
    if template.cards or template.HasField("offer_expire_time"):
        raise Unimplemented("carousels and offers cannot be sent yet")
    found: dict[str, Any] = {"name": template.name, "language": language}
    if components:
        found["components"] = components
    if template.extensions_json:
        found |= msgspec.json.decode(template.extensions_json, type=dict[str, Any])
    return found


def _header(header: TemplateHeaderParameter) -> dict[str, Any]:
    kind = header.WhichOneof("value")
    match kind:
        case "text":
            return _parameter(header.text)
        case "image" | "video" | "gif" | "document":
            return {"type": kind, kind: _attachment(getattr(header, kind))}
        case "location":
            return {"type": "location", "location": _location(header.location)}
        case _:
            raise Unimplemented(f"template headers with {kind} cannot be sent yet")


def _parameter(parameter: TemplateParameter) -> dict[str, Any]:
    name = {"parameter_name": parameter.name} if parameter.name else {}
    match parameter.WhichOneof("value"):
        case "text":
            return {"type": "text", "text": parameter.text, **name}
        case "currency":
            currency = {
                "fallback_value": parameter.currency.fallback_value,
                "code": parameter.currency.currency_code,
                "amount_1000": parameter.currency.amount_micros // 1000,
            }
            return {"type": "currency", "currency": currency, **name}
        case "date_time":
            date_time = MessageToDict(parameter.date_time, preserving_proto_field_name=True)
            return {"type": "date_time", "date_time": date_time, **name}
        case _:
            raise ContentInvalid(
                "content.template: a parameter has no value",
                field="content.template",
                rule="required",
            )


def _button(button: TemplateButtonParameter) -> dict[str, Any]:
    kind = button.WhichOneof("value")
    match kind:
        case "quick_reply_payload":
            sub_type = "quick_reply"
            parameter = {"type": "payload", "payload": button.quick_reply_payload}
        case "url_suffix":
            sub_type, parameter = "url", {"type": "text", "text": button.url_suffix}
        case "coupon_code":
            sub_type = "copy_code"
            parameter = {"type": "coupon_code", "coupon_code": button.coupon_code}
        case _:
            raise Unimplemented(f"template buttons with {kind} cannot be sent yet")
    return {
        "type": "button",
        "sub_type": sub_type,
        "index": str(button.index),
        "parameters": [parameter],
    }


_BUILDERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "text": _text,
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "interactive": _interactive,
    "template": _template,
}
