"""The limiters on a real Redis: one for all replicas, and they only make wait."""

import asyncio
import time
from itertools import count, pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from chassis.ids import fresh_id
from services.sender.delivery.pace import Pair, Told
from services.sender.model import Circuit, Lane, Number
from services.sender.tests.numbers import number
from services.sender.throttle import RedisThrottle

SECOND = 1_000_000
NOBODY = [0, 0, 0]
BULK = [0, 0, 1_000]


async def book(one: RedisThrottle, of: Number, wanted: list[int], *missed: int) -> list[int]:
    booked = await one.book(of, wanted, missed)
    return [slot.mark for slot in booked.slots]


async def booked_for(replicas: list[RedisThrottle], of: Number, seconds: float) -> list[int]:
    """All slots that replicas, which ask by turns, get in so much time."""
    found: list[int] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in replicas:
            found += await book(one, of, BULK)
        await asyncio.sleep(0.005)
    return found


def most_in_a_second(slots: list[int]) -> int:
    return max(sum(slot <= other < slot + SECOND for other in slots) for slot in slots)


@pytest.mark.parametrize("limit", [2.0, 80.0, 400.0])
async def test_two_replicas_together_keep_to_the_limit_in_every_second_and_use_it(
    log: Any, limit: float
) -> None:
    replicas = [RedisThrottle(log), RedisThrottle(log)]
    slots = await booked_for(replicas, number(limit), 2.5)
    assert slots == sorted(slots)
    assert most_in_a_second(slots) <= limit
    assert len(slots) >= 2.5 * limit * 0.97 - 1


async def test_slots_lie_evenly(log: Any) -> None:
    slots = await booked_for([RedisThrottle(log)], number(100), 1.0)
    gaps = [later - earlier for earlier, later in pairwise(slots)]
    assert max(gaps) < 1.5 * SECOND / 100
    assert min(gaps) > 0.9 * SECOND / 100


async def test_a_slot_that_was_missed_is_made_up_for_without_exceeding_the_limit(log: Any) -> None:
    one, of = RedisThrottle(log), number(100)
    kept: list[int] = []
    missed: list[int] = []
    turn = count(1)
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        slots = await book(one, of, BULK, *missed)
        missed = [slot for slot in slots if not next(turn) % 20]
        kept += [slot for slot in slots if slot not in missed]
        await asyncio.sleep(0.005)
    assert most_in_a_second(kept) <= 100
    assert len(kept) >= 2.0 * 100 * 0.96


async def test_the_limit_is_far_while_few_of_a_seconds_slots_are_wanted(log: Any) -> None:
    one, of = RedisThrottle(log), number(10)
    assert (await one.book(of, [0, 0, 1], ())).spare
    assert (await one.book(of, [0, 0, 1], ())).spare, "two of ten"
    slots = 0
    while slots < 10:
        slots += len((await one.book(of, BULK, ())).slots)
        await asyncio.sleep(0.01)
    assert not (await one.book(of, BULK, ())).spare


async def test_replies_are_booked_before_utility_and_utility_before_bulk(log: Any) -> None:
    one, of = RedisThrottle(log), number(12)
    assert len(await book(one, of, [0, 0, 5])) == 1  # the next is too far ahead for bulk
    assert len(await book(one, of, [0, 1, 5])) == 1
    first = await book(one, of, [1, 1, 5])
    assert len(first) == 1
    assert (await one.book(of, [0, 0, 1], ())).wait_s > 0.1


async def test_conversations_find_room_while_bulk_waits(log: Any) -> None:
    one, of = RedisThrottle(log), number(100)
    await one.told(of, Told(answered=50, replied=50))
    slots = await booked_for([one], of, 1.5)
    # 10 a second were talked of late, so 20 of the limit are left, for as long as people talk
    assert 76 <= most_in_a_second(slots) <= 84
    assert len(await book(one, of, [10, 0, 0])) >= 10


async def test_what_comes_in_takes_from_the_limit(log: Any) -> None:
    one, of = RedisThrottle(log), number(100)
    await one.told(of, Told(received=60))
    slots = await booked_for([one], replace(of, reply_share=0.0), 0.9)
    assert len(slots) <= 40


async def test_throttling_slows_a_number_for_all_replicas_and_it_recovers_slowly(log: Any) -> None:
    one, other, of = RedisThrottle(log), RedisThrottle(log), number(100)
    for _ in range(3):  # what was under way when the first was throttled says nothing new
        await one.told(of, Told(throttled=5))
    pace = await other.pace(of)
    assert 69 < pace.throughput < 72
    assert len(await booked_for([other], of, 1.0)) <= 75
    assert (await other.pace(of)).throughput > pace.throughput


