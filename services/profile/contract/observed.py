"""What events show besides what they say: the properties from which traits follow."""

from collections.abc import Mapping
from typing import Any, Final

from chassis.times import milliseconds
from merhaba.event.v1 import (
    LinkClicked,
    LocationPinged,
    MessageClicked,
    MessageContent,
    MessageDelivered,
    MessageReplied,
)
from services.profile.person import tongue

_LONGEST_TEXT: Final = 2_000


def said(content: MessageContent) -> Mapping[str, Any]:
    """Of a message of the person's: its kind, its text and the text's language, its place."""
    found: dict[str, Any] = {"kind": content.kind}
    match content.WhichOneof("content"):
        case "text":
            text = content.text
        case "media":
            text = content.media.caption
        case "reaction":
            text = content.reaction.emoji
        case "location":
            found["latitude"] = content.location.latitude
            found["longitude"] = content.location.longitude
            return found
        case _:
            return found
    if text:
        found["text"] = text[:_LONGEST_TEXT]
        if language := tongue.detect(text):
            found["tongue"] = language
    return found


def became(outcome: MessageDelivered | MessageClicked | MessageReplied) -> Mapping[str, Any]:
    """Of what became of a message of ours: what it showed, and when it was sent."""
    found: dict[str, Any] = {"kind": outcome.message.content_kind}
    if isinstance(outcome, MessageReplied) and outcome.HasField("message_time"):
        found["message_time"] = milliseconds(outcome.message_time)
    return found


def clicked(click: LinkClicked) -> Mapping[str, Any]:
    """Of a click: what the link was opened with."""
    return {
        "device": click.device,
        "os": click.os,
        "browser": click.browser,
        "locale": click.language,
    }


def browsed(context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a page or screen, by the context that trackers send: what it was seen with."""
    return {
        "device": _inside(context, "device", "type"),
        "os": _inside(context, "os", "name"),
        "browser": _inside(context, "browser", "name"),
        "locale": context.get("locale"),
        "device_zone": context.get("timezone"),
    }


def _inside(context: Mapping[str, Any], outer: str, inner: str) -> Any:
    part = context.get(outer)
    return part.get(inner) if isinstance(part, dict) else None


def located(ping: LocationPinged) -> Mapping[str, Any]:
    """Where a device is."""
    return {
        "latitude": ping.latitude,
        "longitude": ping.longitude,
        "accuracy_meters": ping.accuracy_meters,
    }
