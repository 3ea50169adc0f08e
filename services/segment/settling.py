"""Segments evaluated at an instant, each after those it uses. Pure."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from chassis.ids import derived_id
from expressions import Facts
from services.segment.model import Transition
from services.segment.rules import Rules, SegmentRule
from services.segment.state import Standing


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
