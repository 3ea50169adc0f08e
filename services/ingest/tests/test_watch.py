"""WatchEvents: the log as it is appended, chosen and resumed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from chassis import paging
from chassis.clock import ManualClock, SystemClock
from chassis.failures import CursorExpired, TokenInvalid
from chassis.ids import fresh_id
from chassis.streams import EventLog, Record
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.ingest_service_pb2 import WatchEventsRequest, WatchEventsResponse
from merhaba.ingest.v1.watched_event_pb2 import EventFilter
from services.ingest.api.watch import Watch
from services.ingest.tests.conftest import Front, refused

SOON = timedelta(milliseconds=50)


def event(contact: str = "", name: str = "", source: str = "s", padding: str = "") -> Event:
    found = Event(event_id=fresh_id("e"), contact_id=contact, source=source)
    if name:
        found.tracked.name = name
        found.tracked.properties_json = padding.encode()
    else:
        found.message_received.wamid = "w"
    return found


async def put(log: EventLog, topic: str, *events: Event) -> list[str]:
    """Each event as an entry of its own."""
    for one in events:
        await log.append([Record(topic, one.event_id, one.SerializeToString())])
    return [one.event_id for one in events]


@asynccontextmanager
async def watching(
    log: EventLog, request: WatchEventsRequest, **more: Any
) -> AsyncIterator[AsyncIterator[WatchEventsResponse]]:
    stream = Watch(log, more.pop("clock", SystemClock()), **more).stream(request)
    try:
        async with asyncio.timeout(10):
            yield stream
    finally:
        await stream.aclose()


async def next_ids(stream: AsyncIterator[WatchEventsResponse], count: int) -> tuple[list[str], str]:
    """Ids of the next events, and the cursor behind them."""
    ids: list[str] = []
    cursor = ""
    while len(ids) < count:
        response = await anext(stream)
        ids += [watched.event.event_id for watched in response.events]
        cursor = response.cursor
    return ids, cursor


async def test_events_come_as_they_are_appended(front: Front) -> None:
    call = front.api.WatchEvents(WatchEventsRequest())
    try:
        first = await asyncio.wait_for(call.read(), 5)
        assert first.cursor
        assert not first.events
        (sent,) = await put(front.log, "contact", event("c1"))
        second = await asyncio.wait_for(call.read(), 5)
        (watched,) = second.events
        assert (watched.topic, watched.event.event_id) == ("contact", sent)
    finally:
        call.cancel()


async def test_a_filter_chooses_by_topic_name_contact_and_source(log: EventLog) -> None:
    wanted = EventFilter(
        topics=["contact"], names=["order_completed"], contact_ids=["c1"], sources=["track:shop"]
    )
    good = {"contact": "c1", "name": "order_completed", "source": "track:shop"}
    async with watching(log, WatchEventsRequest(filter=wanted)) as stream:
        await anext(stream)
        await put(log, "message", event(**good))
        for wrong in ({"contact": "c2"}, {"name": "other"}, {"name": ""}, {"source": "x"}):
            await put(log, "contact", event(**good | wrong))
        ids = await put(log, "contact", event(**good))
        assert (await next_ids(stream, 1))[0] == ids


async def test_a_cursor_goes_on_behind_what_was_seen(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(topics=["contact", "signal"]))
    async with watching(log, request) as stream:
        await anext(stream)
        seen = await put(log, "contact", event(), event())
        ids, request.cursor = await next_ids(stream, 2)
        assert sorted(ids) == sorted(seen)
    missed = [*await put(log, "contact", event()), *await put(log, "signal", event())]
    async with watching(log, request) as stream:
        assert sorted((await next_ids(stream, 2))[0]) == sorted(missed)


async def test_a_start_time_begins_with_what_was_accepted_then(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(topics=["contact"]))
    request.start_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=1))
    ids = await put(log, "contact", *(event() for _ in range(30)))
    async with watching(log, request) as stream:
        assert sorted((await next_ids(stream, 30))[0]) == sorted(ids)


async def test_large_events_come_in_several_responses(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(topics=["contact"]))
    async with watching(log, request) as stream:
        await anext(stream)
        large = [event(name="x", padding="x" * 400_000) for _ in range(8)]
        sent = set(await put(log, "contact", *large))
        while sent:
            response = await anext(stream)
            assert response.ByteSize() < 1_100_000
            sent -= {watched.event.event_id for watched in response.events}


async def test_silence_is_told_by_heartbeats_whose_cursor_goes_on(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(names=["wanted"]))
    query = paging.query(request, "start_time")

    def ids(response: WatchEventsResponse) -> str:
        assert not response.events
        (found, _) = paging.place(response.cursor, query, [str, int]) or ("", 0)
        return str(found)

    async with watching(log, request, heartbeat=SOON) as stream:
        first = ids(await anext(stream))
        assert ids(await anext(stream)) == first
        await put(log, "contact", event())
        while ids(await anext(stream)) == first:
            pass


async def test_a_cursor_is_of_its_query_alone(front: Front) -> None:
    call = front.api.WatchEvents(WatchEventsRequest())
    cursor = (await call.read()).cursor
    call.cancel()
    other = EventFilter(topics=["contact"])
    for request, reason in (
        (WatchEventsRequest(filter=other, cursor=cursor), "TOKEN_INVALID"),
        (WatchEventsRequest(cursor="x"), "TOKEN_INVALID"),
        (WatchEventsRequest(filter=EventFilter(topics=["raw"])), "FIELD_INVALID"),
        (WatchEventsRequest(filter=EventFilter(contact_ids=["c"] * 1_001)), "FIELD_INVALID"),
    ):
        code, info = await refused(front.api.WatchEvents(request).read())
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_cursor_made_up_is_refused_before_the_log_sees_it(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(topics=["contact"]))
    query = paging.query(request, "start_time")
    for ids in ("0-0", "x,y", "0-0,99999999999999999999-0", "0-0,$"):
        request.cursor = paging.token(query, [ids, 0])
        async with watching(log, request) as stream:
            with pytest.raises(TokenInvalid):
                await anext(stream)


async def test_a_cursor_behind_which_the_log_was_trimmed_is_refused(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(topics=["contact"]))
    clock = ManualClock(datetime.now(UTC))
    async with watching(log, request, clock=clock) as stream:
        request.cursor = (await anext(stream)).cursor
    kept = await put(log, "contact", event())
    await clock.advance(timedelta(seconds=log.settings.log_retention_s - 120))
    async with watching(log, request, clock=clock) as stream:
        assert (await next_ids(stream, 1))[0] == kept
    await clock.advance(timedelta(seconds=180))
    async with watching(log, request, clock=clock) as stream:
        with pytest.raises(CursorExpired) as caught:
            await anext(stream)
    oldest = datetime.fromisoformat(caught.value.facts["oldest_time"])
    assert abs(oldest - datetime.now(UTC)) < timedelta(seconds=30)


async def test_a_cursor_whose_entries_are_still_there_holds_however_old(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(topics=["contact"]))
    # One on each shard, so that every stream holds what was seen
    await put(log, "contact", *(event() for _ in range(40)))
    clock = ManualClock(datetime.now(UTC))
    async with watching(log, request, clock=clock) as stream:
        request.cursor = (await anext(stream)).cursor
    await clock.advance(timedelta(days=2))
    missed = await put(log, "contact", event())
    async with watching(log, request, clock=clock) as stream:
        assert (await next_ids(stream, 1))[0] == missed


async def test_what_cannot_be_decoded_spoils_no_stream(log: EventLog) -> None:
    request = WatchEventsRequest(filter=EventFilter(topics=["contact"]))
    async with watching(log, request) as stream:
        await anext(stream)
        await log.append([Record("contact", "k", b"\xff\xff")])
        ids = await put(log, "contact", event())
        assert (await next_ids(stream, 1))[0] == ids
