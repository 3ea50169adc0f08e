"""Signed delivery of webhooks: batched, concurrent, at least once."""

import asyncio
import hmac
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

import structlog

from simulator.faults import FaultBox
from simulator.webhooks.subscriptions import Subscriptions
from simulator.webhooks.updates import Update, body_of

log = structlog.get_logger()

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int | None]]
"""(url, body, headers) to the HTTP status, or None when there was no answer."""

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 600.0
_GIVE_UP_S = 7 * 86_400.0
# Real time: however fast the world runs, a receiver that is down is not hammered.
_SHORTEST_RETRY_S = 0.05
_OVERTAKING_S = 0.2
_LARGEST_BODY = 3 * 1024 * 1024


class Packing(NamedTuple):
    """How updates share posts."""

    most: int
    """Updates in one POST."""
    linger_s: float
    """How long the first update of a POST waits for company."""


class Parcel:
    """One POST on its way, kept until it is answered 200."""

    __slots__ = ("attempts", "body", "born", "size", "spare", "url")

    def __init__(
        self, url: str, body: bytes, size: int, born: float, *, spare: bool = False
    ) -> None:
        self.url = url
        self.body = body
        self.size = size
        self.born = born
        self.attempts = 0
        self.spare = spare
        """A duplicate: it does not beget another."""


class Courier:
    """Takes updates and posts them until each post was answered 200.

    Holds at most `limit` updates: `room` waits until there is place again.
    """

    def __init__(
        self,
        *,
        post: Post,
        secret: bytes,
        subscriptions: Subscriptions,
        faults: FaultBox,
        speed: float,
        packing: Packing,
        concurrency: int,
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        self.packing = packing
        self.counts: Counter[str] = Counter()
        self.pending = 0
        """Updates that were not yet answered 200."""
        self._post = post
        self._secret = secret
        self._subscriptions = subscriptions
        self._faults = faults
        self._speed = speed
        self._concurrency = concurrency
        self._limit = limit
        self._clock = clock
        self._updates: dict[str, deque[Update]] = {}
        self._later: list[tuple[float, int, Parcel]] = []
        self._order = count()
        self._ready: asyncio.Queue[Parcel] = asyncio.Queue(concurrency)
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._latencies: deque[float] = deque(maxlen=10_000)

    async def room(self) -> None:
        """Return as soon as fewer than the limit are waiting."""
        await self._room.wait()

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    def offer(self, updates: Iterable[Update]) -> None:
        """Deliver those that somebody asked for. Without an address they are dropped and
        counted, as Meta does."""
        for update in updates:
            url = self._subscriptions.address(update)
            if url:
                waiting = self._updates.get(url)
                if waiting is None:
                    waiting = self._updates[url] = deque()
                waiting.append(update)
                self._owe(1)
            elif url is not None:
                self.counts["dropped_without_address"] += 1
        self._wake.set()

    def summary(self) -> dict[str, Any]:
        taken = sorted(self._latencies)
        told = (
            "posted", "answered", "retried", "duplicated", "late", "given_up",
            "updates_delivered", "dropped_without_address",
        )  # fmt: skip
        return {
            **{name: self.counts[name] for name in told},
            "pending_updates": self.pending,
            "waiting_for_retry": len(self._later),
            "answer_p50_ms": _quantile_ms(taken, 0.5),
            "answer_p99_ms": _quantile_ms(taken, 0.99),
        }

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._work())
            await self._pack()

    async def _pack(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = self._clock()
            while self._later and self._later[0][0] <= now:
                await self._ready.put(heappop(self._later)[2])
            if self._updates:
                url, waiting = next(iter(self._updates.items()))
                if len(waiting) < self.packing.most and self.packing.linger_s:
                    await asyncio.sleep(self.packing.linger_s)
                await self._hand_out(self._parcel(url))
                continue
            if self._later:
                timer = loop.call_later(max(0.0, self._later[0][0] - now), self._wake.set)
                await self._wake.wait()
                timer.cancel()
            else:
                await self._wake.wait()

    async def _hand_out(self, parcel: Parcel) -> None:
        now = self._faults.now
        if self._faults.hits(now.late_webhooks):
            self.counts["late"] += 1
            self._put_by(parcel, now.late_by_s)
            return
        await self._ready.put(parcel)

    def _parcel(self, url: str) -> Parcel:
        # Taken out and put back: addresses take turns.
        waiting = self._updates.pop(url)
        taken = [waiting.popleft() for _ in range(min(self.packing.most, len(waiting)))]
        if self._faults.now.shuffle_webhooks:
            self._faults.rng.shuffle(taken)
        body = body_of(taken)
        while len(body) > _LARGEST_BODY and len(taken) > 1:
            half = len(taken) // 2
            waiting.extendleft(reversed(taken[half:]))
            taken = taken[:half]
            body = body_of(taken)
        if waiting:
            self._updates[url] = waiting
        return Parcel(url, body, len(taken), self._clock())

    async def _work(self) -> None:
        while True:
            parcel = await self._ready.get()
            if self._faults.now.shuffle_webhooks:
                await asyncio.sleep(self._faults.rng.uniform(0, _OVERTAKING_S))
            await self._deliver(parcel)

    async def _deliver(self, parcel: Parcel) -> None:
        begun = self._clock()
        self.counts["posted"] += 1
        status = await self._post(parcel.url, parcel.body, self._headers(parcel.body))
        if status == 200:
            self._latencies.append(self._clock() - begun)
            self.counts["answered"] += 1
            self.counts["updates_delivered"] += parcel.size
            self._owe(-parcel.size)
            if not parcel.spare and self._faults.hits(self._faults.now.duplicate_webhooks):
                self.counts["duplicated"] += 1
                self._owe(parcel.size)
                spare = Parcel(parcel.url, parcel.body, parcel.size, begun, spare=True)
                self._post_later(spare, _FIRST_RETRY_S)
            return
        if (begun - parcel.born) * self._speed > _GIVE_UP_S:
            self.counts["given_up"] += parcel.size
            self._owe(-parcel.size)
            return
        parcel.attempts += 1
        self.counts["retried"] += 1
        if parcel.attempts == 1:
            log.info("webhook not accepted, will be repeated", status=status)
        wait_s = min(_FIRST_RETRY_S * 2.0 ** min(parcel.attempts - 1, 20), _LAST_RETRY_S)
        self._post_later(parcel, wait_s)

    def _headers(self, body: bytes) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature": f"sha1={hmac.digest(self._secret, body, 'sha1').hex()}",
            "X-Hub-Signature-256": f"sha256={hmac.digest(self._secret, body, 'sha256').hex()}",
        }

    def _post_later(self, parcel: Parcel, simulated_s: float) -> None:
        jittered = simulated_s * self._faults.rng.uniform(0.8, 1.2)
        self._put_by(parcel, max(jittered / self._speed, _SHORTEST_RETRY_S))

    def _put_by(self, parcel: Parcel, real_s: float) -> None:
        heappush(self._later, (self._clock() + real_s, next(self._order), parcel))
        self._wake.set()

    def _owe(self, updates: int) -> None:
        self.pending += updates
        if self.pending < self._limit:
            self._room.set()
        else:
            self._room.clear()


def _quantile_ms(taken: list[float], share: float) -> float | None:
    if not taken:
        return None
    return round(taken[min(int(share * len(taken)), len(taken) - 1)] * 1000, 2)
