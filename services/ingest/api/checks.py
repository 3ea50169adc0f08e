"""What every request and every item must hold to, and how a refused item is told."""

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.failures import BatchTooLarge, Failure, FieldInvalid
from chassis.times import milliseconds
from merhaba.ingest.v1.error_reason_pb2 import ErrorReason
from merhaba.ingest.v1.item_failure_pb2 import ItemFailure

_MOST: Final = 1_000
_AHEAD_MS: Final = timedelta(hours=1) // timedelta(milliseconds=1)
_NANOS: Final = 1_000_000_000  # of a second
_ID_LENGTH: Final = 200
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_LATITUDE: Final = 90.0
_LONGITUDE: Final = 180.0


def request(request_id: str) -> None:
    """A usable request id."""
    if not _UUID.fullmatch(request_id):
        raise FieldInvalid("request_id", "is not a UUID")


def batch(request_id: str, items: Sequence[object], field: str) -> None:
    """A request of 1 to 1,000 items with a usable request id."""
    request(request_id)
    if not items:
        raise FieldInvalid(field, "is empty")
    if len(items) > _MOST:
        raise BatchTooLarge(field, _MOST, len(items))


def named(value: str, field: str) -> None:
    """An id that the business chose."""
    if not value:
        raise FieldInvalid(field, "is missing")
    if len(value) > _ID_LENGTH:
        raise FieldInvalid(field, f"is longer than {_ID_LENGTH} characters", limit=str(_ID_LENGTH))


def moment_ms(given: Timestamp, field: str, now_ms: int) -> int:
    """A time of the past, or a little ahead for clocks that are."""
    ms = milliseconds(given)
    if given.seconds < 0 or not 0 <= given.nanos < _NANOS:
        raise FieldInvalid(field, "is no time since 1970")
    if ms > now_ms + _AHEAD_MS:
        raise FieldInvalid(field, "is more than an hour ahead")
    return ms


def json_object(value: bytes, field: str, most_kib: int = 32) -> None:
    """Nothing, or a JSON object that is not too large."""
    if len(value) > most_kib * 1024:
        raise FieldInvalid(field, f"is larger than {most_kib} KiB", limit=str(most_kib * 1024))
    try:
        is_object = not value or isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise FieldInvalid(field, "is not a JSON object")


def position(latitude: float, longitude: float, where: str) -> None:
    """A point on earth, in degrees."""
    # Written so that what is no number at all is refused too
    if not abs(latitude) <= _LATITUDE:
        raise FieldInvalid(f"{where}.latitude", "is not between -90 and 90")
    if not abs(longitude) <= _LONGITUDE:
        raise FieldInvalid(f"{where}.longitude", "is not between -180 and 180")


def distance(meters: float, field: str) -> None:
    """A length, or 0."""
    if not 0 <= meters < math.inf:
        raise FieldInvalid(field, "is not a distance in metres")


def price(micros: int | None, currency: str, where: str) -> None:
    """A price with its currency, or neither."""
    if currency and not _CURRENCY.fullmatch(currency):
        raise FieldInvalid(f"{where}.currency_code", "is not an ISO 4217 code in capitals")
    if micros is None:
        return
    if micros < 0:
        raise FieldInvalid(f"{where}.price_micros", "is negative")
    if not currency:
        raise FieldInvalid(f"{where}.currency_code", "is missing beside a price")


def refusal(index: int, failure: Failure) -> ItemFailure:
    """A failure as the item's own."""
    return ItemFailure(
        index=index,
        reason=ErrorReason.Value(f"ERROR_REASON_{failure.reason}"),
        message=failure.message,
        metadata=failure.facts,
    )
