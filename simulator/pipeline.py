"""Time passes: one heap of what is due, one task that lets it happen."""

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from urllib.parse import urlsplit

import aiohttp

from simulator.people import Act
from simulator.webhooks import Courier
from simulator.world import Message, Review, World

# Phones open a tapped link in their browser.
_BROWSERS = (
    "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
)
_TAP_AGAIN_S = 0.1
_TURN = 200


class Taps:
    """Opens tapped links: a few at once, at most `limit` waiting, no redirects followed."""

    def __init__(
        self, session: aiohttp.ClientSession, hosts: frozenset[str], limit: int = 512
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.busy = 0
        self._session = session
        self._hosts = hosts
        self._links: asyncio.Queue[tuple[str, str]] = asyncio.Queue(limit)

    @property
    def full(self) -> bool:
        return self._links.full()

    def offer(self, link: str, wa_id: str) -> None:
        if urlsplit(link).hostname not in self._hosts:
            self.counts["elsewhere"] += 1
            return
        self.busy += 1
        self._links.put_nowait((link, _BROWSERS[zlib.crc32(wa_id.encode()) % len(_BROWSERS)]))

    async def run(self, workers: int = 4) -> None:
        """Open links until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        while True:
            link, browser = await self._links.get()
            try:
                async with self._session.get(
                    link,
                    headers={"User-Agent": browser},
                    allow_redirects=False,
                    timeout=timeout,
                ) as answer:
                    self.counts["opened" if answer.status < 400 else "refused"] += 1
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                self.counts["unreachable"] += 1
            finally:
                self.busy -= 1


class Pipeline:
    """What people and reviewers have still to do, in order of time.

    Holds at most `limit` messages and waits while the courier is full: `room` then waits too.
    """

    def __init__(
        self,
        world: World,
        courier: Courier,
        taps: Taps,
        *,
        speed: float,
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._courier = courier
        self._taps = taps
        self._speed = speed
        self._limit = limit
        self._clock = clock
        self._hurry = False
        self._due: list[tuple[float, int, Message | Review]] = []
        self._order = count()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def pending(self) -> int:
        return len(self._due)

    async def room(self) -> None:
        """Return as soon as another message may be accepted."""
        while not self._room.is_set() or self._courier.full:
            await self._room.wait()
            await self._courier.room()

    def add(self, coming: Message | Review) -> None:
        """Its first step is due after its delay."""
        after = coming.after if isinstance(coming, Review) else coming.steps[coming.at].after
        self._push(self._clock() + after / self._speed, coming)

    def hurry(self, on: bool) -> None:
        """While on, what is to come happens at once, still in its order."""
        self._hurry = on
        self._wake.set()

    async def run(self) -> None:
        """Let things happen until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            for _ in range(_TURN):
                if not self._due or (not self._hurry and self._due[0][0] > self._clock()):
                    break
                await self._courier.room()
                self._happen()
            else:
                await asyncio.sleep(0)
                continue
            if self._due:
                wait_s = max(0.0, self._due[0][0] - self._clock())
                timer = loop.call_later(wait_s, self._wake.set)
                await self._wake.wait()
                timer.cancel()
            else:
                await self._wake.wait()

    def _happen(self) -> None:
        due, _, coming = heappop(self._due)
        if len(self._due) < self._limit:
            self._room.set()
        now = self._clock()
        if isinstance(coming, Review):
            self._courier.offer([self._world.decide(coming, now)])
            return
        if coming.steps[coming.at].act is Act.TAP and self._taps.full:
            self._push(now + _TAP_AGAIN_S, coming)
            return
        updates, link = self._world.happen(coming, now)
        if self._world.subscribed[coming.number.waba_id]:
            self._courier.offer(updates)
        if link is not None:
            self._taps.offer(link, coming.person.wa_id)
        if coming.at < len(coming.steps):
            self._push(due + coming.steps[coming.at].after / self._speed, coming)

    def _push(self, due: float, coming: Message | Review) -> None:
        if not self._due or due < self._due[0][0]:
            self._wake.set()
        heappush(self._due, (due, next(self._order), coming))
        if len(self._due) >= self._limit:
            self._room.clear()
