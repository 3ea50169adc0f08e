"""One person's timeline: whole, in order, in pages, with the reason of each message."""

import grpc
import pytest

from chassis.ids import fresh_id
from chassis.policy import read_policy
from chassis.rpc import channel
from merhaba.event.v1 import (
    ContactErased,
    Event,
    JourneyStepReached,
    MessageHeld,
    MessageRef,
    MessageSuppressed,
    TriggerFired,
)
from merhaba.reports.v1 import GetContactTimelineRequest, ReportServiceStub
from services import POLICY
from services.reports.tests.events import (
    DAY,
    HOUR,
    NOON,
    campaign,
    cancelled,
    created,
    entered,
    event,
    granted,
    merged,
    ordered,
    outcome,
    received,
    ref,
    segment_changed,
    staged,
    withdrew,
)
from services.reports.tests.test_api import TOKEN, asking, reason, stub, stub_port

__all__ = ["asking", "stub", "stub_port"]


async def timeline(stub, contact: str, size: int = 0) -> list:
    asked = GetContactTimelineRequest(contact_id=contact, page_size=size)
    items = []
    while True:
        page = await stub.GetContactTimeline(asked)
        assert not size or len(page.items) <= size
        items += page.items
        asked.page_token = page.next_page_token
        if not asked.page_token:
            return items


def fired_by(at: int, contact: str, occurrence: str, campaign_id: str, cause: str) -> Event:
    body = TriggerFired(
        trigger_id="the trigger",
        occurrence_id=occurrence,
        campaign_id=campaign_id,
        cause_event_id=cause,
    )
    return event(at, contact, trigger_fired=body)


async def lived(feed, own: str) -> None:
    """A life of two ids that turned out to be one person."""
    ann, bob = f"{own}a", f"{own}b"
    about = ref(f"{own}/m", own, "red")
    about.occurrence_id = f"{own}/occ"
    about.phone_number_id = "the number"
    await feed(
        "contact",
        [
            created(NOON - 9 * DAY, ann),
            granted(NOON - 8 * DAY, ann),
            staged(NOON - 7 * DAY, ann, "loyal"),
            received(NOON + 3 * HOUR, ann, "the number"),
            ordered(NOON + 4 * HOUR, bob, f"{own}/o", 12.5),
            cancelled(NOON + 5 * HOUR, bob, f"{own}/o"),
            withdrew(NOON + 6 * HOUR, ann),
            merged(NOON, ann, bob),
        ],
    )
    await feed(
        "signal",
        [
            segment_changed(NOON - DAY, own, "regulars", "Regulars"),
            entered(NOON - DAY, bob, own),
            fired_by(NOON - 1, bob, about.occurrence_id, own, "the cause"),
        ],
    )
    await feed(
        "message",
        [
            campaign(NOON - DAY, own, "running", "Summer"),
            outcome("planned", NOON, bob, about),
            outcome("sent", NOON + 1000, bob, about),
            outcome("delivered", NOON + 2000, bob, about),
            outcome("read", NOON + 3000, bob, about),
            outcome("suppressed", NOON + DAY, ann, ref(f"{own}/n", own), gate="consent"),
        ],
    )


async def test_everything_of_all_ids_of_a_person_stands_latest_first(stub, feed) -> None:
    own = fresh_id("p")
    await lived(feed, own)
    items = await timeline(stub, f"{own}a")
    assert [item.event.WhichOneof("body") for item in items] == [
        "message_suppressed",
        "consent_changed",
        "tracked",
        "tracked",
        "message_received",
        "message_read",
        "trigger_fired",
        "segment_entered",
        "stage_changed",
        "consent_changed",
        "contact_created",
    ]
    times = [item.event_time.ToMilliseconds() for item in items]
    assert times == sorted(times, reverse=True)
    assert [items[n].event.tracked.name for n in (2, 3)] == ["order_cancelled", "order_completed"]
    assert await timeline(stub, f"{own}b") == items
    assert await timeline(stub, f"{own}a", size=3) == items
    assert await timeline(stub, f"{own}a", size=1) == items


async def test_a_message_tells_why_it_went_step_by_step(stub, feed) -> None:
    own = fresh_id("p")
    await lived(feed, own)
    items = await timeline(stub, f"{own}a")
    (read,) = [item for item in items if item.event.HasField("message_read")]
    assert [(step.kind, step.label, step.outcome) for step in read.why] == [
        ("event", "the cause", "happened"),
        ("segment", "Regulars", "member"),
        ("trigger", "the trigger", "fired"),
        ("campaign", "Summer", "planned"),
        ("gate", "", "passed"),
        ("attempt", "the number", "accepted"),
        ("status", f"{own}/m", "delivered"),
        ("status", f"{own}/m", "read"),
    ]
    assert [s.event_time.ToMilliseconds() - NOON for s in read.why if s.kind == "status"] == [
        2000,
        3000,
    ]
    (held,) = [item for item in items if item.event.HasField("message_suppressed")]
    assert [(s.kind, s.subject, s.outcome) for s in held.why][-1] == ("gate", "consent", "refused")


