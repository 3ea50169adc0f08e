"""The kinds of message a business can send, and their limits. Pure."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from simulator.refusals import Refused, invalid, missing

_NAME_PARTS = ("first_name", "last_name", "middle_name", "suffix", "prefix")
MEDIA = ("image", "video", "audio", "document", "sticker")


class Choice(NamedTuple):
    """Something a person can pick: a template's quick reply, a reply button, a list row."""

    kind: Literal["button", "button_reply", "list_reply"]
    value: str
    """Payload or id that comes back."""
    title: str
    description: str = ""


class MediaUse(NamedTuple):
    """Media named in a message: exactly one of id and link."""

    kind: str
    where: str
    """The place in the body, as Meta names it."""
    media_id: str
    link: str


class Content(msgspec.Struct, frozen=True, gc=False):
    """What a message is to the one who gets it."""

    type: str
    category: str = "service"
    """Pricing category: service, marketing, marketing_lite, utility or authentication."""
    template: str = ""
    language: str = ""
    choices: tuple[Choice, ...] = ()
    links: tuple[str, ...] = ()
    media: tuple[MediaUse, ...] = ()
    voice: bool = False
    answers: str = ""
    """The message that a reaction is about."""


def text(
    holder: Mapping[str, Any], field: str, key: str, most: int, *, required: bool = True
) -> str:
    """The text at `key`, of at most `most` characters. Raises Refused naming `field`."""
    value = holder.get(key)
    if value is None or value == "":
        if required:
            raise missing(field)
        return ""
    if not isinstance(value, str):
        raise invalid(field, "must be text.")
    if len(value) > most:
        raise invalid(field, f"length is {len(value)}, at most {most} characters are allowed.")
    return value


def an_object(holder: Mapping[str, Any], field: str, key: str) -> dict[str, Any]:
    """The object at `key`."""
    value = holder.get(key)
    if value is None:
        raise missing(field)
    if not isinstance(value, dict):
        raise invalid(field, "must be an object.")
    return value


def optional_object(holder: Mapping[str, Any], field: str, key: str) -> dict[str, Any]:
    """The object at `key`, or an empty one."""
    return an_object(holder, field, key) if holder.get(key) is not None else {}


def objects(
    holder: Mapping[str, Any], field: str, key: str, least: int, most: int
) -> list[dict[str, Any]]:
    """The list of objects at `key`."""
    value = holder.get(key)
    if value is None:
        raise missing(field)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(field, "must be a list of objects.")
    if not least <= len(value) <= most:
        raise invalid(field, f"{least} to {most} are required, {len(value)} were given.")
    return value


def web_address(holder: Mapping[str, Any], field: str, key: str, most: int = 2000) -> str:
    """The web address at `key`."""
    url = text(holder, field, key, most)
    if not url.startswith(("https://", "http://")):
        raise invalid(field, "must be a web address.")
    return url


def media_of(kind: str, where: str, value: Mapping[str, Any]) -> MediaUse:
    """The media in a media object, wherever it stands."""
    media_id = text(value, f"{where}['id']", "id", 128, required=False)
    link = text(value, f"{where}['link']", "link", 2048, required=False)
    if bool(media_id) == bool(link):
        raise invalid(where, "exactly one of id and link is required.")
    if link:
        web_address(value, f"{where}['link']", "link", 2048)
    return MediaUse(kind, where, media_id, link)


def location(value: Mapping[str, Any], where: str) -> None:
    """A place on the earth."""
    for key, most in (("latitude", 90), ("longitude", 180)):
        field = f"{where}['{key}']"
        try:
            number = float(value[key])
        except KeyError:
            raise missing(field) from None
        except (TypeError, ValueError):
            raise invalid(field, "must be a number.") from None
        if not -most <= number <= most:
            raise invalid(field, f"must lie between -{most} and {most}.")


def contacts(body: Mapping[str, Any]) -> Content:
    """Visiting cards."""
    for index, contact in enumerate(objects(body, "contacts", "contacts", 1, 257)):
        where = f"contacts[{index}]['name']"
        name = an_object(contact, where, "name")
        text(name, f"{where}['formatted_name']", "formatted_name", 512)
        if not any(name.get(part) for part in _NAME_PARTS):
            raise missing(f"{where}['first_name']")
    return Content("contacts")


def reaction(value: Mapping[str, Any]) -> Content:
    """An emoji on a message; an empty one takes it back."""
    about = text(value, "reaction['message_id']", "message_id", 128)
    emoji = value.get("emoji")
    if not isinstance(emoji, str):
        raise missing("reaction['emoji']")
    if len(emoji) > 16 or (emoji.isascii() and emoji):
        raise invalid("reaction['emoji']", "must be one emoji.")
    return Content("reaction", answers=about)


def media(kind: str, value: Mapping[str, Any]) -> Content:
    """An image, a video, a sound, a document or a sticker."""
    use = media_of(kind, kind, value)
    if value.get("caption") and kind in {"audio", "sticker"}:
        raise invalid(f"{kind}['caption']", "is not allowed for this type.")
    text(value, f"{kind}['caption']", "caption", 1024, required=False)
    text(value, f"{kind}['filename']", "filename", 240, required=False)
    if value.get("filename") and kind != "document":
        raise Refused(100, f"{kind}['filename'] is only for documents.")
    return Content(kind, media=(use,), voice=kind == "audio" and value.get("voice") is True)
