"""Attachments that people sent, from Meta."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlencode

import aiohttp

from chassis.addresses import OutboundRefused
from chassis.outbound import Outbound
from services.sender.failures import MediaNotFound, PlatformRefused, PlatformUnavailable
from services.sender.files.types import LARGEST
from services.sender.model import Number

_PART: Final = 256 * 1024
_GONE: Final = frozenset({403, 404, 410})
_UNKNOWN: Final = frozenset({"100", "131052"})


class Part(NamedTuple):
    """Some bytes of an attachment."""

    data: bytes
    end: int
    """Where they end in the whole."""
    mime_type: str
    total_bytes: int


class Platform(Protocol):
    """Meta, as downloading needs it."""

    def authorised(self, credential: str) -> dict[str, str]: ...
    async def manage(
        self, method: str, path: str, body: None = None, credential: str = "default"
    ) -> dict[str, Any]: ...


class Downloads:
    """Asks Meta where an attachment is, and reads it there."""

    def __init__(self, platform: Platform, outbound: Outbound) -> None:
        self._platform = platform
        self._outbound = outbound

    async def download(self, media_id: str, number: Number, begin: int) -> AsyncIterator[Part]:
        """The bytes from `begin` on. They are read from the first, so that their hash can be told:
        with bytes that differ the stream ends in PlatformUnavailable.

        Raises MediaNotFound, PlatformRefused and PlatformUnavailable.
        """
        about = await self._about(media_id, number)
        digest, end = hashlib.sha256(), 0
        total, mime_type = int(about.get("file_size") or 0), str(about.get("mime_type", ""))
        try:
            async with self._opened(str(about.get("url", "")), number) as response:
                if response.status in _GONE:
                    raise _gone(media_id)
                if response.status != 200:
                    raise _unavailable(f"it answers {response.status}")
                async for data in response.content.iter_chunked(_PART):
                    digest.update(data)
                    start, end = end, end + len(data)
                    if end > LARGEST:
                        raise _unavailable(f"more than {LARGEST} bytes")
                    if end > begin:
                        yield Part(data[max(0, begin - start) :], end, mime_type, total)
        except OutboundRefused as refused:
            raise _unavailable(str(refused)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(type(error).__name__) from error
        if about.get("sha256") not in (None, "", digest.hexdigest()):
            raise _unavailable("the bytes are not those that were sent")

    async def _about(self, media_id: str, number: Number) -> dict[str, Any]:
        if not media_id.isdigit():
            raise _gone(media_id)
        query = urlencode({"phone_number_id": number.phone_number_id})
        try:
            return await self._platform.manage(
                "GET", f"{media_id}?{query}", credential=number.credential_name
            )
        except PlatformRefused as refused:
            if refused.facts["code"] in _UNKNOWN:
                raise _gone(media_id) from None
            raise

    def _opened(
        self, url: str, number: Number
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = self._platform.authorised(number.credential_name)
        # The token goes where Meta says, and not on to where that would redirect.
        return self._outbound.request("GET", url, headers=headers)


def _gone(media_id: str) -> MediaNotFound:
    return MediaNotFound("Meta keeps no such attachment (any more)", media_id=media_id)


def _unavailable(why: str) -> PlatformUnavailable:
    return PlatformUnavailable(f"the attachment does not come: {why}", operation="download")
