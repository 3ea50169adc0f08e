"""A contact's compact state, and how what happens and time itself move it. Pure.

A state stands at its `clock`: the last instant at which anything was evaluated. What happened
after it is walked to in order, through every instant at which time alone changes something. What
happened before it (late, out of order) revises it: the affected rules are walked again from that
instant on, and only where the outcome at the clock differs does somebody enter or leave.
"""

from bisect import bisect_left
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import Any, Final

import msgspec

from chassis.ids import derived_id
from expressions import Event, Facts
from expressions.facts import MAX_EVENTS
from services.segment.model import (
    AttributeFact,
    ConsentFact,
    Happening,
    Occurrence,
    Past,
    Transition,
)
from services.segment.rules import Rules, SegmentRule, TriggerRule, nobody
from services.segment.state import Agreement, ContactState, Standing
from services.segment.triggers import caused

REWIND: Final = 3_600_000
"""How late (ms) something may come and still get its exact instant; later, membership is exact
all the same, and the instant is this long before the clock."""
PRINT: Final = "~"
"""The property that holds an event's fingerprint; it sorts behind those with a name."""
_MAX_ATTRIBUTES: Final = 500


class Walk:
    """One contact on its way through what happened; collects what follows from that."""

    def __init__(
        self, rules: Rules, contact_id: str, state: ContactState, now: int, oldest_cause: int = 0
    ) -> None:
        """What happened before `oldest_cause` fires no trigger."""
        self.rules = rules
        self.contact_id = contact_id
        self.state = state
        self.transitions: list[Transition] = []
        self.occurrences: list[Occurrence] = []
        self._now = now
        self._oldest_cause = oldest_cause
        self._grown: set[str] = set()
        """Events that were added."""
        self._everything = False
        """Time passed, or rules changed: any history may be over."""

    def happen(self, happening: Happening) -> None:
        """Apply something that happened."""
        state = self.state
        instant = min(happening.time, self._now)
        if state.restricted:
            # Who makes the state anew sees by its clock that something came meanwhile.
            state.clock = max(state.clock + 1, instant)
            state.moved()
            return
        affected: AbstractSet[str] = self._begin(instant)
        self.catch_up(max(instant - 1, state.clock))
        late = instant < state.clock
        if not late and (due := state.next_due()) is not None and due <= instant:
            self.advance(instant - 1)
            affected = affected | self._due(instant)
        affected = affected | self._learn(happening)
        if affected and late:
            self._revise(affected, instant, happening)
        elif affected:
            self._settle(affected, instant, happening)
        for trigger in self.rules.by_event.get(happening.name, ()):
            event = Event(
                happening.time,
                self.rules.registry.event_properties(
                    happening.name, happening.properties, happening.properties
                ),
            )
            self._cause(trigger, event, happening.event_id, instant, happening)

    def advance(self, until: int) -> None:
        """Let time pass: every instant at which it changes something, in order."""
        while (due := self.state.next_due()) is not None and due <= until:
            self._everything = True
            self._settle(self._due(due), due)

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
        state.generation = rules.generation
        for gone in state.standings.keys() - rules.segments.keys():
            del state.standings[gone]
        state.facts.segments = {
            rules.segments[i].name for i, standing in state.standings.items() if standing.member
        }
        for name in state.attribute_times.keys() - rules.attributes:
            del state.attribute_times[name]
            state.facts.attributes.pop(name, None)
        if fresh:
            self.advance(instant)
            self._settle(fresh, max(instant, state.clock), backfilled=True)

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
            affected = affected | self._learn(happening)
        affected = affected | self._learn_facts(past.attributes, past.consents)
        if affected:
            self._settle(affected, now, backfilled=True)

    def absorb(self, other: ContactState, happening: Happening) -> None:
        """Become one with another contact: all that is known of either counts."""
        state = self.state
        if state.restricted:
            return
        instant = max(min(happening.time, self._now), state.clock, other.clock)
        self._begin(instant)
        self.catch_up(instant)
        self.advance(instant)
        for name, timeline in other.facts.timelines.items():
            for time, properties in zip(timeline.times, timeline.properties, strict=True):
                self._insert(name, time, properties)
        self._learn_facts(
            [
                AttributeFact(name, other.facts.attributes.get(name), time)
                for name, time in other.attribute_times.items()
            ],
            [
                ConsentFact(purpose, one.granted, one.time, one.expire)
                for purpose, one in other.agreements.items()
            ],
        )
        self._settle(self.rules.segments, instant, happening)

    def rebuild(self, past: Past) -> None:
        """Know only what is in the past; who enters or leaves by that fires no trigger."""
        state, rules = self.state, self.rules
        for gone in state.standings.keys() - rules.segments.keys():
            del state.standings[gone]
        state.facts, state.attribute_times, state.agreements = nobody(), {}, {}
        state.facts.segments = {
            rules.segments[i].name for i, standing in state.standings.items() if standing.member
        }
        state.generation = rules.generation
        self._everything = True
        state.clock = max(self._now, state.clock)
        state.restricted = False
        state.moved()
        if past.restricted:
            self.restrict()
            return
        for happening in past.happenings:
            self._learn(happening)
        self._learn_facts(past.attributes, past.consents)
        self._settle(rules.segments, state.clock, backfilled=True)

    def restrict(self, happening: Happening | None = None) -> None:
        """Forget what is known and leave every segment, until that ends; no trigger fires."""
        state = self.state
        state.clock = max(self._now, state.clock)
        for segment_id, standing in state.standings.items():
            standing.due = None
            if standing.member:
                standing.member, standing.since = False, max(state.clock, standing.since + 1)
                if rule := self.rules.segments.get(segment_id):
                    self._flipped(rule, standing, happening, backfilled=True)
        state.facts, state.attribute_times, state.agreements = nobody(), {}, {}
        state.generation = self.rules.generation
        state.restricted = True
        state.moved()

    def tidy(self) -> None:
        """Forget what no rule can look at any more."""
        if self._grown or self._everything:
            names = None if self._everything else self._grown
            self.state.facts.prune(self.state.clock - REWIND, self.rules.history, only=names)

    def _begin(self, instant: int) -> set[str]:
        """What is to be evaluated because a contact is looked at for the first time."""
        if self.state.clock:
            return set()
        self.state.clock = instant
        self.state.generation = self.rules.generation
        self.state.moved()
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
        due = {i for i, s in state.standings.items() if s.due is not None and s.due <= instant}
        return due | self.rules.index.affected(consents=ended) if ended else due

    def _learn(self, happening: Happening) -> AbstractSet[str]:
        """Put what happened into the facts; returns the segments that it can change."""
        name, facts = happening.name, self.state.facts
        affected: AbstractSet[str] = set()
        if need := self.rules.history.get(name):
            properties = self.rules.registry.event_properties(
                name, happening.properties, need.properties
            )
            affected = self.rules.index.by_event(name, properties, facts.attributes)
            if affected or self.rules.needs.looks_at(name, properties):
                properties[PRINT] = _print(happening.event_id)
                if self._insert(name, happening.time, properties):
                    affected = self.rules.index.affected(events=(name,))
        if happening.attributes or happening.consents:
            affected = affected | self._learn_facts(happening.attributes, happening.consents)
        return affected

    def _learn_facts(
        self, attributes: Iterable[AttributeFact], consents: Iterable[ConsentFact]
    ) -> set[str]:
        """The later fact wins, whatever comes first."""
        state = self.state
        facts, times = state.facts, state.attribute_times
        affected: set[str] = set()
        for fact in attributes:
            name = fact.name
            if name not in self.rules.attributes or fact.time < times.get(name, 0):
                continue
            if name not in times and len(times) >= _MAX_ATTRIBUTES:
                continue
            times[name] = fact.time
            state.changed = True
            value = self.rules.registry.attribute_value(name, fact.value)
            before = facts.attributes.get(name)
            if value == before:
                continue
            affected |= self.rules.index.by_attribute(name, before, value, facts.attributes)
            if value is None:
                del facts.attributes[name]
            else:
                facts.attributes[name] = value
            if name == "zone":
                facts.zone = value or "UTC"
        agreed: list[str] = []
        for consent in consents:
            known = state.agreements.get(consent.purpose)
            if known is not None and consent.time < known.time:
                continue
            over = consent.expire is not None and consent.expire <= max(state.clock, consent.time)
            granted = consent.granted and not over
            state.moved()
            state.agreements[consent.purpose] = Agreement(consent.time, granted, consent.expire)
            if facts.consents.get(consent.purpose, False) != granted:
                agreed.append(consent.purpose)
            facts.consents[consent.purpose] = granted
        return affected | self.rules.index.affected(consents=agreed) if agreed else affected

    def _insert(self, name: str, time: int, properties: dict[str, Any]) -> bool:
        """Returns whether the oldest had to go."""
        timeline = self.state.facts.timelines.get(name)
        self.state.changed = True
        self._grown.add(name)
        if timeline is not None and timeline.times and time <= timeline.times[-1]:
            at = bisect_left(timeline.times, time)
            while at < len(timeline.times) and timeline.times[at] == time:
                if timeline.properties[at].get(PRINT) == properties[PRINT]:
                    # A repeat, perhaps read for a newer rule that looks at more of it.
                    properties = {**timeline.properties[at], **properties}
                    del timeline.times[at], timeline.properties[at]
                    break
                at += 1
        full = timeline is not None and len(timeline.times) >= MAX_EVENTS
        self.state.facts.insert(name, time, properties)
        return full

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
        state, rules = self.state, self.rules
        facts, clock = state.facts, state.clock
        state.moved()
        wanted = rules.downstream(segment_ids)
        walked = rules.upstream(wanted)
        present = facts.segments
        facts.segments = present - {rules.segments[i].name for i in walked}
        course: dict[str, Standing] = {}
        at = max(instant, clock - REWIND)
        todo = walked
        while True:
            settle(rules, facts, course, todo, at)
            after = min((s.due for s in course.values() if s.due is not None), default=None)
            if after is None or after > clock:
                break
            at = after
            todo = {i for i, s in course.items() if s.due == at}
        facts.segments = present
        start = max(instant, clock - REWIND)
        for segment_id in sorted(wanted, key=lambda i: rules.segments[i].rank):
            outcome = course.get(segment_id) or Standing()
            standing = state.standings.get(segment_id)
            if standing is None:
                if not outcome.member and outcome.due is None:
                    continue
                standing = state.standings[segment_id] = Standing()
            standing.due = outcome.due
            if standing.member != outcome.member:
                rule = rules.segments[segment_id]
                standing.member = outcome.member
                standing.since = max(outcome.since, start, standing.since + 1)
                _name(facts, rule, outcome.member)
                self._flipped(rule, standing, happening, False)

    def _flipped(
        self, rule: SegmentRule, standing: Standing, happening: Happening | None, backfilled: bool
    ) -> None:
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
        if backfilled:
            return
        for trigger in self.rules.by_transition.get((rule.segment_id, standing.member), ()):
            self._cause(trigger, None, transition_id(transition), standing.since, happening)

    def _cause(
        self,
        trigger: TriggerRule,
        event: Event | None,
        cause_id: str,
        instant: int,
        happening: Happening | None,
    ) -> None:
        if instant < self._oldest_cause:
            return
        occurrence = caused(
            trigger, self.contact_id, self.state.facts, event, cause_id, instant, self._now
        )
        if occurrence is not None:
            self.occurrences.append(
                msgspec.structs.replace(
                    occurrence,
                    received=instant if happening is None else happening.received,
                    traceparent="" if happening is None else happening.traceparent,
                )
            )


