"""What many calls write together: each waits for its own, and none is told what may not be so."""

import asyncio
from collections.abc import Sequence

import pytest

from chassis import groups
from chassis.app import tasks
from chassis.failures import Unavailable
from chassis.groups import Groups
from chassis.testing import wait_until


class Written:
    """A place to write to, which can be away, or hang."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.error: Exception | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.begun = asyncio.Event()

    async def write(self, rows: Sequence[int]) -> None:
        self.begun.set()
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        self.groups.append(list(rows))


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def numbers(written: Written) -> Groups[int]:
    return Groups(written.write, lambda: Unavailable("away"), "away")


async def test_what_waits_is_written_together_and_in_order(
    numbers: Groups[int], written: Written
) -> None:
    waiting = [numbers.enqueue(number) for number in range(groups._AT_ONCE + 1)]
    async with tasks(numbers.run):
        await asyncio.gather(*waiting)
    assert [len(group) for group in written.groups] == [groups._AT_ONCE, 1]
    assert [n for group in written.groups for n in group] == list(range(groups._AT_ONCE + 1))


async def test_who_cannot_be_written_is_refused_and_the_next_one_is_tried(
    numbers: Groups[int], written: Written
) -> None:
    async with tasks(numbers.run):
        written.error = ConnectionRefusedError()
        with pytest.raises(Unavailable):
            await numbers.enqueue(1)
        written.error = None
        await numbers.enqueue(2)
    assert written.groups == [[2]]


async def test_whoever_waits_when_the_writer_is_stopped_is_not_told_that_it_was_written(
    numbers: Groups[int], written: Written
) -> None:
    written.goes_on.clear()
    async with tasks(numbers.run):
        waiting = numbers.enqueue(1)
        await written.begun.wait()
    with pytest.raises(Unavailable):
        await waiting
    assert written.groups == []


async def test_who_waits_no_more_disturbs_nobody(numbers: Groups[int], written: Written) -> None:
    gone, stays = numbers.enqueue(1), numbers.enqueue(2)
    gone.cancel()
    async with tasks(numbers.run):
        await stays
    assert written.groups == [[1, 2]]


async def test_only_so_many_wait(
    numbers: Groups[int], written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_MOST_WAITING", 3)
    waiting = [numbers.enqueue(number) for number in range(3)]
    with pytest.raises(Unavailable):
        numbers.enqueue(3)
    async with tasks(numbers.run):
        await asyncio.gather(*waiting)
        await wait_until(lambda: numbers.waiting == 0)
        await numbers.enqueue(3)
