"""A timetable of five fields: minute, hour, day of month, month, day of week. Pure.

Each field is `*`, a number, a range `a-b`, any of these with a step `/n`, or several, separated by
commas. Months and days of the week may be named by three letters; Sunday is 0 or 7. When both the
day of month and the day of week are restricted, a day on which either is right is meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

_NAMES: Final[Mapping[str, Mapping[str, int]]] = {
    field: {text[at : at + 3]: at // 3 + first for at in range(0, len(text), 3)}
    for field, text, first in (
        ("month", "janfebmaraprmayjunjulaugsepoctnovdec", 1),
        ("day of week", "sunmontuewedthufrisat", 0),
    )
}
_FIELDS: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_LONGEST: Final = 8 * 366
"""Days until a 29 February comes again, at most."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A timetable, read."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """ISO days, 1 is Monday."""
    either: bool
    """Whether a day is meant on which `days` or `weekdays` is right; else both must be."""

    def on(self, day: date) -> bool:
        """Whether a day is meant."""
        if day.month not in self.months:
            return False
        named, weekday = day.day in self.days, day.isoweekday() in self.weekdays
        return named or weekday if self.either else named and weekday

    def after(self, wall: datetime) -> datetime | None:
        """The next time by the clock on the wall; None when none comes in eight years."""
        day = wall.date()
        if self.on(day):
            for hour in self.hours:
                if hour < wall.hour:
                    continue
                for minute in self.minutes:
                    if (hour, minute) > (wall.hour, wall.minute):
                        return datetime.combine(day, time(hour, minute))
        for _ in range(_LONGEST):
            try:
                day += _DAY
            except OverflowError:
                return None
            if self.on(day):
                return datetime.combine(day, time(self.hours[0], self.minutes[0]))
        return None


@lru_cache(maxsize=4096)
def parse(text: str) -> Cron:
    """Reads a timetable; raises ValueError that says what is wrong with it."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"{len(parts)} fields, not 5: minute hour day-of-month month day-of-week")
    minutes, hours, days, months, weekdays = (
        _field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    found = Cron(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day or 7 for day in weekdays),
        either=not parts[2].startswith("*") and not parts[4].startswith("*"),
    )
    if found.after(datetime(2000, 1, 1)) is None:  # noqa: DTZ001 - a clock on a wall
        raise ValueError("no such day ever comes")
    return found


def _field(text: str, name: str, least: int, most: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"{name} {part}: a step is a number of at least 1")
        if span == "*":
            first, last = least, most
        else:
            low, dash, high = span.partition("-")
            first = _number(low, name, least, most)
            last = _number(high, name, least, most) if dash else most if slash else first
            if last < first:
                raise ValueError(f"{name} {part}: begins after it ends")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return found


def _number(text: str, name: str, least: int, most: int) -> int:
    named = _NAMES.get(name, {}).get(text.lower())
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"{name} {text or 'missing'}: {least} to {most}")
    return int(text)
