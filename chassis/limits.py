"""How much each of a few may do: by one bucket over all replicas; by one each without Redis."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from chassis.clock import Clock
from chassis.streams import EventLog
from chassis.transient import transient

_SCRIPT: Final = (Path(__file__).parent / "limits.lua").read_text(encoding="utf-8")
_LENT: Final = 0.05  # of a burst: what a replica has in hand, so that few requests ask Redis
_PATIENCE_S: Final = 0.25
_ALONE: Final = timedelta(seconds=1)
_NONE: Final = timedelta(0)
_logger = structlog.get_logger()


class _Bucket(NamedTuple):
    """What a key had left, and when."""

    items: float
    at: datetime


class LocalLimits:
    """How many items a second each key may send to this process, in bursts of so many seconds'
    worth. A batch larger than a burst passes when the key has sent nothing for as long, and is
    paid for afterwards."""

    def __init__(self, burst_s: float, clock: Clock) -> None:
        self._burst_s = burst_s
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, key: str, per_s: int, items: int) -> timedelta:
        """Take `items` from what a key may send: 0. When it may not now: how long to wait; then
        nothing was taken. `key` is one of few: each is remembered."""
        now = self._clock.now()
        burst = _burst(per_s, self._burst_s)
        left, at = self._buckets.get(key, _Bucket(burst, now))
        # The machine's clock may be set back
        passed = max((now - at).total_seconds(), 0.0)
        left = min(left + passed * per_s, burst)
        missing = min(items, burst) - left
        if missing > 0:
            self._buckets[key] = _Bucket(left, now)
            return max(timedelta(seconds=missing / per_s), timedelta.resolution)
        self._buckets[key] = _Bucket(left - items, now)
        return _NONE


class Limits:
    """The same over all replicas. Each borrows from the bucket in Redis, and a portion in hand
    besides while a key is far from its limit, so that most requests ask nobody. While Redis is
    away each replica goes by itself."""

    def __init__(self, log: EventLog, name: str, per_s: int, burst_s: float, clock: Clock) -> None:
        """`name`: what is limited. `per_s`: of keys that have no limit of their own; 0 is without
        limit."""
        self._name = log.key(name)
        self._script = log.redis.register_script(_SCRIPT)
        self._per_s = per_s
        self._burst_s = burst_s
        self._clock = clock
        self._local = LocalLimits(burst_s, clock)
        self._in_hand: dict[str, int] = {}
        self._alone_until: datetime | None = None

    async def wait(self, key: str, per_s: int, items: int) -> timedelta:
        """Take `items` from what a key may send: 0. When it may not now: how long to wait; then
        nothing was taken. `per_s`: the key's limit, 0 for the usual one. `key` is one of few."""
        per_s = per_s or self._per_s
        if not per_s:
            return _NONE
        in_hand = self._in_hand.get(key, 0)
        # Taken before Redis is asked: another request must not count on the same items
        taken = min(in_hand, items)
        self._in_hand[key] = in_hand - taken
        needed = items - taken
        if not needed:
            return _NONE
        back = taken
        try:
            if self._alone_until is None or self._clock.now() >= self._alone_until:
                granted, wait = await self._borrow(key, per_s, needed)
                if granted:
                    back = granted - needed
                return wait
        except Exception as error:
            if not transient(error):
                raise
            self._alone_until = self._clock.now() + _ALONE
            _logger.warning("limits of this process only", error=type(error).__name__)
        finally:
            self._in_hand[key] += back
        return self._local.wait(key, per_s, items)

    async def _borrow(self, key: str, per_s: int, needed: int) -> tuple[int, timedelta]:
        """What Redis lends, at least what is needed; or nothing, and how long to wait."""
        burst = _burst(per_s, self._burst_s)
        async with asyncio.timeout(_PATIENCE_S):
            granted, wait_ms = await self._script(
                keys=[f"{self._name}:{{{key}}}"], args=[per_s, burst, needed, int(burst * _LENT)]
            )
        return int(granted), timedelta(milliseconds=int(wait_ms))


def _burst(per_s: int, burst_s: float) -> float:
    """The items of a burst."""
    return max(per_s * burst_s, 1.0)
