"""What the columns of a file mean, as somebody said it or as its headings say it. Pure but for the
reading of a mapping file."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from chassis.failures import Misconfigured
from services.ingest.imports.kinds import KINDS, Kind
from services.ingest.imports.records import Format, Record

_OPEN: Final = re.compile(r"(properties|attributes)\.[^:]+")  # no type is said
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")  # what leads with a zero is a code
_GROUPS: Final = frozenset({"identity", "consent"})


class Mapping(msgspec.Struct, forbid_unknown_fields=True):
    """How to read a file; also the form of a mapping file."""

    columns: dict[str, str] = {}
    """Column → field."""
    constants: dict[str, str] = {}
    """Field → what every row says of it."""
    scope: str = ""
    zone: str = ""
    event_name: str = ""


class Found(NamedTuple):
    """What headings say."""

    columns: dict[str, str]
    left_out: list[str]
    typed: list[str]
    """Fields that were given a type, by what stands in the first rows."""


def from_file(path: Path) -> Mapping:
    """A mapping file (TOML). Raises `Misconfigured`."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Mapping)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise Misconfigured(f"{path}: {error}") from None


def columns(given: Iterable[str]) -> dict[str, str]:
    """Options `column=field`; a column's name may have a `=` in it. Raises `Misconfigured`."""
    return dict(_pair("--column", one, one.rpartition("=")) for one in given)


def constants(given: Iterable[str]) -> dict[str, str]:
    """Options `field=value`; a value may have a `=` in it. Raises `Misconfigured`."""
    return dict(_pair("--set", one, one.partition("=")) for one in given)


def _pair(option: str, given: str, parts: tuple[str, str, str]) -> tuple[str, str]:
    left, _, right = parts
    if not left or not right:
        raise Misconfigured(f"{option}: {given} is not of the form this=that")
    return left, right


def found(kind: Kind, format_: Format, sample: Sequence[Record], said: dict[str, str]) -> Found:
    """The columns as `said`, or else as their names say it, with types for properties and
    attributes of a CSV that have none, by the rows of a `sample`."""
    read = [one.values for one in sample if one.values is not None]
    if not read:
        raise Misconfigured("there is nothing in the file that can be read")
    names = _members(read) if format_ == "ndjson" else list(read[0])
    columns = said or {name: name for name in names if _is_field(kind, name)}
    # What a path leads into, or out of, is not left out
    left_out = [name for name in names if not _used(name, columns)]
    if format_ == "ndjson":
        return Found(columns, left_out, [])
    typed = {
        name: f"{field}:{kind_of}"
        for name, field in columns.items()
        if name in names
        and _OPEN.fullmatch(field)
        and (kind_of := _type(_cells(read, names.index(name))))
    }
    return Found({**columns, **typed}, left_out, sorted(typed.values()))


def _members(rows: Iterable[Any]) -> list[str]:
    names: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            inside = isinstance(value, dict) and name in _GROUPS
            names |= dict.fromkeys([f"{name}.{part}" for part in value] if inside else [name])
    return list(names)


def _is_field(kind: Kind, name: str) -> bool:
    group, _, rest = name.partition(".")
    fields = KINDS[kind].fields
    return (name in fields and not name.endswith("*")) or bool(rest and f"{group}.*" in fields)


def _used(name: str, columns: Iterable[str]) -> bool:
    return any(one == name or one.startswith(f"{name}.") for one in columns)


def _cells(rows: Sequence[Any], index: int) -> list[str]:
    width = len(rows[0])
    return [row[index] for row in rows[1:] if len(row) == width and row[index]]


def _type(cells: Sequence[str]) -> str:
    """Empty for a text."""
    if cells and all(_NUMBER.fullmatch(cell) for cell in cells):
        return "number"
    if cells and all(cell.lower() in ("true", "false") for cell in cells):
        return "boolean"
    return ""
