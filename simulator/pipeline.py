"""Time passes: one heap of what is due, one task that lets it happen."""

import asyncio
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count

from simulator.people.plan import Act
from simulator.taps import Taps
from simulator.webhooks.courier import Courier
from simulator.world.life import Life
from simulator.world.sending import Message
from simulator.world.world import Later

_TAP_AGAIN_S = 0.1
_TURN = 200
# What is due within so many real seconds happens together: waking costs more than the waiting.
_TOGETHER_S = 0.002
_A_WHILE_S = 3600.0


class Pipeline:
    """What people and Meta have still to do, in order of time.

    Holds at most `limit` messages and waits while the courier is full: `room` then waits too.
    """

    def __init__(
        self,
        life: Life,
        courier: Courier,
        taps: Taps,
        *,
        speed: float,
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        self._life = life
        self._courier = courier
        self._taps = taps
        self._speed = speed
        self._limit = limit
        self._clock = clock
        self._hurry = False
        self._due: list[tuple[float, int, Message | Later]] = []
        self._awaited = 0
        self._order = count()
        self._wake = asyncio.Event()
        self._looks_at = 0.0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def pending(self) -> int:
        """Messages whose people have still something to do, and reviews."""
        return self._awaited

    @property
    def full(self) -> bool:
        return not self._room.is_set() or self._courier.full

    async def room(self) -> None:
        """Return as soon as another message may be accepted."""
        while self.full:
            await self._room.wait()
            await self._courier.room()

    def add(self, message: Message) -> None:
        """Its first step is due after its delay."""
        self._awaited += 1
        if self._awaited >= self._limit:
            self._room.clear()
        self._push(self._clock() + message.steps[message.at].after / self._speed, message)

    def later(self, coming: Iterable[Later]) -> None:
        """What is due at once happens now."""
        now = self._clock()
        for one in coming:
            if one.after <= 0:
                self._courier.offer(one.happen(now))
            else:
                self._awaited += one.awaited
                self._push(now + one.after / self._speed, one)

    def hurry(self, on: bool) -> None:
        """While on, what people are to do happens at once, still in its order."""
        self._hurry = on
        self._wake.set()

    async def run(self) -> None:
        """Let things happen until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = self._clock()
            self._looks_at = now
            for _ in range(_TURN):
                if not self._due or not self._is_due(now):
                    break
                if self._courier.full:
                    await self._courier.room()
                self._happen(now)
            else:
                await asyncio.sleep(0)
                continue
            wait_s = max(self._due[0][0] - now, _TOGETHER_S) if self._due else _A_WHILE_S
            self._looks_at = now + wait_s
            timer = loop.call_later(wait_s, self._wake.set)
            await self._wake.wait()
            timer.cancel()

    def _is_due(self, now: float) -> bool:
        return self._due[0][0] <= now or (self._hurry and self._awaited > 0)

    def _happen(self, now: float) -> None:
        due, _, coming = heappop(self._due)
        if isinstance(coming, Later):
            self._awaited -= coming.awaited
            self._courier.offer(coming.happen(now))
            return
        if coming.steps[coming.at].act is Act.TAP and self._taps.full:
            self._push(now + _TAP_AGAIN_S, coming)
            return
        happened = self._life.happen(coming, now)
        if happened.updates:
            self._courier.offer(happened.updates)
        if happened.link is not None:
            self._taps.offer(happened.link, coming.person.wa_id)
        self.later(happened.later)
        if coming.at < len(coming.steps):
            self._push(due + coming.steps[coming.at].after / self._speed, coming)
            return
        self._awaited -= 1
        if self._awaited < self._limit:
            self._room.set()

    def _push(self, due: float, coming: Message | Later) -> None:
        if self._hurry or due < self._looks_at - _TOGETHER_S:
            self._wake.set()
        heappush(self._due, (due, next(self._order), coming))
