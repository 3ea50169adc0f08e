"""Segments evaluated at an instant, each after those it uses. Pure."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from typing import Final

from chassis.ids import derived_id
from expressions import Facts
from services.segment.engine.model import Transition
from services.segment.engine.rules import Rules, SegmentRule
from services.segment.engine.state import Standing

REWIND: Final = 3_600_000
"""How late (ms) something may come and still get its exact instant; later, membership is exact
all the same, and the instant is this long before the clock."""


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
        mark(facts, rule, value)
        flipped.append((rule, standing))
        for dependent in rules.dependents(segment_id):
            heappush(todo, segments[dependent].rank)
    return flipped


def revise(
    rules: Rules,
    facts: Facts,
    standings: dict[str, Standing],
    segment_ids: AbstractSet[str],
    instant: int,
    clock: int,
) -> list[tuple[SegmentRule, Standing]]:
    """Something late became known: walk again from its instant to the clock, and see who is a
    member there. Changes `standings` and `facts.segments`; returns those that differ."""
    start = max(instant, clock - REWIND)
    wanted = rules.downstream(segment_ids)
    walked = rules.upstream(wanted)
    present = facts.segments
    facts.segments = present - {rules.segments[i].name for i in walked}
    course: dict[str, Standing] = {}
    at, todo = start, walked
    while True:
        settle(rules, facts, course, todo, at)
        after = min((s.due for s in course.values() if s.due is not None), default=None)
        if after is None or after > clock:
            break
        at = after
        todo = {i for i, s in course.items() if s.due == at}
    facts.segments = present
    differing: list[tuple[SegmentRule, Standing]] = []
    for segment_id in sorted(wanted, key=lambda i: rules.segments[i].rank):
        outcome = course.get(segment_id) or Standing()
        standing = standings.get(segment_id)
        if standing is None:
            if not outcome.member and outcome.due is None:
                continue
            standing = standings[segment_id] = Standing()
        standing.due = outcome.due
        if standing.member != outcome.member:
            rule = rules.segments[segment_id]
            standing.member = outcome.member
            standing.since = max(outcome.since, start, standing.since + 1)
            mark(facts, rule, outcome.member)
            differing.append((rule, standing))
    return differing


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


def mark(facts: Facts, rule: SegmentRule, member: bool) -> None:
    """Let the facts say who is in a segment; a trigger's own rule is none."""
    if member and rule.name:
        facts.segments.add(rule.name)
    else:
        facts.segments.discard(rule.name)
