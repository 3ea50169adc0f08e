"""WatchContacts: changes of contacts as they happen, chosen and resumed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from chassis.clock import ManualClock, SystemClock
from chassis.failures import FieldInvalid, TokenInvalid
from chassis.ids import fresh_id
from chassis.streams import EventLog, Record, Watch
from merhaba.event.v1 import Event, Identity
from merhaba.profile.v1 import WatchContactsRequest
from services.profile.api.watch import changes
from services.profile.jobs.consumer import recording
from services.profile.person.directory import Directory
from services.profile.person.identity import normalised

Handle = Callable[[Sequence[bytes]], Awaitable[None]]
Found = AsyncIterator[tuple[str, list[Event]]]


@pytest.fixture
def handle(directory: Directory, manual_clock: ManualClock) -> Handle:
    return recording(directory, manual_clock, "profile.test")


@asynccontextmanager
async def watching(log: EventLog, request: WatchContactsRequest) -> AsyncIterator[Found]:
    stream = changes(Watch(log, SystemClock(), timedelta(milliseconds=50)), request)
    try:
        async with asyncio.timeout(10):
            yield stream
    finally:
        await stream.aclose()


async def some(stream: Found, count: int) -> tuple[list[Event], str]:
    """The next events, and the cursor behind them."""
    found: list[Event] = []
    cursor = ""
    while len(found) < count:
        cursor, events = await anext(stream)
        found += events
    return found, cursor


def external() -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=fresh_id("c"))


def event(who: Identity, name: str = "", city: str = "") -> bytes:
    made = Event(event_id=fresh_id("e"), source="track:shop", identities=[who])
    made.event_time.seconds = made.received_time.seconds = 1_000
    if city:
        made.identified.traits_json = b'{"city": "%s"}' % city.encode()
    else:
        made.tracked.name = name
    return made.SerializeToString()


async def id_of(directory: Directory, who: Identity) -> str:
    return await directory.resolve([normalised(who.kind, who.scope, who.value)])


async def test_what_happens_to_a_contact_is_seen_with_what_it_changed(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    who, other = external(), external()
    await handle([event(who, "signed_up"), event(other, "signed_up")])
    request = WatchContactsRequest(contact_ids=[await id_of(directory, who)])
    async with watching(log, request) as stream:
        assert (await anext(stream))[1] == []
        await handle([event(other, city="Izmir"), event(who, city="Bursa")])
        (seen,), _ = await some(stream, 1)
    assert [(c.name, c.value_json) for c in seen.changes] == [("city", b'"Bursa"')]


async def test_events_are_chosen_by_name_and_by_what_they_changed(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    who = external()
    await handle([event(who, "signed_up")])
    contact_id = await id_of(directory, who)
    named = WatchContactsRequest(contact_ids=[contact_id], names=["booked"])
    changed = WatchContactsRequest(contact_ids=[contact_id], attribute_names=["city"])
    async with watching(log, named) as one, watching(log, changed) as other:
        for stream in (one, other):
            await anext(stream)
        await handle([event(who, "signed_up"), event(who, "booked"), event(who, city="Bursa")])
        assert [e.tracked.name for e in (await some(one, 1))[0]] == ["booked"]
        assert [e.WhichOneof("body") for e in (await some(other, 1))[0]] == ["identified"]


async def test_a_cursor_goes_on_where_the_stream_stood(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    who = external()
    await handle([event(who, "signed_up")])
    request = WatchContactsRequest(contact_ids=[await id_of(directory, who)])
    async with watching(log, request) as stream:
        await anext(stream)
        await handle([event(who, "first")])
        _, request.cursor = await some(stream, 1)
    await handle([event(who, "second")])
    async with watching(log, request) as stream:
        (seen,), _ = await some(stream, 1)
    assert seen.tracked.name == "second"
    request.names.append("second")
    with pytest.raises(TokenInvalid):
        async with watching(log, request) as stream:
            await anext(stream)


async def test_silence_is_broken_by_heartbeats_and_nonsense_is_left_out(log: EventLog) -> None:
    async with watching(log, WatchContactsRequest()) as stream:
        first = await anext(stream)
        await log.append([Record("contact", "k", b"\xff\xff")])
        second = await anext(stream)
    assert first[1] == second[1] == []
    assert first[0] and second[0]


@pytest.mark.parametrize(
    "request_",
    [
        WatchContactsRequest(contact_ids=["nobody"]),
        WatchContactsRequest(names=[f"n{n}" for n in range(1_001)]),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(
    log: EventLog, request_: WatchContactsRequest
) -> None:
    with pytest.raises(FieldInvalid):
        async with watching(log, request_) as stream:
            await anext(stream)
