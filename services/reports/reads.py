"""The audit: who read what happened to a person, and what for."""

from typing import Final

from chassis.callers import call
from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.postgres import Pool

_LONGEST_PURPOSE: Final = 200


class Reads:
    """The record of reads of people."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def record(self, contact_id: str) -> None:
        """Put a read on record; only then may the answer leave. Raises `FieldInvalid` without a
        purpose."""
        asked = call.get()
        if not 0 < len(asked.purpose) <= _LONGEST_PURPOSE:
            raise FieldInvalid(
                "metadata.purpose",
                "personal data is read for a purpose: send the metadata `purpose`, a few words of"
                f" {_LONGEST_PURPOSE} characters at most",
                limit=str(_LONGEST_PURPOSE),
            )
        await self._pool.execute(
            "INSERT INTO reads VALUES ($1, $2, $3, $4, $5)",
            *(self._clock.now(), asked.caller.name, asked.purpose, asked.method, contact_id),
        )
