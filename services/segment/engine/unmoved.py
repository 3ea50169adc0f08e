"""Whom new rules leave as they are. Pure.

It is enough to bring these up to the rules when something happens to them: until then they stand to
every segment as they stood, and time alone changes nothing about that.
"""

from services.segment.engine.rules import Rules, SegmentRule
from services.segment.engine.state import ContactState


class Unmoved:
    """Tells them apart."""

    def __init__(self, rules: Rules, now: int, floor: int) -> None:
        """`floor`: a generation by whose rules everybody was looked at, and either brought up to
        them or left as they leave them."""
        self._rules = rules
        self._now = now
        self._floor = floor
        self._since: dict[int, list[SegmentRule]] = {}

    def stays(self, state: ContactState) -> bool:
        """Whether a contact, as it is stored, stays as it is."""
        rules = self._rules
        if state.restricted or state.generation >= rules.generation:
            return True
        due = state.next_due()
        if state.clock == 0 or state.journeys.instances or (due is not None and due <= self._now):
            return False
        if any(rules.named(one) is None for one in state.standings):
            return False  # it is to forget a segment that ended, which others may name anew
        return (
            self._waits_for_its_moments(state)
            and self._is_where_it_was(state)
            and all(self._stands(state, rule) for rule in self._fresh(state.generation))
        )

    def _stands(self, state: ContactState, rule: SegmentRule) -> bool:
        standing = state.standings.get(rule.segment_id)
        stands = (False, None) if standing is None else (standing.member, standing.due)
        return rule.judge(state.facts, max(self._now, state.clock), None) == stands

    def _fresh(self, generation: int) -> list[SegmentRule]:
        """What became live since somebody, or everybody, was looked at."""
        since = max(generation, self._floor)
        if since not in self._since:
            self._since[since] = [self._rules.segments[one] for one in self._rules.since(since)]
        return self._since[since]

    def _waits_for_its_moments(self, state: ContactState) -> bool:
        """Whether it has a next moment of every trigger that has moments."""
        moments = state.triggers.moments
        return all(
            (coming := moments.get(one)) is not None and coming.since == trigger.definition.since
            for one, trigger in self._rules.moments.items()
        )

    def _is_where_it_was(self, state: ContactState) -> bool:
        """Whether it is in no place that a new trigger would have to know of."""
        return state.spot is None or all(
            one.since <= state.generation for one in self._rules.by_place
        )
