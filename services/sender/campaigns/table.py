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
_MARK: Final = b"\xef\xbb\xbf"  # that programs put before UTF-8
_BEFORE: Final = _MARK + b" \t"


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
            line = raw.removeprefix(_MARK)
            json = line.lstrip().startswith(b"{")
            if not json:
                header = _header(line)
                continue
        yield _of_json(line) if json else _of_csv(line, header or [])


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines that are not blank; quoted fields may go on in the next line."""
    rest, size = b"", 0
    begun: list[bytes] = []  # lines of a quoted field that is still open
    async for part in parts:
        *found, rest = (rest + part).split(b"\n")
        for line in found:
            if not begun and line.lstrip(_BEFORE).startswith(b"{"):
                yield line.rstrip(b"\r")
                continue
            if _goes_on(line, inside=bool(begun)):
                begun.append(line)
                size += len(line) + 1
                _limit(size)
                continue
            whole = b"\n".join([*begun, line])
            begun, size = [], 0
            if whole.strip():
                yield whole.rstrip(b"\r")
        _limit(size + len(rest))
    last = b"\n".join([*begun, rest])
    if last.strip():
        yield last.rstrip(b"\r")


def _goes_on(line: bytes, *, inside: bool) -> bool:
    """Whether a quoted field is open at the end of a line of CSV, `inside` one of which it begins.
    A quote elsewhere than at a field's beginning is a character like others."""
    if b'"' not in line:
        return inside
    at = 0
    if not inside:
        at = _opening(line, 0) if not line.startswith(b'"') else 1
    while at >= 0:
        end = line.find(b'"', at)
        if end < 0:
            return True
        at = end + 2 if line.startswith(b'"', end + 1) else _opening(line, end + 1)
    return False


def _opening(line: bytes, at: int) -> int:
    """Behind the quote that opens the next quoted field; -1 without one."""
    found = line.find(b',"', at)
    return found + 2 if found >= 0 else -1


def _limit(size: int) -> None:
    if size > _LONGEST:
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
