"""When a wait is over: spans, calendar days and local times. Pure."""

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from services.segment.engine.journeys.model import WaitStep
from services.segment.engine.moments import instant_of, read_time, wall_at, zone_of

_DAY: Final = timedelta(days=1)
_LEAST: Final = 1_000


def ends(wait: WaitStep, since: int, zone_name: str) -> int:
    """When a wait that began at `since` is over; always later than that."""
    instant = since + wait.duration
    if not (wait.days or wait.time_of_day or wait.weekdays):
        return instant
    zone = zone_of(zone_name)
    if wait.days:
        instant = instant_of(wall_at(instant, zone) + wait.days * _DAY, zone) + instant % 1000
    if not (wait.time_of_day or wait.weekdays):
        return instant
    if not wait.time_of_day:
        instant = max(instant, since + _LEAST)  # it may be such a day already
    day = wall_at(instant, zone).date()
    while (found := _on(day, wait, instant, zone)) is None or found <= since:
        day += _DAY
    return found


def _on(day: date, wait: WaitStep, earliest: int, zone: ZoneInfo) -> int | None:
    """The instant of this day that is waited for, if it has one and that is not too early."""
    if wait.weekdays and day.isoweekday() not in wait.weekdays:
        return None
    if not wait.time_of_day:
        # Any time of such a day will do.
        return max(instant_of(datetime.combine(day, time()), zone), earliest)
    found = instant_of(datetime.combine(day, read_time(wait.time_of_day)), zone)
    return found if found >= earliest else None
