"""Rows of a file that names people: CSV with a header line, or JSON lines; in parts, as it comes.

A place in a file is a number of rows behind its beginning. Pure.
"""

import csv
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

import msgspec

from chassis.failures import FieldInvalid

NAMING: Final = ("contact_id", "wa_id", "bsuid", "external_id")
"""Columns that name a person, the first that has a value counts."""
_LONGEST: Final = 1024 * 1024  # bytes of a line
_FIELD: Final = "campaign.audience.file"


class Row(msgspec.Struct, frozen=True):
    """One line."""

    kind: str
    """The column that names the person; empty when none does, or the line is no row."""
    name: str
    values: Mapping[str, str]
    """By column, those that name nobody."""


async def rows(parts: AsyncIterator[bytes]) -> AsyncIterator[Row]:
    """The rows of a file. What cannot be read is a row without a name. Raises FieldInvalid when the
    file is no such file."""
    header: list[str] | None = None
    json = False
    async for raw in _lines(parts):
        line = raw
        if header is None and not json:
            line = raw.removeprefix(b"\xef\xbb\xbf")
            json = line.lstrip().startswith(b"{")
            if not json:
                header = _header(line)
                continue
        yield _of_json(line) if json else _of_csv(line, header or [])


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines that are not blank; quoted fields may go on in the next line."""
    rest, whole = b"", b""
    async for part in parts:
        *found, rest = (rest + part).split(b"\n")
        for line in found:
            whole = whole + b"\n" + line if whole else line
            if whole.count(b'"') % 2 and not whole.lstrip().startswith(b"{"):
                _limit(whole)
                continue
            if whole.strip():
                yield whole.rstrip(b"\r")
            whole = b""
        _limit(rest)
    last = whole + b"\n" + rest if whole else rest
    if last.strip():
        yield last.rstrip(b"\r")


def _limit(line: bytes) -> None:
    if len(line) > _LONGEST:
        raise FieldInvalid(_FIELD, f"a line has at most {_LONGEST} bytes; is a quote open?")


def _header(line: bytes) -> list[str]:
    cells = [cell.strip() for cell in _cells(line) or []]
    if not set(cells) & set(NAMING):
        raise FieldInvalid(
            _FIELD, f"its first line names no column of {', '.join(NAMING)}, and is no JSON"
        )
    return cells


def _cells(line: bytes) -> list[str] | None:
    try:
        return next(csv.reader([line.decode()], strict=True), [])
    except (csv.Error, UnicodeDecodeError):
        return None


def _of_csv(line: bytes, header: list[str]) -> Row:
    cells = _cells(line)
    if cells is None or len(cells) > len(header):
        return _row({})
    return _row({name: cell.strip() for name, cell in zip(header, cells, strict=False)})


def _of_json(line: bytes) -> Row:
    try:
        found = msgspec.json.decode(line, type=dict[str, str | int | float | bool | None])
    except msgspec.MsgspecError:
        return _row({})
    return _row({name: _text(value) for name, value in found.items() if value is not None})


def _text(value: str | float | bool) -> str:
    if isinstance(value, str):
        return value.strip()
    return msgspec.json.encode(value).decode()


def _row(cells: Mapping[str, str]) -> Row:
    values = {name: cell for name, cell in cells.items() if name not in NAMING and cell}
    kind = next(_named(cells), "")
    return Row(kind, cells.get(kind, ""), values)


def _named(cells: Mapping[str, str]) -> Iterator[str]:
    return (kind for kind in NAMING if cells.get(kind))
