"""The audit: who read what was written to a person, and what for."""

from datetime import timedelta
from typing import Final

from chassis.callers import call_with_purpose
from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool
from chassis.transient import keep_at

_FORGET_EVERY: Final = timedelta(hours=1)
_FORGOTTEN: Final = 5_000  # rows at once


class Reads:
    """The record of reads of contents. It names messages, which stay nobody's after an erasure."""

    def __init__(self, pool: Pool, clock: Clock, keep: timedelta) -> None:
        """`keep`: how long a read stays on record."""
        self._pool = pool
        self._clock = clock
        self._keep = keep

    async def record(self, message_id: str) -> None:
        """Put a read on record; only then may the answer leave. Raises FieldInvalid without a
        purpose."""
        asked = call_with_purpose()
        await self._pool.execute(
            "INSERT INTO reads VALUES ($1, $2, $3, $4, $5)",
            *(milliseconds_of(self._clock.now()), asked.caller.name, asked.purpose),
            *(asked.method, message_id),
        )

    async def run(self) -> None:
        """Delete what is older than is kept, until cancelled."""
        await keep_at(self.forget, self._clock, _FORGET_EVERY, "old reads stay for now")

    async def forget(self) -> int:
        """Delete some of what is older than is kept; returns how many reads that were."""
        done = await self._pool.execute(
            "DELETE FROM reads WHERE ctid IN"
            " (SELECT ctid FROM reads WHERE read_time < $1 LIMIT $2)",
            *(milliseconds_of(self._clock.now() - self._keep), _FORGOTTEN),
        )
        return int(done.split()[-1])
