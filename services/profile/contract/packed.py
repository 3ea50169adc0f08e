"""Messages of the contract written as bytes.

An answer of 500 contacts has thousands of small messages. To write one so costs a tenth of
building it, and to read all of an answer's at once next to nothing. Strings that are few, and
times, of which a contact's are often the same, are remembered as they are written.
"""

from functools import lru_cache
from typing import Final

from google.protobuf.message import Message

from chassis.times import timestamp

_LENGTH_DELIMITED: Final = 2
_ONE_BYTE: Final = 0x80
_REMEMBERED: Final = 20_000


def _written(number: int) -> bytes:
    if number < _ONE_BYTE:
        return bytes((number,))
    return bytes((number & 0x7F | _ONE_BYTE,)) + _written(number >> 7)


_SMALL: Final = 4_096
_SIZES: Final = [_written(number) for number in range(_SMALL)]


def tag(kind: type[Message], field: str) -> bytes:
    """What stands before a string, bytes or message in a field of a kind of messages."""
    return _written(kind.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED)


def number(kind: type[Message], field: str, value: int) -> bytes:
    """A field that is a bool, an enum or a whole number of 0 or more."""
    return _written(kind.DESCRIPTOR.fields_by_name[field].number << 3) + _written(value)


def message(tagged: bytes, *parts: bytes) -> bytes:
    """A message of these fields."""
    return _field(tagged, b"".join(parts))


def text(tagged: bytes, value: str) -> bytes:
    """A string; nothing when it is empty."""
    return _field(tagged, value.encode()) if value else b""


def _field(tagged: bytes, inner: bytes) -> bytes:
    size = len(inner)
    return tagged + (_SIZES[size] if size < _SMALL else _written(size)) + inner


@lru_cache(_REMEMBERED)
def word(tagged: bytes, value: str) -> bytes:
    """A string that many have, and that is of nobody: a name, a source, a code."""
    return text(tagged, value)


@lru_cache(_REMEMBERED)
def moment(tagged: bytes, time: int) -> bytes:
    """A `Timestamp` of milliseconds."""
    return _field(tagged, timestamp(time).SerializeToString())
