"""The records of a file, from its bytes. Pure.

A record of NDJSON is a line; one of CSV (RFC 4180) may have line breaks between quotation marks.
A file that is read in pieces of whole records has the same records as in one piece: what cannot
be read ends where it is noticed, and the next line begins another record.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import orjson

from chassis.failures import FieldInvalid

Format = Literal["csv", "ndjson"]
Values = list[str] | dict[str, Any]

_BOM: Final = b"\xef\xbb\xbf"  # what spreadsheets write first


class Record(NamedTuple):
    """One record of a piece."""

    line: int
    """Where it begins, in the file; 1 is the first."""
    raw: bytes
    """As it stands in the file, with its line break."""
    values: Values | None
    """Fields of CSV, or the object of NDJSON; None of a blank line and of what cannot be read."""
    problem: str
    """Why it cannot be read."""
    end: int
    """Bytes of the piece up to its end."""
    next_line: int
    """Where the next one begins, in the file."""


def records(format_: Format, piece: bytes, line: int, last: bool) -> Iterator[Record]:
    """The records of a piece that begins at a `line`; `last`: the file ends with it.

    Raises `FieldInvalid` for `chunk`, behind the last whole record, when another one begins that
    does not end.
    """
    return _csv(piece, line, last) if format_ == "csv" else _ndjson(piece, line, last)


def whole(format_: Format, piece: bytes) -> int:
    """Bytes of a piece up to the end of its last whole record."""
    end = 0
    try:
        for record in records(format_, piece, 1, last=False):
            end = record.end
    except FieldInvalid:
        pass  # the record that does not end
    return end


def _csv(piece: bytes, line: int, last: bool) -> Iterator[Record]:
    taken: list[bytes] = []
    ended = False

    def lines() -> Iterator[str]:
        nonlocal ended
        for one in io.BytesIO(piece):
            taken.append(one)
            text = one.removeprefix(_BOM) if line == len(taken) == 1 else one
            yield text.decode("utf-8", "surrogateescape")
        ended = True

    reader = csv.reader(lines(), strict=True)
    end = 0
    while True:
        taken.clear()
        values, problem = None, ""
        try:
            values = next(reader) or None
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"is not CSV: {error}"
        if problem and ended:
            problem = "has a quotation mark that is not closed"
        raw = b"".join(taken)
        if not last and ((problem and ended) or not raw.endswith(b"\n")):
            raise _open()
        if not problem and not _is_text(raw):
            values, problem = None, "is not UTF-8"
        end += len(raw)
        yield Record(line, raw, values, problem, end, line + len(taken))
        line += len(taken)


def _ndjson(piece: bytes, line: int, last: bool) -> Iterator[Record]:
    end = 0
    for raw in io.BytesIO(piece):
        if not last and not raw.endswith(b"\n"):
            raise _open()
        text = raw.removeprefix(_BOM) if line == 1 else raw
        values, problem = None, ""
        if text.strip():
            try:
                values = orjson.loads(text)
            except orjson.JSONDecodeError:
                problem = "is not JSON"
            else:
                if not isinstance(values, dict):
                    values, problem = None, "is not a JSON object"
        end += len(raw)
        yield Record(line, raw, values, problem, end, line + 1)
        line += 1


def _is_text(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _open() -> FieldInvalid:
    return FieldInvalid("chunk", "ends within a record; end it where one ends")
