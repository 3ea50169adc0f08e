"""Triggers as a slow and obvious program has them: minute by minute, on the whole history."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

MINUTE = 60_000


@dataclass
class Person:
    """What is known of somebody at a minute."""

    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[int, str, Mapping[str, Any]]] = field(default_factory=list)
    """When (ms), which, and its properties; in order."""
    begun: int = 0
    """The first minute at which anything was known."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.attributes.get("zone") or "UTC")

    def happened(self, name: str, since: int, until: int) -> list[Mapping[str, Any]]:
        """Between these instants, the first of them excluded."""
        return [p for time, n, p in self.events if n == name and since < time <= until]


Always = Callable[[Person, int, Mapping[str, Any]], bool]
"""Of a person, an instant and the causing event's properties."""


@dataclass(frozen=True)
class Told:
    """A trigger: what causes it at a minute, and what comes of that."""

    causes: Callable[[Person, int], list[tuple[str, Mapping[str, Any]]]]
    """The causes of a minute: what tells them apart, and the event's properties."""
    condition: Always = lambda person, now, event: True
    cancel: Callable[[Person, int, int, Mapping[str, Any]], bool] | None = None
    """Also of the instant of the cause."""
    key: str = ""
    delay: int = 0
    period: int = 0
    most: int = 1
    once: bool = False
    """Whether each cause counts once, whenever it comes again."""


@dataclass
class Found:
    """An occurrence."""

    trigger: str
    cause: int
    due: int
    key: str
    state: str
    event: Mapping[str, Any]

    @property
    def fact(self) -> tuple[str, int, int, str, str]:
        return self.trigger, self.cause, self.due, self.key, self.state


class Interpreter:
    """Lives through the minutes, one after the other."""

    def __init__(self, triggers: Mapping[str, Told]) -> None:
        self.triggers = dict(triggers)
        self.person = Person()
        self.found: list[Found] = []
        self._had: set[tuple[str, str]] = set()

    def minute(
        self,
        now: int,
        attributes: Mapping[str, Any],
        events: list[tuple[str, Mapping[str, Any]]],
    ) -> None:
        """What is told at a minute is known at it."""
        self.person.begun = self.person.begun or now
        self.person.attributes |= attributes
        self.person.events += [(now, name, properties) for name, properties in events]
        for one in self.found:
            cancel = self.triggers[one.trigger].cancel if one.trigger in self.triggers else None
            if one.state == "waiting" and cancel and cancel(self.person, now, one.cause, one.event):
                one.state = "cancelled"
        for name, trigger in self.triggers.items():
            for cause, event in trigger.causes(self.person, now):
                if trigger.condition(self.person, now, event):
                    self._take(name, trigger, cause, event, now)
        for one in self.found:
            if one.state == "waiting" and one.due <= now:
                one.state = "fired"

    def _take(
        self, name: str, trigger: Told, cause: str, event: Mapping[str, Any], now: int
    ) -> None:
        key = str(event[trigger.key]) if trigger.key else ""
        due = now + trigger.delay
        mark = name, key or cause
        if (key or trigger.once) and mark in self._had:
            if key:
                self.found.append(Found(name, now, due, key, "limited", event))
            return
        recent = [
            one
            for one in self.found
            if one.trigger == name
            and one.cause > now - trigger.period
            and one.state not in ("limited", "cancelled")
        ]
        if trigger.period and len(recent) >= trigger.most:
            self.found.append(Found(name, now, due, key, "limited", event))
            return
        self._had.add(mark)
        self.found.append(Found(name, now, due, key, "waiting", event))


@lru_cache(maxsize=100_000)
def wall(now: int, zone: ZoneInfo) -> datetime:
    """What the clock shows, fold and all."""
    return datetime.fromtimestamp(now / 1000, UTC).astimezone(zone)


@lru_cache(maxsize=100_000)
def shown(now: int, zone: ZoneInfo) -> list[datetime]:
    """The times that become valid at a minute: the one the clock shows unless it showed it before,
    and those that it just skipped."""
    here, before = wall(now, zone), wall(now - MINUTE, zone)
    times = [] if here.fold else [here.replace(tzinfo=None)]
    at = before.replace(tzinfo=None, fold=0) + timedelta(minutes=1)
    while at < here.replace(tzinfo=None, fold=0):
        times.append(at)
        at += timedelta(minutes=1)
    return times


@dataclass
class Timetable:
    """A timetable as sets of what is right; None is any."""

    minutes: frozenset[int]
    hours: frozenset[int] | None = None
    days: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None
    """ISO."""
    zone: str = ""
    last: str = ""

    @property
    def cron(self) -> str:
        def field(values: frozenset[int] | None) -> str:
            return "*" if values is None else ",".join(map(str, sorted(values)))

        return (
            f"{field(self.minutes)} {field(self.hours)} {field(self.days)} * {field(self.weekdays)}"
        )

    def causes(self, person: Person, now: int) -> list[tuple[str, Mapping[str, Any]]]:
        zone = ZoneInfo(self.zone) if self.zone else person.zone
        name = f"{wall(now, zone):%Y-%m-%dT%H:%M}"
        if now == person.begun or name <= self.last or not any(map(self._right, shown(now, zone))):
            return []
        self.last = name
        return [(name, {})]

    def _right(self, time: datetime) -> bool:
        if time.minute not in self.minutes:
            return False
        if self.hours is not None and time.hour not in self.hours:
            return False
        day = self.days is not None and time.day in self.days
        weekday = self.weekdays is not None and time.isoweekday() in self.weekdays
        if self.days is not None and self.weekdays is not None:
            return day or weekday
        return (day or self.days is None) and (weekday or self.weekdays is None)
