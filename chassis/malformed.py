"""What no request may hold, whatever it asks: texts with a zero byte, which Postgres takes nowhere,
times and durations that no calendar has, and enum values that this version does not know.

Looking at every field of every request would cost more than most calls do. So this is asked only
once something failed: whoever sent such a thing is told where it is.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_TIME: Final = "google.protobuf.Timestamp"
_DURATION: Final = "google.protobuf.Duration"
_FIRST_S: Final = -62_135_596_800  # the year 1
_LAST_S: Final = 253_402_300_799  # the year 9999
_LONGEST_S: Final = 315_576_000_000  # ten thousand years
_SECOND_NS: Final = 1_000_000_000


class Malformed(NamedTuple):
    """What is wrong with a message, and where."""

    field: str
    """Its path: `contacts[2].birth_time`; what is in a map has its key for an index, if that is no
    text. Texts are of people."""
    problem: str


def malformed(message: Message) -> Malformed | None:
    """The first such thing in a message, itself a time perhaps; None when there is none."""
    return next(iter(_in_message(message, "")), None)


def _in_message(message: Any, path: str) -> Iterable[Malformed]:
    kind = message.DESCRIPTOR.full_name
    if kind in (_TIME, _DURATION):
        if problem := (_time if kind == _TIME else _duration)(message.seconds, message.nanos):
            yield Malformed(path, problem)
        return
    for field, value in message.ListFields():
        name = f"{path}.{field.name}".removeprefix(".")
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of_key, of_value = (field.message_type.fields_by_name[n] for n in ("key", "value"))
            for key, inner in value.items():
                yield from _in_field(of_key, key, name)
                at = name if isinstance(key, str) else f"{name}[{key}]"
                yield from _in_field(of_value, inner, at)
        elif field.is_repeated:
            for index, inner in enumerate(value):
                yield from _in_field(field, inner, f"{name}[{index}]")
        else:
            yield from _in_field(field, value, name)


def _in_field(field: FieldDescriptor, value: Any, path: str) -> Iterable[Malformed]:
    if field.message_type is not None:
        yield from _in_message(value, path)
    elif field.enum_type is not None:
        if value not in field.enum_type.values_by_number:
            yield Malformed(path, f"{value} is no value of it that is known here")
    elif field.type == FieldDescriptor.TYPE_STRING and "\0" in value:
        yield Malformed(path, "has a zero byte")


def _time(seconds: int, nanos: int) -> str:
    fits = _FIRST_S <= seconds <= _LAST_S and 0 <= nanos < _SECOND_NS
    return "" if fits else "is no time between the years 1 and 9999"


def _duration(seconds: int, nanos: int) -> str:
    fits = abs(seconds) <= _LONGEST_S and abs(nanos) < _SECOND_NS and seconds * nanos >= 0
    return "" if fits else "is no duration of at most ten thousand years"
