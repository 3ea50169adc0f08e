"""What the business has and where people are: the catalogue, stock, places and pings by gRPC."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.failures import FieldInvalid
from merhaba.event.v1.event_pb2 import Identity
from merhaba.ingest.v1 import ingest_service_pb2 as pb
from merhaba.ingest.v1.error_reason_pb2 import ErrorReason
from merhaba.ingest.v1.location_ping_pb2 import LocationPing
from merhaba.ingest.v1.stock_change_pb2 import StockChange
from merhaba.segment.v1.catalog_item_pb2 import CatalogItem
from merhaba.segment.v1.place_pb2 import Place
from services.ingest.api import things
from services.ingest.tests.conftest import Front, refused

INVALID = ErrorReason.ERROR_REASON_FIELD_INVALID
NOW_MS = 1_763_000_000_000
PERSON = Identity(kind=Identity.KIND_EXTERNAL_ID, scope="crm", value="c1")


def item(**more: Any) -> CatalogItem:
    return CatalogItem(**{"catalog_id": "shop", "item_id": "tea"} | more)


def ping(**more: Any) -> LocationPing:
    return LocationPing(**{"identity": PERSON, "latitude": 41.0, "longitude": 29.0} | more)


def place(**more: Any) -> Place:
    circle = {"place_id": "kadikoy", "latitude": 40.99, "longitude": 29.03, "radius_meters": 250}
    return Place(**circle | more)


def ring(*points: tuple[float, float]) -> bytes:
    return json.dumps({"type": "Polygon", "coordinates": [points]}).encode()


async def test_an_item_is_told_in_whole(front: Front) -> None:
    given = item(
        title="Çay",
        stock=0,
        price_micros=12_500_000,
        currency_code="TRY",
        properties_json=b'{"weight":500,"title":"overruled"}',
    )
    given.change_time.FromMilliseconds(NOW_MS)
    request = pb.UpsertCatalogItemsRequest(request_id=str(uuid4()), items=[given, item(stock=-1)])
    answer = await front.api.UpsertCatalogItems(request)
    assert answer.accepted_count == 1
    (failure,) = answer.failures
    assert (failure.index, failure.reason) == (1, INVALID)
    assert failure.metadata["field"] == "items[1].stock"
    (event,) = await front.events("inbound.track")
    assert (event.source, event.event_time.ToMilliseconds()) == ("api:token", NOW_MS)
    told = event.catalog_item_changed
    assert (told.catalog_id, told.item_id) == ("shop", "tea")
    assert (told.HasField("stock"), told.stock, told.price_micros) == (True, 0, 12_500_000)
    assert json.loads(told.item_json) == {"weight": 500, "title": "Çay"}


async def test_new_stock_leaves_all_else_of_an_item(front: Front) -> None:
    changes = [
        StockChange(catalog_id="shop", item_id="tea", stock=7),
        StockChange(catalog_id="shop", item_id="tea"),
        StockChange(catalog_id="shop", item_id="tea", price_micros=1),
    ]
    request = pb.UpdateStockRequest(request_id=str(uuid4()), changes=changes)
    answer = await front.api.UpdateStock(request)
    assert answer.accepted_count == 1
    assert [(one.index, one.metadata["field"]) for one in answer.failures] == [
        (1, "changes[1].stock"),
        (2, "changes[2].currency_code"),
    ]
    (event,) = await front.events("inbound.track")
    told = event.catalog_item_changed
    assert (told.stock, told.HasField("price_micros"), told.item_json) == (7, False, b"")
    assert abs(event.event_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=30)


async def test_what_is_gone_is_told_all_or_none(front: Front) -> None:
    items = pb.DeleteCatalogItemsRequest(
        request_id=str(uuid4()), catalog_id="shop", item_ids=["tea", ""]
    )
    code, info = await refused(front.api.DeleteCatalogItems(items))
    assert (code, info.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "item_ids[1]")
    places = pb.DeletePlacesRequest(request_id=str(uuid4()), place_ids=["", "kadikoy"])
    code, info = await refused(front.api.DeletePlaces(places))
    assert (code, info.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "place_ids[0]")
    assert await front.events("inbound.track") == []
    items.item_ids[1], places.place_ids[0] = "coffee", "moda"
    await front.api.DeleteCatalogItems(items)
    await front.api.DeletePlaces(places)
    events = await front.events("inbound.track")
    gone = [getattr(event, event.WhichOneof("body")) for event in events]
    assert all(one.HasField("delete_time") for one in gone)
    ids = {getattr(one, "item_id", None) or one.place_id for one in gone}
    assert ids == {"tea", "coffee", "moda", "kadikoy"}


async def test_a_ping_tells_where_a_person_is(front: Front) -> None:
    nobody = LocationPing(latitude=41, longitude=29)
    request = pb.PingLocationsRequest(
        request_id=str(uuid4()), pings=[nobody, ping(accuracy_meters=12), ping(latitude=91)]
    )
    answer = await front.api.PingLocations(request)
    assert answer.accepted_count == 1
    assert [one.index for one in answer.failures] == [0, 2]
    (event,) = await front.events("inbound.track")
    assert list(event.identities) == [PERSON]
    assert event.location_pinged.accuracy_meters == 12


async def test_a_place_is_a_circle_or_a_polygon(front: Front) -> None:
    area = ring((29, 41), (29.1, 41), (29.1, 41.1), (29, 41))
    request = pb.UpsertPlacesRequest(
        request_id=str(uuid4()),
        places=[
            place(labels=["store"]),
            place(place_id="moda", radius_meters=0, polygon_json=area),
            place(polygon_json=area),
        ],
    )
    answer = await front.api.UpsertPlaces(request)
    assert (answer.accepted_count, [one.index for one in answer.failures]) == (2, [2])
    told = {e.place_changed.place_id: e.place_changed for e in await front.events("inbound.track")}
    assert told["moda"].polygon_json == area
    assert (told["kadikoy"].radius_meters, list(told["kadikoy"].labels)) == (250, ["store"])


async def test_a_request_that_cannot_be_taken_says_why(front: Front) -> None:
    call, some = front.api.PingLocations, str(uuid4())
    for request, reason in (
        (pb.PingLocationsRequest(request_id=some), "FIELD_INVALID"),
        (pb.PingLocationsRequest(request_id="x", pings=[ping()]), "FIELD_INVALID"),
        (pb.PingLocationsRequest(request_id=some, pings=[ping()] * 1_001), "BATCH_TOO_LARGE"),
    ):
        code, info = await refused(call(request))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@pytest.mark.parametrize(
    "wrong",
    [
        {"place_id": ""},
        {"place_id": "x" * 201},
        {"latitude": math.nan},
        {"longitude": 181},
        {"radius_meters": -1},
        {"radius_meters": math.inf},
        {"radius_meters": 0},
        {"radius_meters": 0, "polygon_json": b"{"},
        {"radius_meters": 0, "polygon_json": b'{"type":"Point","coordinates":[1,2]}'},
        {"radius_meters": 0, "polygon_json": ring()},
        {"radius_meters": 0, "polygon_json": ring((0, 0), (1, 1), (1, 0), (2, 2))},
        {"radius_meters": 0, "polygon_json": ring((0, 0), (1, 95), (1, 0), (0, 0))},
        {"radius_meters": 0, "polygon_json": ring(*[(0, 0)] * 1_001)},
        {
            "radius_meters": 0,
            "polygon_json": b'{"type":"Polygon","coordinates":[[["0",0],[1,1],[1,0],["0",0]]]}',
        },
    ],
)
def test_a_place_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FieldInvalid):
        things.upserted_place(place(**wrong), "places[0]", NOW_MS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"item_id": ""},
        {"catalog_id": ""},
        {"stock": -1},
        {"price_micros": -1, "currency_code": "TRY"},
        {"price_micros": 1, "currency_code": "lira"},
        {"properties_json": b"[]"},
        {"properties_json": b'"' + b"x" * 32 * 1024 + b'"'},
    ],
)
def test_an_item_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FieldInvalid):
        things.upserted_item(item(**wrong), "items[0]", NOW_MS)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(NOW_MS // 1000 + 3_700, 0), (-1, 0), (2**62, 0), (1, -1), (1, 10**9)]
)
def test_what_happened_did_so_since_1970_and_not_in_the_future(seconds: int, nanos: int) -> None:
    wrong = item(change_time=Timestamp(seconds=seconds, nanos=nanos))
    with pytest.raises(FieldInvalid, match="change_time"):
        things.upserted_item(wrong, "items[0]", NOW_MS)
