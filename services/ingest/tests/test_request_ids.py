"""A call that is repeated gets the first answer, whatever it is about; another call does not."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message

from chassis.answers import Answers
from chassis.clock import SystemClock
from chassis.ids import fresh_id
from chassis.postgres import Pool, database
from chassis.testing import wait_until
from merhaba.event.v1.event_pb2 import Event, Identity
from merhaba.ingest.v1 import ingest_service_pb2 as pb
from merhaba.ingest.v1.dead_letter_pb2 import DeadLetterFilter
from merhaba.ingest.v1.ingest_admin_service_pb2 import RedriveDeadLettersRequest
from merhaba.ingest.v1.link_pb2 import LinkSpec
from merhaba.ingest.v1.location_ping_pb2 import LocationPing
from merhaba.ingest.v1.publish_result_pb2 import PublishResult
from merhaba.ingest.v1.stock_change_pb2 import StockChange
from merhaba.segment.v1.catalog_item_pb2 import CatalogItem
from merhaba.segment.v1.place_pb2 import Place
from services.ingest.tests.conftest import Front, refused

PERSON = Identity(kind=Identity.KIND_EXTERNAL_ID, scope="crm", value="c1")


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "ingest", 1) as opened:
        yield opened


def event(ahead: timedelta = timedelta(0)) -> Event:
    told = Event(identities=[PERSON])
    told.event_time.FromDatetime(datetime.now(UTC) + ahead)
    told.tracked.name = "x"
    return told


def requests(request_id: str, word: str) -> list[Message]:
    """One of each, different for each word; each has something that is refused."""
    item = CatalogItem(catalog_id="shop", item_id=word)
    change = StockChange(catalog_id="shop", item_id=word, stock=1)
    ping = LocationPing(identity=PERSON, latitude=1, longitude=len(word))
    place = Place(place_id=word, latitude=1, longitude=1, radius_meters=1)
    tracked = Event(identities=[PERSON], event_id=word)
    tracked.event_time.FromSeconds(1_700_000_000)
    tracked.tracked.name = "x"
    link = LinkSpec(url=f"https://shop.example/{word}", message_id=request_id)
    return [
        pb.PublishEventsRequest(request_id=request_id, events=[tracked, Event()]),
        pb.UpsertCatalogItemsRequest(request_id=request_id, items=[item, CatalogItem()]),
        pb.UpdateStockRequest(request_id=request_id, changes=[change, StockChange()]),
        pb.DeleteCatalogItemsRequest(request_id=request_id, catalog_id="shop", item_ids=[word]),
        pb.PingLocationsRequest(request_id=request_id, pings=[ping, LocationPing()]),
        pb.UpsertPlacesRequest(request_id=request_id, places=[place, Place()]),
        pb.DeletePlacesRequest(request_id=request_id, place_ids=[word]),
        pb.CreateLinksRequest(request_id=request_id, links=[link]),
        RedriveDeadLettersRequest(request_id=request_id, filter=DeadLetterFilter(group=word)),
    ]


def called(front: Front, request: Message) -> Any:
    stub = front.admin if isinstance(request, RedriveDeadLettersRequest) else front.api
    return getattr(stub, request.DESCRIPTOR.name.removesuffix("Request"))(request)


@pytest.mark.parametrize("which", range(len(requests("", ""))))
async def test_a_repeat_gets_the_first_answer_and_another_request_none(
    front: Front, which: int
) -> None:
    request_id = str(uuid4())
    request, other = (requests(request_id, word)[which] for word in ("one", "another"))
    first = await called(front, request)
    assert await called(front, request) == first
    told = {one.event_id for one in await front.events("inbound.track")}
    code, info = await refused(called(front, other))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert {one.event_id for one in await front.events("inbound.track")} == told
    assert len(told) <= 1


async def test_what_was_refused_stays_refused_and_off_the_log(front: Front) -> None:
    soon = event(ahead=timedelta(hours=1, milliseconds=500))
    first = pb.PublishEventsRequest(request_id=str(uuid4()), events=[soon, event()])
    answer = await front.api.PublishEvents(first)
    assert [bool(one.event_id) for one in answer.results] == [False, True]

    async def near_enough() -> bool:
        again = pb.PublishEventsRequest(request_id=str(uuid4()), events=[soon])
        return bool((await front.api.PublishEvents(again)).results[0].event_id)

    await wait_until(near_enough)
    before = len(await front.events("inbound.track"))
    assert await front.api.PublishEvents(first) == answer
    (event_id,) = {e.event_id for e in (await front.events("inbound.track"))[before:]}
    assert event_id == answer.results[1].event_id


async def test_a_repeat_makes_up_for_a_crash_after_the_promise(front: Front, pool: Pool) -> None:
    request = pb.PublishEventsRequest(request_id=str(uuid4()), events=[event()])
    promised = pb.PublishEventsResponse(results=[PublishResult()])
    await Answers(pool, SystemClock()).promise(request, request.request_id, promised)
    answer = await front.api.PublishEvents(request)
    (found,) = await front.events("inbound.track")
    assert found.event_id == answer.results[0].event_id


async def test_little_is_kept_of_a_large_batch(front: Front, pool: Pool) -> None:
    request = pb.PublishEventsRequest(request_id=str(uuid4()), events=[event()] * 1_000)
    answer = await front.api.PublishEvents(request)
    assert len({one.event_id for one in answer.results}) == 1_000
    kept = "SELECT pg_column_size(response) FROM requests WHERE request_id = $1"
    assert await pool.fetchval(kept, request.request_id) < 200


async def test_without_a_request_id_letters_are_redriven_each_time(front: Front) -> None:
    request = RedriveDeadLettersRequest(filter=DeadLetterFilter(group=fresh_id("g")))
    for _ in range(2):
        assert (await front.admin.RedriveDeadLetters(request)).redriven_count == 0
