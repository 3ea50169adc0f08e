"""A contact's compact state, and how what happens and time itself move it. Pure.

A state stands at its `clock`: the last instant at which anything was evaluated. What happened
after it is walked to in order, through every instant at which time alone changes something. What
happened before it (late, out of order) revises it: the affected rules are walked again from that
instant on, and only where the outcome at the clock differs does somebody enter or leave.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from chassis.ids import derived_id
from expressions import Event, Given
from services.segment.engine.causes import SeasonCause
from services.segment.engine.causing import Causing
from services.segment.engine.fanout import Look, looks_of
from services.segment.engine.journeys.model import Journeying, Start
from services.segment.engine.learning import Learning
from services.segment.engine.model import (
    AttributeFact,
    ConsentFact,
    Happening,
    Past,
    SegmentDefinition,
    Spot,
    Transition,
)
from services.segment.engine.moments import season
from services.segment.engine.rules import Rules, SegmentRule, TriggerRule, nobody
from services.segment.engine.settling import REWIND, revise, settle, transition_id
from services.segment.engine.stages import STAGE, Joined, Move, move_of
from services.segment.engine.state import ContactState, Standing
from services.segment.engine.ways import Ways
from services.segment.engine.whereabouts import locate, remember, settle_in, unite

_NONE: Final[frozenset[str]] = frozenset()


class Walk:
    """One contact on its way through what happened; collects what follows from that."""

    # No part of it holds it: it is gone as soon as it is let go, without a search for cycles.
    __slots__ = (
        *("_everything", "_former_spot", "_former_stage", "_learning", "_now"),
        *("causing", "contact_id", "looks", "moves", "refused", "rules", "state", "transitions"),
        "ways",
    )

    def __init__(
        self, rules: Rules, contact_id: str, state: ContactState, now: int, oldest_cause: int = 0
    ) -> None:
        """What was older than `oldest_cause` is now when it was accepted fires no trigger."""
        self.rules = rules
        self.contact_id = contact_id
        self.state = state
        self.transitions: list[Transition] = []
        self.looks: list[Look] = []
        """Items that the contact looked at, while that matters."""
        self.refused: dict[str, str] = {}
        """Why journeys that somebody asked for did not start, by what they would follow from."""
        self._former_spot = state.spot
        self.ways = Ways(rules.journeys, contact_id, state, now)
        self.causing = Causing(rules, contact_id, state, now, oldest_cause, self.ways)
        self._now = now
        self._learning = Learning(rules, state, self.ways.touched)
        self.moves: list[Move] = []
        """Between stages."""
        self._former_stage = state.facts.attributes.get(STAGE)
        self._everything = False
        """Time passed, or rules changed: any history may be over."""
        if state.journeys.instances and state.generation != rules.generation:
            self.ways.moves.refresh(max(state.clock, now))

    def happen(self, happening: Happening) -> None:
        """Apply something that happened."""
        state = self.state
        instant = min(happening.time, self._now)
        if state.restricted:
            # Who makes the state anew sees by its clock that something came meanwhile.
            state.clock = max(state.clock + 1, instant)
            state.moved()
            return
        affected: AbstractSet[str] = _NONE if state.clock else self._begin(instant)
        if state.generation != self.rules.generation:
            self.catch_up(max(instant - 1, state.clock))
        late = instant < state.clock
        timed = not late and (due := state.next_due()) is not None and due <= instant
        if timed:
            self.advance(instant - 1)
            affected = affected | self._due(instant)
        stage = self.stage
        affected = self._learning.happening(happening) | affected
        move = move_of(happening, stage, self.stage, state.joined)
        if move is not None:
            self.moves.append(move)
        if self._learning.dated:
            self._redate(state.clock if late else instant - 1)
        if affected and late:
            self._revise(affected, instant, happening)
        elif affected or timed:
            self._settle(affected, instant, happening)
        self.causing.happened(instant, max(instant, state.clock))
        if timed:
            self.causing.pass_moments(instant)
        self._cause_by(happening, instant)
        self.looks += looks_of(happening, self.rules.looks)
        for order in happening.orders:
            if isinstance(order, Start):
                started = self.ways.start(order, instant, happening)
                if started.reason:
                    self.refused[order.cause_id] = started.reason
            else:
                self.ways.moves.exit(order, max(instant, state.clock))
        self.ways.go_on(instant, happening)

    def _cause_by(self, happening: Happening, instant: int) -> None:
        """What happened is itself the cause of triggers."""
        rules, name = self.rules, happening.name
        for trigger in rules.by_event.get(name, ()):
            told = happening.properties
            event = Event(happening.time, rules.registry.event_properties(name, told, told))
            if trigger.caused_by(event.properties):
                self._cause(trigger, event, happening.event_id, instant, happening)
        if happening.spot is not None:
            for rule, place_id in locate(rules, self.state, happening.spot):
                event = Event(happening.time, rules.places.event(place_id, happening.spot))
                cause_id = derived_id("plc", happening.event_id, place_id)
                self._cause(rule.trigger, event, cause_id, instant, happening)
        for trigger_id in happening.trigger_ids:
            if found := rules.triggers.get(trigger_id):
                given = {"item": happening.item}
                self._cause(found, None, happening.event_id, instant, happening, given)

    def _join(self, others: Journeying, instant: int, happening: Happening) -> None:
        """Go on where another contact was in journeys."""
        self.ways.moves.absorb(others, instant)
        if self.state.restricted:
            self.ways.moves.restrict(instant)
        else:
            self.ways.go_on(instant, happening, everybody=True)

    def advance(self, until: int) -> None:
        """Let time pass: every instant at which it changes something, in order."""
        while (due := self.state.next_due()) is not None and due <= until:
            self._everything = True
            self._settle(self._due(due), due)
            self.causing.happened(due, due)
            self.causing.pass_moments(due)
            self.ways.go_on(due)

    def catch_up(self, instant: int) -> None:
        """Evaluate what became live since this contact was last looked at."""
        state, rules = self.state, self.rules
        if state.generation == rules.generation:
            return
        state.moved()
        self._everything = True
        if state.restricted:
            state.generation = rules.generation
            return
        fresh = rules.since(state.generation)
        settle_in(rules, state, state.generation)
        state.generation = rules.generation
        self._forget_ended()
        for name in state.attribute_times.keys() - rules.attributes:
            del state.attribute_times[name]
            state.facts.attributes.pop(name, None)
        self.causing.catch_up()
        if fresh:
            self.advance(instant)
            self._settle(fresh, max(instant, state.clock), backfilled=True)
            self.ways.go_on(instant)

    def recall(self, past: Past) -> None:
        """Take up what was known before. Only the outcome now counts; no trigger fires."""
        if past.restricted and not self.state.restricted:
            self.restrict()
        if self.state.restricted:
            return
        affected: AbstractSet[str] = self._begin(self._now)
        now = max(self._now, self.state.clock)
        self.advance(now)
        self.catch_up(now)
        for happening in past.happenings:
            affected = affected | self._learning.happening(happening)
        affected = affected | self._learning.facts(past.attributes, past.consents)
        self._recall_outside(past)
        self._redate(None)
        if affected:
            self._settle(affected, now, backfilled=True)
        self.causing.happened(now, now)
        self.ways.go_on(now)

    def _recall_outside(self, past: Past) -> None:
        if past.spot is not None:
            remember(self.rules, self.state, past.spot)
        self._former_spot = None
        for happening in past.happenings:
            self.looks += looks_of(happening, self.rules.looks)

    @property
    def spot(self) -> Spot | None:
        """Where the contact is, if that became known, and matters for the weather."""
        spot = self.state.spot
        return spot if self.rules.weather and spot is not self._former_spot else None

    def absorb(self, other: ContactState, happening: Happening) -> None:
        """Become one with another contact: all that is known of either counts."""
        state = self.state
        if state.restricted:
            self._join(other.journeys, state.clock, happening)
            return
        instant = max(min(happening.time, self._now), state.clock, other.clock)
        self._begin(instant)
        self.catch_up(instant)
        self.advance(instant)
        for name, timeline in other.facts.timelines.items():
            for time, properties in zip(timeline.times, timeline.properties, strict=True):
                self._learning.insert(name, time, properties)
        self._learning.facts(
            [
                AttributeFact(name, other.facts.attributes.get(name), time)
                for name, time in other.attribute_times.items()
            ],
            [
                ConsentFact(purpose, one.granted, one.time, one.expire)
                for purpose, one in other.agreements.items()
            ],
        )
        unite(state, other)
        if (stood := other.facts.attributes.get(STAGE)) is not None:
            state.joined = Joined(stood, happening.time)
        self._learning.facts(happening.attributes, happening.consents)
        self.causing.absorb(other, instant)
        self._settle(self.rules.segments, instant, happening)
        self.causing.happened(instant, instant)
        self._join(other.journeys, instant, happening)

    def receive(self, other: "Walk", happening: Happening) -> None:
        """Take along, out of another contact, what is one's own in journeys; and have had what it
        had, so that nothing is had twice."""
        self.causing.remember(other.state)
        taken = other.ways.moves.part(frozenset(happening.member_ids))
        if not taken.instances and not taken.arms:
            return
        instant = max(min(happening.time, self._now), self.state.clock)
        if fresh := self._begin(instant):
            self._settle(fresh, instant, happening)
        self._join(taken, instant, happening)

    def rebuild(self, past: Past) -> None:
        """Know only what is in the past; who enters or leaves by that fires no trigger."""
        state, rules = self.state, self.rules
        state.facts, state.attribute_times, state.agreements = nobody(), {}, {}
        state.spot, state.inside = None, {}
        self._forget_ended()
        state.generation = rules.generation
        self._everything = True
        state.clock = max(self._now, state.clock)
        state.restricted = False
        state.moved()
        if past.restricted:
            self.restrict()
            return
        for happening in past.happenings:
            self._learning.happening(happening)
        self._learning.facts(past.attributes, past.consents)
        self._recall_outside(past)
        self.causing.rebuild(state.clock)
        self._settle(rules.segments, state.clock, backfilled=True)
        self.ways.go_on(state.clock, everybody=True)

    def restrict(self, happening: Happening | None = None) -> None:
        """Forget what is known and leave every segment, until that ends; no trigger fires."""
        state = self.state
        state.clock = max(self._now, state.clock)
        for segment_id, standing in state.standings.items():
            standing.due = None
            if standing.member:
                standing.member, standing.since = False, max(state.clock, standing.since + 1)
                if rule := self.rules.named(segment_id):
                    self._flipped(rule, standing, happening, backfilled=True)
        state.facts, state.attribute_times, state.agreements = nobody(), {}, {}
        state.spot, state.inside = None, {}
        state.generation = self.rules.generation
        self.causing.restrict()
        self.ways.moves.restrict(state.clock)
        state.restricted = True
        state.moved()

    @property
    def stage(self) -> str | None:
        """Where the contact stands, if it may be known."""
        found: str | None = self.state.facts.attributes.get(STAGE)
        return found

    @property
    def moved(self) -> bool:
        """Whether it stands in another stage than before."""
        return self.stage != self._former_stage

    def tidy(self) -> None:
        """Forget what no rule can look at any more."""
        if self._learning.grown or self._everything:
            names = None if self._everything else self._learning.grown
            self.state.facts.prune(self.state.clock - REWIND, self.rules.history, only=names)
        self.causing.tidy()

    def _begin(self, instant: int) -> set[str]:
        """What is to be evaluated because a contact is looked at for the first time."""
        if self.state.clock:
            return set()
        self.state.clock = instant
        self.state.generation = self.rules.generation
        self.state.moved()
        self.causing.begin(instant)
        return set(self.rules.initial)

    def _due(self, instant: int) -> set[str]:
        """What time alone can change at `instant`; consents that end then, end."""
        state = self.state
        ended = [
            purpose
            for purpose, one in state.agreements.items()
            if one.granted and one.expire is not None and one.expire <= instant
        ]
        for purpose in ended:
            state.agreements[purpose].granted = False
            state.facts.consents[purpose] = False
            self.ways.touched.add(("consents", purpose))
        due = {i for i, s in state.standings.items() if s.due is not None and s.due <= instant}
        for idle in due - self.rules.segments.keys():  # archived since, or not evaluated
            state.standings[idle].due = None
        return due | self.rules.index.affected(consents=ended) if ended else due

    def _settle(
        self,
        segment_ids: Iterable[str],
        instant: int,
        happening: Happening | None = None,
        backfilled: bool = False,
    ) -> None:
        """Evaluate at an instant, and move the clock to it."""
        state = self.state
        state.clock = max(state.clock, instant)
        state.moved()
        for rule, standing in settle(
            self.rules, state.facts, state.standings, segment_ids, instant
        ):
            self._flipped(rule, standing, happening, backfilled)

    def _revise(self, segment_ids: AbstractSet[str], instant: int, happening: Happening) -> None:
        """Something late became known: walk again from its instant to the clock."""
        state = self.state
        state.moved()
        for rule, standing in revise(
            self.rules, state.facts, state.standings, segment_ids, instant, state.clock
        ):
            self._flipped(rule, standing, happening, False)

    def _forget_ended(self) -> None:
        """Of segments that ended nothing is kept; of all others the facts know who is in them."""
        state, rules = self.state, self.rules
        names = {i: rule.name for i in state.standings if (rule := rules.named(i))}
        for gone in state.standings.keys() - names.keys():
            del state.standings[gone]
        state.facts.segments = {
            name for i, one in state.standings.items() if one.member and (name := names[i])
        }

    def _flipped(
        self,
        rule: SegmentRule | SegmentDefinition,
        standing: Standing,
        happening: Happening | None,
        backfilled: bool,
    ) -> None:
        if isinstance(rule, SegmentRule) and rule.trigger is not None:
            if standing.member and not backfilled:
                self._came_to_hold(rule.trigger, standing.since, happening)
            return
        cause = "" if happening is None else happening.event_id
        transition = Transition(
            contact_id=self.contact_id,
            segment_id=rule.segment_id,
            version=rule.version,
            entered=standing.member,
            time=standing.since,
            cause_event_id=cause,
            backfilled=backfilled,
            # What time alone did was caused at that instant: its age is its lateness.
            received=standing.since if happening is None else happening.received,
            traceparent="" if happening is None else happening.traceparent,
        )
        self.transitions.append(transition)
        self.ways.touched.add(("segments", rule.name))
        if backfilled:
            return
        for trigger in self.rules.by_transition.get((rule.segment_id, standing.member), ()):
            self._cause(trigger, None, transition_id(transition), standing.since, happening)

    def _came_to_hold(
        self, trigger: TriggerRule, instant: int, happening: Happening | None
    ) -> None:
        """What a trigger waits for holds: a season once a year, all else each time."""
        cause_id = str(instant)
        if isinstance(trigger.definition.cause, SeasonCause):
            cause_id = str(season(trigger.definition.cause, self.state.facts.zone, instant).begun)
        self._cause(trigger, None, cause_id, instant, happening)

    def _cause(
        self,
        trigger: TriggerRule,
        event: Event | None,
        cause_id: str,
        instant: int,
        happening: Happening | None,
        given: Given | None = None,
    ) -> None:
        self.causing.cause(trigger, event, cause_id, instant, happening, given or {})

    def _redate(self, after: int | None) -> None:
        """What moments go by may be other than it was."""
        if self._learning.dated:
            self.causing.moved(self._learning.dated, after)
            self._learning.dated = set()
