"""Erasures that were asked for, and their receipts. Kept for good: they hold nothing personal."""

from collections.abc import Callable

import orjson

from chassis.failures import RequestIdReused
from chassis.postgres import Pool


class Erasures:
    """What was erased under which request id."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, request_id: str, contact_id: str) -> None:
        """Remember that it was asked for. Raises `RequestIdReused` when that was for another."""
        of = await self._pool.fetchval(
            "INSERT INTO erasures (request_id, contact_id) VALUES ($1, $2)"
            # An update of nothing: only so is the row returned that was there
            " ON CONFLICT (request_id) DO UPDATE SET request_id = EXCLUDED.request_id"
            " RETURNING contact_id",
            request_id,
            contact_id,
        )
        if of != contact_id:
            raise RequestIdReused(request_id)

    async def count(self, request_id: str, dataset: str, number: int) -> None:
        """Remember how many records were erased, until there is a receipt that says so: tries that
        came to no end count too."""
        await self._pool.execute(
            "UPDATE erasures SET records = records || jsonb_build_object($2::text,"
            " coalesce((records ->> $2)::bigint, 0) + $3)"
            " WHERE request_id = $1 AND receipt IS NULL",
            request_id,
            dataset,
            number,
        )

    async def finish(self, request_id: str, make: Callable[[dict[str, int]], bytes]) -> bytes:
        """The receipt: the one `make` makes of what was counted, unless there is one."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT records, receipt FROM erasures WHERE request_id = $1 FOR UPDATE", request_id
            )
            assert row is not None
            if row["receipt"] is not None:
                return bytes(row["receipt"])
            receipt = make(orjson.loads(row["records"]))
            await connection.execute(
                "UPDATE erasures SET receipt = $2 WHERE request_id = $1", request_id, receipt
            )
            return receipt
