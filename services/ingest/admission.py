"""Whether the front door accepts: not when the log is out of reach or nearly out of memory, nor
when its readers are far behind; and how much one source may send."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Final, NamedTuple, Protocol

import structlog

from chassis.clock import Clock
from chassis.streams import Lag
from chassis.transient import transient

_EVERY: Final = timedelta(seconds=1)
_LAG_EVERY: Final = 5  # looks
_PATIENCE_S: Final = 2.0
_LAG_PATIENCE_S: Final = 5.0
_NONE: Final = timedelta(0)
RETRY_AFTER_S: Final = 5
_logger = structlog.get_logger()


class Log(Protocol):
    """What is watched."""

    async def memory_pressure(self) -> float:
        """Share of its memory in use, 0 to 1."""
        ...

    async def lag(self, topics: Sequence[str]) -> list[Lag]:
        """How far every group of `topics` is behind."""
        ...


class Admission:
    """Looks at the log once a second, and at its readers every five, so that a request need not."""

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        memory_limit: float,
        lag_limit: timedelta,
        clock: Clock,
    ) -> None:
        """`topics`: whose readers count. `lag_limit`: the age of the oldest unfinished entry from
        which on nothing more is accepted; 0: any age will do."""
        self._topics = topics
        self._log = log
        self._memory_limit = memory_limit
        self._clock = clock
        self.lag_limit = lag_limit
        self.lag = _NONE
        """Age of the oldest entry that a group has not finished, when it was last looked at."""
        self.closed = ""
        """Why nothing is accepted: `memory`, `lag`, `log_down`; empty while everything is."""

    async def run(self) -> None:
        """Look, until cancelled."""
        for turn in count():
            if self.lag_limit and turn % _LAG_EVERY == 0:
                await self.look_at_readers()
            await self.look()
            await self._clock.sleep(_EVERY)

    async def look(self) -> None:
        """Look at the log once."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                pressure = await self._log.memory_pressure()
        except Exception as error:
            if not transient(error):
                raise
            found = "log_down"
        else:
            found = "memory" if pressure > self._memory_limit else ""
        if not found and self.lag_limit and self.lag > self.lag_limit:
            found = "lag"
        if found != self.closed:
            _logger.warning("admission", closed=found or "no")
        self.closed = found

    async def look_at_readers(self) -> None:
        """Look at the log's readers once. When it cannot be told how far they are, it is as before:
        `look` notices a log that is gone."""
        try:
            async with asyncio.timeout(_LAG_PATIENCE_S):
                lags = await self._log.lag(self._topics)
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning("no lag", error=type(error).__name__)
        else:
            self.lag = max((lag.behind for lag in lags), default=_NONE)


class _Bucket(NamedTuple):
    """What a source had left, and when."""

    items: float
    at: datetime


class WriteLimits:
    """How many items a second each source may send to this process, in bursts of so many seconds'
    worth. A batch larger than a burst passes when the source has sent nothing for as long, and is
    paid for afterwards."""

    def __init__(self, per_s: int, burst_s: float, clock: Clock) -> None:
        """`per_s`: 0 is without limit."""
        self._per_s = per_s
        self._burst = max(per_s * burst_s, 1.0)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, source: str, items: int) -> timedelta:
        """Take `items` from what a source may send: 0. When it may not now: how long to wait; then
        nothing was taken. `source` is one of few: each is remembered."""
        if not self._per_s:
            return _NONE
        now = self._clock.now()
        left, at = self._buckets.get(source, _Bucket(self._burst, now))
        # The machine's clock may be set back
        passed = max((now - at).total_seconds(), 0.0)
        left = min(left + passed * self._per_s, self._burst)
        missing = min(items, self._burst) - left
        if missing > 0:
            self._buckets[source] = _Bucket(left, now)
            return max(timedelta(seconds=missing / self._per_s), timedelta.resolution)
        self._buckets[source] = _Bucket(left - items, now)
        return _NONE
