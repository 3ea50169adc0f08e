"""Moments by the clock on somebody's wall: when they are, and which comes next. Pure.

A local time that daylight saving skips is the next valid one; one that comes twice is its first.
"""

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from chassis import cron
from services.segment.engine.causes import DateCause, ScheduleCause, SeasonCause

_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DAY: Final = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_ONE: Final = timedelta(days=1)


class Moment(NamedTuple):
    """When (ms), and which of its cause's it is: the same for whoever comes upon it again."""

    instant: int
    name: str


class Season(NamedTuple):
    """How an instant stands to a season."""

    begun: int | None
    """The year in which the season began that it is within; None when it is within none."""
    next_change: int
    """When (ms) that changes."""


def zone_of(name: str) -> ZoneInfo:
    """The zone; UTC for one that nobody knows."""
    return known_zone(name) or _UTC


@lru_cache(maxsize=1024)
def known_zone(name: str) -> ZoneInfo | None:
    """The zone, if there is one of that name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None


_UTC: Final = ZoneInfo("UTC")


def instant_of(wall: datetime, zone: ZoneInfo) -> int:
    """When (ms) the clock shows a time (without a zone), or, if it skips it, the next it shows."""
    first = wall.replace(tzinfo=zone, fold=0)
    found = int(first.timestamp())
    if datetime.fromtimestamp(found, zone).replace(tzinfo=None, fold=0) == wall:
        return found * 1000
    # It is skipped: the clock is put forward between what both readings of it come to.
    begin, end = int(wall.replace(tzinfo=zone, fold=1).timestamp()), found
    offset = datetime.fromtimestamp(end, zone).utcoffset()
    while end - begin > 1:
        middle = (begin + end) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            end = middle
        else:
            begin = middle
    return end * 1000


def wall_at(instant: int, zone: ZoneInfo) -> datetime:
    """What the clock shows at an instant (ms), without a zone."""
    return datetime.fromtimestamp(instant // 1000, zone).replace(tzinfo=None, fold=0)


def read_time(text: str) -> time:
    """`HH:MM`; raises ValueError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("write it as HH:MM, 00:00 to 23:59")
    return time(int(found[1]), int(found[2]))


def read_day(text: str) -> tuple[int, int]:
    """Month and day of `MM-DD`; raises ValueError."""
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError("write it as MM-DD")
    month, day = int(found[1]), int(found[2])
    try:
        date(2000, month, day)
    except ValueError:
        raise ValueError("no such day ever comes") from None
    return month, day


@lru_cache(maxsize=65_536)
def next_scheduled(cause: ScheduleCause, zone: str, after: int, last: str) -> Moment | None:
    """The next moment of a timetable, whose names are later than `last`."""
    place, timetable = zone_of(cause.zone or zone), cron.parse(cause.cron)
    wall: datetime | None = wall_at(after, place)
    while wall is not None and (wall := timetable.after(wall)) is not None:
        instant = instant_of(wall, place)
        # Several that are skipped are one moment: the one at which the clock goes on.
        name = f"{wall_at(instant, place):%Y-%m-%dT%H:%M}"
        if instant > after and name > last:
            return Moment(instant, name)
    return None


def next_dated(cause: DateCause, value: object, zone: str, after: int) -> Moment | None:
    """The next return of a date, or the date itself where that is meant."""
    if not isinstance(value, str):
        return None
    try:
        known = date.fromisoformat(value[:10])
    except ValueError:
        return None
    place, at = zone_of(zone), read_time(cause.time_of_day)

    def moment(day: date, name: str) -> Moment | None:
        try:
            wall = datetime.combine(day + timedelta(days=cause.day_offset), at)
            instant = instant_of(wall, place)
        except (OverflowError, ValueError):
            return None  # beyond the calendar
        return Moment(instant, name) if instant > after else None

    if cause.once:
        return moment(known, known.isoformat())
    present = wall_at(after, place).year
    span = abs(cause.day_offset) // 365 + 1
    first = max(known.year + 1, present - span)
    for year in range(first, first + 2 * span + 2):
        if found := moment(_return(known, year, cause), str(year)):
            return found
    return None


def _return(known: date, year: int, cause: DateCause) -> date:
    try:
        return known.replace(year=year)
    except ValueError:
        return date(year, 2, 28) if cause.leap_day == "february_28" else date(year, 3, 1)


@lru_cache(maxsize=65_536)
def season(cause: SeasonCause, zone: str, instant: int) -> Season:
    """How an instant stands to a season, by the clock of a zone."""
    place = zone_of(zone)
    year = wall_at(instant, place).year
    for began in (year - 1, year, year + 1):
        begin = _begins(cause, began, place)
        # One that lasts all year ends for an instant, so that the next one begins.
        end = min(_ends(cause, began, place), _begins(cause, began + 1, place) - 1)
        if instant < begin:
            return Season(None, begin)
        if instant < end:
            return Season(began, end)
    return Season(None, _begins(cause, year + 2, place))


@lru_cache(maxsize=65_536)
def _begins(cause: SeasonCause, year: int, zone: ZoneInfo) -> int:
    month, day = read_day(cause.start_day)
    try:
        first = date(year, month, day)
    except ValueError:
        first = date(year, 3, 1)
    return instant_of(datetime.combine(first, read_time(cause.time_of_day)), zone)


@lru_cache(maxsize=65_536)
def _ends(cause: SeasonCause, year: int, zone: ZoneInfo) -> int:
    month, day = read_day(cause.end_day)
    over = year + ((month, day) < read_day(cause.start_day))
    try:
        last = date(over, month, day)
    except ValueError:
        last = date(over, 2, 28)
    return instant_of(datetime.combine(last + _ONE, time()), zone)
