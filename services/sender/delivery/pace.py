"""How fast messages leave a number: what the limiters promise, and the line before them.

What was claimed stands in line, replies first, until its slot comes. Slots are booked a moment
ahead and kept to within milliseconds; one that is missed goes back, since sending it later would
put too many messages into that second. Where the limit is far it may be used late: what is short
then is processor, and slots that go back and come again would take more of it.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from services.sender.model import Circuit, Lane, Number

_SECOND_S: Final = 1.0
_LATE_S: Final = 0.011  # of what `book.lua` allows: 2 % of a second
_EARLY_S: Final = 0.002
_AHEAD_S: Final = 0.03  # booked as long before its end: longer than Redis takes to answer
_DEPTH_S: Final = 0.4  # of messages stand in line: longer than a claim takes
_MOST: Final = 500
_BOOKED: Final = 64
_LOOK_S: Final = 1.0  # for what others plan
_PATIENCE_S: Final = 2.0  # longer waits are waited out in the database
_STUCK_S: Final = 10.0  # so are many short ones: less than a lease

T = TypeVar("T")


class Slot(NamedTuple):
    """A moment at which one message may leave."""

    at: float
    """Seconds of the monotonic clock."""
    mark: int
    """Its name, to give it back by."""


class Booked(NamedTuple):
    """Slots, and how long until there are more (s)."""

    slots: Sequence[Slot]
    wait_s: float
    spare: bool = False
    """The limit is far: of the last second's slots many were wanted by nobody."""


class Pair(NamedTuple):
    """A person and the number's next message to them."""

    person: str
    """Their address."""
    burst: bool
    """Whether it may follow the one before within seconds."""
    block_ms: int = 0
    """Instead: nothing may go for so long."""


class Told(NamedTuple):
    """What became of calls of a number, and what came in to it."""

    answered: int = 0
    failed: int = 0
    """Those without answer, and those that Meta's servers could not take."""
    throttled: int = 0
    replied: int = 0
    """Of those that were answered, messages of a conversation."""
    received: int = 0


class Pace(NamedTuple):
    """What the limiters now make of a number."""

    throughput: float
    """Messages a second."""
    circuit: Circuit
    retry_time: int
    """When an open circuit is tried again."""
    daily_recipients: int
    """People its portfolio reached outside a window in the last 24 h."""


class Throttle(Protocol):
    """The limiters, shared by all replicas."""

    async def book(self, number: Number, wanted: Sequence[int], missed: Sequence[int]) -> Booked:
        """Slots for so many messages of each lane, the first lanes first; `missed` go back.

        A share of the limit is kept for conversations, as far as there are any.
        """
        ...

    async def told(self, number: Number, told: Told) -> None:
        """Learn what became of calls, and what came in."""
        ...

    async def pairs(self, phone_number_id: str, pairs: Sequence[Pair]) -> Sequence[int]:
        """For each, after how many ms one may go; 0 counts it."""
        ...

    async def reach(self, portfolio_id: str, limit: int, people: Sequence[str]) -> Sequence[int]:
        """For each, after how many ms they may be reached; 0 counts them."""
        ...


class Claimed(NamedTuple, Generic[T]):
    """What a claim brought."""

    ready: Sequence[tuple[int, T]]
    """Lane and message of each that may go."""
    more: bool
    """Whether as many were due as were asked for."""


class Allowance:
    """How late the slots of one process may be used: in no second more messages leave than it has
    slots in that second and the moment before, whatever delays it. So what all replicas send
    together keeps to the limit as their slots do. Times are of the monotonic clock (s)."""

    def __init__(self) -> None:
        self._ahead: deque[float] = deque()
        self._come: deque[float] = deque()
        self._left: deque[float] = deque()

    def book(self, slot: float) -> None:
        """A slot is ours."""
        self._ahead.append(slot)

    def give_back(self, slot: float) -> None:
        """It is not, as nobody stands in line for it."""
        for slots in (self._come, self._ahead):
            if slot in slots:
                slots.remove(slot)
                return

    def use(self, now: float) -> float | None:
        """After how long a message may leave for a slot that has come; 0: now, and it does. None
        when what has come is from too long ago."""
        while self._ahead and self._ahead[0] <= now + _EARLY_S:
            self._come.append(self._ahead.popleft())
        while self._come and self._come[0] <= now - _SECOND_S - _LATE_S:
            self._come.popleft()
        while self._left and self._left[0] <= now - _SECOND_S:
            self._left.popleft()
        if not self._come:
            return None
        if len(self._left) >= len(self._come):
            return self._left[0] + _SECOND_S - now
        self._left.append(now)
        return 0.0


