"""All definitions, what a change of them writes, and what is right in them. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from chassis.clock import Clock
from chassis.failures import EtagMismatch, FieldInvalid
from chassis.ids import fresh_id
from expressions import Expression, ExpressionError, History, Registry
from expressions import compile as compile_expression
from services.segment.engine.actions import sources_of
from services.segment.engine.causes import SegmentCause, event_name_of, given_of
from services.segment.engine.journeys.model import JourneyDefinition, JourneyRecord
from services.segment.engine.journeys.rules import PARAMETERS
from services.segment.engine.model import BackfillRecord, SegmentRecord, Sweep, TriggerRecord
from services.segment.engine.rules import Compiler
from services.segment.failures import (
    ExpressionInvalid,
    JourneyNotFound,
    SegmentArchived,
    SegmentNotFound,
    TriggerNotFound,
)

R = TypeVar("R")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9_:-]{0,62}")
_MOST_LABELS: Final = 20
_MAX_TEXT: Final = 1_000
_LATENESS: Final = timedelta(days=8)
"""History is read from this much before what an expression looks at: late events are in it."""

Vocabulary = Callable[[Iterable[str] | None], Registry]
"""The registry in which these segments, or any when None, may be named."""


@dataclass(slots=True)
class Catalogue:
    """All definitions, archived ones too, as of one generation."""

    generation: int
    segments: Mapping[str, SegmentRecord]
    triggers: Mapping[str, TriggerRecord]
    contacts: bool
    """Whether there is anybody yet."""
    journeys: Mapping[str, JourneyRecord] = field(default_factory=dict)
    everybody: bool = False
    """Whether of everybody there is kept what rules in force look at."""


@dataclass(slots=True)
class Edit:
    """What a change of definitions writes."""

    segments: list[SegmentRecord] = field(default_factory=list)
    triggers: list[TriggerRecord] = field(default_factory=list)
    backfills: list[BackfillRecord] = field(default_factory=list)
    ended_segments: list[str] = field(default_factory=list)
    """Whose memberships and backfills end."""
    journeys: list[JourneyRecord] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    """What is then done by and by with all who were there before."""


class Store(Protocol):
    """What this needs kept."""

    async def catalogue(self) -> Catalogue:
        """All definitions."""
        ...

    async def edit(self, decide: Callable[[Catalogue], Edit | None]) -> int:
        """Decide on the definitions while nobody applies or changes them, and write that as
        the next generation; None changes nothing. What changed of a segment is told on the log.
        Returns how many occurrences or instances its sweeps concern."""
        ...


class Sources:
    """Checks and reads the sources of definitions."""

    def __init__(self, compiler: Compiler, vocabulary: Vocabulary) -> None:
        self._compiler = compiler
        self.vocabulary = vocabulary
        self.anything = compiler.registry

    def compile(
        self,
        catalogue: Catalogue,
        path: str,
        source: str,
        event: str | None,
        wanted: str,
        given: tuple[str, ...] = (),
    ) -> Expression:
        """The expression of the field at `path`; raises what is wrong with it. `wanted`: its type,
        empty for any."""
        if not source:
            raise FieldInvalid(path, "missing; write an expression of type bool")
        names = [s.name for s in catalogue.segments.values()]
        try:
            expression = compile_expression(source, self.vocabulary(names), event, given)
        except ExpressionError as error:
            raise ExpressionInvalid(path, error) from None
        for used in catalogue.segments.values():
            if used.state == "archived" and used.name in expression.segments:
                raise SegmentArchived(used.segment_id)
        if wanted and str(expression.result_type) != wanted:
            other = f"it is of type {expression.result_type}, not {wanted}"
            raise ExpressionInvalid(path, ExpressionError(source, 0, len(source), other, wanted))
        return expression

    def used_by(self, trigger: TriggerRecord, segment: SegmentRecord) -> bool:
        """Whether a trigger names a segment."""
        definition = trigger.definition
        cause = definition.cause
        if isinstance(cause, SegmentCause) and cause.segment_id == segment.segment_id:
            return True
        sources = (
            definition.condition,
            definition.cancel_condition,
            definition.key,
            *sources_of(definition.action).values(),
        )
        event, given = event_name_of(cause), given_of(cause)
        return any(segment.name in self.named(source, event, given) for source in sources if source)

    def in_journey(self, journey: JourneyDefinition, segment: SegmentRecord) -> bool:
        """Whether a journey names a segment."""
        sources = [
            *(journey.key, journey.goal, journey.exit_condition),
            *(source for step in journey.steps for _, source in step.sources),
            *(source for _, one in journey.actions for source in sources_of(one).values()),
        ]
        return any(segment.name in self.named(one, None, (PARAMETERS,)) for one in sources if one)

    def uses(self, catalogue: Catalogue) -> dict[str, list[str]]:
        """By segment, those it uses, in the version that is in force and in the latest."""
        return {
            one.name: sorted(self.named(one.expression) | self.named(one.live_expression))
            for one in catalogue.segments.values()
            if one.state != "archived"
        }

    def rule(self, source: str) -> Expression | None:
        """A segment's source, compiled; None when it no longer compiles."""
        try:
            return self._compiler.compile(source)
        except ExpressionError:
            return None

    def kept(self, catalogue: Catalogue) -> frozenset[str] | None:
        """Attributes that are kept of everybody, as segments in force look at them; None as long as
        there may be somebody of whom nothing is kept."""
        if not catalogue.everybody:
            return None
        live = [one for one in catalogue.segments.values() if one.state != "archived"]
        rules = [self.rule(one.live_expression) for one in live if one.live_version]
        return frozenset(name for rule in rules if rule for name in rule.attributes)

    def places(self, source: str) -> frozenset[str]:
        """The places that a segment's source names."""
        rule = self.rule(source)
        return rule.places if rule else frozenset()

    def named(
        self, source: str, event: str | None = None, given: tuple[str, ...] = ()
    ) -> frozenset[str]:
        """The segments that a source names."""
        try:
            return self._compiler.compile(source, event, given).segments
        except ExpressionError:
            return frozenset()  # it is not evaluated either, until somebody corrects it


