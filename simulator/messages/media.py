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
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        100 * _MB,
    ),
}
_LIMITS = {mime_type: most for types, most in _KINDS.values() for mime_type in types}
LARGEST = max(_LIMITS.values())
# First bytes, which decide whatever the upload says.
_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG", "image/png"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"#!AMR", "audio/amr"),
)
_BY_SIGNATURE = frozenset(mime_type for _, mime_type in _SIGNATURES)


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


def mismatch(kind: str, mime_type: str) -> str | None:
    """Why media of this type cannot be a message of this kind; None if it can."""
    types, _ = _KINDS[kind]
    if plain_type(mime_type) in types or kind == "document":
        return None
    return (
        f"Unsupported {kind.title()} mime type {mime_type}. Please use one of {', '.join(types)}."
    )


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
        if found and found != plain_type(mime_type) and plain_type(mime_type) in _BY_SIGNATURE:
            mime_type = found
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


def _seen_in(data: bytes) -> str | None:
    for signature, mime_type in _SIGNATURES:
        if data.startswith(signature):
            return mime_type
    return None
