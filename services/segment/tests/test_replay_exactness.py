"""Random lives: what a replay says of them, against what the service made of them as they came."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.segment.engine.causes import EventCause, SegmentCause
from services.segment.engine.membership import pass_time
from services.segment.engine.model import (
    AttributeFact,
    ConsentFact,
    Happening,
    Past,
    SegmentDefinition,
    TriggerDefinition,
)
from services.segment.engine.places import Places
from services.segment.engine.replay import Replay
from services.segment.engine.rules import Rules
from services.segment.engine.state import ContactState
from services.segment.engine.trial import trial
from services.segment.tests.test_trigger_exactness import (
    BASES,
    COMPILER,
    CONTACT,
    MINUTE,
    ZONES,
    Service,
    at,
    definition,
    lives,
    timetables,
    triggers,
)
from services.segment.tests.trigger_interpreter import Timetable

VIEWED = 'events("product_viewed").within("10m").exists()'
ACTIVE = SegmentDefinition("seg_active", "active", 1, VIEWED, True)
BUSY = SegmentDefinition("seg_busy", "busy", 1, 'segment("active") && profile.plan == "gold"', True)
LOOKS_AT_PLAN = ("trg_own", "trg_went", "trg_look")
HOURS = 60 * MINUTE


def defined(base: str, own: Timetable, fixed: Timetable) -> list[TriggerDefinition]:
    """Those of the other test, and some that look at what changes beside events."""
    found, _ = triggers(base, own, fixed)
    return [
        *found,
        definition(
            "agreed",
            EventCause("product_viewed"),
            condition='consent("marketing")',
            delay=5 * MINUTE,
            cancel_condition='!consent("marketing")',
        ),
        definition("busy", SegmentCause("seg_busy"), delay=3 * MINUTE),
        definition(
            "stood", EventCause("cart_updated"), condition='stage() != "customer"', key="stage()"
        ),
    ]


@st.composite
def agreements(draw: st.DrawFn, start: int, minutes: int) -> list[ConsentFact]:
    found = []
    for minute in sorted(draw(st.sets(st.integers(-300, minutes), max_size=4))):
        time = start + minute * MINUTE + 1
        expire = time + draw(st.integers(1, 600)) * MINUTE if draw(st.booleans()) else None
        found.append(ConsentFact("marketing", draw(st.booleans()), time, expire))
    return found


def live(
    rules: Rules, life: Iterable[Happening], known: Past | None, start: int, end: int
) -> Service:
    """The service as it takes everything when it happens."""
    service = Service(rules)
    if known is not None:
        state = ContactState()
        pass_time(rules, {CONTACT: state}, start - 1, 0, {CONTACT: known})
        service.kept = state.to_bytes()
    for one in life:
        service.let_time_pass(one.time - 1)
        service.take([one], one.time)
    service.let_time_pass(end - 1)
    return service


def replayed(one: TriggerDefinition, past: Past, parts: int, start: int, end: int) -> list[Any]:
    segments = [ACTIVE, BUSY] if isinstance(one.cause, SegmentCause) else []
    tried = trial(one, segments, COMPILER, Places(), start, end)
    assert not tried.rules.broken
    replay = Replay(tried, CONTACT, lambda *_: None)
    told = []
    events, first = past.happenings, past
    for at_ in range(0, max(len(events), 1), parts):
        steps = replay.take(replace(first, happenings=events[at_ : at_ + parts]))
        told += [found for step in steps for found in step]
        first = Past(CONTACT)
    told += [found for step in replay.finish() for found in step]
    causes = [found.occurrence.cause_time for found in told]
    assert causes == sorted(causes)
    return sorted(_fact(found.occurrence) for found in told)


def _fact(one: Any) -> tuple[Any, ...]:
    return (
        *(one.occurrence_id, one.cause_event_id, one.cause_time, one.due_time, one.key, one.state),
    )


@given(
    st.data(),
    st.sampled_from(BASES),
    timetables([""]),
    timetables(["Europe/Berlin", "America/New_York"]),
    st.sampled_from([1, 3, 30]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_replay_says_what_the_service_made_of_the_same_life(
    data: st.DataObject, base: str, own: Timetable, fixed: Timetable, parts: int, new: bool
) -> None:
    begun, minutes = at(base), 30 * 60
    start = begun if new else begun + 5 * HOURS
    end = begun + (minutes + 20) * MINUTE
    definitions = defined(base, own, fixed)
    events = [
        replace(one, attributes=())
        for one in data.draw(lives(begun, minutes))
        if not one.attributes
    ]
    created = begun if new else begun - 5 * MINUTE
    stood, moves = [("lead", created)], 0
    for at_, one in enumerate(events):
        if one.name == "stage_changed":
            moves += 1
            if moves > 1 and parts < len(events):  # it is told where it stood before the last
                events[at_] = replace(one, name="x")
                continue
            told = {"previous_stage": stood[-1][0], "stage": one.properties["stage"]}
            stood.append((one.properties["stage"], one.time))
            fact = AttributeFact("stage", *stood[-1])
            events[at_] = replace(one, properties=told, attributes=(fact,))
    facts = [
        AttributeFact("zone", data.draw(st.sampled_from(ZONES)), created),
        AttributeFact("stage", "lead", created),
    ]
    turned = data.draw(st.none() | st.integers(0, minutes)) if not new else None
    plan = AttributeFact(
        "plan",
        data.draw(st.sampled_from(["gold", "free"])),
        created if turned is None else begun + turned * MINUTE + 2,
    )
    agreed = data.draw(agreements(begun, minutes)) if not new else []
    if new:
        events = [one for one in events if one.time > created]
        first = Happening("new", CONTACT, created, "contact_created")
        life = [replace(first, attributes=(*facts, plan)), *events]
        known, shown = None, (first, *events)
    else:
        told_late = [Happening("plan", CONTACT, plan.time, "x", attributes=(plan,))]
        told_late += [
            Happening(f"c{n}", CONTACT, one.time, "x", consents=(one,))
            for n, one in enumerate(agreed)
        ]
        life = sorted([*events, *told_late], key=lambda one: one.time)
        before = [one for one in life if one.time < start]
        known = Past(
            CONTACT,
            tuple(before),
            (*facts, *(fact for one in before for fact in one.attributes)),
            tuple(fact for one in before for fact in one.consents),
        )
        life = [one for one in life if one.time >= start]
        shown = tuple(events)
    rules = Rules(1, [ACTIVE, BUSY], definitions, COMPILER)
    assert not rules.broken
    made = live(rules, life, known, start, end).occurrences.values()

    present = (facts[0], AttributeFact("stage", *stood[-1]), plan)
    former = stood[-2][0] if moves else ""
    past = Past(CONTACT, shown, present, tuple(agreed), former_stage=former)
    for one in definitions:
        if turned is not None and plan.time >= start and one.trigger_id in LOOKS_AT_PLAN:
            continue  # what it was before is not known
        wanted = sorted(_fact(found) for found in made if found.trigger_id == one.trigger_id)
        assert replayed(one, past, parts, start, end) == wanted, one.name


pytestmark = pytest.mark.timeout(300)
