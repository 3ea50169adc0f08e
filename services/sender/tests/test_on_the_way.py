"""What dies, or comes late, twice or without a name while a message is on its way: it is sent once,
and what is not in doubt is not doubted. On real Postgres, Redis and simulator."""

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec.structs import replace

from chassis.app import tasks
from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.testing import wait_until
from chassis.transient import transient
from merhaba.event.v1 import CallChanged, Event, PlatformError, StatusReceived
from services.sender.consumer import ContactConsumer, StatusConsumer
from services.sender.delivery.dispatch import Dispatcher, Ended, Limits, told_of
from services.sender.delivery.moves import Decided
from services.sender.delivery.outcome import Answer, Halted, Returned, Sent, judge
from services.sender.delivery.pace import Booked, Told
from services.sender.model import Address, Message, Number, State
from services.sender.outside.post import Post
from services.sender.posting import Posted
from services.sender.tables.outbox import Outbox
from services.sender.tests.numbers import number
from services.sender.tests.test_caps import claim, ended, planned, store
from services.sender.throttle import RedisThrottle


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


class Meta:
    """Accepts everything, and remembers how it was called."""

    def __init__(self) -> None:
        self.called: list[tuple[Message, int]] = []

    async def send(self, message: Message, address: Address) -> Answer:
        self.called.append((message, now_ms()))
        return Answer(200, wamid=f"wamid.{message.message_id}")


def dispatcher(ready: Any, **changes: Any) -> Dispatcher:
    parts: dict[str, Any] = {
        "outbox": ready.outbox,
        "contacts": ready.neighbours,
        "platform": Meta(),
        "throttle": RedisThrottle(ready.log),
        "clock": SystemClock(),
        "random": random.Random(1).random,
        "limits": Limits(concurrency=20, lease_ms=60_000, call_ms=10_000),
        "passing": transient,
    }
    return Dispatcher(**{**parts, **changes})


async def row_of(ready: Any, message: Message) -> Message:
    found: Message = await ready.outbox.get("message_id", message.message_id)
    return found


async def waiting(ready: Any, wa_id: str, **changes: Any) -> Message:
    """A marketing message to somebody who agreed, due."""
    body = b'{"type":"template","template":{"name":"welcome"}}'
    message = planned(ready, ready.profile.add(wa_id), body=body, **changes)
    await store(ready, message)
    return message


