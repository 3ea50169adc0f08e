"""How answers are cut: into buckets of time in a zone, and by what is known. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from services.reports.answers.measures import Column
from services.reports.model import Period

_STEPS: Final = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=32),
}


class Row(NamedTuple):
    """One line of an answer, before measures are made of it."""

    start: datetime | None
    """Where the bucket begins."""
    values: tuple[str, ...]
    """Of the dimensions."""
    currency: str
    sums: dict[Column, float]


def key(name: str, local: str, table: str = "cubes") -> str:
    """SQL of a dimension; `local`: SQL of the moment on the clock of the zone."""
    if name == "send_hour":
        return f"extract(hour FROM {local})::int::text"
    if name == "send_weekday":
        return f"extract(isodow FROM {local})::int::text"
    return f"{table}.{name}"


def start_of(local: datetime | None, zone: str) -> datetime | None:
    """When a bucket begins, of what the clock of the zone shows then: of an hour that comes twice
    the first; none of the zones skips a bucket's beginning twice."""
    return None if local is None else local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def buckets(period: Period, grain: str) -> list[datetime | None]:
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
