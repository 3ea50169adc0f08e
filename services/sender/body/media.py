"""Pictures, films, sounds, documents and stickers in messages."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from merhaba.sender.v1 import Attachment, Content, TemplateMessage
from services.sender.body.rules import broken, text, url

KINDS: Final = ("image", "video", "audio", "document", "sticker")
FILE: Final = "file_"
"""How ids of our files begin; what stands in their place at Meta are digits."""
FETCHED: Final = "file_of"
"""How ids of files begin that were fetched for one message, and belong to its person."""
_NAMED: Final = f'"{FILE}'.encode()
_CAPTION: Final = 1_024
_FILENAME: Final = 240
_UNTITLED: Final = frozenset({"audio", "sticker"})


def to_graph(kind: str, attachment: Attachment, where: str) -> dict[str, Any]:
    """Meta's media object. A file of ours stands in it by its own id until it is sent."""
    source = attachment.WhichOneof("source")
    match source:
        case "link":
            found = {"link": url(f"{where}.link", attachment.link)}
        case "file_id":
            found = {"id": text(f"{where}.file_id", attachment.file_id, 128)}
        case "media_id" if not attachment.media_id.startswith(FILE):
            found = {"id": text(f"{where}.media_id", attachment.media_id, 128)}
        case "media_id":
            raise broken(f"{where}.media_id", "id", "this is a file's id; give it as file_id")
        case "fetch_url":
            raise AssertionError("what is fetched has become a file by now")
        case _:
            raise broken(where, "required", "give media_id, link, fetch_url or file_id")
    if attachment.caption:
        if kind in _UNTITLED:
            raise broken(f"{where}.caption", "kind", f"not with {kind}")
        found["caption"] = text(f"{where}.caption", attachment.caption, _CAPTION)
    if attachment.filename:
        if kind != "document":
            raise broken(f"{where}.filename", "kind", "only with documents")
        found["filename"] = text(f"{where}.filename", attachment.filename, _FILENAME)
    if attachment.voice:
        if kind != "audio":
            raise broken(f"{where}.voice", "kind", "only with audio")
        return {**found, "voice": True}
    return found


def from_graph(media: Mapping[str, Any]) -> Attachment:
    """The attachment that Meta's media object came of."""
    found = Attachment(
        caption=media.get("caption", ""),
        filename=media.get("filename", ""),
        voice=bool(media.get("voice")),
    )
    if "link" in media:
        found.link = media["link"]
    elif str(media["id"]).startswith(FILE):
        found.file_id = media["id"]
    else:
        found.media_id = str(media["id"])
    return found


class Attached(NamedTuple):
    """An attachment in a content, and where it stands there."""

    where: str
    kind: str
    attachment: Attachment


def attached(content: Content, where: str = "content") -> Iterator[Attached]:
    """Every attachment of a content."""
    kind = content.WhichOneof("kind")
    if kind in KINDS:
        yield Attached(f"{where}.{kind}", kind, getattr(content, kind))
    elif kind == "interactive":
        yield from _header(content.interactive.header, f"{where}.interactive.header")
        for index, card in enumerate(content.interactive.carousel.cards):
            yield from _header(card.header, f"{where}.interactive.carousel.cards[{index}].header")
    elif kind == "template":
        yield from _of_template(content.template, f"{where}.template")


def named(content: Content, name: Callable[[str], str]) -> Content:
    """The same content with what is to be fetched as files, named by `name` of their URLs."""
    found = Content()
    found.CopyFrom(content)
    for one in attached(found):
        if one.attachment.WhichOneof("source") == "fetch_url":
            one.attachment.file_id = name(one.attachment.fetch_url)
    return found


def _of_template(template: TemplateMessage, where: str) -> Iterator[Attached]:
    yield from _header(template.header, f"{where}.header", "value")
    for index, card in enumerate(template.cards):
        yield from _header(card.header, f"{where}.cards[{index}].header", "value")


def _header(header: Any, where: str, oneof: str = "header") -> Iterator[Attached]:
    kind = header.WhichOneof(oneof)
    if kind in {"image", "video", "gif", "document"}:
        yield Attached(f"{where}.{kind}", kind, getattr(header, kind))


def places(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every media object of a message's body, with its kind."""
    kind = body.get("type", "")
    said = body.get(kind)
    if kind in KINDS:
        assert isinstance(said, dict)
        yield kind, said
    elif kind == "interactive":
        yield from _shown(body["interactive"].get("header"))
        for card in body["interactive"].get("action", {}).get("cards", ()):
            yield from _shown(card.get("header"))
    elif kind == "template":
        for component in body["template"].get("components", ()):
            yield from _parameters(component)
            for card in component.get("cards", ()):
                for part in card.get("components", ()):
                    yield from _parameters(part)


def files_of(body: bytes) -> list[str]:
    """The files of ours that a message's body names."""
    if _NAMED not in body:
        return []
    ids = {str(media.get("id", "")) for _, media in places(msgspec.json.decode(body))}
    return sorted(one for one in ids if one.startswith(FILE))


def _parameters(component: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if component.get("type") == "header":
        for parameter in component.get("parameters", ()):
            yield from _shown(parameter)


def _shown(header: Mapping[str, Any] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = (header or {}).get("type", "")
    if header and kind in {"image", "video", "gif", "document"}:
        yield kind, header[kind]
