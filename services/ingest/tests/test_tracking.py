"""The business's doors: the tracking API as SDKs speak it, PublishEvents, and links."""

import asyncio
import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from segment.analytics.client import Client

from chassis.ids import fresh_id
from chassis.streams import DeadLetters
from chassis.testing import wait_until
from merhaba.event.v1.event_pb2 import Event, Identity
from merhaba.ingest.v1.error_reason_pb2 import ErrorReason
from merhaba.ingest.v1.ingest_service_pb2 import (
    CreateLinksRequest,
    PublishEventsRequest,
    StartImportRequest,
)
from merhaba.ingest.v1.link_pb2 import LinkSpec
from services.ingest.tests.conftest import Front, refused

BASIC = {"Authorization": "Basic " + base64.b64encode(b"key-of-shop:").decode()}
PHONE = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/130.0.0.0 Mobile Safari/537.36"
)


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


async def test_the_unmodified_sdk_is_understood_in_every_call(front: Front) -> None:
    errors: list[Exception] = []

    def use() -> None:
        client = Client(
            "key-of-shop",
            host=front.url,
            sync_mode=True,
            gzip=True,
            max_retries=1,
            on_error=lambda error, _items: errors.append(error),
        )
        client.identify("c1", {"email": "a@example.com", "phone": "+447700900123"})
        client.track("c1", "Order Completed", {"total": 12.5})
        client.page("c1", "Docs", "Start", {"url": "https://shop.example"})
        client.screen("c1", "Home", "Cart")
        client.group("c1", "g1", {"plan": "x"})
        client.alias("c0", "c1")
        old = datetime(2024, 5, 17, 12, 30, tzinfo=UTC)
        client.track("c1", "Order Completed", timestamp=old, message_id="old")

    await asyncio.to_thread(use)
    assert errors == []
    events = await front.events("inbound.track")
    by_name = {event.WhichOneof("body"): event for event in events}
    assert sorted(by_name) == [
        *("aliased", "grouped", "identified", "page_viewed", "screen_viewed", "tracked"),
    ]
    assert {i.value for i in by_name["identified"].identities} == {
        *("c1", "447700900123", "a@example.com"),
    }
    (old,) = [e for e in events if e.event_id == "track/shop/old"]
    assert old.event_time.ToDatetime(tzinfo=UTC) == datetime(2024, 5, 17, 12, 30, tzinfo=UTC)
    assert old.tracked.name == "order_completed"
    assert by_name["aliased"].aliased.previous_id == "c0"
    new = max(e.event_time.ToDatetime(tzinfo=UTC) for e in events)
    assert abs(datetime.now(UTC) - new) < timedelta(seconds=30)


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


async def made(front: Front, **spec: Any) -> Any:
    request = CreateLinksRequest(request_id=str(uuid4()), links=[LinkSpec(**spec)])
    return (await front.api.CreateLinks(request)).links[0]


def opening(front: Front, token: str, agent: str = PHONE, **headers: str) -> Any:
    return front.session.get(
        f"{front.url}/l/{token}",
        headers={"User-Agent": agent, "Accept-Language": "tr-TR"} | headers,
        allow_redirects=False,
    )


async def test_a_link_leads_to_its_target_and_tells_of_the_click(front: Front) -> None:
    spec = {
        "url": f"https://shop.example/{fresh_id('p')}?a=1&b=ı",
        "message_id": "msg_1",
        "campaign_id": "cmp_1",
        "contact_id": str(uuid4()),
    }
    link = await made(front, **spec)
    assert link.short_url == f"https://go.example/l/{link.token}"
    for agent in (PHONE, "WhatsApp/2.24 A", PHONE):
        async with opening(front, link.token, agent) as response:
            assert response.status == 302
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Referrer-Policy"] == "no-referrer"
    async with front.session.head(f"{front.url}/l/{link.token}") as response:
        assert response.status == 302
    clicks = await front.events("inbound.track")
    assert len({click.event_id for click in clicks}) == 1
    assert len(clicks) == 2
    click = clicks[0]
    assert click.contact_id == spec["contact_id"]
    told = click.link_clicked
    assert (told.message_id, told.campaign_id, told.url) == ("msg_1", "cmp_1", spec["url"])
    assert (told.link_id, told.device, told.language) == (link.link_id, "mobile", "tr-TR")


async def test_the_same_target_for_the_same_message_is_the_same_link(front: Front) -> None:
    message = fresh_id("msg")
    specs = [
        LinkSpec(url=f"https://shop.example/{n % 2}", message_id=message, campaign_id="c")
        for n in range(4)
    ]
    request = CreateLinksRequest(request_id=str(uuid4()), links=specs)
    links = (await front.api.CreateLinks(request)).links
    tokens = [link.token for link in links]
    assert tokens == [*tokens[:2], *tokens[:2]]
    assert len(set(tokens)) == 2
    request.request_id = str(uuid4())
    assert [link.token for link in (await front.api.CreateLinks(request)).links] == tokens
    other = await made(front, url="https://shop.example/0", message_id="other", campaign_id="c")
    assert other.token not in tokens
    assert other.link_id == links[0].link_id


async def test_targets_outside_the_web_are_refused_all_or_none(front: Front) -> None:
    good = LinkSpec(url="https://shop.example", message_id=fresh_id("msg"))
    request = CreateLinksRequest(
        request_id=str(uuid4()), links=[good, LinkSpec(url="javascript:alert(1)")]
    )
    code, info = await refused(front.api.CreateLinks(request))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "URL_NOT_ALLOWED")
    assert info.metadata["index"] == "1"


async def test_unknown_and_expired_links_say_so_kindly(front: Front) -> None:
    async with opening(front, "A" * 22) as response:
        assert response.status == 404
        assert "bağlantı" in await response.text()
    async with opening(front, "short") as response:
        assert response.status == 404
    spec = LinkSpec(url="https://shop.example", message_id=fresh_id("msg"))
    spec.expire_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=1))
    request = CreateLinksRequest(request_id=str(uuid4()), links=[spec])
    link = (await front.api.CreateLinks(request)).links[0]
    async with opening(front, link.token, **{"Accept-Language": "en"}) as response:
        assert response.status == 410
        assert "expired" in await response.text()
    assert await front.events("inbound.track") == []


async def test_what_does_not_exist_yet_answers_unimplemented(front: Front) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await front.api.StartImport(StartImportRequest())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
