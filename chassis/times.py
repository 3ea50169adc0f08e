"""Times of the contracts to milliseconds since 1970 UTC or moments, and back."""

from datetime import datetime
from typing import overload

from google.protobuf.timestamp_pb2 import Timestamp


@overload
def timestamp(milliseconds: int) -> Timestamp: ...
@overload
def timestamp(milliseconds: None) -> None: ...
def timestamp(milliseconds: int | None) -> Timestamp | None:
    """Of milliseconds; None of None, as the constructors of messages take it."""
    if milliseconds is None:
        return None
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def milliseconds(time: Timestamp) -> int:
    """Whole milliseconds; 0 of an unset field."""
    return time.seconds * 1000 + time.nanos // 1_000_000


def stamped(moment: datetime | None) -> Timestamp | None:
    """Of a moment with its zone, to the microsecond; None of None."""
    if moment is None:
        return None
    found = Timestamp()
    found.FromDatetime(moment)
    return found