async def test_a_number_whose_calls_fail_is_left_alone_then_probed_and_then_used_again(
    log: Any,
) -> None:
    one, other, of = RedisThrottle(log), RedisThrottle(log), number(100)
    await one.told(of, Told(answered=9, failed=9))
    assert (await one.pace(of)).circuit == Circuit.CLOSED
    await one.told(of, Told(failed=10))
    pace = await other.pace(of)
    assert pace.circuit == Circuit.OPEN
    assert pace.retry_time > time.time() * 1000
    assert await book(other, of, BULK) == []
    await until_half_open(other, of)
    assert len(await book(one, of, BULK)) == 1
    assert await book(other, of, BULK) == [], "one probe for all"
    await one.told(of, Told(failed=1))
    assert (await other.pace(of)).retry_time > time.time() * 1000 + 1_500, "longer each time"
    await other.close(of.phone_number_id)
    assert len(await book(one, of, BULK)) > 1


async def until_half_open(one: RedisThrottle, of: Number) -> None:
    async with asyncio.timeout(5):
        while (await one.pace(of)).circuit != Circuit.HALF_OPEN:
            await asyncio.sleep(0.05)


async def test_a_probe_that_is_answered_closes_the_circuit(log: Any) -> None:
    one, of = RedisThrottle(log), number(100)
    await one.told(of, Told(failed=10))
    await until_half_open(one, of)
    await book(one, of, BULK)
    await one.told(of, Told(answered=1))
    assert (await one.pace(of)).circuit == Circuit.CLOSED
    assert len(await book(one, of, BULK)) > 1


async def test_one_person_gets_one_message_an_interval_and_a_conversation_a_burst(
    log: Any,
) -> None:
    one, other, name = RedisThrottle(log), RedisThrottle(log), fresh_id("number")
    bulk, reply = Pair("+1", burst=False), Pair("+1", burst=True)
    first, second = await one.pairs(name, [bulk, bulk])
    assert first == 0
    assert 5_900 < second <= 6_500
    assert await other.pairs(name, [reply] * 5) == [0] * 5
    (wait,) = await other.pairs(name, [bulk])
    assert wait > 5 * 6_000, "a burst borrows from the future"
    assert await one.pairs(name, [Pair("+2", burst=False)]) == [0]
    waits = await one.pairs(name, [Pair("+3", burst=True)] * 50)
    assert waits.count(0) == 40


async def test_a_pair_that_meta_throttled_is_left_alone(log: Any) -> None:
    one, name = RedisThrottle(log), fresh_id("number")
    assert await one.pairs(name, [Pair("+1", burst=True, block_ms=4_000)]) == [0]
    (wait,) = await one.pairs(name, [Pair("+1", burst=True)])
    assert 3_900 < wait <= 4_001


async def test_a_portfolio_reaches_so_many_people_a_day_and_the_same_ones_again(log: Any) -> None:
    one, other, name = RedisThrottle(log), RedisThrottle(log), fresh_id("portfolio")
    assert await one.reach(name, 3, ["a", "b"]) == [0, 0]
    waits = await other.reach(name, 3, ["a", "c", "d", "e"])
    assert waits[:2] == [0, 0]
    assert all(86_390_000 < wait <= 86_400_000 for wait in waits[2:])
    assert await one.reach(name, 4, ["d"]) == [0], "a higher tier, more people"
    of = replace(number(), portfolio_id=name)
    assert (await one.pace(of)).daily_recipients == 4


async def test_who_waits_for_a_place_in_the_day_is_told_of_one_that_is_nobody_elses(
    log: Any,
) -> None:
    one, name = RedisThrottle(log), fresh_id("portfolio")
    for person in ("a", "b", "c"):
        await one.reach(name, 3, [person])
        await asyncio.sleep(0.02)
    first, second, third, fourth = await one.reach(name, 3, ["d", "e", "f", "g"])
    assert first + 10 < second
    assert second + 10 < third
    assert fourth < first + 5, "more wait than places become free: the second time around"
    assert await one.reachable(name, 3, "a") == 0
    assert await one.reachable(name, 4, "h") == 0
    assert abs(await one.reachable(name, 3, "h") - first) < 1_000


async def test_what_is_kept_of_people_ends_and_names_nobody(log: Any) -> None:
    one, of = RedisThrottle(log), number()
    person = "+905551112233"
    await one.pairs(of.phone_number_id, [Pair(person, burst=False)])
    await one.reach(of.portfolio, 10, [person])
    await book(one, of, [1, 1, 1])
    await one.told(of, Told(answered=1, replied=1, received=1))
    keys = [key async for key in log.redis.scan_iter(match=f"{log.key('throttle')}:*")]
    assert len(keys) >= 4
    for key in keys:
        assert 0 < await log.redis.pttl(key) <= 86_400_000
        assert b"9055511" not in key


def test_a_messaging_limit_is_read_however_meta_spells_it() -> None:
    limits = {
        "TIER_250": 250,
        "TIER_2K": 2_000,
        "TIER_100K": 100_000,
        "2000": 2_000,
        "TIER_UNLIMITED": None,
        "-1": None,
        "": None,
    }
    found = {said: replace(number(), messaging_limit=said).daily_limit for said in limits}
    assert found == limits


def test_the_lanes_are_those_of_the_script() -> None:
    assert [*Lane] == [0, 1, 2]
