"""Limits make messages wait, in the database where it takes long, and fail none."""

from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.app import tasks
from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.testing import wait_until
from merhaba.event.v1 import Event, MessageReceived
from merhaba.sender.v1 import (
    Content,
    Destination,
    ExplainSendRequest,
    SendMessageRequest,
    TemplateMessage,
    TemplateParameter,
)
from services.sender.consumer import ContactConsumer
from services.sender.model import Message, State


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


async def intended(ready: Any, contact_id: str) -> str:
    body = [TemplateParameter(text="Ayşe")]
    template = TemplateMessage(name="welcome", language="tr", body=body)
    sent = await ready.messages.SendMessage(
        SendMessageRequest(
            request_id=str(uuid4()),
            destination=Destination(contact_id=contact_id),
            content=Content(template=template),
        )
    )
    message_id: str = sent.message.ref.message_id
    return message_id


async def row_of(ready: Any, message_id: str) -> Message:
    found: Message = await ready.outbox.get("message_id", message_id)
    return found


async def decided(ready: Any, *message_ids: str) -> list[Message]:
    """The messages, as soon as each was sent or waits for a limiter."""

    async def done() -> bool:
        rows = [await row_of(ready, one) for one in message_ids]
        return all(row.state in {State.SENT, State.HELD} for row in rows)

    async with ready.sending():
        await wait_until(done)
    return [await row_of(ready, one) for one in message_ids]


def wrote(contact_id: str, number: str) -> bytes:
    now = now_ms()
    wamid = fresh_id("wamid")
    return Event(
        event_id=wamid,
        event_time=Timestamp(seconds=now // 1000),
        contact_id=contact_id,
        message_received=MessageReceived(wamid=wamid, phone_number_id=number),
    ).SerializeToString()


async def test_beyond_the_messaging_limit_people_wait_for_a_day_but_not_who_wrote_lately(
    ready: Any,
) -> None:
    await ready.pool.execute(
        "UPDATE numbers SET messaging_limit = '2' WHERE phone_number_id = $1", ready.number_id
    )
    people = [ready.profile.add(f"90555660000{n}") for n in range(4)]
    heard = ContactConsumer(ready.outbox, ready.people, ready.erase)
    await heard.handle([wrote(people[3], ready.number_id)])
    rows = await decided(ready, *[await intended(ready, one) for one in people])
    assert rows[3].state == State.SENT, "inside their window nobody counts"
    (held,) = [row for row in rows if row.state == State.HELD]
    assert (held.gate, held.reason, held.attempts) == ("tier", "tier_reached", 0)
    assert 86_000_000 < held.due_time - now_ms() <= 86_400_000
    (told,) = [e for e in await ready.events() if e.HasField("message_held")]
    assert told.message_held.reason == "tier"
    assert len(await ready.ledger()) == 3


async def test_that_the_day_is_full_is_explained_before_anybody_tries(ready: Any) -> None:
    await ready.pool.execute(
        "UPDATE numbers SET messaging_limit = '1' WHERE phone_number_id = $1", ready.number_id
    )
    first, second = (ready.profile.add(f"90555660002{n}") for n in (1, 2))

    async def explained(contact_id: str) -> tuple[bool, str, bool]:
        answer = await ready.messages.ExplainSend(
            ExplainSendRequest(
                destination=Destination(contact_id=contact_id),
                content=Content(
                    template=TemplateMessage(
                        name="welcome", language="tr", body=[TemplateParameter(text="Ayşe")]
                    )
                ),
            )
        )
        last = answer.verdicts[-1]
        assert (last.gate, bool(last.explanation)) == ("tier", not answer.allowed)
        tomorrow = now_ms() // 1000 + 86_000
        return answer.allowed, last.reason, answer.next_eligible_time.seconds > tomorrow

    assert await explained(second) == (True, "", False)
    await decided(ready, await intended(ready, first))
    assert await explained(first) == (True, "", False)
    assert await explained(second) == (False, "tier_reached", True)


async def test_a_second_message_to_a_person_waits_until_meta_takes_it(ready: Any) -> None:
    who = ready.profile.add("905556600010")
    first, second = await intended(ready, who), await intended(ready, who)
    rows = await decided(ready, first, second)
    (held,) = [row for row in rows if row.state == State.HELD]
    assert (held.gate, held.attempts) == ("limiter_pair", 0)
    assert 0 < held.due_time - now_ms() <= 6_500
    assert not [e for e in await ready.events() if e.HasField("message_held")], "it is no news"
    await ready.pool.execute(
        "UPDATE messages SET due_time = 0 WHERE message_id = $1", held.message_id
    )
    keys = [key async for key in ready.log.redis.scan_iter(match="*:pair:*")]
    await ready.log.redis.delete(*keys)

    async def sent() -> bool:
        return (await row_of(ready, held.message_id)).state == State.SENT

    async with ready.sending():
        await wait_until(sent)


async def test_messages_that_come_in_count_for_the_number(ready: Any) -> None:
    async with tasks(ready.dispatcher.run):
        await wait_until(lambda: bool(ready.dispatcher._lines))
        heard = ContactConsumer(
            ready.outbox, ready.people, ready.erase, heard=ready.dispatcher.heard
        )
        who = ready.profile.add("905556600020")
        await heard.handle([wrote(who, ready.number_id) for _ in range(3)])
        (number,) = await ready.outbox.numbers()
        _, slots = ready.dispatcher._throttle._keys(number.phone_number_id)
        assert await ready.log.redis.llen(slots) == 3


async def test_what_stands_in_line_when_a_process_stops_is_given_back_uncalled(ready: Any) -> None:
    await ready.pool.execute("UPDATE numbers SET throughput = 20")
    ids = [await intended(ready, ready.profile.add(f"9055566001{n:02}")) for n in range(8)]

    async def some_left() -> bool:
        return bool(await ready.ledger())

    async with ready.sending():
        await wait_until(some_left)
    rows = [await row_of(ready, one) for one in ids]
    assert {row.state for row in rows} == {State.SENT, State.PLANNED}
    assert {row.attempts for row in rows if row.state == State.PLANNED} == {0}
    assert len(await ready.ledger()) == sum(row.state == State.SENT for row in rows)
