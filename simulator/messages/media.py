"""Uploaded media, in memory. Pure."""

import hashlib
from base64 import b64encode
from collections import OrderedDict
from typing import NamedTuple

from simulator.refusals import Refused

URL_LIFE_S = 300.0
_DAY_S = 86_400.0
_UPLOADED_LIFE_S, _HEARD_LIFE_S = 30 * _DAY_S, 7 * _DAY_S

_MB = 1024 * 1024
_KB = 1024
_OFFICE = "application/vnd.openxmlformats-officedocument"
_OLD_OFFICE = ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint")
# Kind of message: media types, and most bytes.
_KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    "audio": (("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), 16 * _MB),
    "image": (("image/jpeg", "image/png"), 5 * _MB),
    "sticker": (("image/webp",), 500 * _KB),
    "video": (("video/mp4", "video/3gpp"), 16 * _MB),
    "document": (
        (
            "text/plain",
            "application/pdf",
            *_OLD_OFFICE,
            f"{_OFFICE}.wordprocessingml.document",
            f"{_OFFICE}.spreadsheetml.sheet",
            f"{_OFFICE}.presentationml.presentation",
        ),
        100 * _MB,
    ),
}
_LIMITS = {mime_type: most for types, most in _KINDS.values() for mime_type in types}
LARGEST = max(_LIMITS.values())
_STILL_STICKER = 100 * _KB
_MOVES = b"WEBPVP8X"
_MOVING = 0x02
# First bytes, from a place on, and what may begin so: the content decides, not what is said of it.
_SIGNATURES: tuple[tuple[int, bytes, tuple[str, ...]], ...] = (
    (0, b"\xff\xd8\xff", ("image/jpeg",)),
    (0, b"\x89PNG", ("image/png",)),
    (0, b"GIF8", ("image/gif",)),
    (8, b"WEBP", ("image/webp",)),
    (0, b"%PDF", ("application/pdf",)),
    (0, b"OggS", ("audio/ogg",)),
    (0, b"#!AMR", ("audio/amr",)),
    (0, b"ID3", ("audio/mpeg",)),
    (4, b"ftyp3g", ("video/3gpp",)),
    (4, b"ftyp", ("video/mp4", "audio/mp4")),
    (0, b"\xd0\xcf\x11\xe0", _OLD_OFFICE),
    (
        0,
        b"PK\x03\x04",
        (
            "application/zip",
            f"{_OFFICE}.wordprocessingml.document",
            f"{_OFFICE}.spreadsheetml.sheet",
            f"{_OFFICE}.presentationml.presentation",
        ),
    ),
)


class Media(NamedTuple):
    """One file. It belongs to the number that it was uploaded or heard on."""

    media_id: str
    phone_number_id: str
    mime_type: str
    data: bytes
    expires: float

    @property
    def sha256(self) -> str:
        """Hexadecimal, as Graph tells it."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def sha256_base64(self) -> str:
        """As webhooks tell it."""
        return b64encode(hashlib.sha256(self.data).digest()).decode()

    @property
    def moves(self) -> bool:
        """Whether it is an animated sticker."""
        head = self.data[:21]
        return head[8:16] == _MOVES and len(head) > 20 and bool(head[20] & _MOVING)


def plain_type(mime_type: str) -> str:
    return mime_type.partition(";")[0].strip().lower()


def limit_of(mime_type: str) -> int:
    """Most bytes of this type. Raises Refused (100) for a type that WhatsApp does not take."""
    limit = _LIMITS.get(plain_type(mime_type))
    if limit is None:
        raise Refused(
            100,
            message="(#100) Param file must be a file with one of the following types: "
            f"{', '.join(_LIMITS)}. Received file of type '{mime_type}'.",
        )
    return limit


def fits(kind: str, media: Media, *, voice: bool = False) -> bool:
    """Whether media can be a message of this kind; `voice`: a voice message."""
    if kind == "document":
        return True
    types, _ = _KINDS[kind]
    if voice:
        types = ("audio/ogg",)
    if kind == "sticker" and len(media.data) > _STILL_STICKER and not media.moves:
        return False
    return plain_type(media.mime_type) in types


class MediaShelf:
    """Media up to `limit` bytes in total; the oldest make room for the new."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._items: OrderedDict[str, Media] = OrderedDict()

    def put(
        self,
        media_id: str,
        phone_number_id: str,
        mime_type: str,
        data: bytes,
        now: float,
        *,
        heard: bool = False,
    ) -> Media:
        """`heard`: somebody sent it to the business. Raises Refused as an upload is refused."""
        found = _seen_in(data)
        if found and plain_type(mime_type) not in found:
            mime_type = found[0]
        limit = LARGEST if heard else limit_of(mime_type)
        if not 0 < len(data) <= min(limit, self._limit):
            raise Refused(
                131053, f"The file must have 1 to {min(limit, self._limit)} bytes, not {len(data)}."
            )
        while self._size + len(data) > self._limit:
            self._size -= len(self._items.popitem(last=False)[1].data)
        life_s = _HEARD_LIFE_S if heard else _UPLOADED_LIFE_S
        media = Media(media_id, phone_number_id, mime_type, data, now + life_s)
        self._items[media_id] = media
        self._size += len(data)
        return media

    def get(self, media_id: str, now: float) -> Media | None:
        media = self._items.get(media_id)
        return media if media is not None and media.expires > now else None

    def remove(self, media_id: str) -> bool:
        media = self._items.pop(media_id, None)
        self._size -= len(media.data) if media else 0
        return media is not None


def _seen_in(data: bytes) -> tuple[str, ...]:
    """The types that begin like this; none if the beginning tells nothing."""
    for start, signature, types in _SIGNATURES:
        if data.startswith(signature, start):
            return types
    return ()
