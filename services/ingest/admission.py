"""Whether the front door accepts: not when the log is out of reach or nearly out of memory."""

import asyncio
from datetime import timedelta
from typing import Final, Protocol

import structlog

from chassis.clock import Clock
from chassis.transient import transient

_EVERY: Final = timedelta(seconds=1)
_PATIENCE_S: Final = 2.0
RETRY_AFTER_S: Final = 5
_logger = structlog.get_logger()


class Log(Protocol):
    """What is watched."""

    async def memory_pressure(self) -> float:
        """Share of its memory in use, 0 to 1."""
        ...


class Admission:
    """Looks at the log once a second, so that a request need not."""

    def __init__(self, log: Log, memory_limit: float, clock: Clock) -> None:
        self._log = log
        self._memory_limit = memory_limit
        self._clock = clock
        self.closed = ""
        """Why nothing is accepted: `memory`, `log_down`; empty while everything is."""

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(_EVERY)

    async def look(self) -> None:
        """Look once."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                pressure = await self._log.memory_pressure()
        except Exception as error:
            if not transient(error):
                raise
            found = "log_down"
        else:
            found = "memory" if pressure > self._memory_limit else ""
        if found != self.closed:
            _logger.warning("admission", closed=found or "no")
        self.closed = found
