"""An import: a file, how to read it, and how far it is. Pure."""

import hashlib
from typing import Literal

import msgspec
import orjson

from chassis.ids import derived_id
from services.ingest.imports.mapping import Spec
from services.ingest.imports.records import Format

State = Literal["running", "completed", "cancelled"]


class File(msgspec.Struct, frozen=True):
    """A file, by what is in it."""

    format: Format
    sha256: str
    """Hex."""
    size_bytes: int


class Job(msgspec.Struct, frozen=True):
    """One import. Times are epoch milliseconds; 0 is never."""

    import_id: str
    name: str
    file: File
    spec: Spec
    start_ms: int
    state: State = "running"
    offset_bytes: int = 0
    """How much of the file was taken: always whole records."""
    line: int = 1
    """Where the next record begins."""
    heading: bytes = b""
    """The first record of a CSV, once it was taken."""
    accepted_count: int = 0
    rejected_count: int = 0
    update_ms: int = 0
    end_ms: int = 0


class Reject(msgspec.Struct, frozen=True):
    """A record that was refused."""

    line: int
    offset_bytes: int
    """Where it begins in the file."""
    raw: bytes
    reason: str
    message: str
    facts: dict[str, str]


class Step(msgspec.Struct, frozen=True):
    """What came of some records: from where the job stands, to where."""

    offset_bytes: int
    line: int
    heading: bytes
    accepted_count: int
    rejects: list[Reject]


def fingerprint(file: File, spec: Spec) -> str:
    """The same for the same file, read in the same way."""
    said = orjson.dumps(msgspec.to_builtins((file, spec)), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def row_id(of_job: str, line: int, time_ms: int) -> str:
    """The id of what a row says. A repeat of the row is recognised, whenever it comes; but a row
    without a time says that it is so now, and says it anew in the next import of its file.

    `of_job`: the fingerprint of file and spec.
    """
    return derived_id("row", of_job, str(line), str(time_ms))
