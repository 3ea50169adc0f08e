"""Of whom nothing may be used, nothing is known here: neither memberships nor triggers."""

from uuid import uuid4

import msgspec
from google.protobuf.duration_pb2 import Duration

from merhaba.event.v1 import Event, RestrictionChanged
from merhaba.segment.v1 import (
    Action,
    CheckMembershipRequest,
    CreateJourneyRequest,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    Journey,
    ListOccurrencesRequest,
    Occurrence,
    Segment,
    SegmentCause,
    SendAction,
    StartInstancesRequest,
    Step,
    Trigger,
    WaitStep,
    WebhookAction,
)
from services.segment.engine.state import ContactState

SEND = Action(send=SendAction(campaign_id="c"))


def changed(suite, contact_id: str, restricted: bool) -> Event:
    return Event(
        event_id=f"restriction/{uuid4()}",
        event_time=suite.tracked(contact_id, "x").event_time,
        contact_id=contact_id,
        restriction_changed=RestrictionChanged(restricted=restricted, reason="objection"),
    )


async def keen(suite) -> Segment:
    rule = 'events("product_viewed").within("24h").exists()'
    request = CreateSegmentRequest(segment=Segment(name="keen", expression=rule))
    return (await suite.segments.CreateSegment(request)).segment


async def is_member(suite, contact_id: str, segment: Segment) -> bool:
    request = CheckMembershipRequest(contact_ids=[contact_id], segment_ids=[segment.segment_id])
    return (await suite.segments.CheckMembership(request)).memberships[0].member


async def trigger(suite, **fields) -> None:
    made = Trigger(name=f"t-{uuid4()}", action=SEND, **fields)
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=made))


async def test_a_restricted_contact_leaves_every_segment_and_fires_nothing(suite) -> None:
    segment, who = await keen(suite), str(uuid4())
    await suite.hear(suite.tracked(who, "product_viewed"))
    assert await is_member(suite, who, segment)
    await trigger(suite, segment=SegmentCause(segment_id=segment.segment_id, leaving=True))
    await trigger(suite, event=EventCause(name="product_viewed"))
    restriction = changed(suite, who, restricted=True)
    for _ in range(2):
        await suite.hear(restriction)
    assert not await is_member(suite, who, segment)
    await suite.hear(suite.tracked(who, "product_viewed"))
    await suite.pass_time(minutes=5)
    assert not await is_member(suite, who, segment)
    assert await suite.said(who) == ["segment_entered", "segment_left"]


async def test_what_waited_for_a_restricted_contact_does_not_fire(suite) -> None:
    who = str(uuid4())
    await trigger(
        suite, event=EventCause(name="cart_updated"), delay_duration=Duration(seconds=3600)
    )
    await suite.hear(suite.tracked(who, "cart_updated"))
    await suite.hear(changed(suite, who, restricted=True))
    await suite.pass_time(minutes=61)
    found = await suite.triggers.ListOccurrences(ListOccurrencesRequest(contact_id=who))
    assert [one.state for one in found.occurrences] == [Occurrence.STATE_RESTRICTED]
    assert await suite.said(who) == []


async def test_what_waited_does_not_fire_either_when_the_restriction_ends_before(suite) -> None:
    """Nobody saw meanwhile whether it was to be cancelled."""
    who = str(uuid4())
    await trigger(
        suite, event=EventCause(name="cart_updated"), delay_duration=Duration(seconds=3600)
    )
    await suite.hear(suite.tracked(who, "cart_updated"))
    await suite.hear(changed(suite, who, restricted=True))
    await suite.hear(changed(suite, who, restricted=False))
    await suite.rebuilds.work()
    await suite.pass_time(minutes=61)
    assert await suite.said(who) == []


async def test_no_webhook_is_called_for_a_restricted_contact(suite) -> None:
    who, hook = str(uuid4()), WebhookAction(url="http://127.0.0.1:1/", secret_name="crm")
    made = Trigger(name="hook", event=EventCause(name="signed_up"), action=Action(webhook=hook))
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=made))
    call = Step(step_id="call", next_step_id="wait", action=Action(webhook=hook))
    steps = [call, Step(step_id="wait", wait=WaitStep(days=9))]
    request = CreateJourneyRequest(journey=Journey(name="way", steps=steps))
    journey_id = (await suite.journeys.CreateJourney(request)).journey.journey_id
    await suite.hear(suite.tracked(who, "signed_up"))
    start = StartInstancesRequest(journey_id=journey_id, contact_ids=[who])
    await suite.journeys.StartInstances(start)
    await suite.hear(changed(suite, who, restricted=True))
    assert await suite.deeds.work() == 0
    found = await suite.triggers.ListOccurrences(ListOccurrencesRequest(contact_id=who))
    assert [one.state for one in found.occurrences] == [Occurrence.STATE_RESTRICTED]
    outcomes = await suite.pool.fetch(
        "SELECT outcome FROM journey_visits WHERE contact_id = $1 AND step_id = 'call'", who
    )
    assert "restricted" in outcomes[0]["outcome"]


async def test_when_it_ends_memberships_are_computed_anew_from_the_past(suite) -> None:
    segment, who = await keen(suite), str(uuid4())
    await suite.hear(changed(suite, who, restricted=True))
    missed = suite.tracked(who, "product_viewed")
    await suite.hear(missed)
    suite.profile.events[who] = [missed]
    suite.profile.restricted.add(who)
    await suite.hear(changed(suite, who, restricted=False))
    await suite.rebuilds.work()
    assert not await is_member(suite, who, segment), "profile says it is restricted again"
    suite.profile.restricted.remove(who)
    await suite.hear(changed(suite, who, restricted=False))
    await suite.rebuilds.work()
    assert await is_member(suite, who, segment)
    await suite.hear(suite.tracked(who, "product_viewed"))
    assert await is_member(suite, who, segment)


async def test_a_new_segment_does_not_look_at_a_restricted_contact(suite) -> None:
    who = str(uuid4())
    viewed = suite.tracked(who, "product_viewed")
    await suite.hear(changed(suite, who, restricted=True), viewed)
    segment = await keen(suite)
    suite.profile.events[who] = [viewed]
    while await suite.backfills.work():
        pass
    assert not await is_member(suite, who, segment)


def test_a_state_of_a_former_version_is_read() -> None:
    state = ContactState(clock=5)
    former = msgspec.msgpack.decode(state.to_bytes())[:-1]
    assert ContactState.from_bytes(msgspec.msgpack.encode(former)) == state
