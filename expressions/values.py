"""What the operators mean on plain values. None is a missing value and never gets here."""

import math
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from string import ascii_lowercase, ascii_uppercase
from typing import Any

_UNITS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_DURATION = re.compile(r"-?(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_INT64 = range(-(2**63), 2**63)
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)
MAX_DURATION = 100 * 366 * _UNITS["d"]


def parse_duration(text: str) -> int:
    """Milliseconds of `90s`, `1h30m`, `7d`, `2w`; a day is 24 hours. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError('not a duration; write for example "30m", "24h", "1h30m", "7d" or "2w"')
    total = round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    if total > MAX_DURATION:
        raise ValueError("longer than a hundred years")
    return -total if text.startswith("-") else total


def parse_timestamp(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 text; without a zone it is UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return (parsed - _EPOCH) // _MILLISECOND


def moment(value: Any) -> int | None:
    """`timestamp(value)`: RFC 3339 text or seconds since 1970; missing when that fails."""
    if value.__class__ is str:
        try:
            return parse_timestamp(value)
        except (ValueError, OverflowError):
            return None
    return value * 1000 if value.__class__ is int and value in _INT64 else None


def span(value: Any) -> int | None:
    """`duration(value)` of a text; missing when that fails."""
    try:
        return parse_duration(value) if value.__class__ is str else None
    except ValueError:
        return None


def length(value: Any) -> int | None:
    return len(value) if value.__class__ in (str, list, dict) else None


def lower_ascii(value: str) -> str:
    return value.translate(_LOWER)


def upper_ascii(value: str) -> str:
    return value.translate(_UPPER)


def timestamp_text(time: int) -> str | None:
    """RFC 3339 in UTC; missing outside the years 1 to 9999."""
    try:
        text = (_EPOCH + time * _MILLISECOND).isoformat(timespec="milliseconds")
    except OverflowError:
        return None
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"


def duration_text(time: int) -> str:
    return f"{time / 1000:g}s" if time % 1000 else f"{time // 1000}s"


def text(value: Any) -> str | None:
    """`string(value)` for JSON scalars: a whole double is written without a fraction."""
    if value.__class__ is str:
        return value
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is float and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if is_number(value) else None


def whole(value: Any) -> int | None:
    """`int(value)`: doubles are cut toward zero, text is read; missing when that fails."""
    if not (is_number(value) or value.__class__ is str):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if number in _INT64 else None


def real(value: Any) -> float | None:
    """`double(value)`: text is read; missing when that fails."""
    if not (is_number(value) or value.__class__ is str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def is_number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is float


def number(value: Any) -> Any:
    return value if is_number(value) else None


def equal(left: Any, right: Any) -> bool:
    """CEL's equality of JSON values: numbers by value, and never true across other types."""
    if left.__class__ is right.__class__:
        if left.__class__ is list:
            return len(left) == len(right) and all(map(equal, left, right))
        if left.__class__ is dict:
            return left.keys() == right.keys() and all(equal(left[k], right[k]) for k in left)
        return bool(left == right)
    return is_number(left) and is_number(right) and bool(left == right)


def orderable(left: Any, right: Any) -> bool:
    """Whether `<` means anything between two JSON values."""
    return (is_number(left) and is_number(right)) or (
        left.__class__ is str and right.__class__ is str
    )


def arithmetic(sign: str) -> Callable[[Any, Any], Any]:
    """`+ - * / %` of JSON values; missing for what they cannot be done with, and beyond 64 bits."""
    function = _ARITHMETIC[sign]

    def run(left: Any, right: Any) -> Any:
        if is_number(left) and is_number(right):
            result = function(left, right)
            return None if result.__class__ is int and result not in _INT64 else result
        joins = left.__class__ is right.__class__ and left.__class__ in (str, list)
        return left + right if sign == "+" and joins else None

    return run


def _divide(left: Any, right: Any) -> Any:
    if right == 0:
        return None
    if left.__class__ is int and right.__class__ is int:
        # Toward zero, as in CEL; Python's // goes down.
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _remainder(left: Any, right: Any) -> int | None:
    # The sign follows the left side, as in CEL; Python's follows the right.
    if right == 0 or left.__class__ is float or right.__class__ is float:
        return None
    rest: int = abs(left) % abs(right)
    return rest if left >= 0 else -rest


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _remainder,
}


def identity(value: Any) -> Any:
    """A key under which equal scalars meet and others do not; None for lists and maps."""
    if value.__class__ is bool:
        return ("bool", value)
    return value if is_number(value) or value.__class__ is str else None
