"""What a contact did, over time, as closures.

An event at time t counts from t on: one whose time is yet to come does not count yet. It is
`within(W)` from t until just before t + W, so it leaves at exactly t + W.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expressions.closures import NEXT, NOW, Frame, Run
from expressions.facts import Facts, Timeline


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are meant: those of a name, within a window (ms), that meet a condition.

    The condition finds an event's properties in the frame at `slot` and its time behind it.
    """

    name: str
    window: int | None
    condition: Run | None
    slot: int

    def meets(self, facts: Facts, frame: Frame, timeline: Timeline, at: int) -> bool:
        if self.condition is None:
            return True
        frame[self.slot] = timeline.properties[at]
        frame[self.slot + 1] = timeline.times[at]
        return self.condition(facts, frame) is True

    def bounds(self, timeline: Timeline, now: int) -> tuple[int, int]:
        """The range of indexes that the window holds at `now`."""
        times = timeline.times
        end = bisect_right(times, now)
        begin = bisect_right(times, now - self.window, 0, end) if self.window else 0
        return begin, end

    def leaving(self, frame: Frame, time: int) -> None:
        """Notes when an event that counts now stops to."""
        if self.window and time + self.window < frame[NEXT]:
            frame[NEXT] = time + self.window

    def matching(self, facts: Facts, frame: Frame) -> Iterator[tuple[Timeline, int]]:
        """The events that count now, oldest first; notes when the next enters or leaves."""
        timeline = facts.timelines.get(self.name)
        if timeline is None:
            return
        begin, end = self.bounds(timeline, frame[NOW])
        _entering(frame, timeline.times, end)
        for at in range(begin, end):
            if self.meets(facts, frame, timeline, at):
                self.leaving(frame, timeline.times[at])
                yield timeline, at


def at_least(selection: Selection, wanted: int) -> Run:
    """Whether that many events count; changes only when the last one too many leaves."""
    name, window, unconditional = selection.name, selection.window, selection.condition is None

    def run(facts: Facts, frame: Frame) -> bool:
        timeline = facts.timelines.get(name)
        if timeline is None:
            return False
        times = timeline.times
        now = frame[NOW]
        end = bisect_right(times, now)
        begin = bisect_right(times, now - window, 0, end) if window else 0
        if unconditional:
            at = end - wanted
            if at >= begin:
                selection.leaving(frame, times[at])
                return True
        else:
            found = 0
            for at in range(end - 1, begin - 1, -1):
                if selection.meets(facts, frame, timeline, at):
                    found += 1
                    if found == wanted:
                        selection.leaving(frame, times[at])
                        return True
        _entering(frame, times, end)
        return False

    return run


def count(selection: Selection) -> Run:
    if selection.condition is not None:
        return lambda facts, frame: sum(1 for _ in selection.matching(facts, frame))

    def run(facts: Facts, frame: Frame) -> int:
        timeline = facts.timelines.get(selection.name)
        if timeline is None:
            return 0
        begin, end = selection.bounds(timeline, frame[NOW])
        _entering(frame, timeline.times, end)
        if begin < end:
            selection.leaving(frame, timeline.times[begin])
        return end - begin

    return run


def _sum(found: list[Any]) -> Any:
    # Not sum(): from Python 3.12 on it rounds doubles in another way.
    total: Any = 0
    for value in found:
        total = total + value
    return total


def _average(found: list[Any]) -> float | None:
    return _sum(found) / len(found) if found else None


AGGREGATES: Mapping[str, Callable[[list[Any]], Any]] = {
    "sum": _sum,
    "avg": _average,
    "min": lambda found: min(found, default=None),
    "max": lambda found: max(found, default=None),
    "distinct": lambda found: len(set(found)),
}


