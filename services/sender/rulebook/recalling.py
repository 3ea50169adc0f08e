"""Messages that a gate holds are asked again when its rules change."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool
from chassis.transient import keep_at
from services.sender.rulebook import recall

_EVERY: Final = timedelta(milliseconds=500)


class Recalling:
    """Looks for rules that any replica changed."""

    def __init__(self, pool: Pool, clock: Clock, wake: Callable[[], None]) -> None:
        """`wake` tells dispatch that something is due."""
        self._pool = pool
        self._clock = clock
        self._wake = wake
        self._called = asyncio.Event()

    def call(self) -> None:
        """Rules changed: look at once."""
        self._called.set()

    async def run(self) -> None:
        """Until cancelled."""
        await keep_at(self._recall, self._clock, _EVERY, "changed rules wait", self._called)

    async def _recall(self) -> int:
        moved = await recall(self._pool, milliseconds_of(self._clock.now()))
        if moved:
            self._wake()
        return moved
