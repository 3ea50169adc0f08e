"""Triggers of those who come to places and go from them."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from merhaba.event.v1 import (
    Event,
    Location,
    LocationPinged,
    MessageContent,
    MessageReceived,
    PlaceChanged,
)
from merhaba.profile.v1 import Attribute
from merhaba.segment.v1 import (
    Action,
    CreateTriggerRequest,
    EventCause,
    PlaceCause,
    SendAction,
    Trigger,
)

NORTH = 1 / 111_195  # degrees in a metre
SHOP = (40.9903, 29.0275)


def place(suite: Any, place_id: str, seconds: int = 0, **fields: Any) -> bytes:
    latitude, longitude = SHOP
    told = {"latitude": latitude, "longitude": longitude, "radius_meters": 100.0} | fields
    time = Timestamp(seconds=int(suite.now.timestamp()) + seconds)
    body = PlaceChanged(place_id=place_id, **told)
    return Event(event_id=str(uuid4()), event_time=time, place_changed=body).SerializeToString()


def ping(
    suite: Any, contact_id: str, metres: float, accuracy: float = 10.0, ago: float = 0
) -> Event:
    """Somebody is so far north of the middle of the shop."""
    event: Event = suite.tracked(contact_id, "x", ago=timedelta(seconds=ago))
    event.location_pinged.CopyFrom(
        LocationPinged(
            latitude=SHOP[0] + metres * NORTH, longitude=SHOP[1], accuracy_meters=accuracy
        )
    )
    return event


async def make(suite: Any, name: str, condition: str = "", key: str = "", **cause: Any) -> Trigger:
    given = {"place_ids": ["shop"]} | cause
    parameters = {"place": "event.name", "id": "event.place_id"}
    request = CreateTriggerRequest(
        trigger=Trigger(
            name=name,
            place=PlaceCause(**given),
            condition=condition,
            key=key,
            action=Action(send=SendAction(campaign_id="c1", parameters=parameters)),
        )
    )
    return (await suite.triggers.CreateTrigger(request)).trigger


async def fired(suite: Any, contact_id: str, trigger: Trigger) -> list[dict[str, Any]]:
    """The parameters with which a trigger fired for somebody."""
    return [
        orjson.loads(one.trigger_fired.parameters_json)
        for one in await suite.signals(contact_id)
        if one.trigger_fired.trigger_id == trigger.trigger_id
    ]


async def walk(suite: Any, contact_id: str, *metres: float) -> None:
    """Somebody is seen at these distances, a minute apart."""
    for one in metres:
        await suite.clock.advance(timedelta(minutes=1))
        await suite.hear(ping(suite, contact_id, one))


async def test_who_comes_to_a_place_is_told_once_until_they_were_gone(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop", name="Kadıköy")])
    came = await make(suite, "came")
    went = await make(suite, "went", leaving=True)
    one = str(uuid4())
    await walk(suite, one, 500, 90, 20, 500, 80)
    assert await fired(suite, one, came) == [{"place": "Kadıköy", "id": "shop"}] * 2
    assert await fired(suite, one, went) == [{"place": "Kadıköy", "id": "shop"}]


async def test_a_shaky_position_at_the_border_does_not_enter_and_leave_in_turn(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop")])
    came = await make(suite, "came", margin_meters=80)
    went = await make(suite, "went", leaving=True, margin_meters=80)
    one = str(uuid4())
    await walk(suite, one, 500, 90, 110, 95, 179, 99)
    assert (len(await fired(suite, one, came)), len(await fired(suite, one, went))) == (1, 0)
    await walk(suite, one, 181, 110)
    assert (len(await fired(suite, one, came)), len(await fired(suite, one, went))) == (1, 1)


async def test_a_location_that_is_not_certain_enough_is_not_looked_at(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop")])
    came = await make(suite, "came", max_accuracy_meters=50)
    one = str(uuid4())
    await suite.hear(ping(suite, one, 0, accuracy=51))
    assert not await fired(suite, one, came)
    await suite.clock.advance(timedelta(seconds=1))
    await suite.hear(ping(suite, one, 0, accuracy=50))
    assert await fired(suite, one, came)


async def test_a_place_that_somebody_sends_in_a_message_counts(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop")])
    came = await make(suite, "came")
    one = str(uuid4())
    event = suite.tracked(one, "x")
    location = Location(latitude=SHOP[0], longitude=SHOP[1])
    body = MessageReceived(content=MessageContent(kind="location", location=location))
    event.message_received.CopyFrom(body)
    await suite.hear(event)
    assert await fired(suite, one, came)


async def test_only_later_locations_count_and_a_repeat_is_none(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop")])
    came = await make(suite, "came")
    one = str(uuid4())
    here = ping(suite, one, 0)
    await suite.hear(here, here)
    await suite.hear(ping(suite, one, 900, ago=60))
    await suite.hear(here)
    await suite.hear(ping(suite, one, 10, ago=30))
    assert len(await fired(suite, one, came)) == 1


async def test_places_are_named_by_label_too_and_each_is_a_cause_of_its_own(suite: Any) -> None:
    await suite.things.handle(
        [
            place(suite, "shop", name="Shop", labels=["store"]),
            place(suite, "mall", name="Mall", labels=["store", "big"], radius_meters=2_000),
            place(suite, "park", name="Park", labels=["park"]),
        ]
    )
    came = await make(suite, "came", place_ids=[], labels=["store"])
    big = await make(suite, "big", condition='"big" in event.labels', labels=["store"])
    daily = await make(suite, "daily", key='"once"', labels=["store"])
    one = str(uuid4())
    await suite.hear(ping(suite, one, 0))
    assert {told["place"] for told in await fired(suite, one, came)} == {"Mall", "Shop"}
    assert [told["place"] for told in await fired(suite, one, big)] == ["Mall"]
    assert len(await fired(suite, one, daily)) == 1


async def test_a_new_trigger_is_not_caused_by_those_who_are_there_already(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop")])
    await make(suite, "first")
    known, never = str(uuid4()), str(uuid4())
    await suite.hear(suite.created(never))
    await suite.hear(ping(suite, known, 0))
    time = ping(suite, never, 0).event_time
    where = f'{{"latitude": {SHOP[0]}, "longitude": {SHOP[1]}, "accuracy_meters": 5.0}}'
    at = orjson.dumps(suite.now.isoformat())
    traits = [
        Attribute(name="traits.last_location", value_json=where.encode(), change_time=time),
        Attribute(name="traits.last_location_time", value_json=at, change_time=time),
    ]
    suite.profile.traits[never] = traits
    second = await make(suite, "second")
    while await suite.backfills.work():
        pass
    for one in (known, never):
        await walk(suite, one, 20)
        assert not await fired(suite, one, second)
        await walk(suite, one, 900, 20)
        assert len(await fired(suite, one, second)) == 1


async def test_a_place_that_moves_or_goes_is_seen_by_the_next_location(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop"), place(suite, "van")])
    came = await make(suite, "came", place_ids=["van"])
    went = await make(suite, "went", place_ids=["van"], leaving=True)
    one, other = str(uuid4()), str(uuid4())
    await suite.hear(ping(suite, one, 0), ping(suite, other, 5_000))
    await suite.things.handle([place(suite, "van", 10, latitude=SHOP[0] + 5_000 * NORTH)])
    assert not await fired(suite, other, came)
    assert not await fired(suite, one, went)
    await suite.clock.advance(timedelta(minutes=1))
    await suite.hear(ping(suite, one, 0), ping(suite, other, 5_000))
    assert len(await fired(suite, other, came)) == 1
    assert len(await fired(suite, one, went)) == 1
    gone = Event(event_id=str(uuid4()))
    gone.place_changed.place_id = "van"
    gone.place_changed.delete_time.FromDatetime(suite.now + timedelta(minutes=1))
    await suite.things.handle([gone.SerializeToString()])
    await walk(suite, other, 5_000, 0)
    assert not await fired(suite, other, went), "there is nothing to have left"


async def test_where_somebody_is_follows_them_when_two_turn_out_to_be_one(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop")])
    came = await make(suite, "came")
    stays, goes = str(uuid4()), str(uuid4())
    await suite.hear(ping(suite, stays, 900, ago=60), ping(suite, goes, 0))
    merged = suite.created(stays)
    merged.contact_merged.absorbed_contact_id = goes
    await suite.hear(merged)
    before = len(await fired(suite, stays, came))
    await walk(suite, stays, 10)
    assert len(await fired(suite, stays, came)) == before, "they were there already"


async def test_a_place_that_is_not_there_is_refused_and_so_is_its_event_elsewhere(
    suite: Any,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="there is no place nowhere"):
        await make(suite, "came", place_ids=["nowhere"])
    with pytest.raises(grpc.aio.AioRpcError, match="names no place"):
        await make(suite, "came", place_ids=[])
    await suite.things.handle([place(suite, "shop")])
    with pytest.raises(grpc.aio.AioRpcError, match="did you mean `name`"):
        await make(suite, "came", condition='event.nam == "x"')
    send = Action(send=SendAction(campaign_id="c1"))
    wrong = Trigger(name="wrong", event=EventCause(name="place_entered"), action=send)
    with pytest.raises(grpc.aio.AioRpcError, match="no known event"):
        await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=wrong))
