"""A line before its slots: what goes first, what is given back, what is never exceeded."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.testing import wait_until
from services.sender.delivery.pace import Allowance, Booked, Claimed, Line, Slot
from services.sender.model import Lane, Number
from services.sender.tests.numbers import number


class Metronome:
    """Slots every so often, from now on, as a limiter of one replica gives them."""

    def __init__(self, gap_s: float) -> None:
        self.gap_s = gap_s
        self.next = 0.0
        self.given: list[float] = []
        self.back: list[int] = []
        self.closed_s = 0.0
        self.spare = False

    async def book(self, number: Number, wanted: Sequence[int], missed: Sequence[int]) -> Booked:
        self.back += missed
        if self.closed_s:
            return Booked([], self.closed_s)
        now = time.monotonic()
        self.next = max(self.next, now)
        slots = []
        for _ in range(sum(wanted)):
            if self.next > now + 0.06:
                break
            slots.append(Slot(self.next, int(self.next * 1e6)))
            self.next += self.gap_s
        self.given += [slot.at for slot in slots]
        return Booked(slots, max(0.0, self.next - now - 0.06), self.spare)


class Desk:
    """Due messages by lane, and what became of them."""

    def __init__(self, *due: int) -> None:
        self.due = list(due)
        self.claims: list[list[int]] = []
        self.went: list[tuple[int, float]] = []
        self.given_back: list[tuple[int, float]] = []
        self.room_for = set(Lane)

    async def claim(self, number: Number, places: Sequence[int]) -> Claimed[int]:
        self.claims.append(list(places))
        await asyncio.sleep(0.005)
        taken = [min(d, p) for d, p in zip(self.due, places, strict=True)]
        self.due = [d - t for d, t in zip(self.due, taken, strict=True)]
        ready = [(lane, int(lane)) for lane in Lane for _ in range(taken[lane])]
        full = any(t == p for t, p in zip(taken, places, strict=True) if p)
        return Claimed(ready, full)

    def start(self, lane: int) -> None:
        self.went.append((lane, time.monotonic()))

    def room(self, lane: int) -> bool:
        return lane in self.room_for

    def give_back(self, lane: int, wait_s: float) -> None:
        self.given_back.append((lane, wait_s))

    def line(self, throttle: Any, limit: float = 100.0) -> Line[int]:
        return Line(number(limit), throttle, self.claim, self.start, self.room, self.give_back)


@asynccontextmanager
async def running(line: Line[int]) -> Any:
    task = asyncio.create_task(line.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_messages_leave_at_their_slots() -> None:
    desk, throttle = Desk(0, 0, 30), Metronome(0.01)
    async with running(desk.line(throttle)):
        await wait_until(lambda: len(desk.went) == 30)
    for (_, went), slot in zip(desk.went, throttle.given, strict=False):
        assert went >= slot - 0.002
    assert desk.went[-1][1] - desk.went[0][1] >= 0.27


async def test_a_reply_takes_the_slot_that_bulk_has_booked() -> None:
    desk, throttle = Desk(0, 0, 10_000), Metronome(0.01)
    line = desk.line(throttle)
    async with running(line):
        await wait_until(lambda: len(desk.went) > 5)
        desk.due[Lane.REPLY] = 1
        asked = time.monotonic()
        line.wake()
        await wait_until(lambda: Lane.REPLY in [lane for lane, _ in desk.went], every_s=0.002)
    (went,) = [at for lane, at in desk.went if lane == Lane.REPLY]
    assert went - asked < 0.1


async def test_bulk_is_claimed_in_parts_of_what_goes_in_a_moment() -> None:
    desk = Desk(0, 0, 10_000)
    async with running(desk.line(Metronome(0.01))):
        await wait_until(lambda: len(desk.went) > 40)
    assert max(places[Lane.BULK] for places in desk.claims) <= 40
    assert len(desk.claims) < 10
    # What stands in line is given back when the process stops: nothing of it is in doubt.
    assert len(desk.went) + len(desk.given_back) + desk.due[Lane.BULK] == 10_000


async def test_what_waits_longer_than_a_moment_waits_in_the_database() -> None:
    desk, throttle = Desk(0, 0, 100), Metronome(0.01)
    throttle.closed_s = 30.0
    async with running(desk.line(throttle)):
        await wait_until(lambda: bool(desk.given_back))
        claims = len(desk.claims)
        await asyncio.sleep(0.05)
        assert len(desk.claims) == claims, "nothing more is claimed meanwhile"
    assert {wait_s for _, wait_s in desk.given_back} == {30.0}
    assert not desk.went


async def crowded(throttle: Metronome) -> Desk:
    """A desk that had no room for a while, and what became of it."""
    desk = Desk(0, 0, 20)
    line = desk.line(throttle)
    async with running(line):
        await wait_until(lambda: len(desk.went) > 3)
        desk.room_for = set()
        await asyncio.sleep(0.1)
        desk.room_for = set(Lane)
        line.stir()
        await wait_until(lambda: len(desk.went) == 20)
    assert not desk.given_back
    return desk


async def test_a_slot_for_which_there_was_no_room_in_time_is_given_back() -> None:
    throttle = Metronome(0.005)
    await crowded(throttle)
    assert len(throttle.back) > 2


async def test_where_the_limit_is_far_slots_are_used_late_and_not_booked_anew() -> None:
    throttle = Metronome(0.005)
    throttle.spare = True
    await crowded(throttle)
    assert len(throttle.given) <= 22


@given(
    st.integers(1, 40),
    st.lists(
        st.tuples(st.floats(0, 3), st.floats(-0.002, 2), st.booleans()), min_size=1, max_size=150
    ),
)
def test_however_late_slots_are_used_no_second_holds_more_than_the_limit(
    limit: int, steps: list[tuple[float, float, bool]]
) -> None:
    allowance, slots, left, now = Allowance(), list[float](), list[float](), 0.0
    for gap, _, _ in steps:
        slot = slots[-1] + gap / limit if slots else 0.0
        if len(slots) >= limit:
            slot = max(slot, slots[-limit] + 1.02)  # as `book.lua` hands them out
        slots.append(slot)
        allowance.book(slot)
    for slot, (_, late, used) in zip(slots, steps, strict=True):
        now = max(now, slot + late)
        if not used:
            allowance.give_back(slot)
        while used and (wait := allowance.use(now)) is not None:
            if not wait:
                left.append(now)
                break
            now += wait
    for end in left:
        assert sum(end - 1 < at <= end for at in left) <= limit


@given(st.lists(st.floats(-0.002, 0.0039), min_size=1, max_size=300))
def test_slots_that_are_used_in_time_are_all_used(late: list[float]) -> None:
    allowance, now = Allowance(), 0.0
    for order, one in enumerate(late):
        allowance.book(order * 0.0102)
        now = max(now, order * 0.0102 + one)
        assert allowance.use(now) == 0


def test_who_is_always_late_uses_its_slots_all_the_same_but_none_of_long_ago() -> None:
    allowance = Allowance()
    for order in range(500):
        allowance.book(order / 100)
    assert {allowance.use(order / 100 + 0.3) for order in range(450)} == {0}
    long_ago = Allowance()
    long_ago.book(0.0)
    assert long_ago.use(1.02) is None


async def test_what_was_claimed_is_given_back_when_the_limiter_is_gone() -> None:
    class Gone(Metronome):
        async def book(self, *_: Any) -> Booked:
            raise OSError

    desk = Desk(3, 0, 0)
    with pytest.raises(ExceptionGroup):
        await desk.line(Gone(0.01)).run()
    assert len(desk.given_back) == 3


async def test_a_reply_finds_its_room_while_bulk_waits_for_some() -> None:
    desk = Desk(0, 0, 50)
    desk.room_for = {Lane.REPLY, Lane.TRANSACTIONAL}
    line = desk.line(Metronome(0.01))
    async with running(line):
        await wait_until(lambda: desk.due[Lane.BULK] < 50)
        await asyncio.sleep(0.05)
        desk.due[Lane.REPLY] = 1
        line.wake()
        await wait_until(lambda: bool(desk.went), timeout_s=1)
    assert [lane for lane, _ in desk.went] == [Lane.REPLY]
