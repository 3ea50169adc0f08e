"""A file on this machine, read in pieces that an import takes."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from chassis.failures import Misconfigured
from services.ingest.imports.records import Format, Record, records, whole

CHUNK_BYTES: Final = 1024 * 1024
_FORMATS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}


class Source:
    """An open file with something in it."""

    def __init__(self, path: Path, file: BinaryIO, format_: Format) -> None:
        self.path = path
        self.format = format_
        self._file = file
        self._opened = self._now()
        self.size = self._opened[0]
        if not self.size:
            raise Misconfigured(f"{path}: is empty")

    def sha256(self, hashed: Callable[[int], None]) -> str:
        """Of the whole file, hex; `hashed` is told how far it is, in bytes."""
        digest = hashlib.sha256()
        done = 0
        self._file.seek(0)
        while piece := self._file.read(CHUNK_BYTES):
            digest.update(piece)
            done += len(piece)
            hashed(done)
        return digest.hexdigest()

    def chunk(self, offset: int) -> bytes:
        """Whole records from `offset` on, as many as one chunk takes. Raises `Misconfigured` when
        one is larger than that, or the file is not the same any more."""
        if self._now() != self._opened:
            raise Misconfigured(f"{self.path}: was changed meanwhile; start again")
        self._file.seek(offset)
        piece = self._file.read(CHUNK_BYTES)
        if offset + len(piece) == self.size:
            return piece
        end = whole(self.format, piece)
        if not end:
            raise Misconfigured(
                f"{self.path}: at byte {offset:,} there is a record over 1 MiB; is a quotation mark"
                " not closed?"
            )
        return piece[:end]

    def sample(self) -> list[Record]:
        """The records of the first chunk."""
        piece = self.chunk(0)
        return list(records(self.format, piece, 1, last=len(piece) == self.size))

    def _now(self) -> tuple[int, int]:
        stat = os.fstat(self._file.fileno())
        return stat.st_size, stat.st_mtime_ns


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """A file, for as long as the block. Raises `Misconfigured` when it cannot be read."""
    format_ = _FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise Misconfigured(f"{path}: is none of {', '.join(f'*{end}' for end in _FORMATS)}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    with file:
        yield Source(path, file, format_)
