"""What comes next is fetched while something is worked on, and no longer than somebody takes it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from chassis.ahead import ahead


class Source:
    """Gives numbers, and knows how far it came."""

    def __init__(self, fails_at: int = -1) -> None:
        self.given: list[int] = []
        self.closed = False
        self._fails_at = fails_at

    async def numbers(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(5):
                await asyncio.sleep(0)
                if number == self._fails_at:
                    raise ValueError("no more")
                self.given.append(number)
                yield number
        finally:
            self.closed = True


async def test_everything_comes_in_its_order_with_one_more_fetched_meanwhile() -> None:
    source = Source()
    taken: list[int] = []
    async for number in ahead(source.numbers()):
        taken.append(number)
        for _ in range(5):
            await asyncio.sleep(0)
        assert source.given == list(range(min(number + 2, 5)))
    assert taken == source.given == list(range(5))
    assert source.closed


async def test_a_failure_comes_after_what_was_given_before_it() -> None:
    source = Source(fails_at=2)
    taken: list[int] = []
    with pytest.raises(ValueError, match="no more"):
        async for number in ahead(source.numbers()):
            taken.append(number)
    assert taken == [0, 1]
    assert source.closed


async def test_whoever_leaves_early_closes_the_source() -> None:
    source = Source()
    async with aclosing(ahead(source.numbers())) as told:
        async for _ in told:
            break
    assert source.closed
    assert len(asyncio.all_tasks()) == 1


async def test_who_is_cancelled_while_waiting_closes_the_source() -> None:
    source = Source()

    async def take() -> None:
        async with aclosing(ahead(source.numbers())) as told:
            async for _ in told:
                await asyncio.Event().wait()

    task = asyncio.create_task(take())
    while not source.given:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed
