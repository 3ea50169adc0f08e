"""Places and things of the business, and who is near."""

from typing import Any
from uuid import uuid4

import grpc
import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import FieldInvalid
from merhaba.event.v1 import CatalogItemChanged, Event, PlaceChanged
from merhaba.profile.v1 import Attribute
from merhaba.segment.v1 import (
    BatchGetCatalogItemsRequest,
    CheckMembershipRequest,
    CreateSegmentRequest,
    GetPlaceRequest,
    GetSegmentRequest,
    ListCatalogItemsRequest,
    ListPlacesRequest,
    Segment,
)
from services.segment.engine.membership import SCAN, Stretch
from services.segment.engine.things import ItemRecord, PlaceRecord, joined_item, later_place

HERE = '{"latitude": 40.9903, "longitude": 29.0275, "accuracy_meters": 9.0}'


def event(suite: Any, seconds: int = 0, **body: Any) -> bytes:
    """Told so many seconds after now."""
    time = Timestamp(seconds=int(suite.now.timestamp()) + seconds)
    return Event(event_id=str(uuid4()), event_time=time, **body).SerializeToString()


def place(suite: Any, place_id: str, seconds: int = 0, **fields: Any) -> bytes:
    fields = {"latitude": 40.9903, "longitude": 29.0275, "radius_meters": 50.0} | fields
    return event(suite, seconds, place_changed=PlaceChanged(place_id=place_id, **fields))


def gone(suite: Any, place_id: str, seconds: int) -> bytes:
    time = Timestamp(seconds=int(suite.now.timestamp()) + seconds)
    return event(suite, seconds, place_changed=PlaceChanged(place_id=place_id, delete_time=time))


def item(suite: Any, item_id: str, seconds: int = 0, **fields: Any) -> bytes:
    if "told" in fields:
        fields["item_json"] = orjson.dumps(fields.pop("told"))
    changed = CatalogItemChanged(catalog_id="c", item_id=item_id, **fields)
    return event(suite, seconds, catalog_item_changed=changed)


async def make(suite: Any, name: str, expression: str) -> Segment:
    request = CreateSegmentRequest(segment=Segment(name=name, expression=expression))
    return (await suite.segments.CreateSegment(request)).segment


async def is_member(suite: Any, contact: str, segment: Segment) -> bool:
    request = CheckMembershipRequest(contact_ids=[contact], segment_ids=[segment.segment_id])
    return (await suite.segments.CheckMembership(request)).memberships[0].member


async def test_who_comes_near_a_place_enters_and_who_goes_leaves(suite: Any) -> None:
    await suite.things.handle([place(suite, "kadikoy")])
    near = await make(suite, "near", 'near("kadikoy", "500m")')
    assert list(near.analysis.place_ids) == ["kadikoy"]
    one = str(uuid4())
    ping = suite.tracked(one, "x", changes=[("traits.last_location", HERE)])
    await suite.hear(ping)
    assert await is_member(suite, one, near)
    await suite.pass_time(seconds=1)
    away = HERE.replace("40.9903", "41.2")
    await suite.hear(suite.tracked(one, "x", changes=[("traits.last_location", away)]))
    assert await suite.said(one) == ["segment_entered", "segment_left"]


async def test_when_a_place_moves_or_goes_its_neighbours_are_found_anew(suite: Any) -> None:
    await suite.things.handle([place(suite, "van"), place(suite, "other")])
    near = await make(suite, "near", 'near("van", "500m")')
    both = await make(suite, "both", 'segment("near") && profile.city == "Izmir"')
    away = await make(suite, "away", 'near("other", "500m")')
    one = str(uuid4())
    facts = [("traits.last_location", HERE), ("city", '"Izmir"')]
    await suite.hear(suite.tracked(one, "x", changes=facts))
    assert await is_member(suite, one, both)
    await suite.things.handle([place(suite, "van", 10, latitude=41.5)])
    got = await suite.segments.GetSegment(GetSegmentRequest(segment_id=near.segment_id))
    assert got.segment.state == Segment.STATE_BACKFILLING
    assert (got.segment.version, got.segment.live_version) == (1, 1)
    assert await suite.backfills.work()
    assert not await suite.backfills.work()
    assert not await is_member(suite, one, near)
    assert not await is_member(suite, one, both)
    assert await is_member(suite, one, away)
    left = [e for e in await suite.signals(one) if e.HasField("segment_left")]
    assert len(left) == 2
    assert all(e.segment_left.backfilled for e in left)
    # What was said before the move comes late, and what does not move it changes nobody
    await suite.things.handle(
        [place(suite, "van", 5), place(suite, "van", 11, latitude=41.5, name="V")]
    )
    assert not await suite.backfills.work()
    await suite.things.handle([gone(suite, "other", 12)])
    assert await suite.backfills.work()
    assert not await is_member(suite, one, away)


