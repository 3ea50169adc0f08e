"""Reading messages: as they change, with who read them, and as many as may wait."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest

from chassis.clock import ManualClock, SystemClock
from chassis.ids import fresh_id
from merhaba.sender.v1 import (
    GetMessageRequest,
    Message,
    WatchMessagesRequest,
    WatchMessagesResponse,
)
from services.sender.api.backlog import Backlog
from services.sender.delivery.outcome import Sent
from services.sender.failures import OutboxFull
from services.sender.model import Lane
from services.sender.tests.test_caps import claim, ended, planned, store
from services.sender.tests.test_sending import to


async def changes(stream: Any, count: int) -> list[WatchMessagesResponse]:
    """So many changes of a stream, without its heartbeats."""
    found = []
    async with asyncio.timeout(10):
        async for response in stream:
            if response.HasField("message"):
                found.append(response)
            if len(found) == count:
                return found
    return found


async def test_who_watches_sees_each_message_as_it_changes_and_goes_on_from_the_cursor(
    ready: Any,
) -> None:
    who, other = (ready.profile.add(f"90555112500{n}") for n in (1, 2))
    request = WatchMessagesRequest(contact_id=who)
    stream = ready.messages.WatchMessages(request)
    first = await anext(aiter(stream))
    assert first.cursor
    assert not first.HasField("message")
    await ready.messages.SendMessage(to(other))
    sent = await ready.messages.SendMessage(to(who))
    (one,) = await changes(stream, 1)
    assert one.message.ref.message_id == sent.message.ref.message_id
    going = [o for o in await claim(ready) if o.message.contact_id == who]
    await ready.outbox.settle([ended(going[0], Sent("wamid.watched"))])
    (two,) = await changes(stream, 1)
    assert (two.message.state, two.message.ref.wamid) == (Message.STATE_SENT, "wamid.watched")
    stream.cancel()
    request.cursor = one.cursor
    (again,) = await changes(ready.messages.WatchMessages(request), 1)
    assert again.message == two.message
    wrong = WatchMessagesRequest(cursor=one.cursor, campaign_id="c")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await changes(ready.messages.WatchMessages(wrong), 1)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_who_reads_what_was_written_to_a_person_says_why_and_is_on_record(
    ready: Any,
) -> None:
    who = ready.profile.add("905551125003")
    sent = await ready.messages.SendMessage(to(who))
    message_id = sent.message.ref.message_id
    plain = await ready.messages.GetMessage(GetMessageRequest(message_id=message_id))
    assert not plain.message.HasField("content")
    request = GetMessageRequest(message_id=message_id, include_content=True)
    nothing = ready.messages.GetMessage(request, metadata=[("purpose", "")])
    assert await ready.refusal(nothing) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert not await ready.pool.fetch("SELECT FROM reads WHERE message_id = $1", message_id)
    read = await ready.messages.GetMessage(request, metadata=[("purpose", "a complaint")])
    assert read.message.content.template.name == "welcome"
    row = await ready.pool.fetchrow("SELECT * FROM reads WHERE message_id = $1", message_id)
    assert (row["caller"], row["purpose"]) == ("internal", "a complaint")
    assert row["method"].endswith("/GetMessage")


async def test_when_too_many_wait_for_a_number_more_are_refused_until_some_went(
    ready: Any,
) -> None:
    one = planned(ready, fresh_id("c"), lane=Lane.REPLY)
    of_campaign = planned(ready, fresh_id("c"), lane=Lane.REPLY, campaign_id="large")
    await store(ready, one, of_campaign)
    clock = ManualClock(SystemClock().now())
    backlog = Backlog(ready.outbox.waiting, clock, 3)
    for _ in range(2):
        await backlog.admit(one)
    with pytest.raises(OutboxFull):
        await backlog.admit(one)
    await backlog.admit(planned(ready, fresh_id("c")))  # another lane
    await ready.pool.execute("UPDATE messages SET state = 5 WHERE message_id = $1", one.message_id)
    await clock.advance(timedelta(seconds=6))
    await backlog.admit(one)
