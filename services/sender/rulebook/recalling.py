"""Messages that a gate holds are asked again when its rules change."""

import asyncio
from collections.abc import Callable

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool
from services.sender.rulebook import recall

_EVERY_S = 0.5


class Recalling:
    """Looks for rules that any replica changed."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        wake: Callable[[], None],
        passing: Callable[[BaseException], bool],
        warn: Callable[[str, BaseException], None],
    ) -> None:
        """`wake` tells dispatch that something is due."""
        self._pool = pool
        self._clock = clock
        self._wake = wake
        self._passing = passing
        self._warn = warn
        self._called = asyncio.Event()

    def call(self) -> None:
        """Rules changed: look at once."""
        self._called.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._called.clear()
            moved = 0
            try:
                moved = await recall(self._pool, milliseconds_of(self._clock.now()))
            except Exception as error:
                if not self._passing(error):
                    raise
                self._warn("changed rules wait", error)
            if moved:
                self._wake()
                continue
            try:
                async with asyncio.timeout(_EVERY_S):
                    await self._called.wait()
            except TimeoutError:
                continue
