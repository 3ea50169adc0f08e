"""A compiled expression: what it depends on, what it is now, and when that can change."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from expressions.check import Checker
from expressions.closures import EVENT, FOREVER, GIVEN, NEXT, NOW, Run
from expressions.facts import Event, Facts
from expressions.guards import guards
from expressions.parser import parse
from expressions.registry import Registry
from expressions.schema import BOOL
from expressions.syntax import AllOf, AnyOf, Node, Unary


class Decision(NamedTuple):
    """A value, and the earliest instant (ms) at which it could change with no new event.

    `next_change` is never later than the true change; at that instant the value may turn out to
    be the same. None: it does not change by itself (before the year 10000).
    """

    value: Any
    next_change: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that was looked at, and when the newest of the events behind it happened (ms).

    `about`: the event's name, `profile.<name>`, `traits.<name>`, `stage`, `consent.<purpose>` or
    `segment.<name>` or `weather`; empty for the clock and for what came with the cause.
    """

    source: str
    value: Any
    last_event_time: int | None
    about: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition of an `&&` or `||`, with what it made of the contact.

    `readings` are all values in it; `clauses` its own conditions, where it is an `&&` or `||`
    itself. `skipped`: what stands before it decided already.
    """

    source: str
    value: Any
    next_change: int | None
    readings: tuple[Reading, ...]
    offset: int = 0
    clauses: "tuple[Clause, ...]" = ()
    skipped: bool = False


Given: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What came with the cause: by root (`item`, `parameters`) a map."""

Judge: TypeAlias = Callable[[Facts, int, Event | None], tuple[Any, int | None]]
"""`Expression.decide` as what runs for every event of every contact calls it."""


class _Program:
    """A closure, with the frame it needs."""

    __slots__ = ("condition", "frame", "run")

    def __init__(self, run: Run, slots: int, condition: bool) -> None:
        self.run = run
        self.condition = condition
        self.frame: list[Any] = [None] * slots
        self.frame[NEXT] = FOREVER

    def decide(
        self, facts: Facts, now: int, event: Event | None, given: Given | None = None
    ) -> tuple[Any, int | None]:
        frame = self.frame.copy()
        frame[NOW] = now
        if event is not None:
            frame[EVENT : EVENT + 2] = event.properties, event.time
        frame[GIVEN] = given
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
    `segments`, `consents` and `places` name what can change the value; nothing else can but time.
    `history` says which events must be kept, by event name.
    """

    def __init__(
        self, source: str, registry: Registry, event: str | None, given: Iterable[str] = ()
    ) -> None:
        self._node = parse(source)
        self._registry = registry
        self._event = event
        self._given = tuple(given)
        checker = Checker(source, registry, event, self._given)
        term = checker.value(self._node)
        self._program = _Program(term.run, checker.slots, term.type == BOOL)
        self.judge: Judge = self._program.decide
        self.source = source
        self.result_type = term.type
        self.is_condition = term.type == BOOL
        self.history = MappingProxyType(dict(checker.uses.history))
        self.events = frozenset(self.history)
        self.attributes = frozenset(checker.uses.attributes)
        self.segments = frozenset(checker.uses.segments)
        self.consents = frozenset(checker.uses.consents)
        self.guards = guards(self._node, registry)
        self.places = frozenset(checker.uses.places)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def evaluate(
        self, facts: Facts, now: int, event: Event | None = None, given: Given | None = None
    ) -> Any:
        """The value at `now`; `event` is the one that triggered, where `event.…` is used, and
        `given` what came besides, where `item.…` or `parameters.…` is."""
        return self._program.decide(facts, now, event, given)[0]

    def next_change(
        self, facts: Facts, now: int, event: Event | None = None, given: Given | None = None
    ) -> int | None:
        """`decide(…).next_change`."""
        return self._program.decide(facts, now, event, given)[1]

    def decide(
        self, facts: Facts, now: int, event: Event | None = None, given: Given | None = None
    ) -> Decision:
        """The value at `now` and the earliest instant after it at which it could change."""
        return Decision._make(self._program.decide(facts, now, event, given))

    def explain(
        self, facts: Facts, now: int, event: Event | None = None, given: Given | None = None
    ) -> list[Clause]:
        """Each condition of the outermost `&&` or `||`, all evaluated; the whole, if neither.
        Conditions of these stand in them.

        It compiles again what it explains, so it is for people to read, not for every event.
        """
        node = self._node
        if isinstance(node, AllOf | AnyOf):
            return self._clauses(node, facts, now, event, given)
        return [self._clause(node, facts, now, event, given)]

    def _clauses(
        self,
        node: AllOf | AnyOf,
        facts: Facts,
        now: int,
        event: Event | None,
        given: Given | None,
    ) -> list[Clause]:
        decisive = isinstance(node, AnyOf)
        found: list[Clause] = []
        decided = False
        for part in node.parts:
            clause = self._clause(part, facts, now, event, given)
            found.append(replace(clause, skipped=decided))
            decided = decided or clause.value is decisive
        return found

    def _clause(
        self, node: Node, facts: Facts, now: int, event: Event | None, given: Given | None
    ) -> Clause:
        checker = Checker(self.source, self._registry, self._event, self._given)
        term = checker.value(node)

        def value(run: Run, condition: bool = False) -> Decision:
            program = _Program(run, checker.slots, condition)
            return Decision._make(program.decide(facts, now, event, given))

        decision = value(term.run, term.type == BOOL)
        readings = tuple(
            Reading(
                self.source[reading.node.start : reading.node.end],
                value(reading.run).value,
                reading.last and value(reading.last).value,
                reading.about,
                reading.node.start,
            )
            for reading in checker.readings
        )
        inner = node
        while isinstance(inner, Unary) and inner.operator == "!":
            inner = inner.operand
        clauses = (
            self._clauses(inner, facts, now, event, given)
            if isinstance(inner, AllOf | AnyOf)
            else ()
        )
        text = self.source[node.start : node.end]
        return Clause(text, *decision, readings, node.start, tuple(clauses))


def compile(
    source: str, registry: Registry, event: str | None = None, given: Iterable[str] = ()
) -> Expression:
    """Parses, checks and compiles `source`; raises ExpressionError, which says where and why.

    `event` is the name of the event whose arrival triggers: its properties are `event.<name>`.
    `given` names the maps that come with the cause: `item`, `parameters`; their fields are
    `item.<name>`.
    """
    return Expression(source, registry, event, given)
