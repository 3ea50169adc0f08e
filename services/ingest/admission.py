"""Whether the front door accepts: not when the log is out of reach, nearly out of memory or slow,
nor when its readers are far behind."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Final, Protocol

import structlog

from chassis.clock import Clock
from chassis.streams import Lag, WriteTimes
from chassis.transient import transient

_EVERY: Final = timedelta(seconds=1)
_LAG_EVERY: Final = 5  # looks
_PATIENCE_S: Final = 2.0
_LAG_PATIENCE_S: Final = 5.0
_NONE: Final = timedelta(0)
_FEW: Final = 3  # slow writes in a minute; fewer are an accident, however little else was written
_CALM: Final = 10  # looks at a log that is quick again, until it is believed
_TIGHT: Final = 5 / 6  # of the limit; the log gives room from two thirds on
_logger = structlog.get_logger()


class Log(Protocol):
    """What is watched."""

    writes: WriteTimes
    """How long writes take."""

    async def pulse(self) -> None:
        """Write the least that there is, as durably as anything."""
        ...

    async def memory_pressure(self) -> float:
        """Share of its memory in use, 0 to 1."""
        ...

    async def lag(self, topics: Sequence[str]) -> list[Lag]:
        """How far every group of `topics` is behind."""
        ...


class Slowness:
    """Whether the log writes too slowly: the 99th percentile of a minute, or a write that is under
    way, is over the limit. That is over when small writes, made for nothing else, have taken less
    than half of it for ten looks, so that the door does not flap."""

    def __init__(self, log: Log, limit: timedelta) -> None:
        """`limit`: 0: nothing is too slow."""
        self._log = log
        self._limit = limit
        self._slow = False
        self._calm = 0

    async def look(self) -> bool:
        """Look once; says whether it is too slow. Raises what the log raises."""
        if not self._limit:
            return False
        writes = self._log.writes
        if not self._slow:
            rule = writes.p99() > self._limit and writes.over(self._limit) >= _FEW
            self._slow, self._calm = rule or writes.waiting() > self._limit, 0
            return self._slow
        pulse = WriteTimes()
        with pulse.one():
            await self._log.pulse()
        quick = max(pulse.p99(), writes.waiting()) < self._limit / 2
        self._calm = self._calm + 1 if quick else 0
        if self._calm == _CALM:
            writes.forget()
            self._slow = False
        return self._slow


class Admission:
    """Looks at the log once a second, and at its readers every five, so that a request need not."""

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        memory_limit: float,
        lag_limit: timedelta,
        clock: Clock,
        append_limit: timedelta = _NONE,
    ) -> None:
        """`topics`: whose readers count. `lag_limit`: the age of the oldest unfinished entry from
        which on nothing more is accepted; 0: any age will do. `append_limit`: how long a write may
        take; 0: any time."""
        self._topics = topics
        self._log = log
        self._memory_limit = memory_limit
        self._slowness = Slowness(log, append_limit)
        self._clock = clock
        self.lag_limit = lag_limit
        self.lag = _NONE
        """Age of the oldest entry that a group has not finished, when it was last looked at."""
        self.tight = False
        """Memory is nearly at its limit: what can wait should, so that nothing else has to."""
        self.closed = ""
        """Why nothing is accepted: `log_down`, `memory`, `log_slow`, `lag`; empty while everything
        is."""

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
                slow = await self._slowness.look()
        except Exception as error:
            if not transient(error):
                raise
            found = "log_down"
        else:
            found = "memory" if pressure > self._memory_limit else "log_slow" if slow else ""
            self.tight = pressure > self._memory_limit * _TIGHT
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
