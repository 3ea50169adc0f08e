"""The contact's wall clock: its fields, and until when they stay as they are."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)

FIELDS: dict[str, Callable[[datetime], int]] = {
    "hour": lambda local: local.hour,
    "weekday": lambda local: local.isoweekday(),
    "day": lambda local: local.day,
    "month": lambda local: local.month,
    "year": lambda local: local.year,
}
"""0 to 23, Monday 1 to Sunday 7, 1 to 31, 1 to 12."""


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None


def local(zone: str, now: int) -> datetime | None:
    """The wall clock at `now` (ms); None for an unknown zone or a moment beyond the calendar."""
    known = _zone(zone)
    if known is None:
        return None
    try:
        return datetime.fromtimestamp(now // 1000, known)
    except (ValueError, OverflowError, OSError):
        return None


def stays_until(moment: datetime, field: str) -> int:
    """The first instant (ms) after `moment` at which `field` could differ; never too late."""
    wall = moment.replace(tzinfo=None, fold=0)
    if field == "hour":
        change = wall.replace(minute=0, second=0) + _HOUR
    else:
        change = datetime.combine(wall.date() + _DAY, time())
        if field in {"month", "year"} and change.day != 1:
            # The eve is close enough to see a clock change at the turn of the month.
            first = (change.replace(day=1) + timedelta(days=32)).replace(day=1)
            change = first - _DAY
    return _instant(change, moment)


def day_begins(month: int, day: int, moment: datetime) -> int:
    """The first instant (ms) after `moment` of the next local `day` of `month`.

    The 29 February is kept on the 28th in years without it.
    """
    for year in (moment.year, moment.year + 1):
        candidate = datetime.combine(anniversary(month, day, year), time())
        if candidate.date() > moment.date():
            return _instant(candidate, moment, watch=False)
    raise AssertionError("each year has every day of the year")


def anniversary(month: int, day: int, year: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, 2, 28)


def _instant(wall: datetime, moment: datetime, *, watch: bool = True) -> int:
    """When the clock next shows `wall`, or, if sooner and watched, when the clock is changed."""
    zone = moment.tzinfo
    found = wall.replace(tzinfo=zone)
    if found.timestamp() <= moment.timestamp():
        found = found.replace(fold=1)
    if found.timestamp() <= moment.timestamp():
        found = (moment.astimezone(UTC) + timedelta(seconds=1)).astimezone(zone)
    begin, end = int(moment.timestamp()), int(found.timestamp())
    offset = moment.utcoffset()

    def changed(second: int) -> bool:
        return datetime.fromtimestamp(second, zone).utcoffset() != offset

    if watch and end - begin <= 2 * 86_400 and changed(end - 1):
        while end - begin > 1:
            middle = (begin + end) // 2
            begin, end = (begin, middle) if changed(middle) else (middle, end)
    return end * 1000
