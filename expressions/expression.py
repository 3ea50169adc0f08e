"""A compiled expression: what it depends on, what it is now, and when that can change."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from expressions.check import Checker
from expressions.closures import EVENT, FOREVER, NEXT, NOW, Run
from expressions.facts import Event, Facts
from expressions.parser import parse
from expressions.registry import Registry
from expressions.schema import BOOL
from expressions.syntax import AllOf, AnyOf, Node


class Decision(NamedTuple):
    """A value, and the earliest instant (ms) at which it could change with no new event.

    `next_change` is never later than the true change; at that instant the value may turn out to
    be the same. None: it does not change by itself (before the year 10000).
    """

    value: Any
    next_change: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that was looked at, and when the newest of the events behind it happened (ms)."""

    source: str
    value: Any
    last_event_time: int | None


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition of the outermost `&&` or `||`, with what it made of the contact."""

    source: str
    value: Any
    next_change: int | None
    readings: tuple[Reading, ...]


class _Program:
    """A closure, with the frame it needs."""

    __slots__ = ("condition", "frame", "run")

    def __init__(self, run: Run, slots: int, condition: bool) -> None:
        self.run = run
        self.condition = condition
        self.frame: list[Any] = [None] * slots
        self.frame[NEXT] = FOREVER

    def decide(self, facts: Facts, now: int, event: Event | None) -> tuple[Any, int | None]:
        frame = self.frame.copy()
        frame[NOW] = now
        if event is not None:
            frame[EVENT : EVENT + 2] = event.properties, event.time
        value = self.run(facts, frame)
        change = frame[NEXT]
        return (
            value is True if self.condition else value,
            None if change == FOREVER else change,
        )


class Expression:
    """A rule, condition or value, compiled once and evaluated for many contacts.

    All times are ints, milliseconds since 1970 UTC. Evaluating never raises: a part that is
    missing, or cannot be computed, makes what is made of it missing, and a condition that is
    missing is false. Of any other type, the value is then None.

    `is_condition` says that it is a yes or no, as rules and conditions must be; otherwise it is a
    value of `result_type`.

    `events`, `attributes` (traits as `traits.<name>`, and `zone` where local time is used),
    `segments` and `consents` name what can change the value; nothing else can but time.
    `history` says which events must be kept, by event name.
    """

    def __init__(self, source: str, registry: Registry, event: str | None) -> None:
        self._node = parse(source)
        self._registry = registry
        self._event = event
        checker = Checker(source, registry, event)
        term = checker.value(self._node)
        self._program = _Program(term.run, checker.slots, term.type == BOOL)
        self.source = source
        self.result_type = term.type
        self.is_condition = term.type == BOOL
        self.history = MappingProxyType(dict(checker.uses.history))
        self.events = frozenset(self.history)
        self.attributes = frozenset(checker.uses.attributes)
        self.segments = frozenset(checker.uses.segments)
        self.consents = frozenset(checker.uses.consents)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def evaluate(self, facts: Facts, now: int, event: Event | None = None) -> Any:
        """The value at `now`; `event` is the one that triggered, where `event.…` is used."""
        return self._program.decide(facts, now, event)[0]

    def next_change(self, facts: Facts, now: int, event: Event | None = None) -> int | None:
        """`decide(…).next_change`."""
        return self._program.decide(facts, now, event)[1]

    def decide(self, facts: Facts, now: int, event: Event | None = None) -> Decision:
        """The value at `now` and the earliest instant after it at which it could change."""
        return Decision._make(self._program.decide(facts, now, event))

    def explain(self, facts: Facts, now: int, event: Event | None = None) -> list[Clause]:
        """Each condition of the outermost `&&` or `||`, all evaluated; the whole, if neither.

        It compiles again what it explains, so it is for people to read, not for every event.
        """
        node = self._node
        parts = node.parts if isinstance(node, AllOf | AnyOf) else (node,)
        return [self._clause(part, facts, now, event) for part in parts]

    def _clause(self, node: Node, facts: Facts, now: int, event: Event | None) -> Clause:
        checker = Checker(self.source, self._registry, self._event)
        term = checker.value(node)

        def value(run: Run, condition: bool = False) -> Decision:
            program = _Program(run, checker.slots, condition)
            return Decision._make(program.decide(facts, now, event))

        decision = value(term.run, term.type == BOOL)
        readings = tuple(
            Reading(
                self.source[reading.node.start : reading.node.end],
                value(reading.run).value,
                reading.last and value(reading.last).value,
            )
            for reading in checker.readings
        )
        return Clause(self.source[node.start : node.end], *decision, readings)


def compile(source: str, registry: Registry, event: str | None = None) -> Expression:
    """Parses, checks and compiles `source`; raises ExpressionError, which says where and why.

    `event` is the name of the event whose arrival triggers: its properties are `event.<name>`.
    """
    return Expression(source, registry, event)
