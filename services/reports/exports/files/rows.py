"""Rows of files, whatever their format. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

Kind = Literal["text", "integer", "number", "time"]
Cell = str | int | float | datetime | None
Rows = Sequence[Sequence[Cell]]


class Column(NamedTuple):
    """A column of a file."""

    name: str
    kind: Kind = "text"


class TabularFile(Protocol):
    """A file of rows that is being written. What it returns comes one after another in the file."""

    def write(self, rows: Rows) -> bytes:
        """Take rows, each with a cell for every column; returns what is certain by now."""
        ...

    def finish(self) -> Iterator[bytes]:
        """The rest of the file, in pieces."""
        ...

    def close(self) -> None:
        """Let go of everything; also of a file that was not finished."""
        ...
