"""The audit of reads of personal data: who read it, what for and by which call, on record before
the answer leaves.

In a service's own table `reads`: `read_time`, `caller`, `purpose` and `method`, and what was read,
in columns of the service's own.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from chassis.callers import Call, call_with_purpose
from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool, delete_before
from chassis.transient import keep_at

_FORGET_EVERY: Final = timedelta(hours=1)


class Reads:
    """The record of one service."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        keep: timedelta,
        columns: Sequence[str],
        moment: Callable[[datetime], object] = milliseconds_of,
    ) -> None:
        """`keep`: how long a read stays on record. `columns`: those that say what was read.
        `moment`: a moment as the table has it."""
        self._pool = pool
        self._clock = clock
        self._keep = keep
        self._moment = moment
        names = ("read_time", "caller", "purpose", "method", *columns)
        values = ", ".join(f"${position}" for position in range(1, len(names) + 1))
        self._insert = f"INSERT INTO reads ({', '.join(names)}) VALUES ({values})"  # noqa: S608 - names of the code

    async def record(self, *what: object) -> None:
        """Put on record that the call which this task serves reads; only then may the answer
        leave. Raises `FieldInvalid` without a purpose."""
        await self._write([self._row(call_with_purpose(), *what)])

    def _row(self, asked: Call, *what: object) -> tuple[object, ...]:
        now = self._moment(self._clock.now())
        return now, asked.caller.name, asked.purpose, asked.method, *what

    async def _write(self, rows: Sequence[tuple[object, ...]]) -> None:
        async with self._pool.acquire(timeout=10) as connection:
            await connection.executemany(self._insert, rows)

    async def forget(self) -> None:
        """Delete what is older than is kept, until cancelled."""
        await keep_at(self.forget_old, self._clock, _FORGET_EVERY, "old reads stay for now")

    async def forget_old(self) -> int:
        """Delete some of what is older than is kept; returns how many reads that were."""
        before = self._moment(self._clock.now() - self._keep)
        return await delete_before(self._pool, "reads", "read_time", before)
