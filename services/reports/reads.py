"""The audit: who read what happened to a person, and what for."""

from chassis.callers import call_with_purpose
from chassis.clock import Clock
from chassis.postgres import Pool


class Reads:
    """The record of reads of people."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def record(self, contact_id: str) -> None:
        """Put a read on record; only then may the answer leave. Raises `FieldInvalid` without a
        purpose."""
        asked = call_with_purpose()
        await self._pool.execute(
            "INSERT INTO reads VALUES ($1, $2, $3, $4, $5)",
            *(self._clock.now(), asked.caller.name, asked.purpose, asked.method, contact_id),
        )
