"""Caps hold exactly, whoever sends at once; what is refused makes room for what waits."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.postgres import Effects, Pool, database
from services.sender.delivery.moves import Decided, Settled, permit
from services.sender.delivery.outcome import Refused, RetryAt, Sent
from services.sender.gates import Candidate
from services.sender.model import DAY_MS, Address, Contact, Lane, Message, State
from services.sender.rulebook.policy_store import PolicyStore
from services.sender.rules.policy import FrequencyCap, Policy
from services.sender.tables.outbox import Outbox
from services.sender.tables.rows import insert
from services.sender.tests.test_people import heard, merged

PLACES = (30, 30, 30)
LEASE_MS = 60_000


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


async def capped(ready: Any, *caps: FrequencyCap) -> None:
    policy = Policy(frequency_caps=caps, quiet_hours=())
    await PolicyStore(ready.pool).change(lambda _: policy, (), now_ms())


def planned(ready: Any, contact_id: str, **changes: Any) -> Message:
    now = now_ms()
    fields: dict[str, Any] = {
        "message_id": fresh_id("msg"),
        "contact_id": contact_id,
        "campaign_id": "",
        "occurrence_id": "",
        "phone_number_id": ready.number_id,
        "template": "welcome",
        "language": "tr",
        "variant": "",
        "propensity": 1.0,
        "purpose": "",
        "context_wamid": "",
        "body": b"{}",
        "lane": Lane.BULK,
        "not_after": 0,
        "plan_time": now,
        "received_time": now,
        "traceparent": "",
        "category": "marketing",
        "due_time": now,
    }
    return Message(**{**fields, **changes})


async def store(ready: Any, *messages: Message) -> None:
    async with ready.pool.acquire() as connection:
        await insert(connection, messages)


async def allowed(candidates: Sequence[Candidate]) -> Sequence[Decided]:
    """Everybody agreed to everything; the answer of profile takes a moment."""
    await asyncio.sleep(0)

    def who(candidate: Candidate) -> Contact:
        address = Address("905", market="TR")
        return Contact(candidate.message.contact_id, addresses=[address], consents=AGREED)

    return [permit(c, who(c), now_ms(), LEASE_MS) for c in candidates]


AGREED = {"marketing": "granted"}


async def claim(ready: Any, outbox: Outbox | None = None) -> list[Decided]:
    found, _ = await (outbox or ready.outbox).claim(ready.number_id, PLACES, now_ms(), allowed)
    return list(found)


def ended(one: Decided, outcome: Any) -> Settled:
    return Settled(one.message, outcome, now_ms(), "")


@pytest.fixture
async def four(ready: Any, migrated: str) -> AsyncIterator[list[Outbox]]:
    """Senders with nothing in common but Postgres and the log."""
    async with AsyncExitStack() as stack:
        outboxes = []
        for slot in range(4):
            pool: Pool = await stack.enter_async_context(database(migrated, "sender", 2))
            effects = Effects(pool, ready.log, SystemClock(), timedelta(days=1))
            outboxes.append(Outbox(pool, effects, slot=slot))
        yield outboxes


async def counted(ready: Any, contacts: Sequence[str]) -> Counter[str]:
    rows = await ready.pool.fetch(
        "SELECT contact_id, count(*) FROM messages WHERE contact_id = ANY($1::text[])"
        " AND state BETWEEN 3 AND 8 GROUP BY 1",
        list(contacts),
    )
    return Counter({row[0]: row[1] for row in rows})


async def test_four_senders_at_once_never_exceed_a_cap_and_leave_no_room_unused(
    ready: Any, four: list[Outbox]
) -> None:
    limit, each = 3, 9
    await capped(ready, FrequencyCap("marketing", limit, DAY_MS))
    contacts = [fresh_id("contact") for _ in range(25)]
    messages = [planned(ready, contact) for contact in contacts for _ in range(each)]
    chance = random.Random(7)
    chance.shuffle(messages)
    # Of each contact at least as many are taken by Meta as the cap allows.
    refused = {
        m.message_id
        for contact in contacts
        for m in [one for one in messages if one.contact_id == contact][limit:]
    }
    await store(ready, *messages)
    most: Counter[str] = Counter()
    waiting = asyncio.Event()

    async def send(outbox: Outbox) -> None:
        quiet = 0
        while quiet < 3:
            going = [one for one in await claim(ready, outbox) if one.address]
            for contact, count in (await counted(ready, contacts)).items():
                most[contact] = max(most[contact], count)
            quiet = 0 if going else quiet + 1
            chance.shuffle(going)
            for one in going:
                again = chance.random() < 0.2
                known = one.message.message_id
                outcome: Any = Refused("recipient", 100) if known in refused else Sent(known)
                await outbox.settle([ended(one, RetryAt(now_ms(), "server") if again else outcome)])
            await asyncio.sleep(0.02)
        waiting.set()

    await asyncio.gather(*(send(outbox) for outbox in four))
    assert max(most.values()) == limit
    rows = await ready.pool.fetch(
        "SELECT contact_id, state, gate FROM messages WHERE contact_id = ANY($1::text[])", contacts
    )
    states = Counter((row["contact_id"], State(row["state"]).name) for row in rows)
    for contact in contacts:
        assert states[contact, "SENT"] == limit
        assert states[contact, "PLANNED"] == states[contact, "ATTEMPTING"] == 0
    assert {row["gate"] for row in rows if row["state"] == State.HELD} <= {"frequency_cap"}


async def test_what_meta_refuses_makes_room_for_what_waits_at_once(ready: Any) -> None:
    await capped(ready, FrequencyCap("marketing", 1, DAY_MS))
    who = fresh_id("contact")
    first, second = planned(ready, who, due_time=1), planned(ready, who, due_time=2)
    await store(ready, first, second)
    going, held = await claim(ready)
    assert (going.message.message_id, held.message.gate) == (first.message_id, "frequency_cap")
    assert held.message.due_time == going.message.attempt_time + DAY_MS
    assert await claim(ready) == []
    await ready.outbox.settle([ended(going, Refused("recipient", 100))])
    (again,) = await claim(ready)
    assert (again.message.message_id, again.verdict) == (second.message_id, None)


async def test_an_unclear_one_keeps_its_room_also_when_it_is_given_up(ready: Any) -> None:
    await capped(ready, FrequencyCap("marketing", 1, DAY_MS))
    who = fresh_id("contact")
    first = planned(ready, who)
    await store(ready, first)
    await claim(ready)
    for _ in range(2):  # its lease ends; no status comes
        await ready.pool.execute(
            "UPDATE messages SET due_time = 1 WHERE message_id = $1", first.message_id
        )
        await ready.pool.execute(
            "UPDATE leases SET end_time = 1 WHERE $1 = ANY(message_ids)", first.message_id
        )
        await ready.outbox.expire(now_ms())
    row = await ready.outbox.get("message_id", first.message_id)
    assert (State(row.state), row.reason) == (State.FAILED, "unconfirmed")
    await store(ready, planned(ready, who))
    (held,) = await claim(ready)
    assert held.message.gate == "frequency_cap"


async def test_all_purposes_together_count_only_what_the_business_began(ready: Any) -> None:
    await capped(ready, FrequencyCap("*", 1, DAY_MS))
    who = fresh_id("contact")
    await ready.pool.execute(
        "INSERT INTO windows VALUES ($1, $2, $3)", who, ready.number_id, now_ms()
    )
    answer: dict[str, Any] = {"template": "", "category": "service", "lane": Lane.REPLY}
    await store(ready, planned(ready, who, **answer), planned(ready, who, **answer))
    assert [one.verdict for one in await claim(ready)] == [None, None]
    order = {"template": "order", "category": "utility", "lane": Lane.TRANSACTIONAL}
    await store(ready, planned(ready, who, **order), planned(ready, who))
    going, held = await claim(ready)
    assert (going.message.template, held.message.gate) == ("order", "frequency_cap")


async def test_caps_follow_people_who_turn_out_to_be_one(ready: Any) -> None:
    await capped(ready, FrequencyCap("marketing", 2, DAY_MS))
    anne, also = fresh_id("contact"), fresh_id("contact")
    await store(ready, planned(ready, anne), planned(ready, also))
    assert [one.verdict for one in await claim(ready)] == [None, None]
    await heard(ready, merged(anne, also))
    await store(ready, planned(ready, anne))
    (held,) = await claim(ready)
    assert (held.message.gate, held.message.reason) == ("frequency_cap", "cap_reached")
