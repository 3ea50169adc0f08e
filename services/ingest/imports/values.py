"""One value of a row: the text of a CSV's field, or what stands in JSON. Pure.

Each reader raises `ValueError` with the problem when a value is none of its kind.
"""

import math
import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from chassis.clock import milliseconds_of
from services.ingest.track import wa_id

_EPOCH: Final = re.compile(r"\d{10}|\d{13}")  # seconds, or milliseconds, from 2001 to 2286
_LARGEST: Final = 2**63 - 1
_DIGITS: Final = 19
_MICROS: Final = 1_000_000
_YES: Final = frozenset({"true", "yes", "1", "evet"})
_NO: Final = frozenset({"false", "no", "0", "hayır", "hayir"})


def text(value: Any) -> str:
    """A text; numbers are taken as they are written."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError("is not a text")


def phone(value: Any, region: str) -> str:
    """A phone number as people write it, as WhatsApp knows it. `region` (ISO 3166): the country of
    those that name none."""
    digits = wa_id(text(value), region)
    if not digits:
        raise ValueError("is not a phone number")
    return digits


def email(value: Any) -> str:
    """An e-mail address."""
    said = text(value).strip().lower()
    if "@" not in said:
        raise ValueError("is not an e-mail address")
    return said


def moment_ms(value: Any, zone: tzinfo) -> int:
    """A time: ISO 8601, in `zone` when it has no offset, or epoch seconds or milliseconds."""
    said = text(value).strip()
    if _EPOCH.fullmatch(said):
        return int(said) * (1_000 if len(said) == 10 else 1)
    try:
        moment = datetime.fromisoformat(said)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return milliseconds_of(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise ValueError("is not a time of ISO 8601") from None


def whole(value: Any) -> int:
    """A whole number of at most 64 bits."""
    return _integer(_decimal(value))


def number(value: Any) -> int | float:
    """A number, whole if it is written so."""
    found = _decimal(value)
    if found.as_tuple().exponent == 0 and abs(found) <= _LARGEST:
        return int(found)
    if not math.isfinite(near := float(found)):
        raise ValueError("is too large a number")
    return near


def decimal(value: Any) -> float:
    """A number that may have a fraction."""
    return float(number(value))


def micros(value: Any) -> int:
    """An amount of money in units of 1/1,000,000."""
    return _integer(_bounded(_decimal(value)) * _MICROS)


def boolean(value: Any) -> bool:
    """A yes or a no."""
    if isinstance(value, bool):
        return value
    said = text(value).strip().lower()
    if said in _YES:
        return True
    if said in _NO:
        return False
    raise ValueError("is neither true nor false")


def json(value: Any) -> Any:
    """Anything; a text is read as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError("is not JSON") from None


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object."""
    found = json(value)
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - the one failure of readers
    return found


def document(value: Any) -> bytes:
    """A JSON object, written out."""
    try:
        return orjson.dumps(mapping(value))
    except TypeError:
        raise ValueError("is nested too deeply") from None  # orjson reads deeper than it writes


def labels(value: Any) -> list[str]:
    """A list of texts; in one text they stand between semicolons."""
    if isinstance(value, list):
        return [text(one) for one in value]
    return [label for one in text(value).split(";") if (label := one.strip())]


def _decimal(value: Any) -> Decimal:
    try:
        found = Decimal(text(value).strip())
    except (InvalidOperation, ValueError):
        raise ValueError("is not a number") from None
    if not found.is_finite():
        raise ValueError("is not a number")
    return found


def _bounded(found: Decimal) -> Decimal:
    # By its digits first: arithmetic has limits of its own
    if found.adjusted() > _DIGITS or abs(found) > _LARGEST:
        raise ValueError("is too large a number")
    return found


def _integer(found: Decimal) -> int:
    _bounded(found)
    if found != found.to_integral_value():
        raise ValueError("is not a whole number")
    return int(found)
