"""What is known about one contact, in the compact form that expressions are evaluated on.

All times are ints: milliseconds since 1970 UTC.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

import msgspec

MAX_EVENTS = 10_000
"""The newest events that a timeline holds unless told otherwise; older ones are let go."""

LATENESS = 7 * 86_400_000
"""How late (ms) an event may come and still be judged exactly: Meta retries webhooks for days."""

_FORMAT = 1
_DECODER = msgspec.msgpack.Decoder(
    tuple[
        Literal[1],  # _FORMAT
        dict[str, Any],
        dict[str, bool],
        set[str],
        str,
        dict[str, tuple[list[int], list[dict[str, Any]] | None]],
    ]
)


class Event(NamedTuple):
    """Something that happened: when (ms) and with which properties."""

    time: int
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """Which events of one name an expression needs; `|` joins the needs of several.

    An event is needed when any of the fields asks for it.
    """

    window: int = 0
    """Events younger than this, in ms."""
    everything: bool = False
    """All events, whatever their age."""
    newest: int = 0
    """That many of the newest, whatever their age."""
    oldest: int = 0
    """That many of the oldest."""
    follows: frozenset[tuple[str, int]] = frozenset()
    """(other event, ms): events in the first ms after the newest other event."""
    properties: frozenset[str] = frozenset()
    """The properties that are looked at; none when it is enough to know that it happened."""

    def __or__(self, other: History) -> History:
        return History(
            max(self.window, other.window),
            self.everything or other.everything,
            max(self.newest, other.newest),
            max(self.oldest, other.oldest),
            self.follows | other.follows,
            self.properties | other.properties,
        )


class Timeline(msgspec.Struct, array_like=True):
    """Events of one name in order of time; `times[i]` (ms) belongs to `properties[i]`.

    The order depends on the events alone, never on the order in which they came: events of the
    same millisecond stand by their properties.
    """

    times: list[int] = []
    properties: list[dict[str, Any]] = []

    def insert(self, time: int, properties: dict[str, Any], limit: int = MAX_EVENTS) -> None:
        """Puts an event in its place; over `limit` events the oldest go.

        Repeats are not noticed here: whoever inserts has dropped them by event id.
        """
        times = self.times
        if not times or time > times[-1]:
            at = len(times)
        else:
            at = bisect_right(times, time)
            if at and times[at - 1] == time:
                key = _order(properties)
                while at and times[at - 1] == time and _order(self.properties[at - 1]) > key:
                    at -= 1
        times.insert(at, time)
        self.properties.insert(at, properties)
        if len(times) > limit:
            del times[:-limit], self.properties[:-limit]

    def keep(self, indexes: Collection[int]) -> None:
        """Forgets every event that does not stand at one of the ascending `indexes`."""
        if len(indexes) < len(self.times):
            self.times = [self.times[i] for i in indexes]
            self.properties = [self.properties[i] for i in indexes]


class Facts(msgspec.Struct):
    """One contact. The service that owns it changes the fields in place.

    `attributes` by name, traits as `traits.<name>`, in the shapes of `schema`. `consents` by
    purpose; absent is not granted. `zone` is an IANA name (`Europe/Istanbul`).
    """

    attributes: dict[str, Any] = {}
    consents: dict[str, bool] = {}
    segments: set[str] = set()
    zone: str = "UTC"
    timelines: dict[str, Timeline] = {}

    def insert(
        self, name: str, time: int, properties: dict[str, Any], limit: int = MAX_EVENTS
    ) -> None:
        """Adds an event to the timeline of its name. Keep to the properties that are needed."""
        if name not in self.timelines:
            self.timelines[name] = Timeline()
        self.timelines[name].insert(time, properties, limit)

    def prune(
        self,
        now: int,
        history: Mapping[str, History],
        lateness: int = LATENESS,
        only: AbstractSet[str] | None = None,
    ) -> None:
        """Drops what no expression of `history` can look at any more, at `now` or later.

        Events that are yet to come (time > now) stay. After this, evaluate at `now` or later only.
        `only`: look at events of these names; None is all.
        """
        names = list(self.timelines) if only is None else only & self.timelines.keys()
        kept = {
            name: _needed(self.timelines[name].times, now, history[name], self.timelines, lateness)
            for name in names
            if name in history
        }
        for name in names:
            if indexes := kept.get(name):
                self.timelines[name].keep(indexes)
            else:
                del self.timelines[name]

    def to_bytes(self) -> bytes:
        """A compact form: times as differences, no properties where there are none."""
        stored = {
            name: (
                [t.times[0], *(later - earlier for earlier, later in pairwise(t.times))],
                t.properties if any(t.properties) else None,
            )
            for name, t in self.timelines.items()
            if t.times
        }
        return msgspec.msgpack.encode(
            (_FORMAT, self.attributes, self.consents, self.segments, self.zone, stored)
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Facts:
        """What `to_bytes` wrote; raises msgspec.DecodeError when it is something else."""
        _, attributes, consents, segments, zone, stored = _DECODER.decode(data)
        timelines = {
            name: Timeline(list(accumulate(steps)), properties or [{} for _ in steps])
            for name, (steps, properties) in stored.items()
        }
        return cls(attributes, consents, segments, zone, timelines)


def _order(properties: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(properties, order="deterministic")


def _needed(
    times: list[int],
    now: int,
    need: History,
    timelines: Mapping[str, Timeline],
    lateness: int,
) -> Collection[int]:
    """Ascending indexes of the events that `need` asks for."""
    count = len(times)
    past = bisect_right(times, now)
    if need.everything:
        return range(count)
    # A later `other` event may still come, that much late; then what followed it is asked for.
    window = max(need.window, *(span + lateness for _, span in need.follows), 0)
    recent = min(bisect_right(times, now - window), max(0, past - need.newest))
    kept = set(range(min(need.oldest, recent)))
    for other, span in need.follows:
        if other in timelines:
            others = timelines[other].times
            if last := bisect_right(others, now):
                began = others[last - 1]
                kept.update(
                    range(bisect_left(times, began), min(recent, bisect_left(times, began + span)))
                )
    return [*sorted(kept), *range(recent, count)]
