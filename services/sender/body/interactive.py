"""Messages with something to tap."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from merhaba.sender.v1 import Interactive, InteractiveHeader
from services.sender.body import actions, media, rules
from services.sender.body.rules import broken

_MEDIA: Final = frozenset({"image", "video", "document"})
_ANY: Final = _MEDIA | {"text"}
_NONE: Final[frozenset[str]] = frozenset()
_HEADER: Final = 60
_FOOTER: Final = 60
_BODY: Final = 1_024


class _Shape(NamedTuple):
    """What a kind takes beside its action."""

    type: str
    headers: frozenset[str] = _NONE
    footer: bool = True
    body: int = _BODY
    body_required: bool = True
    header_required: bool = False


_SHAPES: Final[Mapping[str, _Shape]] = {
    "reply_buttons": _Shape("button", _ANY),
    "option_list": _Shape("list", frozenset({"text"}), body=4_096),
    "url_button": _Shape("cta_url", _ANY),
    "flow": _Shape("flow", _ANY),
    "voice_call": _Shape("voice_call"),
    "address_form": _Shape("address_message"),
    "product": _Shape("product", body_required=False),
    "product_list": _Shape("product_list", frozenset({"text"}), header_required=True),
    "catalog": _Shape("catalog_message"),
    "carousel": _Shape("carousel", footer=False),
    "order_details": _Shape("order_details", frozenset({"image", "document"})),
    "order_status": _Shape("order_status"),
}
_ASKS: Final[Mapping[Interactive.Ask.ValueType, _Shape]] = {
    Interactive.ASK_LOCATION: _Shape("location_request_message", footer=False),
    Interactive.ASK_CALL_PERMISSION: _Shape(
        "call_permission_request", footer=False, body_required=False
    ),
    Interactive.ASK_CONTACT_INFO: _Shape("request_contact_info", footer=False),
}
_KINDS: Final = {shape.type: kind for kind, shape in _SHAPES.items()}
_ASKED: Final = {shape.type: ask for ask, shape in _ASKS.items()}


def to_graph(interactive: Interactive, where: str) -> dict[str, Any]:
    """`interactive`."""
    kind = interactive.WhichOneof("action")
    shape = _ASKS.get(interactive.ask) if kind == "ask" else _SHAPES.get(kind or "")
    if shape is None or kind is None:
        raise broken(where, "required", "say what is to be tapped")
    found: dict[str, Any] = {"type": shape.type}
    if interactive.HasField("header"):
        found["header"] = _header(interactive.header, shape, f"{where}.header")
    elif shape.header_required:
        raise broken(f"{where}.header.text", "required", f"{shape.type} needs a header")
    body = rules.text(f"{where}.body", interactive.body, shape.body, required=shape.body_required)
    if body:
        found["body"] = {"text": body}
    if interactive.footer:
        if not shape.footer:
            raise broken(f"{where}.footer", "kind", f"not with {shape.type}")
        footer = rules.text(f"{where}.footer", interactive.footer, _FOOTER)
        found["footer"] = {"text": footer}
    if kind == "ask":
        name = "send_location" if shape.type == "location_request_message" else shape.type
        return {**found, "action": {"name": name}}
    action = actions.to_graph(kind, getattr(interactive, kind), f"{where}.{kind}")
    return {**found, "action": action}


def _header(header: InteractiveHeader, shape: _Shape, where: str) -> dict[str, Any]:
    kind = header.WhichOneof("header")
    if kind is None:
        raise broken(where, "required", "empty; leave it out")
    if kind not in shape.headers:
        raise broken(f"{where}.{kind}", "kind", f"not with {shape.type}")
    if kind == "text":
        return {"type": "text", "text": rules.text(f"{where}.text", header.text, _HEADER)}
    return {"type": kind, kind: media.to_graph(kind, getattr(header, kind), f"{where}.{kind}")}


def from_graph(said: Mapping[str, Any]) -> Interactive:
    """The other way."""
    type_ = said["type"].lower()
    found = Interactive(
        body=said.get("body", {}).get("text", ""), footer=said.get("footer", {}).get("text", "")
    )
    if "header" in said:
        found.header.CopyFrom(actions.header_from_graph(said["header"]))
    if type_ in _ASKED:
        found.ask = _ASKED[type_]
        return found
    kind = _KINDS[type_]
    getattr(found, kind).CopyFrom(actions.from_graph(kind, said["action"]))
    return found
