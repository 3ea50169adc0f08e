"""Nobody stands in anybody's way: campaigns take turns on a number, numbers share the calls, and
a reply waits for neither. On real Postgres and Redis."""

import asyncio
from collections import Counter
from typing import Any

from chassis.app import tasks
from chassis.ids import fresh_id
from chassis.testing import wait_until
from services.sender.delivery.dispatch import Limits
from services.sender.delivery.outcome import Answer
from services.sender.holds import hold, share
from services.sender.model import Address, Lane, Message, State, lane_of
from services.sender.tables.turns import due
from services.sender.tests.test_caps import now_ms, planned, store
from services.sender.tests.test_on_the_way import Meta, dispatcher, waiting


class Hanging(Meta):
    """Answers no call of some."""

    def __init__(self, hangs: Any) -> None:
        super().__init__()
        self.hangs = hangs

    async def send(self, message: Message, address: Address) -> Answer:
        answer = await super().send(message, address)
        if self.hangs(message):
            await asyncio.Event().wait()
        return answer


async def taken(ready: Any, bulk: int) -> tuple[list[Message], bool]:
    async with ready.pool.acquire() as connection, connection.transaction():
        return await due(connection, ready.number_id, [0, 0, bulk], now_ms())


async def test_campaigns_take_turns_on_a_number_however_many_wait_of_each(ready: Any) -> None:
    at = now_ms()
    large = [planned(ready, fresh_id("c"), campaign_id="large", due_time=at - 5) for _ in range(90)]
    small = [planned(ready, fresh_id("c"), campaign_id="small", due_time=at - 1) for _ in range(3)]
    single = planned(ready, fresh_id("c"), due_time=at - 1)
    later = planned(ready, fresh_id("c"), campaign_id="later", due_time=at + 60_000)
    await store(ready, *large, *small, single, later)
    found, more = await taken(ready, 30)
    assert Counter(m.campaign_id for m in found) == {"large": 10, "small": 3, "": 1}
    assert more, "of one there is more than its part"
    found, more = await taken(ready, 400)
    assert (len(found), more) == (94, False)


async def test_with_more_campaigns_than_places_each_gets_one_now_and_then(ready: Any) -> None:
    names = [f"campaign {n}" for n in range(6)]
    await store(
        ready, *(planned(ready, fresh_id("c"), campaign_id=name) for name in names for _ in "12")
    )
    seen: set[str] = set()
    for _ in range(200):
        found, more = await taken(ready, 2)
        assert more
        assert len(found) == 2
        seen |= {m.campaign_id for m in found}
    assert seen == set(names)


async def test_a_number_whose_calls_hang_leaves_places_to_the_others(ready: Any) -> None:
    other = fresh_id("number")
    await ready.pool.execute(
        "INSERT INTO numbers (phone_number_id, waba_id, throughput, create_time, update_time,"
        " sync_time) VALUES ($1, $2, 1000, 1, 1, 1)",
        *(other, ready.waba_id),
    )
    for n in range(20):
        await waiting(ready, f"9055511200{n:02}")
    for n in range(20):
        await waiting(ready, f"9055511201{n:02}", phone_number_id=other)
    meta = Hanging(lambda message: message.phone_number_id == ready.number_id)
    limits = Limits(concurrency=8, lease_ms=60_000, call_ms=10_000)

    def went() -> int:
        return sum(message.phone_number_id == other for message, _ in meta.called)

    one = dispatcher(ready, platform=meta, limits=limits)
    running = asyncio.create_task(one.run())
    try:
        await wait_until(lambda: went() == 20, timeout_s=8)
    finally:
        for call in one._calls:
            call.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_message_that_is_asked_again_for_nothing_new_is_not_told_again(ready: Any) -> None:
    async with ready.pool.acquire() as connection:
        await connection.execute("UPDATE templates SET state = 'PAUSED'")
    message = await waiting(ready, "905551120301")
    async with tasks(dispatcher(ready).run):

        async def held() -> bool:
            row = await ready.outbox.get("message_id", message.message_id)
            return row.state == State.HELD and row.due_time > now_ms()

        await wait_until(held)
        await ready.pool.execute("UPDATE messages SET due_time = 1")
        await wait_until(held)
    assert (await ready.told(message.message_id)).count("message_held") == 1


async def test_whoever_changes_a_campaign_comes_to_it_however_many_decide_on_it(
    ready: Any,
) -> None:
    over = asyncio.Event()

    async def deciding() -> None:
        while not over.is_set():
            async with ready.pool.acquire() as connection, connection.transaction():
                await share(connection, ["c"])
                await asyncio.sleep(0.05)

    others = [asyncio.create_task(deciding()) for _ in range(7)]
    await asyncio.sleep(0.2)
    async with ready.pool.acquire() as connection:
        for _ in range(5):
            asked = asyncio.get_running_loop().time()
            async with connection.transaction():
                await hold(connection, ["c"])
            assert asyncio.get_running_loop().time() - asked < 0.5
    over.set()
    await asyncio.gather(*others)


async def test_codes_go_with_replies() -> None:
    lanes = {one: lane_of(one) for one in ("authentication", "utility", "marketing")}
    assert list(lanes.values()) == [Lane.REPLY, Lane.TRANSACTIONAL, Lane.BULK]
