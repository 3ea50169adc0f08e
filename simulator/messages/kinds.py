"""What is in the body of a send, template or not. Pure."""

from collections.abc import Mapping
from typing import Any

from simulator.messages.content import (
    MEDIA,
    Content,
    an_object,
    contacts,
    location,
    media,
    reaction,
    text,
)
from simulator.messages.interactive import interactive
from simulator.refusals import Refused

KINDS = (
    "audio", "contacts", "document", "image", "interactive", "location", "reaction", "sticker",
    "template", "text", "video",
)  # fmt: skip


def content_of(body: Mapping[str, Any]) -> Content:
    """Check everything but a template, of which only the name is looked at.

    Raises Refused: 131008 (a field is missing), 131009 (its value breaks a limit), 100.
    """
    kind = body.get("type", "text")
    if kind not in KINDS:
        raise Refused(100, f"Param type must be one of {{{', '.join(KINDS).upper()}}}.")
    if kind == "contacts":
        return contacts(body)
    value = an_object(body, kind, kind)
    if kind in MEDIA:
        return media(kind, value)
    match kind:
        case "text":
            text(value, "text['body']", "body", 4096)
        case "location":
            location(value, "location")
        case "reaction":
            return reaction(value)
        case "interactive":
            return interactive(value)
        case "template":
            text(value, "template['name']", "name", 512)
    return Content(kind)
