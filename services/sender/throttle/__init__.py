"""The limiters, in Redis: shared by all replicas, counted by its clock, one script a call.

A limiter makes a message wait; it never fails it. What is held of people is hashes, for a day.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import floor
from pathlib import Path
from typing import Any, Final

from chassis.streams import EventLog
from services.sender.delivery.pace import Booked, Pace, Pair, Slot, Told
from services.sender.model import Circuit, Lane, Number

_AHEAD_US: Final = {Lane.REPLY: 250_000, Lane.TRANSACTIONAL: 100_000, Lane.BULK: 60_000}
"""How far ahead a lane may book: so replies find a slot however much bulk waits, everywhere."""
_PAIR_MS: Final = 6_500  # Meta's 6 s, and as long as a message may wait for its slot
_PAIR_BURST: Final = 40  # of Meta's 45
_SAMPLES: Final = 64
_SECOND_US: Final = 1_000_000
_DAY_MS: Final = 86_400_000
_RECOVERY: Final = 0.01  # as in `book.lua`


class RedisThrottle:
    """Implements `pace.Throttle`."""

    def __init__(self, log: EventLog, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic`: seconds; slots are told in it."""
        self._key = log.key("throttle")
        self._redis = log.redis
        self._monotonic = monotonic
        self._book = _script(log, "book")
        self._told = _script(log, "told")
        self._pairs = _script(log, "pairs")
        self._reach = _script(log, "reach")
        # Redis' clock behind ours: the quickest of the last answers knows it best.
        self._behind: deque[float] = deque(maxlen=_SAMPLES)

    async def book(self, number: Number, wanted: Sequence[int], missed: Sequence[int]) -> Booked:
        """Slots for so many messages of each lane, the first lanes first; `missed` go back.

        A share of the limit is kept for conversations, as far as there are any.
        """
        now, wait, spare, *slots = await self._book(
            keys=self._keys(number.phone_number_id),
            args=[
                number.throughput,
                number.reply_share or 0.0,
                *(value for lane in Lane for value in (wanted[lane], _AHEAD_US[lane])),
                *missed,
            ],
        )
        self._behind.append(self._monotonic() - now / _SECOND_US)
        behind = min(self._behind)
        booked = [Slot(mark / _SECOND_US + behind, mark) for mark in slots]
        return Booked(booked, wait / _SECOND_US, bool(spare))

    async def told(self, number: Number, told: Told) -> None:
        """Learn what became of calls, and what came in."""
        await self._told(
            keys=self._keys(number.phone_number_id),
            args=[
                *(told.answered, told.failed, told.throttled, told.replied, told.received),
                number.throughput,
            ],
        )

    async def pairs(self, phone_number_id: str, pairs: Sequence[Pair]) -> Sequence[int]:
        """For each, after how many ms one may go; 0 counts it."""
        if not pairs:
            return []
        name = f"{self._key}:{{{phone_number_id}}}:pair"
        modes = [pair.block_ms + 1 if pair.block_ms else int(pair.burst) for pair in pairs]
        waits: list[int] = await self._pairs(
            keys=[f"{name}:{_hash(pair.person)}" for pair in pairs],
            args=[_PAIR_MS, _PAIR_BURST, *modes],
        )
        return waits

    async def reach(self, portfolio_id: str, limit: int, people: Sequence[str]) -> Sequence[int]:
        """For each, after how many ms they may be reached; 0 counts them."""
        if not people:
            return []
        reached = self._reached(portfolio_id)
        waits: list[int] = await self._reach(
            keys=[reached, f"{reached}:promised"], args=[limit, *map(_hash, people)]
        )
        return waits

    async def reachable(self, portfolio_id: str, limit: int, person: str) -> int:
        """As `reach` answers for one person, whom it does not count."""
        seconds, microseconds = await self._redis.time()
        since = seconds * 1000 + microseconds // 1000 - _DAY_MS
        reached = self._reached(portfolio_id)
        last = await self._redis.zscore(reached, _hash(person))
        if last is not None and last > since:
            return 0
        if await self._redis.zcount(reached, since, "+inf") < limit:
            return 0
        oldest = await self._redis.zrangebyscore(reached, since, "+inf", 0, 1, withscores=True)
        return max(1, int(oldest[0][1]) - since) if oldest else _DAY_MS

    async def pace(self, number: Number) -> Pace:
        """What the limiters now make of a number."""
        state, _ = self._keys(number.phone_number_id)
        seconds, microseconds = await self._redis.time()
        now = seconds * _SECOND_US + microseconds
        found = await self._redis.hmget(state, "factor", "factor_time", "open_until")
        factor, since, until = (float(value or 0) for value in found)
        if since:
            factor = min(1.0, factor + (now - since) / _SECOND_US * _RECOVERY)
        circuit = Circuit.CLOSED
        if until:
            circuit = Circuit.OPEN if until > now else Circuit.HALF_OPEN
        reached = await self._redis.zcount(
            self._reached(number.portfolio), floor(now / 1000) - _DAY_MS, "+inf"
        )
        return Pace(
            number.throughput * (factor if since else 1.0), circuit, int(until / 1000), reached
        )

    async def close(self, phone_number_id: str) -> None:
        """Somebody says that the number works again."""
        state, _ = self._keys(phone_number_id)
        await self._redis.hdel(state, "open_until", "opened", "probe_until", "good", "bad")

    def _reached(self, portfolio_id: str) -> str:
        return f"{self._key}:{{{portfolio_id}}}:reach"

    def _keys(self, phone_number_id: str) -> tuple[str, str]:
        name = f"{self._key}:{{{phone_number_id}}}"
        return f"{name}:state", f"{name}:slots"


def _script(log: EventLog, name: str) -> Any:
    source = (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8")
    return log.redis.register_script(source)


def _hash(person: str) -> str:
    return blake2b(person.encode(), digest_size=8).hexdigest()
