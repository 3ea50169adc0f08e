"""How much somebody may do, over all replicas and with Redis away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as NoConnection

from chassis.clock import ManualClock, SystemClock
from chassis.limits import Limits, LocalLimits
from chassis.settings import LogSettings
from chassis.streams import EventLog, event_log

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NONE = timedelta(0)


class Counted:
    """A log whose Redis counts the calls of scripts, and can be away."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.calls = 0
        self.away = False
        self.redis = self

    def key(self, name: str) -> str:
        return self._log.key(name)

    def register_script(self, text: str) -> object:
        script = self._log.redis.register_script(text)

        async def run(**given: object) -> object:
            self.calls += 1
            if self.away:
                raise NoConnection
            return await script(**given)

        return run


@pytest.fixture
def redis(log: EventLog) -> Counted:
    return Counted(log)


def limits(redis: Counted, per_s: int = 0, burst_s: float = 10) -> Limits:
    return Limits(redis, "limit", per_s, burst_s, SystemClock())  # type: ignore[arg-type]


@pytest.fixture
async def other(log_settings: LogSettings) -> AsyncIterator[EventLog]:
    """The same log, as another replica sees it."""
    async with event_log(log_settings) as found:
        yield found


async def test_a_limit_holds_over_all_replicas_together(log: EventLog, other: EventLog) -> None:
    per_s, burst_s, began = 200, 0.5, monotonic()
    replicas = [Limits(one, "limit", 0, burst_s, SystemClock()) for one in (log, other)]
    passed = 0

    async def sends(replica: Limits) -> None:
        nonlocal passed
        while monotonic() - began < 1.5:
            wait = await replica.wait("shop", per_s, 7)
            if wait:
                await asyncio.sleep(wait.total_seconds())
            else:
                passed += 7

    await asyncio.gather(*(sends(replica) for replica in replicas for _ in range(3)))
    most = per_s * burst_s + per_s * (monotonic() - began)
    assert passed <= most
    assert passed >= most * 0.6


async def test_most_requests_ask_nobody(redis: Counted) -> None:
    mine = limits(redis)
    assert [await mine.wait("shop", 1_000, 5) for _ in range(100)] == [NONE] * 100
    assert redis.calls == 1


async def test_a_key_without_a_limit_of_its_own_has_that_of_the_settings(redis: Counted) -> None:
    mine = limits(redis, per_s=1, burst_s=5)
    assert await mine.wait("shop", 0, 5) == NONE
    assert timedelta(seconds=4) < await mine.wait("shop", 0, 5) <= timedelta(seconds=5)
    assert await mine.wait("web", 100, 400) == NONE


async def test_without_any_limit_nobody_waits(redis: Counted) -> None:
    assert await limits(redis).wait("shop", 0, 10**9) == NONE
    assert redis.calls == 0


async def test_more_than_a_burst_passes_when_the_bucket_is_full_and_is_owed(
    redis: Counted,
) -> None:
    mine = limits(redis, burst_s=2)
    assert await mine.wait("shop", 10, 100) == NONE
    assert timedelta(seconds=7.9) < await mine.wait("shop", 10, 1) <= timedelta(seconds=8.1)


async def test_what_was_refused_was_not_taken(redis: Counted) -> None:
    mine = limits(redis, burst_s=10)
    assert await mine.wait("shop", 10, 90) == NONE
    for _ in range(5):
        assert await mine.wait("shop", 10, 50)
    assert await mine.wait("shop", 10, 10) == NONE


async def test_requests_at_once_never_count_on_the_same_items(redis: Counted) -> None:
    mine = limits(redis, burst_s=100)
    waits = await asyncio.gather(*(mine.wait("shop", 1, 9) for _ in range(30)))
    assert 9 <= waits.count(NONE) <= 11


async def test_while_redis_is_away_each_replica_limits_by_itself(redis: Counted) -> None:
    clock = ManualClock(NOW)
    mine = Limits(redis, "limit", 0, 2, clock)  # type: ignore[arg-type]
    redis.away = True
    assert await mine.wait("shop", 10, 20) == NONE
    assert await mine.wait("shop", 10, 5) == timedelta(seconds=0.5)
    assert redis.calls == 1  # it is not asked again at once
    redis.away = False
    await clock.advance(timedelta(seconds=1))
    assert await mine.wait("shop", 10, 20) == NONE
    assert redis.calls == 2


async def test_a_batch_larger_than_a_burst_passes_and_is_paid_for(
    manual_clock: ManualClock,
) -> None:
    local = LocalLimits(2, manual_clock)
    assert local.wait("shop", 10, 100) == NONE
    assert local.wait("shop", 10, 1) == timedelta(seconds=8.1)
    await manual_clock.advance(timedelta(seconds=8.1))
    assert local.wait("shop", 10, 1) == NONE


@given(
    st.integers(1, 50),
    st.integers(1, 10),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 40)), min_size=1, max_size=50),
)
def test_nobody_sends_more_than_a_burst_and_the_limit_together(
    per_s: int, burst_s: int, sent: list[tuple[int, int]]
) -> None:
    async def run() -> None:
        clock = ManualClock(NOW)
        local = LocalLimits(burst_s, clock)
        passed, last = 0, 0
        for pause_ms, items in sent:
            await clock.advance(timedelta(milliseconds=pause_ms))
            wait = local.wait("shop", per_s, items)
            if wait:
                await clock.advance(wait + timedelta(microseconds=1))
                assert local.wait("shop", per_s, items) == NONE
            passed += items
            last = items
            elapsed = (clock.now() - NOW).total_seconds()
            assert passed - last <= per_s * burst_s + per_s * elapsed + 0.01

    asyncio.run(run())