def held(at: int, contact: str, about: MessageRef, gate: str, until: int = 0) -> Event:
    body = MessageHeld(message=about, reason=gate)
    if until:
        body.retry_time.FromMilliseconds(until)
    return event(at, contact, f"{about.message_id}/{gate}", message_held=body)


def refused(at: int, contact: str, about: MessageRef, gate: str, why: str) -> Event:
    body = MessageSuppressed(message=about, gate=gate, reason=why)
    return event(at, contact, message_suppressed=body)


async def test_every_gate_that_made_a_message_wait_or_refused_it_stands_in_the_chain(
    stub, feed
) -> None:
    own = fresh_id("p")
    went, ended = ref(f"{own}/m", own), ref(f"{own}/n", own)
    waits = [
        held(NOON + 2, own, went, "pacing"),
        held(NOON + 1, own, went, "quiet_hours", NOON + HOUR),
    ]
    await feed("message", [outcome("sent", NOON + HOUR, own, went), *waits])
    await feed("message", waits)  # a repeat
    await feed(
        "message",
        [
            held(NOON + DAY, own, ended, "budget"),
            refused(NOON + DAY + 1, own, ended, "deadline", "too_late"),
        ],
    )
    last, first = await timeline(stub, own)
    assert [(s.subject, s.outcome, s.reason) for s in first.why if s.kind == "gate"] == [
        ("quiet_hours", "waited", "until 2026-11-22T10:00:00Z"),
        ("pacing", "waited", ""),
        ("", "passed", ""),
    ]
    assert [(s.subject, s.outcome, s.reason) for s in last.why if s.kind == "gate"] == [
        ("budget", "waited", ""),
        ("deadline", "refused", "too_late"),
    ]


async def test_of_whom_was_erased_no_gate_says_anything_however_late(feed, pool) -> None:
    own = fresh_id("p")
    about = ref(f"{own}/m", own)
    await feed("message", [held(NOON, own, about, "budget")])
    await feed("contact", [event(NOON, own, contact_erased=ContactErased(request_id=own))])
    await feed("message", [refused(NOON + 1, own, about, "deadline", "too_late")])
    assert not await pool.fetchval("SELECT count(*) FROM gate_words WHERE contact_id = $1", own)


async def test_a_journey_stands_in_the_chain(stub, feed) -> None:
    own = fresh_id("p")
    body = JourneyStepReached(journey_id="welcome", step_id="hello", campaign_id=own, state="done")
    reached = event(NOON, own, f"{own}/step", journey_step_reached=body)
    about = ref(f"{own}/m", own)
    about.occurrence_id = f"{own}/step"
    await feed("signal", [reached])
    await feed("message", [outcome("sent", NOON + 1, own, about)])
    sent, step = await timeline(stub, own)
    assert step.event.journey_step_reached.step_id == "hello"
    (journey,) = [one for one in sent.why if one.kind == "journey"]
    assert (journey.subject, journey.reason) == ("welcome", "hello")


async def test_a_timeline_may_be_of_a_stretch_of_time(stub, feed) -> None:
    own = fresh_id("p")
    await feed("contact", [received(NOON + n * HOUR, own) for n in range(4)])
    asked = GetContactTimelineRequest(contact_id=own)
    asked.start_time.FromMilliseconds(NOON + HOUR)
    asked.end_time.FromMilliseconds(NOON + 3 * HOUR)
    items = (await stub.GetContactTimeline(asked)).items
    hours = [(item.event_time.ToMilliseconds() - NOON) // HOUR for item in items]
    assert hours == [2, 1]


async def test_who_read_whose_timeline_is_on_record(stub, feed, pool) -> None:
    own = fresh_id("p")
    await feed("contact", [received(NOON, own)])
    await timeline(stub, own)
    (read,) = await pool.fetch("SELECT caller, purpose FROM reads WHERE contact_id = $1", own)
    assert tuple(read) == ("internal", "tests")


async def test_nobody_reads_a_timeline_for_no_purpose(stub_port, feed) -> None:
    own = fresh_id("p")
    await feed("contact", [received(NOON, own)])
    async with channel(f"127.0.0.1:{stub_port}", TOKEN) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ReportServiceStub(opened).GetContactTimeline(
                GetContactTimelineRequest(contact_id=own)
            )
    assert reason(caught.value)[0] == "FIELD_INVALID"


async def test_of_a_stranger_nothing_is_known(stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetContactTimeline(GetContactTimelineRequest(contact_id=fresh_id("nobody")))
    assert reason(caught.value)[0] == "CONTACT_NOT_FOUND"


def test_only_who_answers_people_sees_what_happened_to_one() -> None:
    callers = read_policy(POLICY).calls["merhaba.reports.v1.ReportService/GetContactTimeline"]
    assert callers == {"support", "operator"}
