"""Examples of media that templates are submitted with: files, uploaded to Meta."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from services.sender.failures import MediaUnsupported, PlatformUnavailable
from services.sender.files.store import File
from services.sender.files.types import check
from services.sender.posting import Upload

_KINDS: Final = {"IMAGE": "image", "VIDEO": "video", "GIF": "gif", "DOCUMENT": "document"}
_PDF: Final = "application/pdf"
"""The only kind of document that Meta takes as an example."""
_TRIES: Final = 3


class Files(Protocol):
    """Files that callers brought."""

    async def ready(self, file_id: str) -> File:
        """Raises FileNotFound and FileState."""
        ...


class Store(Protocol):
    """Their bytes."""

    def parts(self, file_id: str) -> AsyncIterator[bytes]: ...


class Platform(Protocol):
    """Meta's resumable uploads."""

    async def manage(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        credential: str = "default",
    ) -> dict[str, Any]: ...
    async def append(
        self, session: str, offset: int, upload: Upload, credential: str, timeout_s: float
    ) -> str: ...


class Samples:
    """Puts examples on Meta."""

    def __init__(self, files: Files, store: Store, platform: Platform, timeout_s: float) -> None:
        """`timeout_s`: of one upload."""
        self._files = files
        self._store = store
        self._platform = platform
        self._timeout_s = timeout_s

    async def check(self, file_id: str, header: str) -> None:
        """Whether a file can be the example of a header of this format. Raises FileNotFound,
        FileState and MediaUnsupported."""
        file = await self._files.ready(file_id)
        kind = _KINDS.get(header, "document")
        check(kind, file.mime_type, file.size_bytes, animated=file.animated, voice=False)
        if kind == "document" and file.mime_type != _PDF:
            raise MediaUnsupported(
                f"{file.mime_type} is no example of a document; give a PDF",
                mime_type=file.mime_type,
                size_bytes=str(file.size_bytes),
                limit="0",
            )

    async def place(self, file_id: str, credential: str) -> str:
        """Upload a file, from where it broke off when it does; returns its handle.

        Raises FileNotFound, FileState, PlatformRefused, PlatformBusy, PlatformUnavailable and
        NumberUnusable.
        """
        file = await self._files.ready(file_id)
        about = {
            "file_name": file.name or "example",
            "file_length": str(file.size_bytes),
            "file_type": file.mime_type,
        }
        begun = await self._platform.manage(
            "POST", f"app/uploads?{urlencode(about)}", credential=credential
        )
        session, offset, tries = str(begun["id"]), 0, 0
        while True:
            rest = Upload(file.mime_type, file.size_bytes - offset, self._from(file_id, offset))
            try:
                return await self._platform.append(
                    session, offset, rest, credential, self._timeout_s
                )
            except PlatformUnavailable:
                tries += 1
                if tries == _TRIES:
                    raise
            seen = await self._platform.manage("GET", session, credential=credential)
            offset = int(seen.get("file_offset", 0))

    async def _from(self, file_id: str, offset: int) -> AsyncIterator[bytes]:
        passed = 0
        async for part in self._store.parts(file_id):
            if rest := part[max(0, offset - passed) :]:
                yield rest
            passed += len(part)
