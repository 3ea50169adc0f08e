# ruff: noqa: ARG001, ARG005, PLR1730
# Every closure takes (facts, frame), whether it needs both or not; and a comparison costs a third
# of min(), in code that runs for every event of every contact.
"""Operators as Python closures.

A compiled part is `run(facts, frame)`. The frame is a list, made anew for each evaluation:
`frame[NOW]`, `frame[NEXT]` (the earliest instant at which something that was looked at may
change; parts lower it), two slots for the event that triggers (properties, time), `frame[GIVEN]`
(what came with the cause, by name of root), then two slots for each event or element in scope.

None is a missing value: an operator on a missing value is missing, `&&` and `||` are decided by
the other side where that is enough, and a condition counts only when it is true. Since an
evaluation is the same as long as everything it looked at is, the lowest instant of all that was
looked at is never later than the next change of the result.
"""

import operator
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeAlias

from expressions import localtime, places, values
from expressions.facts import Facts
from expressions.schema import BOOL, DYN, STRING, Type, reader

Frame: TypeAlias = list[Any]
Run: TypeAlias = Callable[[Facts, Frame], Any]

NOW, NEXT, EVENT, GIVEN, SLOTS = 0, 1, 2, 4, 5
FOREVER = 253_402_300_800_000
"""The year 10000, beyond any calendar: what changes only then does not change."""

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COMPARE = _ORDER | {"==": operator.eq, "!=": operator.ne}
_CLOCK_STEPS = 48  # hours of two days, more than the months of a year
_CLOCK_ZONES = 1024


def constant(value: Any) -> Run:
    return lambda facts, frame: value


def attribute(name: str, kind: Type) -> Run:
    if kind == DYN:
        return lambda facts, frame: facts.attributes.get(name)
    if kind in (STRING, BOOL):
        cls = str if kind == STRING else bool

        def exactly(facts: Facts, frame: Frame) -> Any:
            value = facts.attributes.get(name)
            return value if value.__class__ is cls else None

        return exactly
    read = reader(kind)

    def run(facts: Facts, frame: Frame) -> Any:
        value = facts.attributes.get(name)
        return None if value is None else read(value)

    return run


def now(facts: Facts, frame: Frame) -> int:
    return frame[NOW]  # type: ignore[no-any-return] # a frame is a list of anything, for speed


def consented(purpose: str) -> Run:
    return lambda facts, frame: facts.consents.get(purpose, False) is True


def in_segment(segment: str) -> Run:
    return lambda facts, frame: segment in facts.segments


def near(areas: Mapping[str, places.Area], place: str, distance: float) -> Run:
    """Whether the contact last was at most so far (metres) from a place."""

    def run(facts: Facts, frame: Frame) -> bool | None:
        return places.is_near(areas, place, distance, facts.attributes.get(places.LOCATION))

    return run


def slot(index: int, kind: Type) -> Run:
    read = reader(kind)
    return lambda facts, frame: read(frame[index])


def slot_field(index: int, name: str, kind: Type) -> Run:
    """A field of the record in a slot, which is empty when there is none."""
    read = reader(kind)

    def run(facts: Facts, frame: Frame) -> Any:
        record = frame[index]
        return None if record is None else read(record.get(name))

    return run


def given(root: str) -> Run:
    """A map that came with the cause; missing when there is none."""

    def run(facts: Facts, frame: Frame) -> Any:
        roots = frame[GIVEN]
        return None if roots is None else roots.get(root)

    return run


def field(operand: Run, name: str, kind: Type) -> Run:
    read = reader(kind)

    def run(facts: Facts, frame: Frame) -> Any:
        record = operand(facts, frame)
        return read(record.get(name)) if record.__class__ is dict else None

    return run


def item(operand: Run, key: Run, kind: Type) -> Run:
    read = reader(kind)

    def run(facts: Facts, frame: Frame) -> Any:
        container, at = operand(facts, frame), key(facts, frame)
        if container.__class__ is dict and at.__class__ is str:
            return read(container.get(at))
        if container.__class__ is list and at.__class__ is int and 0 <= at < len(container):
            return read(container[at])
        return None

    return run


