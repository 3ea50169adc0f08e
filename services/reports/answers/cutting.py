"""How answers are cut: into buckets of time in a zone, and by what is known. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from services.reports.answers.measures import Column
from services.reports.model import Period

_STEPS: Final = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=32),
}
_WEEK: Final = timedelta(days=7)
"""No zone changes its clocks twice within it."""
_MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
HOURS: Final = frozenset({"send_hour", "send_weekday"})
"""Dimensions that a moment has, as numbers."""


class Row(NamedTuple):
    """One line of an answer, before measures are made of it."""

    start: datetime | None
    """Where the bucket begins."""
    values: tuple[str, ...]
    """Of the dimensions."""
    currency: str
    sums: dict[Column, float]


class Bound:
    """Values bound to a statement."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: object) -> str:
        """SQL of a value: its place."""
        self.values.append(value)
        return f"${len(self.values)}"


def shown(time: str, period: Period, bound: Bound) -> str:
    """SQL of what the clock of a period's zone shows at a moment within it: seconds since 1970.

    Postgres looks a zone up for each row, which costs more than to add it up. So the few stretches
    in which a zone is as far from UTC are given with the question.
    """
    starts, ahead = offsets(period)
    place = f"width_bucket({time}, {bound.add(starts)}::timestamptz[])"
    return f"(floor(date_part('epoch', {time}))::bigint + ({bound.add(ahead)}::int[])[{place}])"


def hours(seconds: str) -> dict[str, str]:
    """SQL of the dimensions that a moment has; `seconds`: as `shown` gives them."""
    return {
        "send_hour": f"({seconds} / 3600 % 24)",
        "send_weekday": f"(({seconds} / 86400 + 3) % 7 + 1)",  # 1970 began on a Thursday
    }


def of_clock(local: str) -> dict[str, str]:
    """The same of what a clock shows, as a timestamp."""
    return {
        "send_hour": f"extract(hour FROM {local})::int",
        "send_weekday": f"extract(isodow FROM {local})::int",
    }


@lru_cache(maxsize=256)
def offsets(period: Period) -> tuple[Sequence[datetime], Sequence[int]]:
    """From when on a zone is how many seconds ahead of UTC, in a period."""
    zone = ZoneInfo(period.zone)
    moment = period.start
    starts, found = [moment], [_ahead(zone, moment)]
    while moment < period.end:
        later = moment + min(_WEEK, period.end - moment)
        if (ahead := _ahead(zone, later)) != found[-1]:
            starts.append(_change(zone, moment, later))
            found.append(ahead)
        moment = later
    return starts, found


def _ahead(zone: ZoneInfo, moment: datetime) -> int:
    return int((moment.astimezone(zone).utcoffset() or timedelta()).total_seconds())


def _change(zone: ZoneInfo, earlier: datetime, later: datetime) -> datetime:
    """When clocks were put forward or back, which is at a whole minute."""
    first, before = earlier.replace(second=0, microsecond=0), _ahead(zone, earlier)
    minutes = range((later - first) // _MINUTE + 1)
    changed = bisect_left(
        minutes, True, key=lambda minute: _ahead(zone, first + minute * _MINUTE) != before
    )
    return first + changed * _MINUTE


def start_of(local: datetime | None, zone: str) -> datetime | None:
    """When a bucket begins, of what the clock of the zone shows then: of an hour that comes twice
    the first; none of the zones skips a bucket's beginning twice."""
    return None if local is None else local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def begins(period: Period, grain: str) -> list[datetime]:
    """When each bucket of a period begins, in order."""
    return [start for start in buckets(period, grain) if start is not None]


@lru_cache(maxsize=256)
def buckets(period: Period, grain: str) -> Sequence[datetime | None]:
    """When each bucket of a period begins, in order; without a grain there is one."""
    if not grain:
        return [None]
    zone = ZoneInfo(period.zone)
    local = cut(period.start.astimezone(zone).replace(tzinfo=None), grain)
    found: list[datetime | None] = []
    while (moment := local.replace(tzinfo=zone).astimezone(UTC)) < period.end:
        if not found or found[-1] != moment:  # an hour that the zone skips
            found.append(moment)
        local = cut(local + _STEPS[grain], grain)
    return found


def cut(local: datetime, grain: str) -> datetime:
    """Where the bucket of a moment begins, on the same clock."""
    hour = local.replace(minute=0, second=0, microsecond=0)
    if grain == "hour":
        return hour
    day = hour.replace(hour=0)
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == "month" else day
