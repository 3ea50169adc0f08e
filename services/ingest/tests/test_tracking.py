"""The business's doors: the tracking API as SDKs speak it, and PublishEvents."""

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest

from chassis.ids import fresh_id
from chassis.streams import DeadLetters
from chassis.testing import wait_until
from merhaba.event.v1.event_pb2 import Event, Identity
from merhaba.ingest.v1.error_reason_pb2 import ErrorReason
from merhaba.ingest.v1.ingest_service_pb2 import (
    PublishEventsRequest,
)
from services.ingest.tests.conftest import Front, refused

BASIC = {"Authorization": "Basic " + base64.b64encode(b"key-of-shop:").decode()}


def call(**more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Order Completed",
        "userId": "c1",
        "anonymousId": None,
        "messageId": fresh_id("m"),
        "properties": {"total": 12.5},
    } | more


async def send(front: Front, body: Any, path: str = "batch", **headers: str) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | BASIC | headers
    async with front.session.post(f"{front.url}/v1/{path}", data=raw, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        (BASIC, None),
        ({"Authorization": "Bearer key-of-shop"}, None),
        ({"Authorization": "Bearer an OAuth token"}, "key-of-shop"),
        ({"Authorization": ""}, "key-of-shop"),
    ],
    ids=["basic", "bearer", "bearer and body", "body"],
)
async def test_a_write_key_opens_the_door_in_every_place(
    front: Front, headers: dict[str, str], key: str | None
) -> None:
    body = {"batch": [call()], "writeKey": key}
    assert await send(front, body, **headers) == (200, {"success": True, "rejected": []})
    (event,) = await front.events("inbound.track")
    assert event.source == "track:shop"


async def test_a_wrong_key_and_broken_bodies_are_refused_in_the_sdks_words(front: Front) -> None:
    bomb = gzip.compress(b" " * (8 * 1024 * 1024))
    for body, headers, status, code in (
        ({"batch": [call()]}, {"Authorization": "Basic !"}, 401, "write_key_invalid"),
        ({"batch": [call()]}, {"Authorization": "Bearer x"}, 401, "write_key_invalid"),
        (b"{", {}, 400, "json_invalid"),
        (b"[]", {}, 400, "json_invalid"),
        ({"batch": 1}, {}, 400, "batch_invalid"),
        (b"no gzip", {"Content-Encoding": "gzip"}, 400, "encoding_invalid"),
        (bomb, {"Content-Encoding": "gzip"}, 413, "too_large"),
        ({"batch": [None] * 10_001}, {}, 400, "batch_too_large"),
    ):
        found, answer = await send(front, body, **headers)
        assert (found, answer["code"]) == (status, code)
        assert answer["message"]
    assert await front.events("inbound.track") == []


async def test_one_bad_call_costs_nobody_else_and_is_kept(front: Front) -> None:
    bad = call(event=None)
    status, answer = await send(front, {"batch": [call(), bad, call()]})
    assert status == 200
    (rejected,) = answer["rejected"]
    assert (rejected["index"], rejected["messageId"]) == (1, bad["messageId"])
    assert rejected["code"] == "field_invalid"
    assert len(await front.events("inbound.track")) == 2

    async def kept() -> bool:
        return len(await DeadLetters(front.log).list("ingest", "", 10)) == 1

    await wait_until(kept)


async def test_each_call_has_a_path_of_its_own(front: Front) -> None:
    for path, more in (
        ("track", {}),
        ("identify", {"traits": {"city": "İzmir"}}),
        ("page", {"name": "Start"}),
        ("screen", {"name": "Start"}),
        ("group", {"groupId": "g"}),
        ("alias", {"previousId": "p"}),
    ):
        body = call(**more) | {"type": None, "sentAt": None}
        assert (await send(front, body, path))[0] == 200
    assert len(await front.events("inbound.track")) == 6


def published(**more: Any) -> Event:
    event = Event(identities=[Identity(kind=Identity.KIND_EXTERNAL_ID, scope="crm", value="c1")])
    event.event_time.FromDatetime(datetime.now(UTC))
    event.tracked.name = "Loyalty Card Issued"
    event.tracked.properties_json = b'{"tier":"gold"}'
    event.MergeFrom(Event(**more))
    return event


async def test_published_events_are_judged_each_by_itself(front: Front) -> None:
    later = published()
    later.event_time.FromDatetime(datetime.now(UTC) + timedelta(hours=2))
    foreign = published()
    foreign.message_received.wamid = "wamid.1"
    nobody = published()
    nobody.ClearField("identities")
    broken = published()
    broken.tracked.properties_json = b"{"
    request = PublishEventsRequest(
        request_id=str(uuid4()),
        events=[published(source="x", contact_id="y"), later, foreign, nobody, broken],
    )
    first = await front.api.PublishEvents(request)
    reasons = [result.failure.reason for result in first.results]
    invalid, refused = ErrorReason.ERROR_REASON_FIELD_INVALID, 10
    assert reasons == [0, invalid, refused, invalid, invalid]
    assert first.results[1].failure.metadata["field"] == "events[1].event_time"
    (event,) = await front.events("inbound.track")
    assert event.tracked.name == "loyalty_card_issued"
    assert (event.source, event.contact_id) == ("api:token", "")
    assert event.event_id == first.results[0].event_id
    again = await front.api.PublishEvents(request)
    assert [r.event_id for r in again.results] == [r.event_id for r in first.results]


async def test_a_batch_that_cannot_be_taken_says_why(front: Front) -> None:
    for events, reason in (([], "FIELD_INVALID"), ([published()] * 1_001, "BATCH_TOO_LARGE")):
        request = PublishEventsRequest(request_id=str(uuid4()), events=events)
        code, info = await refused(front.api.PublishEvents(request))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
