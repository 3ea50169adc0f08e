"""Rows that many calls write together: one task writes whatever waits, and each call waits for its
own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import structlog

from chassis.failures import Unavailable
from chassis.transient import transient

T = TypeVar("T")

_MOST_WAITING: Final = 2_000
_AT_ONCE: Final = 200
_logger = structlog.get_logger()


def settle(waiting: "asyncio.Future[None]", failure: Unavailable | None) -> None:
    """Tell whoever waits: it was written, or why it may not be. Who was cancelled waits no more."""
    if waiting.done():
        return
    if failure is None:
        waiting.set_result(None)
    else:
        waiting.set_exception(failure)


class Groups(Generic[T]):
    """What waits to be written. When it cannot be, whoever waits is refused, and none is told that
    it was."""

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[None]],
        refused: Callable[[], Unavailable],
        complaint: str,
    ) -> None:
        """`write`: some rows, in one go. `refused`: what callers are told then, which `complaint`
        says in the log."""
        self._write = write
        self._refused = refused
        self._complaint = complaint
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many rows are not being written yet."""
        return len(self._waiting)

    def enqueue(self, row: T) -> "asyncio.Future[None]":
        """Begin to write a row; done when it is written. Raises what `refused` makes when too many
        wait."""
        if len(self._waiting) >= _MOST_WAITING:
            raise self._refused()
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((row, written))
        self._wake.set()
        return written

    def wake(self) -> None:
        """Have a group written soon, with or without rows."""
        self._wake.set()

    async def run(self) -> None:
        """Write, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write the next group."""
        group, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        if self._waiting:
            self._wake.set()
        # Until it is certain: nobody may be told that it is on record when it may not be
        failure: Unavailable | None = self._refused()
        try:
            await self._write([row for row, _ in group])
            failure = None
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning(self._complaint, error=type(error).__name__)
        finally:
            for _, written in group:
                settle(written, failure)