def settle(
    rules: Rules,
    facts: Facts,
    standings: dict[str, Standing],
    segment_ids: Iterable[str],
    instant: int,
) -> list[tuple[SegmentRule, Standing]]:
    """Evaluate segments at an instant, and those that use what enters or leaves, each after what
    it uses. Changes `standings` and `facts.segments`; returns those that were entered or left.
    """
    segments = rules.segments
    todo = [segments[i].rank for i in segment_ids if i in segments]
    heapify(todo)
    flipped: list[tuple[SegmentRule, Standing]] = []
    last = -1
    while todo:
        rank = heappop(todo)
        if rank == last:
            continue
        last = rank
        rule = rules.ranked[rank]
        segment_id = rule.segment_id
        value, due = rule.judge(facts, instant, None)
        standing = standings.get(segment_id)
        if standing is None:
            if not value and due is None:
                continue
            standing = standings[segment_id] = Standing()
        standing.due = due
        if value == standing.member:
            continue
        standing.member = value
        # Later than the last change, so that who orders by time sees them in their order.
        standing.since = max(instant, standing.since + 1)
        _name(facts, rule, value)
        flipped.append((rule, standing))
        for dependent in rules.dependents(segment_id):
            heappush(todo, segments[dependent].rank)
    return flipped


def transition_id(transition: Transition) -> str:
    """The id of the event that tells of it; the same after a crash."""
    return derived_id(
        "seg",
        transition.segment_id,
        str(transition.version),
        transition.contact_id,
        "entered" if transition.entered else "left",
        str(transition.time),
    )


def _name(facts: Facts, rule: SegmentRule, member: bool) -> None:
    if member:
        facts.segments.add(rule.name)
    else:
        facts.segments.discard(rule.name)


def _print(event_id: str) -> int:
    """64 bits by which a repeat of an event is known."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big")
