"""Times: milliseconds, moments and the contract's timestamps are the same, and none is lost."""

from datetime import UTC, datetime, timedelta, timezone

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import milliseconds_of, moment_of
from chassis.times import milliseconds, stamped, timestamp

SINCE = st.integers(-(2**45), 2**47)  # of the years 855 to 6429
FIRST = datetime.fromisoformat("0002-01-01")
LAST = datetime.fromisoformat("9998-01-01")
ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))


@given(SINCE)
def test_milliseconds_come_back_exactly(since: int) -> None:
    assert milliseconds(timestamp(since)) == since
    assert milliseconds_of(moment_of(since)) == since
    assert stamped(moment_of(since)) == timestamp(since)


@given(st.datetimes(timezones=ZONES, min_value=FIRST, max_value=LAST))
def test_a_moment_is_the_same_in_every_zone(moment: datetime) -> None:
    stamp = stamped(moment)
    assert stamp is not None
    assert stamp.ToDatetime(UTC) == moment
    assert milliseconds(stamp) == milliseconds_of(moment)
    assert timedelta(0) <= moment - moment_of(milliseconds_of(moment)) < timedelta(milliseconds=1)


def test_what_is_not_there_stays_so() -> None:
    assert timestamp(None) is None
    assert stamped(None) is None
    assert milliseconds(Timestamp()) == 0
