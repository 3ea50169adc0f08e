"""What a part of an expression can be while it is compiled, and which types go together."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from expressions import closures
from expressions.closures import Run
from expressions.facts import History
from expressions.schema import (
    BOOL,
    DATE,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NUMBERS,
    STRING,
    TIMESTAMP,
    Type,
)
from expressions.syntax import Node
from expressions.windows import Selection

_JSON = frozenset({"string", "int", "double", "bool", "list", "map", "dyn"})


@dataclass(slots=True)
class Term:
    """A part that has a value."""

    type: Type
    run: Run
    timed: bool = False
    """Its value can change as time passes."""
    slope: int = 0
    """How many ms it grows with every ms that passes; not 0 only around now()."""
    constant: Any = None
    against: Callable[[str, Any], Run | None] | None = None
    """A better way to compare it with a constant."""
    register: Callable[[], None] | None = None
    """Notes the history it needs; to be called unless `against` is used, which needs less."""


@dataclass(slots=True)
class Record:
    """An event, whose properties can be read but which is no value itself.

    It stands either in the slots of the frame or is what `run` gives; `recorded` says that it
    comes from the contact's history.
    """

    type: Type
    slot: int = 0
    run: Run | None = None
    recorded: bool = True


@dataclass(slots=True)
class Chain:
    """`events("…")` with what was narrowed down so far."""

    type: Type
    slot: int
    window: int | None = None
    conditions: list[Term] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.type.name

    def selection(self) -> Selection:
        runs = [term.run for term in self.conditions]
        timed = any(term.timed for term in self.conditions)
        if not runs:
            return Selection(self.name, self.window, None, self.slot)
        condition = runs[0] if len(runs) == 1 else closures.junction(runs, False, timed)
        return Selection(self.name, self.window, condition, self.slot)


@dataclass(slots=True)
class Sequence:
    """`sequence("a", "b")` before its time is given."""

    earlier: str
    later: str


@dataclass(slots=True)
class Clock:
    """`localTime()`, or `localTime(moment)`, before its field is given."""

    moment: Term | None


Thing: TypeAlias = Term | Record | Chain | Sequence | Clock

NO_VALUE: dict[type, str] = {
    Record: "an event is no value by itself; name a property, such as `.time`",
    Chain: "events are no value by themselves; end with .exists(), .count() or .last().time",
    Sequence: 'say in which time: .within("2h") or .notWithin("2h")',
    Clock: "say what of the local time: .hour, .weekday, .day, .month or .year",
}


@dataclass(slots=True)
class Uses:
    """What an expression depends on."""

    history: dict[str, History] = field(default_factory=lambda: defaultdict(History))
    attributes: set[str] = field(default_factory=set)
    segments: set[str] = field(default_factory=set)
    consents: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)

    def need(self, event: str, **needs: Any) -> None:
        self.history[event] |= History(**needs)


@dataclass(slots=True)
class Reading:
    """A part whose value tells why an expression is as it is."""

    node: Node
    run: Run
    last: Run | None
    about: str


def comparable(left: Type, right: Type) -> bool:
    if left == right or (left in NUMBERS and right in NUMBERS):
        return True
    if DYN in (left, right):
        return left.name in _JSON and right.name in _JSON
    if left.item and right.item:
        return comparable(left.item, right.item)
    return {left.name, right.name} == {DATE.name, STRING.name}


def result_of(sign: str, left: Type, right: Type) -> Type | None:
    """The type of `left sign right`, None when there is none."""
    if left in NUMBERS and right in NUMBERS:
        if sign == "%" and DOUBLE in (left, right):
            return None
        return INT if left == right == INT else DOUBLE
    if sign == "+" and left == right and (left == STRING or left.item):
        return left
    moving = {
        ("+", "timestamp", "duration"): TIMESTAMP,
        ("+", "duration", "timestamp"): TIMESTAMP,
        ("+", "duration", "duration"): DURATION,
        ("-", "timestamp", "timestamp"): DURATION,
        ("-", "timestamp", "duration"): TIMESTAMP,
        ("-", "duration", "duration"): DURATION,
    }
    if found := moving.get((sign, left.name, right.name)):
        return found
    if DYN in (left, right) and {left.name, right.name} <= {"dyn", "int", "double"}:
        return DYN
    if sign == "+" and DYN in (left, right) and {left.name, right.name} <= {"dyn", "string"}:
        return DYN
    return None


def conversion(given: Type, wanted: Type) -> str:
    """The end of a message: how `given` becomes `wanted`, where that can be said."""
    if wanted == TIMESTAMP and given.name in {"string", "dyn", "date"}:
        return '; write timestamp("2026-01-31T09:00:00Z")'
    if given == TIMESTAMP and wanted.name in {"string", "dyn"}:
        return "; write timestamp(…) around the other side"
    if wanted == DURATION and given.name in {"string", "int", "dyn"}:
        return '; write duration("24h")'
    if wanted.name in {"string", "int", "double"} and given.name in {
        "string",
        "int",
        "double",
        "bool",
    }:
        return f"; write {wanted}(…) around it"
    if wanted == BOOL:
        return "; compare it with something, as in `… == …`"
    return ""
