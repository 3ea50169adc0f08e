"""Traits of when a person is active: by hour of the week, in their own time zone.

A zone may be learnt, or corrected, after the event. So activity is counted by half hours of the
week in UTC, apart for the halves of the year with and without summer time, and becomes local when
it is read, with the offset that the zone has in that half. Where clocks change on other days than
in Europe, an hour may be its neighbour for some weeks.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from services.profile.person import attributes
from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.traits.trait import DAY, Sort, Trait

_HALF_HOUR: Final = 1_800_000
_WEEK: Final = 336  # half hours
_MONDAY: Final = 4 * 48  # the first one after 1970, in half hours
_SUMMER: Final = ((3, 28), (10, 28))
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVENTS: Final = frozenset(
    {
        *("message_received", "message_read", "link_clicked", "page_viewed", "screen_viewed"),
        *("product_viewed", "product_added", "checkout_started", "order_completed"),
    }
)


def fold(document: Document, happening: Happening) -> None:
    """Count a happening by its half hour of the week."""
    time = happening.time
    bucket = (time // _HALF_HOUR - _MONDAY) % _WEEK + _WEEK * _in_summer(time // DAY)
    hours = document.tallies.hours
    hours[bucket] = hours.get(bucket, 0) + 1


@lru_cache(1_024)
def _in_summer(day: int) -> bool:
    """Whether a day, counted from 1970, is in the half of the year with summer time."""
    date = datetime.fromtimestamp(day * DAY // 1000, UTC)
    return _SUMMER[0] <= (date.month, date.day) < _SUMMER[1]


def _local(document: Document) -> dict[int, int]:
    """Hour of the week, from Monday's first → activity."""
    found: dict[int, int] = {}
    zone = attributes.zone(document)[0] or "UTC"
    year = datetime.fromtimestamp(document.times.get("last_seen_time", 0) // 1000, UTC).year
    for bucket, count in document.tallies.hours.items():
        summer, half_hour = divmod(bucket, _WEEK)
        hour = (half_hour + _offset(zone, year, 7 if summer else 1)) % _WEEK // 2
        found[hour] = found.get(hour, 0) + count
    return found


@lru_cache(4_096)
def _offset(zone: str, year: int, month: int) -> int:
    """How far (half hours) a zone is ahead of UTC in the middle of a month."""
    ahead = datetime(year, month, 15, tzinfo=ZoneInfo(zone)).utcoffset()
    return round((ahead or timedelta()) / timedelta(minutes=30))


def _by_hour(local: Mapping[int, int]) -> dict[str, int] | None:
    return {f"{_DAYS[h // 24]} {h % 24:02}": local[h] for h in sorted(local)} or None


def _most(local: Mapping[int, int], part: Callable[[int], int]) -> int | None:
    sums: dict[int, int] = {}
    for hour, count in local.items():
        sums[part(hour)] = sums.get(part(hour), 0) + count
    return min(sums, key=lambda one: (-sums[one], one), default=None)


_TRAITS: Final[tuple[Trait[Mapping[int, int]], ...]] = (
    Trait(
        "activity_by_hour",
        ValueType.NUMBER_MAP,
        "Hour of the week in the person's time zone (`mon 09`) → what they did then",
        EVENTS,
        _by_hour,
        published=False,
    ),
    Trait(
        "active_hour",
        ValueType.INTEGER,
        "The hour of the day, 0 to 23 in the person's time zone, when they are most active",
        EVENTS,
        lambda local: _most(local, lambda hour: hour % 24),
        published=False,
    ),
    Trait(
        "active_day",
        ValueType.INTEGER,
        "The day of the week, 1 (Monday) to 7, on which the person is most active",
        EVENTS,
        lambda local: _most(local, lambda hour: hour // 24 + 1),
        published=False,
    ),
)

SORT: Final = Sort(EVENTS, fold, _local, _TRAITS)