def aggregate(
    selection: Selection, name: str, value: Run, usable: Callable[[Any], Any] | None
) -> Run:
    """An aggregate of `value`, put through `usable`, over the events where it is not missing."""
    fold = AGGREGATES[name]

    def run(facts: Facts, frame: Frame) -> Any:
        found = []
        for timeline, at in selection.matching(facts, frame):
            # `meets` filled the slots only where there is a condition.
            frame[selection.slot] = timeline.properties[at]
            frame[selection.slot + 1] = timeline.times[at]
            result = value(facts, frame)
            if usable is not None and result is not None:
                result = usable(result)
            if result is not None:
                found.append(result)
        return fold(found)

    return run


def count_against(selection: Selection, sign: str, known: Any) -> tuple[Run, int] | None:
    """A comparison of the count, as whether there are at least so many (second); None for others.

    It looks at no more events than it must, and changes less often than the count does.
    """
    if sign == "in" or known.__class__ is not int:
        return None
    wanted, present = {
        ">=": (known, True),
        ">": (known + 1, True),
        "<": (known, False),
        "<=": (known + 1, False),
        "==": (1, False) if known == 0 else (0, False),
        "!=": (1, True) if known == 0 else (0, False),
    }[sign]
    if wanted < 1:
        return None
    enough = at_least(selection, wanted)
    if present:
        return enough, wanted
    return (lambda facts, frame: not enough(facts, frame)), wanted


def last(selection: Selection) -> Run:
    """(properties, time) of the newest event that counts."""

    def run(facts: Facts, frame: Frame) -> tuple[Mapping[str, Any], int] | None:
        timeline = facts.timelines.get(selection.name)
        if timeline is None:
            return None
        begin, end = selection.bounds(timeline, frame[NOW])
        _entering(frame, timeline.times, end)
        for at in range(end - 1, begin - 1, -1):
            if selection.meets(facts, frame, timeline, at):
                selection.leaving(frame, timeline.times[at])
                return timeline.properties[at], timeline.times[at]
        return None

    return run


def first(selection: Selection) -> Run:
    """(properties, time) of the oldest event that counts."""

    def run(facts: Facts, frame: Frame) -> tuple[Mapping[str, Any], int] | None:
        timeline = facts.timelines.get(selection.name)
        if timeline is None:
            return None
        begin, end = selection.bounds(timeline, frame[NOW])
        for at in range(begin, end):
            if selection.meets(facts, frame, timeline, at):
                selection.leaving(frame, timeline.times[at])
                return timeline.properties[at], timeline.times[at]
        _entering(frame, timeline.times, end)
        return None

    return run


def sequence(earlier: str, later: str, window: int, followed: bool) -> Run:
    """Whether the newest `earlier` event was, or was not, followed by a `later` one in time.

    In time is from its own instant until just before `window` ms after. While neither has come
    about, that is before the time is over, it is false for both.
    """

    def run(facts: Facts, frame: Frame) -> bool:
        timeline = facts.timelines.get(earlier)
        if timeline is None:
            return False
        now = frame[NOW]
        end = bisect_right(timeline.times, now)
        _entering(frame, timeline.times, end)
        if end == 0:
            return False
        began = timeline.times[end - 1]
        deadline = began + window
        answers = facts.timelines.get(later)
        if answers is not None:
            at = bisect_left(answers.times, began)
            if at < len(answers.times) and answers.times[at] < deadline:
                if answers.times[at] <= now:
                    return followed
                _entering(frame, answers.times, at)
        if now < deadline:
            if not followed and deadline < frame[NEXT]:
                frame[NEXT] = deadline
            return False
        return not followed

    return run


def _entering(frame: Frame, times: list[int], at: int) -> None:
    """Notes when an event whose time is yet to come begins to count."""
    if at < len(times) and times[at] < frame[NEXT]:
        frame[NEXT] = times[at]


def row_field(row: Run, name: str, read: Callable[[Any], Any]) -> Run:
    """A property of what `last` or `first` found; missing when there was nothing."""

    def run(facts: Facts, frame: Frame) -> Any:
        found = row(facts, frame)
        return None if found is None else read(found[0].get(name))

    return run


def row_time(row: Run) -> Run:
    def run(facts: Facts, frame: Frame) -> int | None:
        found = row(facts, frame)
        return None if found is None else found[1]

    return run
