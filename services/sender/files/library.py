"""Files that callers bring, by bytes or by URL."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Final

import aiohttp

from chassis.addresses import OutboundRefused
from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.outbound import Outbound
from services.sender.failures import (
    FileState,
    MediaUnsupported,
    ServiceUnavailable,
    UrlRefused,
)
from services.sender.files import types as media_types
from services.sender.files.store import File, FileStore

_PART: Final = 1024 * 1024
_REDIRECTS: Final = 3
_FETCHES: Final = 8
_ABANDONED_MS: Final = 86_400_000
_SWEEP_EVERY: Final = timedelta(minutes=10)
_LOST: Final = frozenset({408, 425, 429})


class Files:
    """Takes files in, tells what they are, and forgets them in time."""

    def __init__(
        self,
        store: FileStore,
        outbound: Outbound,
        clock: Clock,
        passing: Callable[[BaseException], bool],
    ) -> None:
        """`passing` tells errors that pass by themselves from those that must end the process."""
        self._passing = passing
        self._store = store
        self._outbound = outbound
        self._clock = clock
        self._fetches = asyncio.Semaphore(_FETCHES)

    def now(self) -> int:
        """Milliseconds."""
        return milliseconds_of(self._clock.now())

    async def begin(self, file_id: str, name: str, mime_type: str, expire_time: int) -> File:
        """A file without bytes; the one that stands when the id is known."""
        return await self._store.begin(
            File(file_id, name, mime_type, create_time=self.now(), expire_time=expire_time)
        )

    async def append(
        self, file_id: str, offset: int, data: bytes, *, last: bool, sha256: str
    ) -> File:
        """Add bytes; the last make the file ready. Raises FileNotFound, FileState, OffsetMismatch,
        MediaUnsupported, and FieldInvalid when the hash differs."""
        now = self.now()
        file = await self._store.get(file_id, now)
        if offset + len(data) > media_types.LARGEST:
            raise MediaUnsupported(
                f"a file has at most {media_types.LARGEST} bytes",
                mime_type=file.mime_type,
                size_bytes=str(offset + len(data)),
                limit=str(media_types.LARGEST),
            )
        size = await self._store.append(file_id, offset, data, now)
        if not last or file.ready:
            return await self._store.get(file_id, now)
        if size != offset + len(data):
            raise FileState("bytes were sent beyond the last", file_id=file_id, state="uploading")
        if not size:
            raise FieldInvalid("data", "a file has bytes; send some")
        file.size_bytes = size
        await self._tell(file)
        if sha256 and sha256.lower() != file.sha256:
            problem = f"the bytes that arrived have {file.sha256}; begin another file"
            raise FieldInvalid("sha256", problem)
        return await self._store.finish(file)

    async def get(self, file_id: str) -> File:
        """A file; raises FileNotFound."""
        return await self._store.get(file_id, self.now())

    async def ready(self, file_id: str) -> File:
        """A complete file; raises FileNotFound and FileState."""
        file = await self.get(file_id)
        if not file.ready:
            raise FileState(
                "the file is not complete; send the rest", file_id=file_id, state="uploading"
            )
        return file

    async def fetch(
        self,
        field: str,
        url: str,
        file_id: str,
        largest: int,
        expire_time: int,
        check: Callable[[File], None],
    ) -> File:
        """What is behind a URL as a file with this id; the one that stands when the id is known.
        `check` raises for what is not wanted, of which nothing is kept.

        Raises UrlRefused, MediaUnsupported when it is larger than `largest` bytes, and
        ServiceUnavailable when there is no answer.
        """
        if known := await self._store.find(file_id):
            check(known)
            return known
        try:
            self._outbound.check(url)
            async with self._fetches:
                return await self._fetch(field, url, file_id, largest, expire_time, check)
        except OutboundRefused as refused:
            raise UrlRefused(field, str(refused)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Nothing of the address: it may be personal
            raise ServiceUnavailable(
                f"{field}: no answer ({type(error).__name__}); try again", service="url"
            ) from None

    async def _fetch(
        self,
        field: str,
        url: str,
        file_id: str,
        largest: int,
        expire_time: int,
        check: Callable[[File], None],
    ) -> File:
        async with self._outbound.request(
            "GET", url, redirects=_REDIRECTS, headers={"Accept-Encoding": "identity"}
        ) as response:
            if response.status >= 500 or response.status in _LOST:
                raise ServiceUnavailable(
                    f"{field}: it answers {response.status}; try again", service="url"
                )
            if response.status != 200:
                raise UrlRefused(field, f"it answers {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise UrlRefused(field, "it answers with compressed bytes")
            file = await self.begin(fresh_id("file"), "", "", expire_time)
            try:
                await self._take(file, response, largest)
                await self._tell(file)
                check(file)
            except BaseException:
                await asyncio.shield(self._store.remove(file.file_id))
                raise
        return await self._store.finish(file, file_id)

    async def _take(self, file: File, response: aiohttp.ClientResponse, largest: int) -> None:
        async for part in _parts(response):
            if file.size_bytes + len(part) > largest:
                raise MediaUnsupported(
                    f"more than {largest} bytes",
                    mime_type=response.content_type,
                    size_bytes=str(file.size_bytes + len(part)),
                    limit=str(largest),
                )
            file.size_bytes = await self._store.append(
                file.file_id, file.size_bytes, part, self.now()
            )

    async def _tell(self, file: File) -> None:
        """What the bytes are, and their hash."""
        digest, head = hashlib.sha256(), b""
        async for part in self._store.parts(file.file_id):
            head = head or part
            digest.update(part)
        while_small = head[: media_types.HEAD]
        file.mime_type = media_types.told(file.mime_type, while_small, file.size_bytes)
        file.animated = media_types.is_animated(while_small)
        file.sha256 = digest.hexdigest()

    async def run(self) -> None:
        """Forget what nobody may use any more, now and then, until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception as error:
                if not self._passing(error):
                    raise
            await self._clock.sleep(_SWEEP_EVERY)

    async def sweep(self) -> None:
        """Forget files whose time is over, and those that nobody completed for a day."""
        now = self.now()
        while await self._store.sweep(now, now - _ABANDONED_MS):
            pass


async def _parts(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body in parts of about a MiB."""
    waiting = bytearray()
    async for data in response.content.iter_any():
        waiting += data
        if len(waiting) >= _PART:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
