"""Work that is kept at: at once while there is some, when it is called, through outages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from chassis.failures import Unavailable
from chassis.transient import keep_at

EVERY = timedelta(seconds=10)


class Work:
    """Does what is to be done, one by one."""

    def __init__(self, *results: object) -> None:
        self._results = list(results)
        self.turns = 0
        self.turned = asyncio.Condition()

    async def __call__(self) -> object:
        async with self.turned:
            self.turns += 1
            self.turned.notify_all()
        result = self._results.pop(0) if self._results else False
        if isinstance(result, BaseException):
            raise result
        return result

    async def did(self, turns: int) -> None:
        async with asyncio.timeout(5), self.turned:
            await self.turned.wait_for(lambda: self.turns >= turns)
        for _ in range(5):  # as far as it comes by itself
            await asyncio.sleep(0)
        assert self.turns == turns


@asynccontextmanager
async def kept(work: Work) -> AsyncIterator[tuple[ManualClock, asyncio.Event]]:
    """Kept at for as long as the block runs, by this clock, and when the event is set."""
    clock, called = ManualClock(datetime(2026, 11, 23, tzinfo=UTC)), asyncio.Event()
    task = asyncio.create_task(keep_at(work, clock, EVERY, "waits", called))
    try:
        yield clock, called
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_goes_on_while_there_is_work_then_waits_for_its_time_or_a_call() -> None:
    work = Work(True, True, False)
    async with kept(work) as (clock, called):
        await work.did(3)
        await clock.advance(EVERY)
        await work.did(4)
        called.set()
        await work.did(5)


async def test_an_outage_only_makes_it_wait() -> None:
    work = Work(Unavailable("away"))
    async with kept(work) as (_, called):
        await work.did(1)
        called.set()
        await work.did(2)


async def test_what_does_not_pass_ends_it() -> None:
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    with pytest.raises(ValueError, match="broken"):
        await keep_at(Work(ValueError("broken")), clock, EVERY, "waits")