class Definitions:
    """What makes, changes and ends definitions of one kind stands on this."""

    def __init__(self, store: Store, clock: Clock, sources: Sources) -> None:
        self._store = store
        self._clock = clock
        self._sources = sources

    async def _decided(self, decide: Callable[[Catalogue], tuple[R, Edit | None]]) -> tuple[R, int]:
        """As `Store.edit`; returns besides what the decision came to."""
        made: list[R] = []

        def edit(catalogue: Catalogue) -> Edit | None:
            result, change = decide(catalogue)
            made.append(result)
            return change

        concerned = await self._store.edit(edit)
        return made[-1], concerned


def segment_of(catalogue: Catalogue, segment_id: str) -> SegmentRecord:
    """Raises `SegmentNotFound`."""
    if segment_id not in catalogue.segments:
        raise SegmentNotFound(segment_id)
    return catalogue.segments[segment_id]


def trigger_of(catalogue: Catalogue, trigger_id: str) -> TriggerRecord:
    """Raises `TriggerNotFound`."""
    if trigger_id not in catalogue.triggers:
        raise TriggerNotFound(trigger_id)
    return catalogue.triggers[trigger_id]


def journey_of(catalogue: Catalogue, journey_id: str) -> JourneyRecord:
    """Raises `JourneyNotFound`."""
    if journey_id not in catalogue.journeys:
        raise JourneyNotFound(journey_id)
    return catalogue.journeys[journey_id]


def etag_of(edit: int) -> str:
    """What a reader sends back to say what it has seen."""
    return f"e{edit}"


def check_etag(etag: str, edit: int) -> None:
    """Raises `EtagMismatch` when somebody changed it since."""
    if etag and etag != etag_of(edit):
        raise EtagMismatch(etag_of(edit))


def later(now: datetime, before: SegmentRecord) -> datetime:
    """When a change is told to have happened: after the one before, whatever the clocks say."""
    return max(now, before.update_time + timedelta(milliseconds=1))


def check_texts(kind: str, name: str, *texts: str) -> None:
    """Of a name, a display name and a description; raises `FieldInvalid`."""
    if not _NAME.fullmatch(name):
        raise FieldInvalid(
            f"{kind}.name", "1 to 63 lower-case letters, digits, hyphens and underscores"
        )
    for field_name, text in zip(("display_name", "description"), texts, strict=True):
        if len(text) > _MAX_TEXT:
            raise FieldInvalid(
                f"{kind}.{field_name}", f"over {_MAX_TEXT} characters", limit=str(_MAX_TEXT)
            )


def check_labels(kind: str, labels: Sequence[str]) -> None:
    """Raises `FieldInvalid`."""
    if len(labels) > _MOST_LABELS:
        raise FieldInvalid(f"{kind}.labels", "too many", limit=str(_MOST_LABELS))
    for at, label in enumerate(labels):
        if not _LABEL.fullmatch(label):
            raise FieldInvalid(
                f"{kind}.labels[{at}]",
                "1 to 63 lower-case letters, digits, hyphens, underscores and colons",
            )


def find_anew(edit: Edit, segment: SegmentRecord, backfill: BackfillRecord) -> None:
    """The members of the version in force are computed again; a backfill that runs ends."""
    edit.backfills.append(backfill)
    edit.segments.append(
        replace(
            segment,
            state="backfilling",
            backfill_id=backfill.backfill_id,
            edit=segment.edit + 1,
            update_time=later(backfill.create_time, segment),
        )
    )


def backfill_of(
    segment_id: str,
    version: int,
    expressions: Sequence[Expression],
    now: datetime,
    besides: Mapping[str, History] | None = None,
    kept: AbstractSet[str] | None = None,
) -> BackfillRecord:
    """The computation that what the expressions look at makes necessary, and what is needed of
    events besides. `kept`: attributes that need not be read again, where those who are in nobody's
    history are known all the same; None: everything is read of everybody."""
    histories = [*(one.history for one in expressions), besides or {}]
    needs = [need for history in histories for need in history.values()]
    windows = [window_of(need) for need in needs]
    start = None
    if windows and None not in windows:
        longest = max(window for window in windows if window is not None)
        start = now - timedelta(milliseconds=longest) - _LATENESS
    names = tuple(sorted({name for history in histories for name in history}))
    attributes: tuple[str, ...] | None = None
    if kept is not None:
        looked_at = {name for one in expressions for name in one.attributes}
        attributes = tuple(sorted(looked_at - kept))
    return BackfillRecord(
        backfill_id=fresh_id("bf"),
        segment_id=segment_id,
        segment_version=version,
        names=names,
        start_time=start,
        state="running",
        phase="history" if names or attributes is None or attributes else "members",
        cursor="",
        passed_count=0,
        total_count=0,
        member_count=0,
        failure="",
        create_time=now,
        update_time=now,
        attributes=attributes,
        whole=kept is None,
    )


def window_of(need: History) -> int | None:
    """How far back (ms) events are looked at; None for all."""
    if need.everything or need.newest or need.oldest or need.follows:
        return None
    return need.window
