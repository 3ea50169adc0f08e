"""What was said in a message of the Cloud API, in the contract's `MessageContent`."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from chassis.failures import FieldInvalid
from services.ingest.fields import (
    epoch_ms,
    flag,
    mapping,
    mappings,
    number,
    required,
    sequence,
    text,
)
from services.ingest.model import Body

# Kinds without content of their own; `unknown` and `ephemeral` are old spellings of `unsupported`.
_EMPTY: Final = frozenset(
    {"unsupported", "unknown", "ephemeral", "request_welcome", "media_placeholder", "errors"}
)
_MEDIA: Final = ("image", "video", "audio", "document", "sticker", "voice")
_MICROS: Final = 1_000_000


def content(message: dict[str, Any]) -> tuple[Body, bool]:
    """The content of a message, and whether its kind is one that is known.

    A message without the object that its type promises is still a message: the person wrote.
    Raises `FieldInvalid` when there is no type, or its object is of the wrong shape.
    """
    kind = required(message, "type")
    read = _READERS.get(kind)
    known = read is not None or kind in _EMPTY
    if read is None or message.get(kind) is None:
        found: Body = {"other_json": orjson.dumps(message.get(kind) or message.get("unsupported"))}
    else:
        found = read(message)
        # Only an interactive answer is of kinds of its own; of those, one has no form here.
        formless = mapping(message, kind).get("type") if "other_json" in found else None
        known = formless in (None, "payment_method")
    found["kind"] = kind
    if message.get("errors"):
        found["errors"] = errors(message)
    return found, known


def errors(source: dict[str, Any]) -> list[Body]:
    """Meta's `errors` in the contract's form."""
    return [
        {
            "code": number(error, "code"),
            "title": text(error, "title"),
            "details": text(mapping(error, "error_data"), "details") or text(error, "message"),
        }
        for error in mappings(source, "errors")
    ]


def _text(message: dict[str, Any]) -> Body:
    return {"text": text(mapping(message, "text"), "body")}


def _media(kind: str) -> Callable[[dict[str, Any]], Body]:
    def read(message: dict[str, Any]) -> Body:
        media = mapping(message, kind)
        return {
            "media": {
                "kind": "audio" if kind == "voice" else kind,
                "media_id": text(media, "id"),
                "mime_type": text(media, "mime_type"),
                "sha256": text(media, "sha256"),
                "caption": text(media, "caption"),
                "filename": text(media, "filename"),
                "voice": kind == "voice" or flag(media, "voice"),
                "animated": flag(media, "animated"),
            }
        }

    return read


def _location(message: dict[str, Any]) -> Body:
    place = mapping(message, "location")
    try:
        latitude, longitude = float(place["latitude"]), float(place["longitude"])
    except (KeyError, TypeError, ValueError):
        raise FieldInvalid("location", "has no latitude and longitude") from None
    return {
        "location": {
            "latitude": latitude,
            "longitude": longitude,
            "name": text(place, "name"),
            "address": text(place, "address"),
        }
    }


def _contacts(message: dict[str, Any]) -> Body:
    cards = sequence(message, "contacts")
    return {"contacts": {"contacts_json": orjson.dumps(cards), "count": len(cards)}}


def _button(message: dict[str, Any]) -> Body:
    button = mapping(message, "button")
    return {
        "button_reply": {
            "kind": "template_button",
            "payload": text(button, "payload"),
            "title": text(button, "text"),
        }
    }


def _interactive(message: dict[str, Any]) -> Body:
    answer = mapping(message, "interactive")
    # Old samples have no type: then the one key beside it says what it is.
    kind = text(answer, "type") or next((key for key in answer if key != "type"), "")
    if kind in ("button_reply", "list_reply"):
        reply = mapping(answer, kind)
        return {
            "button_reply": {
                "kind": kind,
                "payload": text(reply, "id"),
                "title": text(reply, "title"),
                "description": text(reply, "description"),
            }
        }
    if kind == "nfm_reply":
        form = mapping(answer, kind)
        answers = form.get("response_json")
        return {
            "flow_reply": {
                "name": text(form, "name"),
                "response_json": answers.encode()
                if isinstance(answers, str)
                else orjson.dumps(answers),
            }
        }
    if kind == "call_permission_reply":
        reply = mapping(answer, kind)
        found: Body = {
            "accepted": text(reply, "response") == "accept",
            "permanent": flag(reply, "is_permanent"),
        }
        if expires := epoch_ms(reply.get("expiration_timestamp")):
            found["expire_time"] = timestamp(expires)
        return {"call_permission_reply": found}
    return {"other_json": orjson.dumps(answer)}


def _order(message: dict[str, Any]) -> Body:
    order = mapping(message, "order")
    items = [
        {
            "product_retailer_id": text(item, "product_retailer_id"),
            "quantity": number(item, "quantity"),
            "price_micros": _micros(item.get("item_price")),
            "currency_code": text(item, "currency"),
        }
        for item in mappings(order, "product_items")
    ]
    return {
        "order": {
            "catalog_id": text(order, "catalog_id"),
            "text": text(order, "text"),
            "items": items,
        }
    }


def _micros(price: Any) -> int:
    try:
        return round(float(price) * _MICROS)
    except (ValueError, OverflowError, TypeError):
        return 0


def _reaction(message: dict[str, Any]) -> Body:
    reaction = mapping(message, "reaction")
    return {
        "reaction": {"wamid": required(reaction, "message_id"), "emoji": text(reaction, "emoji")}
    }


def _system(message: dict[str, Any]) -> Body:
    notice = mapping(message, "system")
    kind = text(notice, "type")
    return {
        "system_notice": {
            "kind": kind,
            "body": text(notice, "body"),
            "new_wa_id": text(notice, "new_wa_id")
            or (text(notice, "wa_id") if kind == "user_changed_number" else ""),
            "new_user_id": text(notice, "user_id"),
        }
    }


def timestamp(ms: int) -> Body:
    """A moment in the contract's form."""
    seconds, rest = divmod(ms, 1000)
    return {"seconds": seconds, "nanos": rest * 1_000_000}


_READERS: Final[dict[str, Callable[[dict[str, Any]], Body]]] = {
    "text": _text,
    "location": _location,
    "contacts": _contacts,
    "button": _button,
    "interactive": _interactive,
    "order": _order,
    "reaction": _reaction,
    "system": _system,
} | {kind: _media(kind) for kind in _MEDIA}

KINDS: Final = _EMPTY.union(_READERS)
"""Types of message that are known, besides those that change another message."""
