"""The event log: durable, in batches, at least once, one bad event never costs the others."""

import asyncio
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import embedded
from chassis.app import tasks
from chassis.clock import ManualClock, SystemClock
from chassis.failures import Invalid, Misconfigured, Unavailable
from chassis.settings import LogSettings
from chassis.streams import Consumer, DeadLetters, EventLog, Record, Upkeep, event_log, framing
from chassis.testing import wait_until


@given(st.lists(st.binary(max_size=400)))
def test_an_entry_gives_back_the_events_it_was_made_of(events: list[bytes]) -> None:
    assert framing.split(framing.join(events)) == events


@given(st.binary(min_size=1, max_size=60))
def test_foreign_bytes_are_refused_or_read_but_never_break_the_reader(body: bytes) -> None:
    try:
        events = framing.split(body)
    except ValueError:
        return
    assert sum(len(e) for e in events) < len(body)


def records(topic: str, count: int, start: int = 0) -> list[Record]:
    return [Record(topic, f"key {n}", f"event {n}".encode()) for n in range(start, start + count)]


class Taker:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.batches: list[int] = []

    async def __call__(self, events: Sequence[bytes]) -> None:
        self.taken += events
        self.batches.append(len(events))


async def test_everything_appended_reaches_each_group_once(log: EventLog) -> None:
    first, second = Taker(), Taker()
    async with tasks(
        Consumer(log, "first", ["a", "b"], first).run, Consumer(log, "second", ["a"], second).run
    ):
        await asyncio.gather(*(log.append(records("a", 10, n * 10)) for n in range(20)))
        await log.append(records("b", 5, 1000))
        await wait_until(lambda: len(first.taken) == 205 and len(second.taken) == 200)
    assert sorted(set(first.taken)) == sorted(first.taken)
    assert all(lag.pending == 0 and lag.behind == timedelta(0) for lag in await log.lag(["a", "b"]))


async def test_whoever_is_in_no_hurry_works_a_backlog_off_without_pausing(log: EventLog) -> None:
    """Pauses are for more to come; at three seconds after each read these would take a minute."""
    for n in range(1_500):  # each an entry of its own
        await log.append(records("a", 20, n * 20))
    slow = EventLog(log.redis, log.settings.model_copy(update={"log_pace_ms": 1000}))
    taker = Taker()
    async with tasks(Consumer(slow, "late", ["a"], taker, hurry=False).run):
        await wait_until(lambda: len(taker.taken) == 30_000, timeout_s=30)


async def test_what_was_appended_before_the_group_was_made_is_not_lost(log: EventLog) -> None:
    await log.append(records("a", 7))
    taker = Taker()
    async with tasks(Consumer(log, "late", ["a"], taker).run):
        await wait_until(lambda: len(taker.taken) == 7)


async def test_concurrent_appends_share_entries(log: EventLog) -> None:
    await asyncio.gather(*(log.append(records("a", 1, n)) for n in range(100)))
    entries = sum([await log.redis.xlen(s) for s in log.streams("a")])
    assert entries <= 2 * log.settings.log_shards


async def test_one_poisonous_event_is_dead_lettered_alone(log: EventLog) -> None:
    taken: list[bytes] = []

    async def handle(events: Sequence[bytes]) -> None:
        if b"event 13" in events:
            raise Invalid("thirteen is not served")
        taken.extend(events)

    await log.append(records("a", 50))
    async with tasks(Consumer(log, "g", ["a"], handle).run):
        await wait_until(lambda: len(taken) == 49)
        letters = DeadLetters(log)

        async def listed() -> bool:
            return len(await letters.list("g", "", 10)) == 1

        await wait_until(listed)
        (letter,) = await letters.list("g", "", 10)
        assert letter.event == b"event 13"
        assert letter.reason == "INVALID: thirteen is not served"
        assert await letters.get(letter.dead_letter_id) == letter
        assert await letters.list("other", "", 10) == []


async def test_a_redriven_dead_letter_is_handled_and_forgotten(log: EventLog) -> None:
    broken = True
    taken: list[bytes] = []

    async def handle(events: Sequence[bytes]) -> None:
        if broken:
            raise ValueError
        taken.extend(events)

    letters = DeadLetters(log)

    async def given_up() -> bool:
        return bool(await letters.list("g", "", 10))

    await log.append(records("a", 1))
    async with tasks(Consumer(log, "g", ["a"], handle).run):
        await wait_until(given_up)
        broken = False
        await letters.redrive(await letters.list("g", "", 10))
        await wait_until(lambda: taken == [b"event 0"])
    assert await letters.list("g", "", 10) == []


