"""The types of the language, and how values of each stand in a contact's facts.

| type | in facts |
|---|---|
| `string`, `bool`, `double`, `int` | as such (`int` within 64 bits) |
| `timestamp` | int, milliseconds since 1970 UTC |
| `duration` | int, milliseconds |
| `date` | string, `1990-05-17` |
| `list<T>` | list |
| record (fields with types), `map` (any fields) | dict |
| `dyn` | any JSON value, looked at only when evaluating |

A value that is not of its declared type counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeAlias

from expressions.values import parse_timestamp

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Type:
    """A type of the language; compare with `==`."""

    name: str
    item: Type | None = None
    fields: Mapping[str, Type] = field(default_factory=dict, hash=False)
    open: bool = False

    def __str__(self) -> str:
        return f"list<{self.item}>" if self.item else self.name


STRING = Type("string")
INT = Type("int")
DOUBLE = Type("double")
BOOL = Type("bool")
TIMESTAMP = Type("timestamp")
DURATION = Type("duration")
DATE = Type("date")
NULL = Type("null")
DYN = Type("dyn")
MAP = Type("map", open=True)

NUMBERS = (INT, DOUBLE)
_NAMED = {t.name: t for t in (STRING, INT, DOUBLE, BOOL, TIMESTAMP, DURATION, DATE, DYN, MAP)}

Spec: TypeAlias = "Type | str | Mapping[str, Spec] | Sequence[Spec]"


def list_of(item: Type) -> Type:
    return Type("list", item=item)


def type_of(spec: Spec) -> Type:
    """The type that `spec` describes.

    A name (`"string"`, `"list<string>"`), a mapping of field names to specs (a record), a list of
    one spec (a list), or a Type. Raises ValueError on anything else.
    """
    match spec:
        case Type():
            return spec
        case str() if spec in _NAMED:
            return _NAMED[spec]
        case str() if spec.startswith("list<") and spec.endswith(">"):
            return list_of(type_of(spec[5:-1]))
        case str():
            raise ValueError(f"unknown type {spec!r}; known: {', '.join(_NAMED)}, list<…>")
        case Mapping():
            return Type("map", fields={name: type_of(inner) for name, inner in spec.items()})
        case [inner]:
            return list_of(type_of(inner))
    raise ValueError(f"a list type has one item type, got {spec!r}")


def reader(kind: Type) -> Callable[[Any], Any]:
    """A function that gives a stored value back, or None when it is not of this type."""
    return _READERS[kind.name]


def normalise(kind: Type, value: Any) -> Any:
    """A JSON value as facts hold it; None when it is not of this type.

    Timestamps may be RFC 3339 text, dates may carry a time of day.
    """
    name = kind.name
    if value.__class__ is str:
        if name == TIMESTAMP.name:
            try:
                return parse_timestamp(value)
            except ValueError:
                return None
        if name == DATE.name:
            value = value[:10]
    value = _READERS[name](value)
    if value is None:
        return None
    if kind.item:
        return [normalise(kind.item, item) for item in value]
    if kind.fields:
        return {
            name: normalise(inner, value[name])
            for name, inner in kind.fields.items()
            if name in value
        }
    return value


def _exactly(cls: type) -> Callable[[Any], Any]:
    return lambda value: value if value.__class__ is cls else None


def _int(value: Any) -> int | None:
    if value.__class__ is int:
        return value if value in _INT64 else None
    if value.__class__ is float and value.is_integer() and int(value) in _INT64:
        return int(value)
    return None


def _double(value: Any) -> float | None:
    if value.__class__ is float:
        return value
    return float(value) if value.__class__ is int and value in _INT64 else None


def _date(value: Any) -> str | None:
    if value.__class__ is not str or len(value) != 10:
        return None
    try:
        date.fromisoformat(value)
    except ValueError:
        return None
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _exactly(str),
    "bool": _exactly(bool),
    "int": _int,
    "double": _double,
    "timestamp": _int,
    "duration": _int,
    "date": _date,
    "list": _exactly(list),
    "map": _exactly(dict),
    "dyn": lambda value: value,
    "null": lambda _: None,
}
