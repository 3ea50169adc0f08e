"""Whom new rules leave as they are, and that nobody can tell them from those who were brought up to
the rules at once."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.segment.engine.actions import SendAction
from services.segment.engine.causes import PlaceCause, ScheduleCause
from services.segment.engine.model import (
    AttributeFact,
    Happening,
    SegmentDefinition,
    Spot,
    TriggerDefinition,
)
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.engine.unmoved import Unmoved
from services.segment.tests.test_exactness import (
    CONTACT,
    GROWN,
    MINUTE,
    REGISTRY,
    SEGMENTS,
    START,
    Service,
    lives,
    oracle_members,
)

COMING = Rules(
    1,
    [
        one if n < 4 else SegmentDefinition(one.segment_id, one.name, 1, one.expression, False)
        for n, one in enumerate(SEGMENTS)
    ],
    (),
    Compiler(REGISTRY),
)
"""With `GROWN` in backfill: what they look at is kept already."""
SEND = SendAction("cmp_1")


def is_due(service: Service, now: int) -> bool:
    due = service.states[CONTACT].next_due() if service.kept else None
    return due is not None and due <= now


@given(st.data(), lives())
@settings(max_examples=200, deadline=None)
def test_whoever_is_left_becomes_what_the_others_become(
    data: st.DataObject, life: list[Happening]
) -> None:
    split = data.draw(st.integers(1, len(life)))
    before, now = Service(COMING), START
    for happening in life[:split]:
        now = max(now, happening.time)
        before.take([happening], now)
    # What comes late is told of as far as somebody was looked at, which is not the rules' doing.
    following = life[split].time - 1 if split < len(life) else 1 << 60
    now = min(now + data.draw(st.integers(0, 20)) * MINUTE, following)
    if is_due(before, now):
        before.let_time_pass(now)
    kept = before.kept
    left, moved = (
        replace(before, rules=GROWN, seen=set(before.seen), said=list(before.said))
        for _ in range(2)
    )
    moved.let_time_pass(now)
    stays = Unmoved(GROWN, now, floor=0).stays(left.states[CONTACT])
    event("left" if stays else "moved")
    if stays:
        assert moved.said == left.said
        assert moved.states[CONTACT].next_due() == left.states[CONTACT].next_due()
        assert left.kept == kept
    else:
        left.let_time_pass(now)
    for happening in life[split:]:
        now = max(now, happening.time)
        for one in (left, moved):
            one.take([happening], now)
    end = now + data.draw(st.integers(0, 60)) * MINUTE
    for one in (left, moved):
        while is_due(one, end):
            one.let_time_pass(end)
        assert one.members == oracle_members(life, end)
    assert moved.said == left.said


BASE = Rules(
    1,
    [SegmentDefinition("seg_0", "n0", 1, 'profile.city == "nowhere"', False)],
    (),
    Compiler(REGISTRY),
)


def known(rules: Rules = BASE, **attributes: object) -> ContactState:
    service = Service(rules)
    facts = tuple(AttributeFact(name, value, START) for name, value in attributes.items())
    service.take([Happening("e", CONTACT, START, "identified", attributes=facts)], START)
    return service.states[CONTACT]


def rules(
    *sources: str, generation: int = 5, triggers: tuple[TriggerDefinition, ...] = ()
) -> Rules:
    segments = [
        SegmentDefinition(f"seg_{n}", f"n{n}", 1, source, True, generation)
        for n, source in enumerate(sources)
    ]
    return Rules(generation, segments, triggers, Compiler(REGISTRY))


def stays(new: Rules, state: ContactState, floor: int = 0) -> bool:
    return Unmoved(new, START + 1, floor).stays(state)


def test_only_whom_a_rule_concerns_is_moved() -> None:
    somebody = known(city="izmir")
    assert not stays(rules('profile.city == "izmir"'), somebody)
    assert stays(rules('profile.city == "ankara"'), somebody)
    assert not stays(rules('!events("product_viewed").exists()'), known())
    # Time alone will make a member of it.
    moment = datetime.fromtimestamp((START + MINUTE) / 1000, UTC).isoformat()
    later = rules(f'now() > timestamp("{moment}")')
    assert not stays(later, somebody)


def test_of_rules_by_which_everybody_was_looked_at_none_is_asked_again() -> None:
    assert stays(rules('profile.city == "izmir"'), known(city="izmir"), floor=5)


def test_who_was_never_looked_at_is() -> None:
    assert not stays(rules('profile.city == "izmir"'), ContactState())


def test_who_stands_to_a_segment_that_ended_forgets_it_first() -> None:
    member = known(rules('profile.city == "izmir"', generation=1), city="izmir")
    assert member.standings
    other = SegmentDefinition("seg_other", "n0", 1, "false", True, 1)
    again = SegmentDefinition("seg_again", "again", 1, 'segment("n0")', True, 2)
    assert not stays(Rules(2, [other, again], (), Compiler(REGISTRY)), member)


def test_a_trigger_with_moments_reaches_everybody() -> None:
    daily = TriggerDefinition("trg_1", "daily", ScheduleCause("0 9 * * *"), SEND, since=5)
    assert not stays(rules(triggers=(daily,)), known())


@pytest.mark.parametrize("spot", [None, Spot(START, 41.0, 29.0)])
def test_a_trigger_of_places_has_to_know_who_is_there_already(spot: Spot | None) -> None:
    state = known()
    state.spot = spot
    near = TriggerDefinition("trg_1", "near", PlaceCause(), SEND, since=5)
    assert stays(rules(triggers=(near,)), state) is (spot is None)