async def test_a_passing_failure_is_waited_out_and_costs_no_event(log: EventLog) -> None:
    attempts = 0
    taken: list[bytes] = []

    async def handle(events: Sequence[bytes]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 4:
            raise Unavailable("not now")
        taken.extend(events)

    await log.append(records("a", 20))
    async with tasks(Consumer(log, "g", ["a"], handle).run):
        await wait_until(lambda: len(taken) == 20)
    assert await DeadLetters(log).list("g", "", 10) == []


async def test_entries_of_a_consumer_that_died_are_claimed(log: EventLog) -> None:
    await log.append(records("a", 30))
    await log.ensure_group("g", ["a"])
    taken_by_the_dead = await log.read_group("g", "dead", log.streams("a"), 100, None)
    assert taken_by_the_dead
    taker = Taker()
    async with tasks(Consumer(log, "g", ["a"], taker).run):
        await wait_until(lambda: len(taker.taken) == 30)

        async def settled() -> bool:
            return all(lag.pending == 0 for lag in await log.lag(["a"]))

        await wait_until(settled)


async def test_consumers_of_one_process_share_the_streams(log: EventLog) -> None:
    takers = [Taker() for _ in range(3)]
    parts = [Consumer(log, "g", ["a"], one, part, 3) for part, one in enumerate(takers)]
    await log.append(records("a", 100))
    async with tasks(*(one.run for one in parts)):
        await wait_until(lambda: sum(len(one.taken) for one in takers) == 100)
    assert takers[1].taken, "of two streams the second one has to itself, the others share one"
    assert takers[0].taken + takers[2].taken


async def test_what_takes_long_is_not_claimed_from_whoever_works_on_it(log: EventLog) -> None:
    calls: list[int] = []
    done = asyncio.Event()

    async def slow(events: Sequence[bytes]) -> None:
        calls.append(len(events))
        # Longer than the idle time after which an entry is claimed, several times over.
        await asyncio.sleep(5 * log.settings.log_claim_idle_ms / 1000)
        done.set()

    async with tasks(Consumer(log, "g", ["a"], slow).run, Consumer(log, "g", ["a"], slow).run):
        await log.append(records("a", 1))
        await done.wait()
    assert calls == [1]


async def test_an_entry_trimmed_while_pending_does_not_stay_pending(log: EventLog) -> None:
    await log.append(records("a", 3))
    await log.ensure_group("g", ["a"])
    await log.read_group("g", "dead", log.streams("a"), 100, None)
    for stream in log.streams("a"):
        await log.redis.xtrim(stream, maxlen=0, approximate=False)

    async def settled() -> bool:
        return all(lag.pending == 0 for lag in await log.lag(["a"]))

    async with tasks(Consumer(log, "g", ["a"], Taker()).run):
        await wait_until(settled)


async def test_an_entry_that_kills_its_consumers_ends_in_the_dead_letters(log: EventLog) -> None:
    await log.append(records("a", 1))
    await log.ensure_group("g", ["a"])
    for life in range(12):
        entries = await log.read_group("g", f"dead {life}", log.streams("a"), 100, None)
        for stream in log.streams("a"):
            for pending in await log.redis.xpending_range(stream, "g", "-", "+", 10):
                await log.redis.xclaim(stream, "g", f"dead {life}", 0, [pending["message_id"]])
        del entries
    taker = Taker()

    async def given_up() -> bool:
        return len(await DeadLetters(log).list("g", "", 10)) == 1

    async with tasks(Consumer(log, "g", ["a"], taker).run):
        await wait_until(given_up)
    assert taker.taken == []


async def test_an_entry_that_the_log_did_not_make_is_dead_lettered_whole(log: EventLog) -> None:
    await log.redis.xadd(log.streams("a")[0], {"e": b"no batch"})
    await log.append(records("a", 3))
    taker = Taker()

    async def given_up() -> bool:
        return [one.event for one in await DeadLetters(log).list("g", "", 10)] == [b"no batch"]

    async with tasks(Consumer(log, "g", ["a"], taker).run):
        await wait_until(given_up)
        await wait_until(lambda: len(taker.taken) == 3)


async def test_a_log_that_lost_its_groups_is_read_from_the_beginning(log: EventLog) -> None:
    taker = Taker()
    async with tasks(Consumer(log, "g", ["a"], taker).run):
        await log.append(records("a", 3))
        await wait_until(lambda: len(taker.taken) == 3)
        await log.redis.delete(*log.streams("a"))
        await log.append(records("a", 4, 100))
        await wait_until(lambda: len(taker.taken) == 7)


async def test_trimming_never_touches_what_a_group_has_not_finished(log: EventLog) -> None:
    settings = log.settings.model_copy(update={"log_retention_s": 0})
    log = EventLog(log.redis, settings)
    upkeep = Upkeep(log, ["a"], SystemClock())
    async with tasks(log.run):
        await log.append(records("a", 5))
        assert await upkeep.trim() == 0, "nobody has read it"
        await log.ensure_group("g", ["a"])
        assert await upkeep.trim() == 0, "the group has not read it"
        entries = await log.read_group("g", "c", log.streams("a"), 100, None)
        await upkeep.trim()
        assert sum([await log.redis.xlen(s) for s in log.streams("a")]) == len(entries)


async def test_when_memory_is_short_the_retention_gives_before_new_events_are_refused() -> None:
    folder = embedded.run_folder()
    server = embedded.start_redis(folder, folder, maxmemory="6mb")
    try:
        settings = LogSettings(redis_url=server.url, log_linger_ms=1)
        async with event_log(settings) as log:
            later = ManualClock(datetime.now(UTC) + timedelta(seconds=20))
            upkeep = Upkeep(log, ["a"], later)
            await log.ensure_group("g", ["a"])
            await log.append([Record("a", "k", b"x" * 1000)])
            await log.acknowledge("g", await log.read_group("g", "c", log.streams("a"), 9, None))
            assert await upkeep.trim() == 0, "memory is plenty, and the retention is hours"
            while await log.memory_pressure() < 0.7:
                await log.append([Record("a", str(n), b"x" * 1000) for n in range(200)])
            while read := await log.read_group("g", "c", log.streams("a"), 999, None):
                await log.acknowledge("g", read)
            assert await upkeep.trim() > 0
            assert await log.memory_pressure() < 0.7
    finally:
        server.stop()
        shutil.rmtree(folder)


async def test_another_number_of_shards_is_refused_by_name(
    log: EventLog, log_settings: LogSettings
) -> None:
    other = log_settings.model_copy(update={"log_shards": 7})
    with pytest.raises(Misconfigured, match=r"LOG_SHARDS: is 7, but this log was made with 2"):
        async with event_log(other):
            pass


async def test_without_redis_the_setting_is_named() -> None:
    with pytest.raises(Misconfigured, match="REDIS_URL"):
        async with event_log(LogSettings(redis_url="unix:///nonexistent/redis.sock")):
            pass
