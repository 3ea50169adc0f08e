"""All segments and triggers compiled, and indexed by what can change them. Pure and immutable."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from expressions import Event, Expression, ExpressionError, Facts, History, Index, Registry
from expressions import compile as compile_expression
from expressions.expression import Judge
from expressions.places import LOCATION_TIME
from expressions.registry import WEATHER
from services.segment.engine.actions import ActionRule, compile_action
from services.segment.engine.causes import (
    STAGE_CHANGED,
    CatalogCause,
    DateCause,
    EventCause,
    PlaceCause,
    ScheduleCause,
    SeasonCause,
    SegmentCause,
    StageCause,
    WeatherCause,
    event_name_of,
    given_of,
)
from services.segment.engine.journeys.model import Journeys
from services.segment.engine.journeys.rules import PARAMETERS, JourneyRules
from services.segment.engine.model import Happening, SegmentDefinition, TriggerDefinition
from services.segment.engine.moments import season
from services.segment.engine.places import Places

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
_EVENT: Final = re.compile(r"\bevent\b")
_BY_TIME: Final = (ScheduleCause, DateCause, SeasonCause, WeatherCause, CatalogCause)
_WEATHER_AGE: Final = 7 * 86_400_000
_LOCAL: Final = "localTime().year > 0"  # always so, and asked again whenever the zone changes
_ALWAYS: Final = frozenset({"stage", "zone"})
"""Attributes that matter whatever rules look at: to the map of stages, and to who waits for a time
of day."""
_CACHED: Final = 20_000  # expressions; some 20 KB each


def nobody() -> Facts:
    """What holds of a person of whom nothing is known."""
    return Facts(consents=dict.fromkeys(ALLOWED_UNLESS_WITHDRAWN, True))


class Compiler:
    """Compiles each source once, as long as it is in use."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._revision = registry.revision
        self._known: dict[tuple[str, str | None, tuple[str, ...]], Expression] = {}

    def compile(
        self, source: str, event: str | None = None, given: tuple[str, ...] = ()
    ) -> Expression:
        """The expression; raises `ExpressionError`."""
        key = source, event, given
        if self._revision != self.registry.revision:
            self._revision = self.registry.revision
            self._known.clear()
        if key not in self._known:
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[key] = compile_expression(source, self.registry, event, given)
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
    trigger: "TriggerRule | None" = None
    """What is caused when it comes to hold, where it is a trigger's own: then it has no name, and
    nobody hears of who enters or leaves."""


@dataclass(frozen=True, slots=True)
class TriggerRule:
    """A trigger, compiled."""

    definition: TriggerDefinition
    condition: Expression | None
    cancel: Expression | None
    key: Expression | None
    action: ActionRule
    event_name: str | None
    """The event that causes it; None where there is none."""
    by_time: bool
    """Whether no event of the contact's causes it."""
    yearly: bool
    """Whether its causes are one for each year, whoever the contact was before."""
    cancel_names_event: bool
    """Whether the cancel condition looks at the causing event."""

    def caused_by(self, properties: Mapping[str, Any]) -> bool:
        """Whether an event of its name, with these properties, is its cause."""
        match self.definition.cause:
            case StageCause(previous_stage=previous, stage=stage):
                return previous in ("", properties.get("previous_stage")) and stage in (
                    "",
                    properties.get("stage"),
                )
            case _:
                return True

    @property
    def expressions(self) -> list[Expression]:
        """All of them."""
        each = (self.condition, self.cancel, self.key, *self.action.expressions)
        return [expression for expression in each if expression is not None]


@dataclass(frozen=True, slots=True)
class PlaceRule:
    """A trigger of those who come to places, or go from them."""

    trigger: TriggerRule
    cause: PlaceCause
    places: frozenset[str]

    @property
    def trigger_id(self) -> str:
        """The trigger's."""
        return self.trigger.definition.trigger_id

    @property
    def since(self) -> int:
        """The trigger's."""
        return self.trigger.definition.since


