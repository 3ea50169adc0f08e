"""Messages as Meta's JSON: built from the contract's content, and read back."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from merhaba.sender.v1 import Content
from services.sender.body import interactive, media, parameters, plain
from services.sender.body.media import FETCHED, attached, files_of, named, places
from services.sender.body.rules import broken

__all__ = ["FETCHED", "attached", "body_of", "content_of", "files_of", "named", "places"]

_TO: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "text": plain.text_to_graph,
    "location": plain.location_to_graph,
    "contacts": plain.contacts_to_graph,
    "reaction": plain.reaction_to_graph,
    "interactive": interactive.to_graph,
    "template": parameters.to_graph,
    "pin": plain.pin_to_graph,
}
_FROM: Final[Mapping[str, Callable[[Any], Any]]] = {
    "text": plain.text_from_graph,
    "location": plain.location_from_graph,
    "contacts": plain.contacts_from_graph,
    "reaction": plain.reaction_from_graph,
    "interactive": interactive.from_graph,
    "template": parameters.from_graph,
    "pin": plain.pin_from_graph,
}


def body_of(content: Content, where: str = "content") -> dict[str, Any]:
    """Meta's message object: `type` and what belongs to it.

    Raises ContentInvalid, with the path of the field, for what Meta refuses.
    """
    kind = content.WhichOneof("kind")
    if kind is None:
        raise broken(where, "required", "say something")
    at, value = f"{where}.{kind}", getattr(content, kind)
    if kind in media.KINDS:
        return {"type": kind, kind: media.to_graph(kind, value, at)}
    return {"type": kind, kind: _TO[kind](value, at)}


def content_of(body: bytes) -> Content:
    """The content that a message's body came of."""
    said = msgspec.json.decode(body)
    kind = said["type"]
    found = Content()
    read = media.from_graph if kind in media.KINDS else _FROM[kind]
    getattr(found, kind).CopyFrom(read(said[kind]))
    return found
