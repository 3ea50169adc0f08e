"""Whoever ends or resumes offers by a keyword is told once that it was understood."""

from typing import Any

import pytest

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.testing import wait_until
from chassis.times import timestamp
from merhaba.event.v1 import ConsentChanged, Event, MessageContent, MessageReceived
from services.sender.confirming import Confirming, Words
from services.sender.consumer import ContactConsumer
from services.sender.model import State

TURKISH = Words("Tamam, durdu.", "Tamam, devam.")
ENGLISH = Words("Stopped.", "")


@pytest.fixture
def consumer(ready: Any) -> ContactConsumer:
    confirming = Confirming(
        ready.outbox, ready.neighbours, TURKISH, ENGLISH, SystemClock(), ready.dispatcher.wake
    )
    return ContactConsumer(ready.outbox, ready.people, ready.erase, confirming.confirm)


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


def wrote(ready: Any, contact_id: str, wamid: str) -> bytes:
    return Event(
        event_id=fresh_id("said"),
        event_time=timestamp(now_ms()),
        received_time=timestamp(now_ms()),
        contact_id=contact_id,
        message_received=MessageReceived(
            phone_number_id=ready.number_id,
            wamid=wamid,
            content=MessageContent(kind="text", text="DUR"),
        ),
    ).SerializeToString()


def changed(contact_id: str, granted: bool, phone_number_id: str) -> bytes:
    return Event(
        event_id=fresh_id("consent"),
        event_time=timestamp(now_ms()),
        received_time=timestamp(now_ms()),
        contact_id=contact_id,
        consent_changed=ConsentChanged(
            purpose="marketing",
            granted=granted,
            channel="keyword",
            confirm_phone_number_id=phone_number_id,
        ),
    ).SerializeToString()


async def said(ready: Any, number: str) -> str:
    """Has a person write, so that Meta's window is open too; returns the wamid."""
    await ready.control("POST", "people", [{"wa_id": number}])
    told = await ready.control(
        "POST", f"people/{number}/say", {"phone_number_id": ready.number_id, "text": "DUR"}
    )
    return str(told["wamid"])


async def test_a_keyword_is_confirmed_once_in_the_window_it_opened(
    ready: Any, consumer: ContactConsumer
) -> None:
    who = ready.profile.add("905551119001")
    wamid = await said(ready, "905551119001")
    batch = [wrote(ready, who, wamid), changed(who, granted=False, phone_number_id=ready.number_id)]
    async with ready.sending():
        for _ in range(2):
            await consumer.handle(batch)

        async def sent() -> bool:
            return [row.state for row in await ready.rows(contact_id=who)] == [State.SENT]

        await wait_until(sent)
    (row,) = await ready.rows(contact_id=who)
    assert TURKISH.stopped.encode() in row.body
    assert len(await ready.ledger()) == 1


async def test_what_is_not_to_be_confirmed_is_not(ready: Any, consumer: ContactConsumer) -> None:
    who = ready.profile.add("905551119002", language="de")
    await consumer.handle(
        [
            changed(who, granted=False, phone_number_id=""),
            changed(who, granted=True, phone_number_id=ready.number_id),  # no text is set for it
            changed(who, granted=False, phone_number_id="999"),  # no number of ours
            changed(fresh_id("nobody"), granted=False, phone_number_id=ready.number_id),
        ]
    )
    assert await ready.rows(contact_id=who) == []