def compile_trigger(definition: TriggerDefinition, compiler: Compiler) -> TriggerRule:
    """Raises `ExpressionError`."""
    cause = definition.cause
    event, given = event_name_of(cause), given_of(cause)

    def required(source: str) -> Expression:
        return compiler.compile(source, event, given)

    def optional(source: str) -> Expression | None:
        return required(source) if source else None

    return TriggerRule(
        definition,
        optional(definition.condition),
        optional(definition.cancel_condition),
        optional(definition.key),
        compile_action(definition.action, required),
        event,
        isinstance(cause, _BY_TIME),
        isinstance(cause, DateCause | SeasonCause),
        _EVENT.search(definition.cancel_condition) is not None,
    )


class Rules:
    """What is evaluated, as of one generation. A generation is one state of all definitions."""

    def __init__(
        self,
        generation: int,
        segments: Iterable[SegmentDefinition],
        triggers: Iterable[TriggerDefinition],
        compiler: Compiler,
        places: Places | None = None,
        journeys: Journeys | None = None,
    ) -> None:
        """Definitions that no longer compile stand in `broken` and are not evaluated."""
        self.generation = generation
        self.registry = compiler.registry
        self.broken: list[str] = []
        self.frozen: dict[str, SegmentDefinition] = {}
        """Segments among them, by id: their members stay as they are until they are corrected."""
        self.segments: dict[str, SegmentRule] = {}
        self.pending: dict[str, SegmentRule] = {}
        """Versions that are being backfilled: their history is kept already."""
        self.triggers: dict[str, TriggerRule] = {}
        self._versions: dict[tuple[str, int], TriggerRule] = {}
        self.index: Index[str] = Index()
        self.by_event: dict[str, list[TriggerRule]] = {}
        self.by_transition: dict[tuple[str, bool], list[TriggerRule]] = {}
        """By segment id and whether it is entered."""
        self.places = places or Places()
        self.by_place: list[PlaceRule] = []
        self.moments: dict[str, TriggerRule] = {}
        """Those with a timetable or a date, by id."""
        self.moved_by: dict[str, list[str]] = {}
        """Their ids, by attribute that says when their moments are."""
        self.by_item: list[TriggerRule] = []
        """Those that a change of the catalogue causes."""
        self.needs: Index[Hashable] = Index()
        """All of them, with versions that are being backfilled and triggers."""
        self._add_segments(segments, compiler)
        self._add_triggers(triggers, compiler)
        self.journeys = JourneyRules(
            journeys or Journeys(), lambda source: compiler.compile(source, None, (PARAMETERS,))
        )
        self._add_journeys()
        self.history = self._history()
        self._by_name = {rule.name: rule for rule in self.segments.values()}
        self._rank()
        self.initial = frozenset(self._not_constant())
        """Those that a person of whom nothing is known is in, or will be as time passes."""
        self.looks = frozenset(looked_by(self.by_item))
        """Events by which somebody looks at an item."""
        self.wanted = {*self.history, *self.by_event, *self.looks, STAGE_CHANGED}
        """Events whose properties are looked at."""
        self.attributes = self.needs.attributes() | _ALWAYS
        """Attributes and traits that are looked at."""
        self.weather = WEATHER in self.attributes
        self.located = self.weather or bool(self.by_place)
        """Whether it matters where somebody is."""
        causes = [one.definition.cause for one in self.triggers.values()]
        ages = [one.max_location_age for one in causes if isinstance(one, WeatherCause)]
        self.weather_age = max((_WEATHER_AGE, *ages))
        """How long ago (ms) somebody may have been somewhere to have the weather of it."""

    def _add_segments(self, segments: Iterable[SegmentDefinition], compiler: Compiler) -> None:
        for one in segments:
            try:
                expression = compiler.compile(one.expression)
            except ExpressionError:
                self.broken.append(one.name)
                if one.live:
                    self.frozen[one.segment_id] = one
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
            self._versions[one.trigger_id, one.version] = rule
            for number, expression in enumerate(rule.expressions):
                self.needs.add((one.trigger_id, one.version, number), expression)
            if not one.latest:
                continue
            self.triggers[one.trigger_id] = rule
            match one.cause:
                case EventCause(name=name):
                    self.by_event.setdefault(name, []).append(rule)
                case StageCause():
                    self.by_event.setdefault(STAGE_CHANGED, []).append(rule)
                case SegmentCause(segment_id=segment_id, leaving=leaving):
                    self.by_transition.setdefault((segment_id, not leaving), []).append(rule)
                case PlaceCause() as cause:
                    self.by_place.append(PlaceRule(rule, cause, self.places.chosen(cause)))
                case CatalogCause():
                    self.by_item.append(rule)
                case ScheduleCause(zone=zone):
                    self._add_moments(rule, [] if zone else [compiler.compile(_LOCAL)])
                case DateCause(attribute_name=name):
                    looks = [compiler.compile(f"profile.{name}"), compiler.compile(_LOCAL)]
                    self._add_moments(rule, looks)
                case SeasonCause() as cause:
                    source = f"{_LOCAL} && ({one.condition or 'true'})"
                    expression = compiler.compile(source)
                    self._add_own(rule, expression, _within(cause, expression.judge))
                case WeatherCause() as cause:
                    expression = compiler.compile(weather_source(cause))
                    self._add_own(rule, expression, expression.judge)

    def _add_moments(self, trigger: TriggerRule, looks: Iterable[Expression]) -> None:
        trigger_id = trigger.definition.trigger_id
        self.moments[trigger_id] = trigger
        for number, expression in enumerate(looks):
            self.needs.add((trigger_id, "moments", number), expression)
            for name in expression.attributes:
                self.moved_by.setdefault(name, []).append(trigger_id)

    def _add_own(self, trigger: TriggerRule, expression: Expression, judge: Judge) -> None:
        """A rule whose coming to hold causes a trigger."""
        one = trigger.definition
        self.segments[one.trigger_id] = SegmentRule(
            one.trigger_id, "", one.version, one.since, expression, judge, trigger=trigger
        )
        self.needs.add((one.trigger_id, "own"), expression)
        self.index.add(one.trigger_id, expression)

    def _add_journeys(self) -> None:
        self.broken += self.journeys.broken
        for version, rule in self.journeys.versions.items():
            for number, expression in enumerate(rule.expressions):
                self.needs.add((version, number), expression)

    def _history(self) -> Mapping[str, History]:
        history = dict(self.needs.history())
        for trigger in self._versions.values():
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
            value, next_change = rule.judge(nobody(), 0, None)
            if value or next_change is not None:
                yield segment_id

    def concerned(self, happening: Happening) -> bool:
        """Whether it can make a difference to anybody; of most of what happens, nothing can."""
        name = happening.name
        if happening.attributes or happening.consents or name in self.by_event:
            return True
        if (happening.spot and self.located) or happening.trigger_ids or name in self.looks:
            return True
        if need := self.history.get(name):
            properties = self.registry.event_properties(name, happening.properties, need.properties)
            return self.needs.looks_at(name, properties)
        # Who is there at all, and who is who, is for whoever keeps the states.
        return name in _ABOUT_PEOPLE

    def named(self, segment_id: str) -> SegmentRule | SegmentDefinition | None:
        """A segment that has members, evaluated or not; None when there is none."""
        return self.segments.get(segment_id) or self.frozen.get(segment_id)

    def version(self, trigger_id: str, version: int) -> TriggerRule | None:
        """A trigger as it was, or, where that is no longer known, as it is."""
        return self._versions.get((trigger_id, version)) or self.triggers.get(trigger_id)

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


def _within(cause: SeasonCause, judge: Judge) -> Judge:
    """Whether it is the season, and something holds."""

    def judged(facts: Facts, now: int, event: Event | None) -> tuple[bool, int | None]:
        begun, change = season(cause, facts.zone, now)
        if begun is None:
            return False, change
        value, due = judge(facts, now, event)
        return value is True, change if due is None else min(change, due)

    return judged


def weather_source(cause: WeatherCause) -> str:
    """The rule by which the weather causes a trigger."""
    age = f"{cause.max_location_age // 1000}s"
    return f'(\n{cause.expression}\n) && now() - {LOCATION_TIME} <= duration("{age}")'


def looked_by(triggers: Iterable[TriggerRule]) -> Iterator[str]:
    """The events by which somebody looks at an item, as catalogue triggers name them."""
    for one in triggers:
        if isinstance(one.definition.cause, CatalogCause):
            yield from one.definition.cause.event_names


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
