"""What the business declared to profile can be named in rules."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
import pytest

from chassis.ids import fresh_id
from merhaba.event.v1 import Event
from merhaba.profile.v1 import Attribute, AttributeType, EventType
from merhaba.segment.v1 import (
    Action,
    ArchiveSegmentRequest,
    CheckExpressionRequest,
    CheckMembershipRequest,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    ExplainMembershipRequest,
    GetSegmentRequest,
    Segment,
    SendAction,
    Trigger,
    UpdateSegmentRequest,
)
from services.segment.names import Names
from services.segment.vocabulary import ATTRIBUTES

CALLED = 'events("taxi_called").last().fare > 10.0 && profile.seats >= 3'


async def problems(suite: Any, expression: str) -> list[str]:
    request = CheckExpressionRequest(expression=expression)
    return [one.message for one in (await suite.segments.CheckExpression(request)).problems]


async def test_a_name_can_be_used_as_soon_as_it_is_declared(suite: Any) -> None:
    assert (await problems(suite, CALLED))[0].startswith("unknown event `taxi_called`")
    seats = AttributeType(name="seats", type=AttributeType.TYPE_INTEGER)
    city = AttributeType(name="city", type=AttributeType.TYPE_INTEGER)
    suite.registered.attributes += [seats, city]
    fare = {"fare": AttributeType.TYPE_NUMBER}
    suite.registered.events.append(EventType(name="taxi_called", properties=fare))
    assert await problems(suite, CALLED) == []
    assert "left side is int" in (await problems(suite, 'profile.seats == "3"'))[0]
    assert "left side is int" in (await problems(suite, 'profile.city == "Izmir"'))[0]
    engagement = AttributeType(name="traits.engagement", type=AttributeType.TYPE_INTEGER)
    suite.registered.attributes.append(engagement)
    assert await problems(suite, 'traits.engagement == "high"') == [], "nobody declares traits"
    assert "did you mean `seats`" in (await problems(suite, "profile.seat > 3"))[0]


async def test_what_was_declared_is_known_to_others_and_while_profile_is_away(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seats = AttributeType(name="seats", type=AttributeType.TYPE_INTEGER)
    suite.registered.attributes.append(seats)
    assert await problems(suite, "profile.seats > 3") == []
    other = Names()
    async with suite.pool.acquire() as connection:
        await other.load(connection, 1)
    assert str(other.anything.attributes["seats"]) == "int"
    assert other.anything.attributes.keys() > ATTRIBUTES.keys()

    async def away(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "away")

    await suite.pool.execute("DELETE FROM declared_names")
    monkeypatch.setattr(suite.registered, "ListAttributes", away)
    assert await problems(suite, "profile.seats > 3") == []


# ---- of another type


def declared(suite: Any, kind: int) -> None:
    """`seats` is of this type from now on."""
    suite.registered.attributes = [AttributeType(name="seats", type=kind)]


async def make(suite: Any, name: str, expression: str) -> Segment:
    request = CreateSegmentRequest(segment=Segment(name=name, expression=expression))
    return (await suite.segments.CreateSegment(request)).segment


async def read(suite: Any, segment: Segment) -> Segment:
    """As it is told, once what was declared is known."""
    await problems(suite, "profile.seats > 3")
    request = GetSegmentRequest(segment_id=segment.segment_id)
    return (await suite.segments.GetSegment(request)).segment


async def is_member(suite: Any, contact: str, segment: Segment) -> bool:
    request = CheckMembershipRequest(contact_ids=[contact], segment_ids=[segment.segment_id])
    return (await suite.segments.CheckMembership(request)).memberships[0].member


async def sits(suite: Any, seats: str) -> str:
    """Somebody of whom profile knows the seats, and we heard."""
    one = str(uuid4())
    event = suite.tracked(one, "x", changes=[("seats", seats)])
    await suite.hear(event)
    fact = Attribute(name="seats", value_json=seats.encode(), change_time=event.event_time)
    suite.profile.facts[one] = [fact]
    return one


async def test_another_type_takes_effect_at_once_and_members_are_found_anew(suite: Any) -> None:
    declared(suite, AttributeType.TYPE_INTEGER)
    large = await make(suite, "large", "profile.seats > 3")
    whole, half = await sits(suite, "4"), await sits(suite, "4.5")
    assert [await is_member(suite, one, large) for one in (whole, half)] == [True, False]
    declared(suite, AttributeType.TYPE_NUMBER)
    assert (await read(suite, large)).state == Segment.STATE_BACKFILLING
    while await suite.backfills.work():
        pass
    assert [await is_member(suite, one, large) for one in (whole, half)] == [True, True]
    assert await suite.said(whole) == ["segment_entered"]
    assert (await read(suite, large)).state == Segment.STATE_ACTIVE
    assert not await suite.backfills.work(), "what is known already changes nothing"


async def test_a_rule_that_no_longer_compiles_is_told_and_its_members_stay(suite: Any) -> None:
    declared(suite, AttributeType.TYPE_INTEGER)
    large = await make(suite, "large", "profile.seats > 3")
    inside = await make(suite, "inside", 'segment("large") || profile.city == "Izmir"')
    one, other = await sits(suite, "4"), await sits(suite, "1")
    declared(suite, AttributeType.TYPE_STRING)
    told = await read(suite, large)
    assert "seats" in large.expression[told.problem.offset :]
    assert "string" in told.problem.message
    assert suite.membership.rules.broken == ["large"]
    await suite.hear(suite.tracked(other, "x", changes=[("seats", '"9"')]))
    await suite.pass_time(hours=1)
    members = [await is_member(suite, who, s) for who in (one, other) for s in (large, inside)]
    assert members == [True, True, False, False]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await suite.segments.ExplainMembership(
            ExplainMembershipRequest(contact_id=one, segment_id=large.segment_id)
        )
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert await suite.said(one) == ["segment_entered"] * 2
    large.expression = 'profile.seats == "9"'
    change = Segment(segment_id=large.segment_id, expression=large.expression)
    await suite.segments.UpdateSegment(UpdateSegmentRequest(segment=change))
    for who, seats in ((one, '"4"'), (other, '"9"')):
        suite.profile.facts[who][0].value_json = seats.encode()
    while await suite.backfills.work():
        pass
    members = [await is_member(suite, who, s) for who in (one, other) for s in (large, inside)]
    assert members == [False, False, True, True]
    assert (await suite.said(one))[2:] == ["segment_left"] * 2
    assert not (await read(suite, large)).HasField("problem")


async def test_whose_data_may_not_be_used_leaves_what_is_not_evaluated_too(suite: Any) -> None:
    declared(suite, AttributeType.TYPE_INTEGER)
    large = await make(suite, "large", "profile.seats > 3")
    one = await sits(suite, "4")
    declared(suite, AttributeType.TYPE_STRING)
    await read(suite, large)
    restricted = Event(event_id=fresh_id("evt"), contact_id=one)
    restricted.event_time.FromDatetime(suite.now)
    restricted.restriction_changed.restricted = True
    await suite.hear(restricted)
    assert not await is_member(suite, one, large)
    assert not await suite.pool.fetchval("SELECT count(*) FROM memberships")


async def test_time_does_nothing_to_segments_that_ended(suite: Any) -> None:
    viewed = await make(suite, "viewed", 'events("product_viewed").within("24h").exists()')
    await suite.hear(suite.tracked(str(uuid4()), "product_viewed"))
    await suite.segments.ArchiveSegment(ArchiveSegmentRequest(segment_id=viewed.segment_id))
    await suite.pass_time(hours=30)
    assert await suite.pool.fetchval("SELECT next_time FROM contact_states") is None


async def test_two_processes_that_learn_of_another_type_change_it_once(suite: Any) -> None:
    declared(suite, AttributeType.TYPE_INTEGER)
    large = await make(suite, "large", "profile.seats > 3")
    await sits(suite, "4")
    declared(suite, AttributeType.TYPE_NUMBER)
    await asyncio.gather(*(read(suite, large) for _ in range(5)))
    assert await suite.pool.fetchval("SELECT count(*) FROM backfills") == 1


async def test_what_triggers_look_at_is_read_anew_too(suite: Any) -> None:
    declared(suite, AttributeType.TYPE_INTEGER)
    send = Action(send=SendAction(campaign_id="cmp_x"))
    signed = EventCause(name="signed_up")
    trigger = Trigger(name="t", event=signed, condition="profile.seats > 3", action=send)
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=trigger))
    one = await sits(suite, "4.5")
    declared(suite, AttributeType.TYPE_NUMBER)
    await problems(suite, "profile.seats > 3")
    assert await suite.backfills.work()
    await suite.hear(suite.tracked(one, "signed_up"))
    assert await suite.said(one) == ["trigger_fired"]
