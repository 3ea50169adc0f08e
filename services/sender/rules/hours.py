"""When a contact's quiet hours end, to the millisecond. Pure.

Hours are what clocks on the wall show: where the clock is put back, the hour that comes twice is
quiet twice; where it is put forward over the end, the hours end with that.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from services.sender.model import NEVER
from services.sender.rules.policy import QuietHours

_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60_000
_REMEMBERED: Final = 1_024
_HORIZONS: Final = (3, 9)
"""Days to look through, from yesterday on. Hours repeat by the week: what is not over then, never
is."""


def is_quiet(now: int, zone: ZoneInfo, hours: Sequence[QuietHours]) -> bool:
    """Whether any of the hours hold at a moment (ms)."""
    local = datetime.fromtimestamp(now / _SECOND_MS, zone)
    minute, today = local.hour * 60 + local.minute, local.isoweekday()
    return any(_holds(one, minute, today) for one in hours)


def _holds(hours: QuietHours, minute: int, today: int) -> bool:
    if hours.start < hours.end:
        return hours.start <= minute < hours.end and _starts(hours, today)
    yesterday = (today - 2) % 7 + 1
    return (minute >= hours.start and _starts(hours, today)) or (
        minute < hours.end and _starts(hours, yesterday)
    )


def _starts(hours: QuietHours, weekday: int) -> bool:
    return not hours.weekdays or weekday in hours.weekdays


def first_loud(now: int, zone: ZoneInfo, hours: Sequence[QuietHours]) -> int:
    """The earliest moment from `now` on at which none of the hours hold; NEVER without one."""
    if not hours or not is_quiet(now, zone, hours):
        return now
    return _end(now // _MINUTE_MS * _MINUTE_MS, zone, tuple(hours))


@lru_cache(_REMEMBERED)
def _end(now: int, zone: ZoneInfo, hours: Sequence[QuietHours]) -> int:
    """When a quiet minute's quiet ends. Whoever waits in a zone waits for the same moment."""
    yesterday = datetime.fromtimestamp(now / _SECOND_MS, zone).date() - timedelta(days=1)
    for horizon in _HORIZONS:
        days = (yesterday + timedelta(days=day) for day in range(horizon))
        for moment in sorted(c for day in days for c in _changes(day, zone, hours)):
            if moment > now and not is_quiet(moment, zone, hours):
                return moment
    return NEVER


def _changes(day: date, zone: ZoneInfo, hours: Sequence[QuietHours]) -> Iterator[int]:
    """Moments of a local day at which quiet may end: where hours end, and where the clock jumps."""
    for end in {one.end % 1_440 for one in hours}:
        for fold in (0, 1):
            clock = datetime.combine(day, time(end // 60, end % 60, fold=fold), zone)
            yield _milliseconds(clock)
    begin, after = (datetime.combine(one, time(), UTC) for one in (day, day + timedelta(days=1)))
    if begin.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
        yield _jump(begin, after, zone)


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> int:
    """The second at which the clock is put forward or back, between two moments."""
    offset = before.astimezone(zone).utcoffset()
    while (gap := after - before) > timedelta(seconds=1):
        middle = before + timedelta(seconds=gap // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return _milliseconds(after)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * _SECOND_MS)
