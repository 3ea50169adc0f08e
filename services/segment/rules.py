"""All segments and triggers compiled, and indexed by what can change them. Pure and immutable."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Final

from expressions import Expression, ExpressionError, Facts, History, Index, Registry
from expressions import compile as compile_expression
from expressions.expression import Judge
from services.segment.model import Happening, SegmentDefinition, TriggerDefinition

ALLOWED_UNLESS_WITHDRAWN: Final = ("utility", "authentication", "service")
_ABOUT_PEOPLE: Final = frozenset(
    {
        "contact_created",
        "contact_merged",
        "contact_split",
        "contact_erased",
        "restriction_changed",
    }
)
_CACHED: Final = 20_000  # expressions; some 20 KB each


def nobody() -> Facts:
    """What holds of a person of whom nothing is known."""
    return Facts(consents=dict.fromkeys(ALLOWED_UNLESS_WITHDRAWN, True))


class Compiler:
    """Compiles each source once, as long as it is in use."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: dict[tuple[str, str | None], Expression] = {}

    def compile(self, source: str, event: str | None = None) -> Expression:
        """The expression; raises `ExpressionError`."""
        key = source, event
        if key not in self._known:
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[key] = compile_expression(source, self.registry, event)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """A version of a segment, compiled. `rank`: after every segment it uses."""

    segment_id: str
    name: str
    version: int
    since: int
    expression: Expression
    judge: Judge
    """What evaluates it."""
    rank: int = 0


@dataclass(frozen=True, slots=True)
class TriggerRule:
    """A trigger, compiled."""

    definition: TriggerDefinition
    condition: Expression | None
    cancel: Expression | None
    key: Expression | None
    parameters: Mapping[str, Expression]

    @property
    def expressions(self) -> list[Expression]:
        """All of them."""
        each = (self.condition, self.cancel, self.key, *self.parameters.values())
        return [expression for expression in each if expression is not None]


def compile_trigger(definition: TriggerDefinition, compiler: Compiler) -> TriggerRule:
    """Raises `ExpressionError`."""
    event = definition.event_name or None

    def optional(source: str) -> Expression | None:
        return compiler.compile(source, event) if source else None

    return TriggerRule(
        definition,
        optional(definition.condition),
        optional(definition.cancel_condition),
        optional(definition.key),
        {name: compiler.compile(s, event) for name, s in definition.parameters.items()},
    )


class Rules:
    """What is evaluated, as of one generation. A generation is one state of all definitions."""

    def __init__(
        self,
        generation: int,
        segments: Iterable[SegmentDefinition],
        triggers: Iterable[TriggerDefinition],
        compiler: Compiler,
    ) -> None:
        """Definitions that no longer compile stand in `broken` and are not evaluated."""
        self.generation = generation
        self.registry = compiler.registry
        self.broken: list[str] = []
        self.segments: dict[str, SegmentRule] = {}
        self.pending: dict[str, SegmentRule] = {}
        """Versions that are being backfilled: their history is kept already."""
        self.triggers: dict[str, TriggerRule] = {}
        self.index: Index[str] = Index()
        self.by_event: dict[str, list[TriggerRule]] = {}
        self.by_transition: dict[tuple[str, bool], list[TriggerRule]] = {}
        """By segment id and whether it is entered."""
        self.needs: Index[Hashable] = Index()
        """All of them, with versions that are being backfilled and triggers."""
        self._add_segments(segments, compiler)
        self._add_triggers(triggers, compiler)
        self.history = self._history()
        self._by_name = {rule.name: rule for rule in self.segments.values()}
        self._rank()
        self.initial = frozenset(self._not_constant())
        """Those that a person of whom nothing is known is in, or will be as time passes."""
        self.wanted = frozenset(self.history) | frozenset(self.by_event)
        """Events whose properties are looked at."""
        self.attributes = self.needs.attributes()
        """Attributes and traits that are looked at."""

    def _add_segments(self, segments: Iterable[SegmentDefinition], compiler: Compiler) -> None:
        for one in segments:
            try:
                expression = compiler.compile(one.expression)
            except ExpressionError:
                self.broken.append(one.name)
                continue
            rule = SegmentRule(
                one.segment_id, one.name, one.version, one.since, expression, expression.judge
            )
            self.needs.add((one.segment_id, one.version), expression)
            if one.live:
                self.segments[one.segment_id] = rule
                self.index.add(one.segment_id, expression)
            else:
                self.pending[one.segment_id] = rule

    def _add_triggers(self, triggers: Iterable[TriggerDefinition], compiler: Compiler) -> None:
        for one in triggers:
            try:
                rule = compile_trigger(one, compiler)
            except ExpressionError:
                self.broken.append(one.name)
                continue
            self.triggers[one.trigger_id] = rule
            for number, expression in enumerate(rule.expressions):
                self.needs.add((one.trigger_id, "expression", number), expression)
            if one.event_name:
                self.by_event.setdefault(one.event_name, []).append(rule)
            else:
                cause = one.segment_id, not one.leaving
                self.by_transition.setdefault(cause, []).append(rule)

    def _history(self) -> Mapping[str, History]:
        history = dict(self.needs.history())
        for trigger in self.triggers.values():
            if trigger.cancel is not None:
                for name, need in trigger.cancel.history.items():
                    # It is asked at the due time whether it held at any time since the cause.
                    history[name] |= History(window=need.window + trigger.definition.delay)
        return history

    def _rank(self) -> None:
        order = TopologicalSorter(
            {rule.segment_id: self._used(rule) for rule in self.segments.values()}
        )
        for rank, segment_id in enumerate(order.static_order()):
            rule = self.segments[segment_id]
            self.segments[segment_id] = replace(rule, rank=rank)
        self.ranked = sorted(self.segments.values(), key=lambda rule: rule.rank)
        self._by_name = {rule.name: rule for rule in self.segments.values()}

    def _used(self, rule: SegmentRule) -> list[str]:
        return [
            self._by_name[name].segment_id
            for name in rule.expression.segments
            if name in self._by_name
        ]

    def _not_constant(self) -> Iterable[str]:
        for segment_id, rule in self.segments.items():
            decision = rule.expression.decide(nobody(), 0)
            if decision.value or decision.next_change is not None:
                yield segment_id

    def concerned(self, happening: Happening) -> bool:
        """Whether it can make a difference to anybody; of most of what happens, nothing can."""
        name = happening.name
        if happening.attributes or happening.consents or name in self.by_event:
            return True
        if need := self.history.get(name):
            properties = self.registry.event_properties(name, happening.properties, need.properties)
            return self.needs.looks_at(name, properties)
        # Who is there at all, and who is who, is for whoever keeps the states.
        return name in _ABOUT_PEOPLE

    def since(self, generation: int) -> list[str]:
        """Segments that became live, in this version, after `generation`."""
        return [i for i, rule in self.segments.items() if rule.since > generation]

    def dependents(self, segment_id: str) -> set[str]:
        """Segments that use this one directly."""
        return self.index.affected(segments=[self.segments[segment_id].name])

    def downstream(self, segment_ids: Iterable[str]) -> set[str]:
        """These and all that use them, at any remove."""
        return _closure(segment_ids, self.dependents)

    def upstream(self, segment_ids: Iterable[str]) -> set[str]:
        """These and all that they use, at any remove."""
        return _closure(segment_ids, lambda i: self._used(self.segments[i]))


def _closure(start: Iterable[str], next_of: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(start)
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += next_of(one)
    return found


def cycle(uses: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A path of names from a segment back to itself, when there is one."""
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        path: list[str] = error.args[1]
        return path[::-1]  # graphlib goes from the used one to its user
    return None
