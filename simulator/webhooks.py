"""Signed delivery of webhooks: batched, concurrent, at least once."""

import asyncio
import hashlib
import hmac
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from secrets import token_hex
from typing import Any

import aiohttp
import structlog

from simulator.faults import FaultBox
from simulator.updates import Update, body_of

log = structlog.get_logger()

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int | None]]
"""(url, body, headers) to the HTTP status, or None when there was no answer."""

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 600.0
# Real time: however fast the world runs, a receiver that is down is not hammered.
_SHORTEST_RETRY_S = 0.05
_OVERTAKING_S = 0.2


class Parcel:
    """One POST on its way, kept until it is answered 200."""

    __slots__ = ("attempts", "body", "size", "spare")

    def __init__(self, body: bytes, size: int, *, spare: bool = False) -> None:
        self.body = body
        self.size = size
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
        url: str,
        faults: FaultBox,
        speed: float,
        batch: int,
        linger_s: float,
        concurrency: int,
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        self.url = url
        self.counts: Counter[str] = Counter()
        self.pending = 0
        """Updates that were not yet answered 200."""
        self._post = post
        self._secret = secret
        self._faults = faults
        self._speed = speed
        self._batch = batch
        self._linger_s = linger_s
        self._concurrency = concurrency
        self._limit = limit
        self._clock = clock
        self._updates: deque[Update] = deque()
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
        """Deliver these. Without an address they are dropped and counted, as Meta does."""
        for update in updates:
            if not self.url:
                self.counts["dropped_without_address"] += 1
                continue
            self._updates.append(update)
            self._owe(1)
        self._wake.set()

    def summary(self) -> dict[str, Any]:
        taken = sorted(self._latencies)
        return {
            "posted": self.counts["posted"],
            "answered": self.counts["answered"],
            "retried": self.counts["retried"],
            "duplicated": self.counts["duplicated"],
            "updates_delivered": self.counts["updates_delivered"],
            "dropped_without_address": self.counts["dropped_without_address"],
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
                if len(self._updates) < self._batch and self._linger_s:
                    await asyncio.sleep(self._linger_s)
                await self._ready.put(self._parcel())
                continue
            if self._later:
                timer = loop.call_later(max(0.0, self._later[0][0] - now), self._wake.set)
                await self._wake.wait()
                timer.cancel()
            else:
                await self._wake.wait()

    def _parcel(self) -> Parcel:
        taken = [self._updates.popleft() for _ in range(min(self._batch, len(self._updates)))]
        if self._faults.now.shuffle_webhooks:
            self._faults.rng.shuffle(taken)
        return Parcel(body_of(taken), len(taken))

    async def _work(self) -> None:
        while True:
            parcel = await self._ready.get()
            if self._faults.now.shuffle_webhooks:
                await asyncio.sleep(self._faults.rng.uniform(0, _OVERTAKING_S))
            await self._deliver(parcel)

    async def _deliver(self, parcel: Parcel) -> None:
        signature = hmac.new(self._secret, parcel.body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        begun = self._clock()
        self.counts["posted"] += 1
        status = await self._post(self.url, parcel.body, headers)
        if status == 200:
            self._latencies.append(self._clock() - begun)
            self.counts["answered"] += 1
            self.counts["updates_delivered"] += parcel.size
            self._owe(-parcel.size)
            if not parcel.spare and self._faults.hits(self._faults.now.duplicate_webhooks):
                self.counts["duplicated"] += 1
                self._owe(parcel.size)
                self._post_later(Parcel(parcel.body, parcel.size, spare=True), _FIRST_RETRY_S)
            return
        parcel.attempts += 1
        self.counts["retried"] += 1
        if parcel.attempts == 1:
            log.info("webhook not accepted, will be repeated", status=status)
        wait_s = min(_FIRST_RETRY_S * 2.0 ** min(parcel.attempts - 1, 20), _LAST_RETRY_S)
        self._post_later(parcel, wait_s)

    def _post_later(self, parcel: Parcel, simulated_s: float) -> None:
        jittered = simulated_s * self._faults.rng.uniform(0.8, 1.2)
        due = self._clock() + max(jittered / self._speed, _SHORTEST_RETRY_S)
        heappush(self._later, (due, next(self._order), parcel))
        self._wake.set()

    def _owe(self, updates: int) -> None:
        self.pending += updates
        if self.pending < self._limit:
            self._room.set()
        else:
            self._room.clear()


def posting(session: aiohttp.ClientSession, timeout_s: float) -> Post:
    """Posts over HTTP; redirects are not followed, an answer's body is not read."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def post(url: str, body: bytes, headers: dict[str, str]) -> int | None:
        try:
            async with session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    return post


async def verify(session: aiohttp.ClientSession, url: str, token: str) -> str | None:
    """Meta's GET check of an address; None if it passed, else why not."""
    challenge = token_hex(8)
    query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token}
    try:
        async with session.get(
            url, params=query, timeout=aiohttp.ClientTimeout(total=10), allow_redirects=False
        ) as answer:
            body = await answer.content.read(1000)
            if answer.status != 200:
                return f"the address answered {answer.status} to the verification request"
            if body.decode(errors="replace") != challenge:
                return "the address did not answer with hub.challenge"
            return None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"the address cannot be reached: {type(error).__name__}"


def _quantile_ms(taken: list[float], share: float) -> float | None:
    if not taken:
        return None
    return round(taken[min(int(share * len(taken)), len(taken) - 1)] * 1000, 2)