class Line(Generic[T]):
    """What was claimed of one number and waits for its slots; three loops, each feeding the next:
    claim, book, release."""

    def __init__(
        self,
        number: Number,
        throttle: Throttle,
        claim: Callable[[Number, Sequence[int]], Awaitable[Claimed[T]]],
        start: Callable[[T], None],
        room: Callable[[int], bool],
        give_back: Callable[[T, float], None],
    ) -> None:
        """`claim` takes at most so many of each lane; `start` begins a call; `room` tells whether
        one of a lane may begin; `give_back` has a message wait elsewhere for so many seconds."""
        self.number = number
        self._throttle = throttle
        self._claim = claim
        self._start = start
        self._room = room
        self._give_back = give_back
        self._waiting: list[tuple[int, int, T]] = []
        self._lanes = [0] * len(Lane)
        self._order = count()
        self._slots: asyncio.Queue[Slot] = asyncio.Queue()
        self._last = 0.0  # the latest slot that is booked
        self._missed: list[int] = []
        self._allowance = Allowance()
        self._spare = False
        self._moved = time.monotonic()  # when a slot was last to be had
        self._closed_until = 0.0
        self._hungry = False  # more is due than stands in line
        self._look = asyncio.Event()
        self._came = asyncio.Event()
        self._stir = asyncio.Event()

    def wake(self) -> None:
        """Something may be due: look at once."""
        self._look.set()

    def stir(self) -> None:
        """There may be room again."""
        self._stir.set()

    async def run(self) -> None:
        """Until cancelled; then what stands in line is given back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._claiming(), name="claiming")
                group.create_task(self._booking(), name="booking")
                group.create_task(self._releasing(), name="releasing")
        finally:
            self._empty(0.0)

    # --- claiming -----------------------------------------------------------------------------

    async def _claiming(self) -> None:
        while True:
            self._look.clear()
            closed_s = self._closed_until - time.monotonic()
            if closed_s > 0:
                await asyncio.sleep(min(closed_s, 1.0))
                continue
            claimed = await self._claim(self.number, self._places())
            for lane, message in claimed.ready:
                heapq.heappush(self._waiting, (lane, next(self._order), message))
                self._lanes[lane] += 1
            if claimed.ready:
                self._came.set()
                self._stir.set()  # a reply may find room where bulk does not
            self._hungry = claimed.more or self._crowded
            if not self._hungry or self._crowded:
                await _set(self._look, _LOOK_S)

    @property
    def _depth(self) -> int:
        return max(2, min(int(self.number.throughput * _DEPTH_S), _MOST))

    @property
    def _crowded(self) -> bool:
        return len(self._waiting) > self._depth // 2

    def _places(self) -> list[int]:
        """A lane has the places that it and those before it leave: what is urgent always has some.
        Bulk is claimed when half of it went, not one by one."""
        taken, places = 0, []
        for lane in Lane:
            taken += self._lanes[lane]
            places.append(max(0, self._depth - taken))
        if self._crowded:
            places[Lane.BULK] = 0
        return places

    # --- booking ------------------------------------------------------------------------------

    async def _booking(self) -> None:
        while True:
            self._came.clear()
            wanted = self._unbooked()
            early_s = self._last - time.monotonic() - _AHEAD_S
            if not any(wanted) and not self._missed:
                await self._came.wait()
                self._moved = time.monotonic()
            elif early_s > 0 and not wanted[Lane.REPLY]:
                await _set(self._came, early_s)
            else:
                await self._book(wanted)

    async def _book(self, wanted: Sequence[int]) -> None:
        missed, self._missed = self._missed, []
        booked = await self._throttle.book(self.number, wanted, missed)
        self._spare = booked.spare
        for slot in booked.slots:
            self._slots.put_nowait(slot)
            self._allowance.book(slot.at)
            self._last = max(self._last, slot.at)
        now = time.monotonic()
        if booked.slots:
            self._moved = now
        elif booked.wait_s > _PATIENCE_S or now - self._moved > _STUCK_S:
            wait_s = max(booked.wait_s, 1.0)
            self._closed_until, self._moved = now + wait_s, now + wait_s
            self._empty(wait_s)
        else:
            await _set(self._came, max(booked.wait_s, 0.001))

    def _unbooked(self) -> list[int]:
        """Messages of each lane that have no slot; those that go first take the slots that are
        booked already."""
        booked, wanted = self._slots.qsize(), []
        for lane in Lane:
            covered = min(booked, self._lanes[lane])
            booked -= covered
            wanted.append(min(self._lanes[lane] - covered, _BOOKED))
        return wanted

    # --- releasing ----------------------------------------------------------------------------

    async def _releasing(self) -> None:
        while True:
            slot = await self._slots.get()
            early_s = slot.at - time.monotonic()
            if early_s > _EARLY_S:
                await asyncio.sleep(early_s)
            if not await self._may_leave(slot):
                self._came.set()
                continue
            lane, _, message = heapq.heappop(self._waiting)
            self._lanes[lane] -= 1
            self._start(message)
            if self._hungry and not self._crowded:
                self._look.set()

    async def _may_leave(self, slot: Slot) -> bool:
        """Whether the first in line leaves now that a slot has come."""
        while self._waiting:
            if not self._room(self._waiting[0][0]):
                self._stir.clear()
                await self._stir.wait()
                continue
            now = time.monotonic()
            if now - slot.at > _LATE_S and not self._spare:
                break
            wait_s = self._allowance.use(now)
            if not wait_s:
                return wait_s is not None
            await asyncio.sleep(wait_s)
        self._allowance.give_back(slot.at)
        self._missed.append(slot.mark)
        return False

    def _empty(self, wait_s: float) -> None:
        waiting, self._waiting = self._waiting, []
        self._lanes = [0] * len(Lane)
        for _, _, message in waiting:
            self._give_back(message, wait_s)


async def _set(event: asyncio.Event, timeout_s: float) -> None:
    """Return when the event is set, or after so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
