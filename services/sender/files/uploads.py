"""Files on Meta: each content once for each number, for as long as Meta keeps it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from services.sender.files.store import File, Uploaded
from services.sender.model import DAY_MS
from services.sender.posting import Upload

_KEPT_MS: Final = 30 * DAY_MS
_UPLOADS: Final = 4  # at once: each holds a part in memory and a connection
_KNOWN: Final = 10_000
_FRESH_MS: Final = 60_000  # how long replicas may not know that Meta could not use an upload


class Store(Protocol):
    """Files, as uploading needs them."""

    async def get(self, file_id: str, now: int) -> File: ...
    def parts(self, file_id: str) -> AsyncIterator[bytes]: ...
    async def uploaded(self, phone_number_id: str, file: File, now: int) -> Uploaded | None: ...
    async def put_upload(self, file: File, upload: Uploaded) -> None: ...
    async def forget_upload(self, phone_number_id: str, media_id: str) -> None: ...


class Platform(Protocol):
    """Meta, as uploading needs it."""

    async def upload(
        self, phone_number_id: str, upload: Upload, credential: str, timeout_s: float
    ) -> str: ...


class Placed(NamedTuple):
    """A file's id at Meta, and whether it was put there just now."""

    upload: Uploaded
    fresh: bool


class Uploads:
    """Puts files on Meta when they are first needed there."""

    def __init__(self, store: Store, platform: Platform, clock: Clock, timeout_s: float) -> None:
        """`timeout_s`: of one upload."""
        self._store = store
        self._platform = platform
        self._clock = clock
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(_UPLOADS)
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._known: dict[tuple[str, str], tuple[int, Uploaded]] = {}

    async def place(self, phone_number_id: str, credential: str, file_id: str) -> Placed:
        """Where a file stands for a number; uploads it if it stands nowhere.

        Raises FileNotFound, PlatformRefused, PlatformBusy or PlatformUnavailable.
        """
        key = phone_number_id, file_id
        until, known = self._known.get(key, (0, None))
        if known is not None and self._now() < until:
            return Placed(known, False)
        # One upload for all messages that wait for it
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                placed = await self._place(phone_number_id, credential, file_id)
                while len(self._known) >= _KNOWN:
                    del self._known[next(iter(self._known))]
                self._known[key] = self._now() + _FRESH_MS, placed.upload
                return placed
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    async def _place(self, phone_number_id: str, credential: str, file_id: str) -> Placed:
        now = self._now()
        file = await self._store.get(file_id, now)
        if found := await self._store.uploaded(phone_number_id, file, now):
            return Placed(found, False)
        async with self._slots:
            parts = self._store.parts(file_id)
            media_id = await self._platform.upload(
                phone_number_id,
                Upload(file.mime_type, file.size_bytes, parts),
                credential,
                self._timeout_s,
            )
        placed = Uploaded(phone_number_id, media_id, now + _KEPT_MS)
        await self._store.put_upload(file, placed)
        return Placed(placed, True)

    async def forget(self, phone_number_id: str, file_id: str, media_id: str) -> None:
        """Meta does not know this id any more."""
        self._known.pop((phone_number_id, file_id), None)
        await self._store.forget_upload(phone_number_id, media_id)

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())