def holds(part: Run) -> Run:
    return lambda facts, frame: part(facts, frame) is True


def present(part: Run) -> Run:
    return lambda facts, frame: part(facts, frame) is not None


def absent(part: Run) -> Run:
    return lambda facts, frame: part(facts, frame) is None


def negate(part: Run) -> Run:
    def run(facts: Facts, frame: Frame) -> Any:
        value = part(facts, frame)
        return None if value is None else not value

    return run


def junction(parts: list[Run], decisive: bool, timed: bool) -> Run:
    """`&&` (decided by a False) or `||` (decided by a True)."""
    every = tuple(parts)
    if not timed:

        def plain(facts: Facts, frame: Frame) -> Any:
            result: bool | None = not decisive
            for part in every:
                value = part(facts, frame)
                if value is decisive:
                    return decisive
                if value is None:
                    result = None
            return result

        return plain

    def run(facts: Facts, frame: Frame) -> Any:
        outer = nearest = frame[NEXT]
        result: bool | None = not decisive
        for part in every:
            frame[NEXT] = FOREVER
            value = part(facts, frame)
            if value is decisive:
                # Whatever the others do, the result stays as long as this part does.
                if outer < frame[NEXT]:
                    frame[NEXT] = outer
                return decisive
            if frame[NEXT] < nearest:
                nearest = frame[NEXT]
            if value is None:
                result = None
        frame[NEXT] = nearest
        return result

    return run


def choose(condition: Run, then: Run, otherwise: Run) -> Run:
    return lambda facts, frame: (then if condition(facts, frame) is True else otherwise)(
        facts, frame
    )


def compare(sign: str, left: Run, right: Run, known: Any = None) -> Run:
    """Comparison of values whose types are known to fit; `known` is the right side if constant."""
    test = COMPARE[sign]
    if known is not None:
        if sign == "==":

            def equals(facts: Facts, frame: Frame) -> Any:
                value = left(facts, frame)
                return None if value is None else value == known

            return equals

        def against(facts: Facts, frame: Frame) -> Any:
            value = left(facts, frame)
            return None if value is None else test(value, known)

        return against

    def run(facts: Facts, frame: Frame) -> Any:
        first = left(facts, frame)
        if first is None:
            return None
        second = right(facts, frame)
        return None if second is None else test(first, second)

    return run


def compare_dynamic(sign: str, left: Run, right: Run) -> Run:
    """Comparison of any JSON values: unequal, and not ordered, when their types differ."""
    test = _ORDER.get(sign)

    def run(facts: Facts, frame: Frame) -> Any:
        first, second = left(facts, frame), right(facts, frame)
        if first is None or second is None:
            return None
        if test is None:
            return values.equal(first, second) is (sign == "==")
        return test(first, second) if values.orderable(first, second) else None

    return run


