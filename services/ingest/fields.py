"""Reading what others wrote: forgiving where they drift (numbers as text), exact otherwise."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from chassis.clock import milliseconds_of
from chassis.failures import FieldInvalid
from chassis.ids import derived_id

_LONGEST_ID: Final = 256
_MILLISECONDS_FROM: Final = 100_000_000_000  # seconds of the year 5138: nobody means that
_LAST_MS: Final = 253_402_300_799_000  # the end of the year 9999


def text(source: dict[str, Any], name: str) -> str:
    """A text, empty when absent; numbers are taken as text because Meta is not of one mind."""
    value = source.get(name, "")
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise FieldInvalid(name, "is not a text")


def required(source: dict[str, Any], name: str) -> str:
    """A text that must be there."""
    value = text(source, name)
    if not value:
        raise FieldInvalid(name, "is missing")
    return value


def flag(source: dict[str, Any], name: str) -> bool:
    """A yes or no, no when absent."""
    return source.get(name) is True


def number(source: dict[str, Any], name: str) -> int:
    """A whole number, 0 when absent or not readable as one."""
    value = source.get(name)
    try:
        return int(value) if value is not None else 0
    except (ValueError, TypeError, OverflowError):
        return 0


def mapping(source: dict[str, Any], name: str) -> dict[str, Any]:
    """An object, empty when absent."""
    value = source.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FieldInvalid(name, "is not an object")
    return value


def sequence(source: dict[str, Any], name: str) -> list[Any]:
    """A list, empty when absent."""
    value = source.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise FieldInvalid(name, "is not a list")
    return value


def mappings(source: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects, empty when absent."""
    found = sequence(source, name)
    if not all(isinstance(one, dict) for one in found):
        raise FieldInvalid(name, "holds something that is not an object")
    return found


def epoch_ms(value: Any) -> int | None:
    """Epoch seconds (milliseconds when too large for that), number or text; None: no time."""
    try:
        found = int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if found < _MILLISECONDS_FROM:
        found *= 1000
    return found if 0 < found <= _LAST_MS else None


def iso_ms(value: Any) -> int | None:
    """ISO 8601 as epoch milliseconds (without an offset it is UTC); None when it is not that."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = milliseconds_of(moment)
    return found if 0 < found <= _LAST_MS else None


def event_id(*parts: str) -> str:
    """Parts of a readable id, joined; hashed when they are longer than an id may be."""
    joined = "/".join(part for part in parts if part)
    return joined if len(joined) <= _LONGEST_ID else derived_id("long", joined)


def content_id(prefix: str, value: Any, *parts: str) -> str:
    """An id that follows from what was said, for things that have none."""
    said = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return derived_id(prefix, *parts, hashlib.blake2b(said, digest_size=16).hexdigest())
