"""What a trigger would have made of a contact's past, had it been there. Pure.

The past is lived through again, in order, by the same walk that the present takes: each happening
when it happened, and every instant between at which time does something. What was before the span
of time is recalled and causes nothing; what still waits at its end goes on waiting.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace

from services.segment.engine.causes import STAGE_CHANGED
from services.segment.engine.membership import fall_due
from services.segment.engine.model import AttributeFact, Happening, Occurrence, Past
from services.segment.engine.rules import TriggerRule
from services.segment.engine.stages import STAGE
from services.segment.engine.state import ContactState
from services.segment.engine.timeline import Walk
from services.segment.engine.trial import CREATED, Trial
from services.segment.engine.triggers import Why, cancelled, unmet

E = TypeVar("E")
Explain: TypeAlias = Callable[[TriggerRule, Occurrence, ContactState], E]
"""Why a cause came out as it did; asked while the contact is as it was then."""

_WAITS: Final = "it waits until it is due"
_TIME: Final = attrgetter("time")


class Told(NamedTuple, Generic[E]):
    """What came of a cause, and why."""

    occurrence: Occurrence
    explanation: E


@dataclass(slots=True)
class _Entry(Generic[E]):
    occurrence: Occurrence
    explanation: E


class Replay(Generic[E]):
    """One contact under a trigger on trial."""

    def __init__(
        self, trial: Trial, contact_id: str, explain: Explain[E], show_unmet: bool = False
    ) -> None:
        """`show_unmet`: tell also of causes of which nothing would have come."""
        self.contact_id = contact_id
        self._trial = trial
        self._explain = explain
        self._show_unmet = show_unmet
        self._state = ContactState()
        self._facts: deque[Happening] = deque()
        """What is known besides events and is yet to come."""
        self._known: Sequence[AttributeFact] = ()
        """What is known of somebody new from the first moment on."""
        self._told: deque[_Entry[E]] = deque()
        """Not told yet, by cause: none is before those that still wait."""
        self._waiting: dict[str, _Entry[E]] = {}
        """By occurrence, in the order in which they are due."""
        self._begun = False

    def take(self, past: Past) -> Iterator[list[Told[E]]]:
        """Live through a history, or the next part of one; step by step, each with what can be told
        by now, in order of cause. Of people whose data may not be used nothing is told."""
        if past.restricted:
            return
        # Who became part of whom is told by the history itself: it is one contact's.
        events = [_bare(one) for one in past.happenings if not (one.absorbed or one.parted)]
        if not self._begun:
            self._begin(past, events)
        else:
            self._recall(events)
        self._begun = True
        for event in events:
            if self._trial.start <= event.time < self._trial.end:
                yield from self._learn(event.time)
                yield from self._step(event)

    def finish(self) -> Iterator[list[Told[E]]]:
        """Live until the end of the span, when there is no more to take."""
        if not self._begun:
            return
        yield from self._learn(self._trial.end - 1)
        yield from self._pass(self._trial.end - 1)
        for one in self._waiting.values():
            one.occurrence = replace(one.occurrence, reason=_WAITS)
        self._waiting = {}
        yield self._ready()

    def _begin(self, past: Past, events: Sequence[Happening]) -> None:
        start, facts = self._trial.start, list(_facts(past, self._trial.start))
        agreed = sorted(past.consents, key=_TIME)
        times = [one.time for many in (facts, agreed, events) for one in many]
        early: list[AttributeFact] = []
        late: list[Happening] = []
        for fact in facts:
            if fact.name in self._trial.deciding and fact.time >= start:
                late.append(Happening("", self.contact_id, fact.time, "", attributes=(fact,)))
            else:
                early.append(fact)
        before = tuple(one for one in agreed if one.time < start)
        for one in agreed[len(before) :]:
            late.append(Happening("", self.contact_id, one.time, "", consents=(one,)))
        self._facts = deque(sorted(late, key=_TIME))
        if any(one.name == CREATED for one in events) and min(times) >= start:
            self._known = early
        else:
            self._recall(events, Past("", (), _as_of(early, start - 1), before))

    def _recall(self, events: Sequence[Happening], besides: Past | None = None) -> None:
        """Take up what was before the start."""
        before = tuple(one for one in events if one.time < self._trial.start)
        if before or besides is not None:
            spots = [one.spot for one in before if one.spot is not None]
            walk = self._walk(self._trial.start - 1)
            walk.recall(
                replace(
                    besides or Past(""),
                    contact_id=self.contact_id,
                    happenings=before,
                    spot=spots[-1] if spots else None,
                )
            )
            walk.tidy()

    def _learn(self, until: int) -> Iterator[list[Told[E]]]:
        """Live through what became known, besides events, until an instant."""
        while self._facts and self._facts[0].time <= until:
            yield from self._step(self._facts.popleft())

    def _step(self, happening: Happening) -> Iterator[list[Told[E]]]:
        yield from self._pass(happening.time - 1)
        if self._known:
            known = _as_of(self._known, happening.time)
            happening = replace(happening, attributes=(*known, *happening.attributes))
            self._known = ()
        walk = self._walk(happening.time)
        walk.happen(happening)
        self._note(walk)
        yield self._ready()

    def _pass(self, until: int) -> Iterator[list[Told[E]]]:
        """Let time pass: to every instant at which something is due."""
        while (due := self._next_due()) is not None and due <= until:
            walk = self._walk(due)
            walk.advance(due)
            self._note(walk)
            self._fire(due)
            yield self._ready()

    def _next_due(self) -> int | None:
        dues = [one.occurrence.due_time for one in islice(self._waiting.values(), 1)]
        if (due := self._state.next_due()) is not None:
            dues.append(due)
        return min(dues, default=None)

    def _fire(self, now: int) -> None:
        while self._waiting:
            occurrence_id, one = next(iter(self._waiting.items()))
            if one.occurrence.due_time > now:
                return
            ending = fall_due(self._trial.rules, one.occurrence, self._state, now)
            assert ending is not None, "its contact was walked to there"
            one.occurrence = ending.occurrence
            del self._waiting[occurrence_id]

    def _walk(self, now: int) -> Walk:
        walk = Walk(self._trial.rules, self.contact_id, self._state, now)
        walk.causing.weighed = self._weighed
        return walk

    def _weighed(self, trigger: TriggerRule, why: Why, made: Sequence[Occurrence]) -> None:
        occurrence = made[0] if made else None
        if occurrence is None and self._show_unmet:
            occurrence = unmet(trigger, self.contact_id, self._state.facts, why)
        if occurrence is None:
            return
        entry = _Entry(occurrence, self._explain(trigger, occurrence, self._state))
        self._told.append(entry)
        if occurrence.state == "waiting":
            self._waiting[occurrence.occurrence_id] = entry

    def _note(self, walk: Walk) -> None:
        """Take what came of an instant."""
        for gone in walk.causing.cancelled:
            entry = self._waiting.pop(gone.occurrence_id)
            entry.occurrence = cancelled(entry.occurrence, gone.instant)
        walk.tidy()

    def _ready(self) -> list[Told[E]]:
        """What can be told by now."""
        found: list[Told[E]] = []
        while self._told and self._told[0].occurrence.occurrence_id not in self._waiting:
            one = self._told.popleft()
            found.append(Told(one.occurrence, one.explanation))
        return found


def _bare(happening: Happening) -> Happening:
    """What happened, as it was told at once; what attributes it set is not known of most."""
    stage = tuple(one for one in happening.attributes if one.name == STAGE)
    return replace(happening, attributes=stage, received=happening.time)


def _facts(past: Past, start: int) -> Iterator[AttributeFact]:
    """Attributes as they are; the stage as it was at the start, which the next change tells."""
    for fact in past.attributes:
        if fact.name == STAGE and fact.time >= start:
            moves = (h for h in past.happenings if h.name == STAGE_CHANGED and h.time >= start)
            move = next(moves, None)
            before = move.properties.get("previous_stage") if move else past.former_stage
            yield replace(fact, value=before) if before else fact
        else:
            yield fact


def _as_of(facts: Sequence[AttributeFact], latest: int) -> tuple[AttributeFact, ...]:
    """Facts that hold since an instant at the latest."""
    return tuple(replace(one, time=min(one.time, latest)) for one in facts)