@pytest.mark.parametrize("when", ["while history is read", "half way", "at the very end"])
async def test_a_place_that_moves_during_a_backfill_leaves_nobody_where_they_were(
    suite: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    await suite.things.handle([place(suite, "van")])
    people = [str(uuid4()) for _ in range(SCAN + 100)]
    await suite.hear(*(suite.created(one) for one in people))
    heard = suite.tracked(people[0], "x").event_time
    located = Attribute(name="traits.last_location", value_json=HERE.encode(), change_time=heard)
    suite.profile.facts |= {one: [located] for one in people}
    near = await make(suite, "near", 'near("van", "500m")')
    moves = iter([1])

    async def move() -> None:
        for _ in moves:
            await suite.things.handle([place(suite, "van", 10, latitude=41.5)])

    recall, catch_up = suite.membership.recall, suite.membership.catch_up

    async def recalled(past: Any) -> None:
        await recall(past)
        if when == "while history is read":
            await move()

    async def caught_up(after: str, floor: int) -> Stretch | None:
        last = await catch_up(after, floor)
        if last is None if when == "at the very end" else when == "half way":
            await move()
        return last

    monkeypatch.setattr(suite.membership, "recall", recalled)
    monkeypatch.setattr(suite.membership, "catch_up", caught_up)
    while await suite.backfills.work():
        pass
    got = await suite.segments.GetSegment(GetSegmentRequest(segment_id=near.segment_id))
    assert (got.segment.state, got.segment.member_count) == (Segment.STATE_ACTIVE, 0)
    states = await suite.pool.fetch("SELECT state, count(*) FROM backfills GROUP BY state")
    ended = (
        {"completed": 1} if when == "while history is read" else {"superseded": 1, "completed": 1}
    )
    assert {row["state"]: row["count"] for row in states} == ended
    assert not await suite.pool.fetchval("SELECT count(*) FROM memberships")
    for one in people[:3]:
        assert not await is_member(suite, one, near)


async def test_a_place_nobody_told_of_cannot_be_named(suite: Any) -> None:
    await suite.things.handle([place(suite, "kadikoy")])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await make(suite, "near", 'near("kadikoi", "500m")')
    assert "did you mean `kadikoy`?" in str(caught.value.details())


async def test_places_are_told_as_they_last_were(suite: Any) -> None:
    ids = [f"p{n}" for n in range(3)]
    polygon = orjson.dumps(
        {"type": "Polygon", "coordinates": [[[29, 41], [30, 41], [30, 42], [29, 41]]]}
    )
    await suite.things.handle([place(suite, ids[0], 5, name="new"), place(suite, ids[1])])
    await suite.things.handle(
        [
            place(suite, ids[0], 1, name="old"),
            place(suite, ids[2], labels=["store"], polygon_json=polygon, radius_meters=0),
            gone(suite, ids[1], 9),
        ]
    )
    got = await suite.catalog.GetPlace(GetPlaceRequest(place_id=ids[0]))
    assert (got.place.name, got.place.radius_meters) == ("new", 50.0)
    request = ListPlacesRequest(page_size=1)
    first = await suite.catalog.ListPlaces(request)
    request.page_token = first.next_page_token
    second = await suite.catalog.ListPlaces(request)
    assert [p.place_id for p in (*first.places, *second.places)] == [ids[0], ids[2]]
    assert not second.next_page_token
    labelled = await suite.catalog.ListPlaces(ListPlacesRequest(labels=["store", "x"]))
    assert [p.polygon_json for p in labelled.places] == [polygon]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await suite.catalog.GetPlace(GetPlaceRequest(place_id=ids[1]))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_items_are_told_as_each_part_of_them_last_was(suite: Any) -> None:
    coat = {"title": "Coat", "category": "coats", "url": "https://x", "size": 4}
    price = {"price_micros": 900, "currency_code": "TRY"}
    await suite.things.handle(
        [
            item(suite, "coat", 3, told=coat, stock=4),
            item(suite, "coat", 5, stock=0),
            item(suite, "hat", told={"category": "hats"}),
        ]
    )
    await suite.things.handle(
        [
            item(suite, "coat", 4, stock=9, **price),
            item(suite, "coat", 1, told={"title": "Old"}),
            item(suite, "hat", 9, delete_time=Timestamp(seconds=int(suite.now.timestamp()) + 9)),
            event(suite, location_pinged={"latitude": 1}),
        ]
    )
    request = BatchGetCatalogItemsRequest(catalog_id="c", item_ids=["hat", "coat", "none"])
    (found,) = (await suite.catalog.BatchGetCatalogItems(request)).items
    assert (found.title, found.category, found.stock) == ("Coat", "coats", 0)
    assert (found.price_micros, found.currency_code) == (900, "TRY")
    assert orjson.loads(found.properties_json) == {"size": 4}
    listed = ListCatalogItemsRequest(catalog_id="c", category="coats")
    assert len((await suite.catalog.ListCatalogItems(listed)).items) == 1
    listed.category = "hats"
    assert not (await suite.catalog.ListCatalogItems(listed)).items
    await suite.things.handle([item(suite, "hat", 10, told={"category": "hats"})])
    assert len((await suite.catalog.ListCatalogItems(listed)).items) == 1


async def test_what_cannot_be_read_says_so(suite: Any) -> None:
    with pytest.raises(FieldInvalid, match=r"no merhaba\.event"):
        await suite.things.handle([b"\xff\xff"])


TIMES = st.integers(0, 3)
ITEMS = st.builds(
    ItemRecord,
    st.just("c"),
    st.just("i"),
    st.sampled_from([b"", b'{"a":1}', b'{"a":2}']),
    TIMES,
    st.none() | st.integers(0, 2),
    TIMES,
    st.none() | st.integers(0, 2),
    st.sampled_from(["", "TRY"]),
    TIMES,
    TIMES,
)
PLACES = st.builds(PlaceRecord, st.just("p"), TIMES, st.booleans(), st.sampled_from("ab"))


@given(st.permutations([0, 1, 2]), st.lists(ITEMS, min_size=3, max_size=3))
def test_items_are_the_same_in_whatever_order_they_are_told(
    order: list[int], told: list[ItemRecord]
) -> None:
    first, second, third = told
    other = [told[at] for at in order]
    found = joined_item(joined_item(first, second), third)
    assert found == joined_item(other[0], joined_item(other[1], other[2]))
    assert joined_item(found, second) == found


@given(PLACES, PLACES)
def test_places_are_the_same_in_whatever_order_they_are_told(
    one: PlaceRecord, other: PlaceRecord
) -> None:
    assert later_place(one, other) == later_place(other, one)
