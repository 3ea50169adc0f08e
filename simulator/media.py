"""Uploaded media, in memory. Pure."""

import hashlib
from collections import OrderedDict
from typing import NamedTuple

from simulator.refusals import Refused

URL_LIFE_S = 300.0

_MB = 1024 * 1024
# Kind of media type: most bytes.
_LIMITS = {
    "audio/aac": 16 * _MB, "audio/amr": 16 * _MB, "audio/mpeg": 16 * _MB, "audio/mp4": 16 * _MB,
    "audio/ogg": 16 * _MB, "image/jpeg": 5 * _MB, "image/png": 5 * _MB,
    "image/webp": 500 * 1024, "video/mp4": 16 * _MB, "video/3gpp": 16 * _MB,
    "text/plain": 100 * _MB,
}  # fmt: skip
_DOCUMENTS = ("application/pdf", "application/msword", "application/vnd.")


class Media(NamedTuple):
    """One uploaded file."""

    media_id: str
    phone_number_id: str
    mime_type: str
    sha256: str
    data: bytes


def limit_of(mime_type: str) -> int:
    """Most bytes of this type. Raises Refused (100) for a type that WhatsApp does not take."""
    plain = mime_type.partition(";")[0].strip().lower()
    if plain.startswith(_DOCUMENTS):
        return 100 * _MB
    if plain not in _LIMITS:
        raise Refused(
            100,
            message="(#100) Param file must be a file with one of the following types: "
            + ", ".join((*_LIMITS, *_DOCUMENTS)),
        )
    return _LIMITS[plain]


class MediaShelf:
    """Media up to `limit` bytes in total; the oldest make room for the new."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._items: OrderedDict[str, Media] = OrderedDict()

    def put(self, media_id: str, phone_number_id: str, mime_type: str, data: bytes) -> Media:
        if len(data) > limit_of(mime_type):
            raise Refused(131053, f"The file is larger than {limit_of(mime_type)} bytes.")
        if not data or len(data) > self._limit:
            raise Refused(131053, f"The file must have 1 to {self._limit} bytes.")
        while self._size + len(data) > self._limit:
            self._size -= len(self._items.popitem(last=False)[1].data)
        digest = hashlib.sha256(data).hexdigest()
        media = Media(media_id, phone_number_id, mime_type, digest, data)
        self._items[media_id] = media
        self._size += len(data)
        return media

    def get(self, media_id: str) -> Media | None:
        return self._items.get(media_id)

    def has(self, media_id: str) -> bool:
        return media_id in self._items

    def remove(self, media_id: str) -> bool:
        media = self._items.pop(media_id, None)
        self._size -= len(media.data) if media else 0
        return media is not None
