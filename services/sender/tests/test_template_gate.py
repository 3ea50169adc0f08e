"""What waits for a template that Meta takes away, gives back or moves to another category while
messages are on their way: on real Postgres, Redis and simulator."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.testing import wait_until
from merhaba.event.v1 import Event, TemplateCategoryChanged, TemplateStatusChanged
from merhaba.sender.v1 import (
    Content,
    Destination,
    GetTemplateRequest,
    SendMessageRequest,
    Template,
    TemplateButtonParameter,
    TemplateMessage,
    TemplateParameter,
    UploadRateCardRequest,
)
from merhaba.sender.v1 import RateCard as RateCardProto
from services.sender.consumer import AccountConsumer
from services.sender.model import Message, State

CARD = (
    b"market,country_codes,category,tier_start,price\nTR,,marketing,0,0.01\nTR,,utility,0,0.002\n"
)
MARKETING, UTILITY = 10_000, 2_000
"""Millionths, for one message."""


async def order(ready: Any, contact_id: str) -> str:
    """A utility message to a person, which waits its turn."""
    template = TemplateMessage(
        name="order",
        language="tr",
        body=[TemplateParameter(text="Ayşe")],
        buttons=[TemplateButtonParameter(index=0, url_suffix="a")],
    )
    sent = await ready.messages.SendMessage(
        SendMessageRequest(
            request_id=str(uuid4()),
            destination=Destination(contact_id=contact_id),
            content=Content(template=template),
        )
    )
    message_id: str = sent.message.ref.message_id
    return message_id


async def orders(ready: Any, count: int, **person: Any) -> list[str]:
    tail = str(uuid4().int)[:6]
    people = [ready.profile.add(f"9055{tail}{n:04}", **person) for n in range(count)]
    return [await order(ready, one) for one in people]


async def template_id(ready: Any, name: str) -> str:
    (found,) = await ready.shelf.named(ready.waba_id, name, "tr")
    return str(found.template_id)


async def meta_says(ready: Any, name: str, **body: Any) -> None:
    """A webhook of Meta's."""
    (kind,) = body
    body[kind].waba_id, body[kind].template_id = ready.waba_id, await template_id(ready, name)
    event = Event(event_id=fresh_id("e"), **body)
    event.event_time.FromMilliseconds(milliseconds_of(SystemClock().now()))
    consumer = AccountConsumer(ready.shelf, ready.number_store)
    await consumer.handle([event.SerializeToString()])


async def messages(ready: Any, ids: list[str]) -> list[Message]:
    return [await ready.outbox.get("message_id", one) for one in ids]


async def accepted(ready: Any) -> list[str]:
    """Whom Meta took messages for, each by our message's id."""
    return [entry["callback_data"] for entry in await ready.ledger()]


async def so_many(ready: Any, count: int) -> None:
    async def so() -> bool:
        return len(await accepted(ready)) >= count

    await wait_until(so)


@pytest.mark.parametrize("told", ["by a webhook", "by a refusal", "by a sync"])
@pytest.mark.parametrize("already", [0, 13])
async def test_a_paused_template_sends_nothing_and_all_of_it_once_it_is_back(
    ready: Any, told: str, already: int
) -> None:
    count, one = 40, await template_id(ready, "order")
    ids = await orders(ready, count)
    await ready.paced(60)
    async with ready.sending():
        await so_many(ready, already)
        await ready.control("PUT", f"templates/{one}", {"status": "PAUSED"})
        before = len(await accepted(ready))
        if told == "by a webhook":
            paused = TemplateStatusChanged(status="PAUSED")
            await meta_says(ready, "order", template_status_changed=paused)
        elif told == "by a sync":
            await ready.syncing.sync(ready.waba_id)

        async def all_wait() -> bool:
            found = await messages(ready, ids)
            waiting = [m for m in found if (m.state, m.gate) == (State.HELD, "template")]
            return len(waiting) == count - before

        await wait_until(all_wait, 20)
        assert len(await accepted(ready)) == before, "Meta takes nothing while it is paused"
        assert {m.reason for m in await messages(ready, ids) if m.state == State.HELD} == {
            "template_paused"
        }
        await ready.control("PUT", f"templates/{one}", {"status": "APPROVED"})
        await ready.paced(5_000)
        if told == "by a webhook":
            back = TemplateStatusChanged(status="APPROVED")
            await meta_says(ready, "order", template_status_changed=back)
        else:
            await ready.syncing.sync(ready.waba_id)
        await so_many(ready, count)
    assert sorted(await accepted(ready)) == sorted(ids), "each once, none forgotten"


@pytest.mark.parametrize("status", ["REJECTED", "DISABLED", "DELETED", "PENDING_DELETION"])
async def test_what_meta_takes_away_for_good_ends_what_waits_with_the_reason(
    ready: Any, status: str
) -> None:
    ids = await orders(ready, 5)
    gone = TemplateStatusChanged(status=status)
    await meta_says(ready, "order", template_status_changed=gone)
    async with ready.sending():

        async def ended() -> bool:
            return {m.state for m in await messages(ready, ids)} == {State.SUPPRESSED}

        await wait_until(ended)
    assert {(m.gate, m.reason) for m in await messages(ready, ids)} == {
        ("template", f"template_{status.lower()}")
    }
    assert await accepted(ready) == []


@pytest.mark.parametrize("announced", [False, True])
async def test_a_template_that_meta_moves_to_marketing_asks_what_waits_anew(
    ready: Any, announced: bool
) -> None:
    card = RateCardProto(currency_code="USD")
    card.effective_time.FromSeconds(1_700_000_000)
    await ready.rate_cards.UploadRateCard(
        UploadRateCardRequest(request_id=str(uuid4()), rate_card=card, csv=CARD)
    )
    agreed = await orders(ready, 10)
    others = await orders(ready, 10, marketing=False)
    await ready.paced(25)
    async with ready.sending():
        await so_many(ready, 4)
        moved = TemplateCategoryChanged(category="MARKETING", previous_category="UTILITY")
        if announced:
            now = milliseconds_of(SystemClock().now())
            moved.effective_time.FromMilliseconds(now + 200)
        await meta_says(ready, "order", template_category_changed=moved)
        if announced:
            got = await ready.templates.GetTemplate(
                GetTemplateRequest(template_id=await template_id(ready, "order"))
            )
            assert got.template.effective_category == "UTILITY"
            assert got.template.announced_category == "MARKETING"
            assert got.template.state == Template.STATE_APPROVED
            await asyncio.sleep(0.2)  # until what was announced holds

        async def settled() -> bool:
            found = await messages(ready, [*agreed, *others])
            return not any(m.state in {State.PLANNED, State.ATTEMPTING} for m in found)

        await wait_until(settled, 20)
    for one in await messages(ready, agreed):
        assert one.state == State.SENT
        assert one.cost_micros == (MARKETING if one.category == "marketing" else UTILITY)
    assert "marketing" in {m.category for m in await messages(ready, agreed + others)}
    left = await messages(ready, others)
    assert {m.gate for m in left if m.state == State.SUPPRESSED} == {"consent"}
    assert {m.category for m in left if m.state == State.SENT} <= {"utility"}
    assert {m.category for m in left if m.state == State.SUPPRESSED} == {"marketing"}
    went = [m.message_id for m in await messages(ready, agreed + others) if m.state == State.SENT]
    assert sorted(await accepted(ready)) == sorted(went)