def compare_moving(sign: str, left: Run, right: Run, slope: int) -> Run:
    """Comparison whose difference grows by `slope` ms with every ms that passes."""
    test = COMPARE[sign]

    def run(facts: Facts, frame: Frame) -> Any:
        first = left(facts, frame)
        second = right(facts, frame)
        if first is None or second is None:
            return None
        gap = first - second
        if gap == 0 or (gap < 0) == (slope > 0):
            meets = frame[NOW] + max(1, abs(gap) // abs(slope))
            if meets < frame[NEXT]:
                frame[NEXT] = meets
        return test(first, second)

    return run


def contained(value: Run, container: Run) -> Run:
    def run(facts: Facts, frame: Frame) -> Any:
        wanted, among = value(facts, frame), container(facts, frame)
        if wanted is None:
            return None
        if among.__class__ is list:
            return any(values.equal(wanted, other) for other in among)
        if among.__class__ is dict:
            return wanted.__class__ is str and wanted in among
        return None

    return run


def contained_in(value: Run, known: frozenset[str]) -> Run:
    """`in` a list of texts that is written out."""

    def run(facts: Facts, frame: Frame) -> Any:
        wanted = value(facts, frame)
        return None if wanted is None else wanted in known

    return run


def apply(function: Callable[..., Any], *args: Run) -> Run:
    """A function of values that gives None for what it cannot do; missing args are missing."""
    if len(args) == 1:
        (only,) = args

        def one(facts: Facts, frame: Frame) -> Any:
            value = only(facts, frame)
            return None if value is None else function(value)

        return one
    first, second = args

    def two(facts: Facts, frame: Frame) -> Any:
        left = first(facts, frame)
        right = second(facts, frame)
        return None if left is None or right is None else function(left, right)

    return two


def build_list(items: list[Run]) -> Run:
    """A list is missing when one of its items is."""

    def run(facts: Facts, frame: Frame) -> list[Any] | None:
        built = [part(facts, frame) for part in items]
        return None if any(value is None for value in built) else built

    return run


def over_list(macro: str, operand: Run, index: int, body: Run) -> Run:
    """`all`, `exists`, `exists_one`, `filter`, `map`: `body` sees each element in its slot."""

    def run(facts: Facts, frame: Frame) -> Any:
        elements = operand(facts, frame)
        if elements.__class__ is not list:
            return None
        results = []
        for element in elements:
            frame[index] = element
            result = body(facts, frame)
            if macro == "exists" and result is True:
                return True
            if macro == "all" and result is not True:
                return False
            results.append(result)
        match macro:
            case "exists" | "all":
                return macro == "all"
            case "exists_one":
                return results.count(True) == 1
            case "filter":
                return [e for e, kept in zip(elements, results, strict=True) if kept is True]
            case _:
                return None if any(result is None for result in results) else results

    return run


def clock_field(name: str) -> Run:
    """A field of the contact's wall clock now."""
    return clock_test(name, lambda value: value)


def clock_test(name: str, test: Callable[[int], Any]) -> Run:
    """What `test` makes of a wall clock field now, and until when it stays so."""
    get = localtime.FIELDS[name]
    # The answer is the same for everybody in a zone, and stays for an hour or more.
    known: dict[str, tuple[int, int, Any]] = {}

    def run(facts: Facts, frame: Frame) -> Any:
        now = frame[NOW]
        found = known.get(facts.zone)
        if found is None or not found[0] <= now < found[1]:
            moment = localtime.local(facts.zone, now)
            if moment is None:
                return None
            value, until = test(get(moment)), localtime.stays_until(moment, name)
            for _ in range(_CLOCK_STEPS):
                later = localtime.local(facts.zone, until)
                if later is None or test(get(later)) != value:
                    break
                until = localtime.stays_until(later, name)
            if len(known) >= _CLOCK_ZONES:
                known.clear()
            found = known[facts.zone] = (now, until, value)
        if found[1] < frame[NEXT]:
            frame[NEXT] = found[1]
        return found[2]

    return run


def clock_field_of(moment: Run, name: str) -> Run:
    """A field of the contact's wall clock at a given time."""
    get = localtime.FIELDS[name]

    def run(facts: Facts, frame: Frame) -> int | None:
        at = moment(facts, frame)
        there = None if at is None else localtime.local(facts.zone, at)
        return None if there is None else get(there)

    return run


def is_today(day: Run) -> Run:
    """Whether the contact's wall clock shows that day and month, in whatever year."""

    def run(facts: Facts, frame: Frame) -> Any:
        text = day(facts, frame)
        moment = None if text is None else localtime.local(facts.zone, frame[NOW])
        if text is None or moment is None:
            return None
        wanted = date.fromisoformat(text)
        today = localtime.anniversary(wanted.month, wanted.day, moment.year) == moment.date()
        change = (
            localtime.stays_until(moment, "day")
            if today
            else localtime.day_begins(wanted.month, wanted.day, moment)
        )
        if change < frame[NEXT]:
            frame[NEXT] = change
        return today

    return run