def failed(message_id: str, wamid: str, number_id: str, *codes: int) -> bytes:
    return Event(
        event_id=fresh_id("e"),
        event_time=Timestamp(seconds=now_ms() // 1000 + 1),
        received_time=Timestamp(seconds=now_ms() // 1000 + 1),
        status_received=StatusReceived(
            wamid=wamid,
            status="failed",
            callback_data=message_id,
            phone_number_id=number_id,
            errors=[PlatformError(code=code) for code in codes],
        ),
    ).SerializeToString()


async def test_no_call_begins_whose_lease_would_end_meanwhile(ready: Any) -> None:
    class Late(RedisThrottle):
        """Slots come only after a while."""

        opens = asyncio.get_running_loop().time() + 0.5

        async def book(self, number: Number, wanted: Sequence[int], missed: Any) -> Booked:
            if asyncio.get_running_loop().time() < self.opens:
                return Booked([], 0.02)
            return await super().book(number, wanted, missed)

    message = await waiting(ready, "905551119001")
    meta = Meta()
    limits = Limits(concurrency=20, lease_ms=600, call_ms=300)
    late = dispatcher(ready, platform=meta, throttle=Late(ready.log), limits=limits)
    async with tasks(late.run):
        await wait_until(lambda: bool(meta.called))
    ((called, at),) = meta.called
    assert at + limits.call_ms <= called.due_time
    assert "message_unknown" not in await ready.told(message.message_id)


async def test_what_was_claimed_when_the_process_stops_is_in_no_doubt(ready: Any) -> None:
    class Stuck(Outbox):
        """Claims, and its answer never comes."""

        async def claim(self, *given: Any) -> Any:
            await super().claim(*given)
            await asyncio.Event().wait()

    message = await waiting(ready, "905551119002")
    outbox = Stuck(ready.pool, ready.effects)
    running = asyncio.create_task(dispatcher(ready, outbox=outbox).run())

    async def attempting() -> bool:
        return (await row_of(ready, message)).state == State.ATTEMPTING

    await wait_until(attempting)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    row = await row_of(ready, message)
    assert (row.state, row.attempts) == (State.PLANNED, 0)


async def test_an_outcome_that_is_written_twice_takes_nothing_from_who_claimed_it_since(
    ready: Any,
) -> None:
    message = await waiting(ready, "905551119003")
    (first,) = await claim(ready)
    back = ended(first, Returned(now_ms(), "limiter_number"))
    await ready.outbox.settle([back])
    (second,) = await claim(ready)
    assert second.message.attempts == 1
    await ready.outbox.settle([back])  # whoever lost the answer of Postgres does it again
    assert (await row_of(ready, message)).state == State.ATTEMPTING
    await ready.outbox.settle([ended(second, Sent("wamid.2"))])
    assert (await row_of(ready, message)).state == State.SENT


async def test_a_status_without_our_id_that_comes_before_the_answer_finds_its_message(
    ready: Any,
) -> None:
    message = await waiting(ready, "905551119004")
    (going,) = await claim(ready)
    wamid = fresh_id("wamid")
    await StatusConsumer(ready.outbox).handle([failed("", wamid, ready.number_id, 131026)])
    assert await ready.outbox.rejoin(now_ms()) == 0
    assert not [e for e in await ready.events() if e.HasField("message_failed")]
    await ready.outbox.settle([ended(going, Sent(wamid))])
    assert await ready.outbox.rejoin(now_ms()) == 1
    row = await row_of(ready, message)
    assert (State(row.state), row.error_code) == (State.FAILED, 131026)
    (told,) = [e for e in await ready.events() if e.HasField("message_failed")]
    assert told.message_failed.message.message_id == message.message_id
    assert await ready.outbox.rejoin(now_ms()) == 0


async def test_a_status_that_turns_out_to_be_somebody_elses_is_passed_on_after_a_while(
    ready: Any,
) -> None:
    await waiting(ready, "905551119005")
    await claim(ready)
    wamid = fresh_id("wamid")
    await StatusConsumer(ready.outbox).handle([failed("", wamid, ready.number_id, 131026)])
    assert await ready.outbox.rejoin(now_ms() + 100_000) == 0
    assert await ready.outbox.rejoin(now_ms() + 200_000) == 1
    (told,) = [e for e in await ready.events() if e.HasField("message_failed")]
    assert told.message_failed.message.wamid == wamid


async def paused(ready: Any) -> bool:
    found: bool = await ready.pool.fetchval(
        "SELECT paused FROM numbers WHERE phone_number_id = $1", ready.number_id
    )
    return found


async def test_a_failed_message_of_which_meta_says_no_more_pauses_no_number(ready: Any) -> None:
    message = await waiting(ready, "905551119006")
    (going,) = await claim(ready)
    await ready.outbox.settle([ended(going, Sent("wamid.6"))])
    status = failed(message.message_id, "wamid.6", ready.number_id)
    await StatusConsumer(ready.outbox).handle([status])
    assert (await row_of(ready, message)).state == State.FAILED
    assert not await paused(ready)


async def test_a_token_that_meta_refuses_with_code_0_pauses_the_number(ready: Any) -> None:
    message = await waiting(ready, "905551119007")
    (going,) = await claim(ready)
    await ready.outbox.settle([ended(going, Halted("account", 0))])
    assert (await row_of(ready, message)).state == State.PLANNED
    assert await paused(ready)


async def test_a_message_that_goes_after_all_shows_no_error(ready: Any) -> None:
    message = await waiting(ready, "905551119008")
    (going,) = await claim(ready)
    await ready.outbox.settle([ended(going, Halted("account", 190))])
    assert (await row_of(ready, message)).error_code == 190
    await ready.pool.execute("UPDATE numbers SET paused = false")
    (going,) = await claim(ready)
    await ready.outbox.settle([ended(going, Sent("wamid.8"))])
    row = await row_of(ready, message)
    assert (State(row.state), row.error_code) == (State.SENT, 0)


@pytest.mark.parametrize("gate", ["", "number"])
async def test_what_waits_beyond_its_last_moment_ends_although_its_number_is_paused(
    ready: Any, gate: str
) -> None:
    late = planned(ready, fresh_id("contact"), not_after=now_ms() - 10_000, gate=gate)
    if gate:
        late.state, late.due_time = State.HELD, 1 << 62
    young = planned(ready, fresh_id("contact"), not_after=now_ms() + 60_000)
    await store(ready, late, young)
    await ready.outbox.expire(now_ms())
    row = await row_of(ready, late)
    assert (State(row.state), row.gate, row.reason) == (State.SUPPRESSED, "deadline", "too_late")
    assert "message_suppressed" in await ready.told(late.message_id)
    assert (await row_of(ready, young)).state == State.PLANNED


async def test_a_call_of_the_person_opens_the_window_and_is_no_answer(ready: Any) -> None:
    message = await waiting(ready, "905551119009")
    (going,) = await claim(ready)
    await ready.outbox.settle([ended(going, Sent("wamid.9"))])
    called = Event(
        event_id=fresh_id("e"),
        event_time=Timestamp(seconds=now_ms() // 1000 + 1),
        contact_id=message.contact_id,
        call_changed=CallChanged(
            call_id="c", state="connect", from_person=True, phone_number_id=ready.number_id
        ),
    )
    await ContactConsumer(ready.outbox, ready.people, ready.erase).handle(
        [called.SerializeToString()]
    )
    assert await ready.outbox.last_number(message.contact_id) == ready.number_id
    assert not (await row_of(ready, message)).replied_time


async def test_a_template_that_has_not_come_to_the_marketing_endpoint_is_tried_again_later() -> (
    None
):
    class Platform:
        async def send(self, message: Message, to: Posted, credential: str) -> Answer:
            assert to.endpoint == "marketing_messages" or message.category != "marketing"
            return Answer(400, code=131009)

    class Numbers:
        async def number(self, phone_number_id: str) -> Number:
            return replace(number(), marketing_endpoint=True)

    post = Post(Platform(), Numbers(), None, SystemClock(), transient)  # type: ignore[arg-type]  # no files
    offer = message_of_template("marketing")
    assert (await post.send(offer, Address("905"))).code == 134101
    assert (await post.send(message_of_template("utility"), Address("905"))).code == 131009


def message_of_template(category: str) -> Message:
    ready = SimpleNamespace(number_id="1")
    return planned(ready, "c", category=category, body=b'{"type":"template","template":{}}')


def test_a_file_that_cannot_be_put_at_meta_is_no_failure_of_the_number() -> None:
    one = Decided(message_of_template("marketing"), Address("905"), None)
    lost = judge(Answer(left=False, why="upload"), 1, 1, lambda: 0.0)
    assert told_of([Ended(ended(one, lost), one)]) == Told()
    down = judge(Answer(left=False, why="connect"), 1, 1, lambda: 0.0)
    assert told_of([Ended(ended(one, down), one)]) == Told(failed=1)
