"""What the columns of a file mean, and what a row of it says. Pure.

A column's meaning is a field: `identity.external_id`, `event_time`, `properties.price:number`, …
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from chassis.failures import FieldInvalid
from services.ingest.imports import values
from services.ingest.imports.kinds import KINDS, Kind, Read, readers
from services.ingest.imports.records import Record
from services.ingest.model import Body

Get = Callable[[Any], Any]
"""A column of a row; None when the row does not have it."""

_MOST: Final = 1_000  # columns
_LONGEST: Final = 200  # characters of a column's name, a field or a constant
_OPEN: Final = re.compile(r"(properties|attributes)\.(.+?)(?::(text|number|boolean|json))?")
_TYPES: Final[dict[str | None, Read]] = {
    "text": values.text,
    "number": values.number,
    "boolean": values.boolean,
    "json": values.json,
    None: lambda value: value,
}


class Spec(msgspec.Struct, frozen=True):
    """How to read a file: all that decides what its rows say."""

    kind: Kind
    columns: dict[str, str]
    """Column (or JSON field) → field."""
    constants: dict[str, str]
    """Field → what every row says of it that does not say it itself."""
    identity_scope: str
    zone: str
    """IANA; empty is UTC."""
    event_name: str


class Plan:
    """A spec, checked and made ready for many rows."""

    def __init__(self, spec: Spec, region: str) -> None:
        """`region` (ISO 3166): the country of phone numbers that name none. Raises `FieldInvalid`
        for a spec by which no row can be read."""
        constants = dict(spec.constants)
        if spec.event_name:
            if spec.kind != "events":
                raise FieldInvalid("event_name", "is for events only")
            constants["name"] = spec.event_name
        for where, many in (("columns", spec.columns), ("constants", constants)):
            if len(many) > _MOST:
                raise FieldInvalid(where, f"are more than {_MOST}", limit=str(_MOST))
            if not all(_is_name(part) for pair in many.items() for part in pair):
                raise FieldInvalid(where, f"have names and values of 1 to {_LONGEST} characters")
        self._rules = KINDS[spec.kind]
        self._kind = spec.kind
        self._readers = readers(_zone(spec.zone), region, spec.identity_scope)
        self._cells = sorted(self._cell(f, c, "columns") for c, f in spec.columns.items())
        self._constants: Body = {}
        for field, value in constants.items():
            cell = self._cell(field, "", "constants")
            self._constants[cell.field] = cell.value(value, "constants")
        fields = [cell.field for cell in self._cells]
        for one, other in pairwise(fields):
            if one == other:
                raise FieldInvalid("columns", f"say {one} twice")
        said = {*fields, *self._constants}
        for needed in self._rules.needed:
            if said.isdisjoint(needed):
                raise FieldInvalid("columns", f"say nothing of {' or '.join(needed)}")

    def _cell(self, said: str, column: str, where: str) -> "_Cell":
        fields = self._rules.fields
        typed = _OPEN.fullmatch(said)
        if typed and f"{typed[1]}.*" in fields:
            return _Cell(f"{typed[1]}.{typed[2]}", column, _TYPES[typed[3]])
        if said not in fields or said.endswith("*"):
            known = ", ".join(fields)
            raise FieldInvalid(where, f"{said} is no field of {self._kind}; there are {known}")
        return _Cell(said, column, self._readers[said])

    def of_csv(self, heading: Sequence[str]) -> "Reader":
        """A reader of rows below a heading. Raises `FieldInvalid` for a heading that lacks a
        column, or has it twice."""
        for cell in self._cells:
            if (times := heading.count(cell.column)) != 1:
                problem = "twice" if times else "not"
                raise FieldInvalid("columns", f"{cell.column} is {problem} in the heading")
        gets = [_field(heading.index(cell.column)) for cell in self._cells]
        return Reader(self, gets, len(heading))

    def of_ndjson(self) -> "Reader":
        """A reader of objects."""
        return Reader(self, [_member(cell.column) for cell in self._cells], None)

    def say(self, row: Any, gets: Sequence[Get], start_ms: int) -> Body:
        """What a row says, in the contract's words; `start_ms` is when the import began. Raises
        `FieldInvalid`."""
        said = {**self._constants}
        if self._rules.since_start:
            said.setdefault(self._rules.since_start, start_ms)
        for cell, get in zip(self._cells, gets, strict=True):
            if (value := get(row)) is not None:
                said[cell.field] = cell.value(value, "row")
        return self._rules.body(said)


class Reader(NamedTuple):
    """Reads the records of one file."""

    plan: Plan
    gets: Sequence[Get]
    width: int | None
    """Fields of every record; None where they need not be as many."""

    def say(self, record: Record, start_ms: int) -> Body:
        """What a record says, in the contract's words. Raises `FieldInvalid`."""
        if record.values is None:
            raise FieldInvalid("row", record.problem)
        if self.width not in (None, len(record.values)):
            raise FieldInvalid("row", f"has {len(record.values)} fields, the heading {self.width}")
        return self.plan.say(record.values, self.gets, start_ms)


class _Cell(NamedTuple):
    field: str
    column: str
    read: Read

    def value(self, given: Any, where: str) -> Any:
        try:
            return self.read(given)
        except ValueError as error:
            raise FieldInvalid(f"{where}.{self.field}", str(error)) from None


def _is_name(value: str) -> bool:
    return 0 < len(value) <= _LONGEST and "\0" not in value


def _field(index: int) -> Get:
    return lambda fields: fields[index] or None


def _member(path: str) -> Get:
    """By its name, or else by a path of names: `identity.external_id`."""
    first, *rest = path.split(".")

    def get(row: Mapping[str, Any]) -> Any:
        if not rest or path in row:
            return row.get(path)
        found = row.get(first)
        for name in rest:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return get


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        raise FieldInvalid("zone", "is no IANA time zone such as Europe/Istanbul") from None
