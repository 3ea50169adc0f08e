"""Postgres: sweeps, and what they cancel."""

from datetime import datetime, timedelta
from typing import Final

from chassis.postgres import Connection, Pool
from services.segment.engine.model import Sweep
from services.segment.tables import journey_rows
from services.segment.tables.occurrence_rows import DEED

_SWEEP: Final = ", ".join(f"s.{name}" for name in Sweep._fields)
_BATCH: Final = 2_000
_ARCHIVED: Final = "the trigger was archived"
_NOT_DONE: Final = "the journey was archived"


class SweepsStore:
    """The table of sweeps; implements `sweeps.Store`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, now: datetime, lease: timedelta) -> Sweep | None:
        """One that nobody works on, the one that waits longest, for as long as the lease."""
        row = await self._pool.fetchrow(
            "UPDATE sweeps s SET lease_time = $1::timestamptz + $2::interval"  # noqa: S608 - fixed names
            " WHERE (owner_id, generation, work) ="
            " (SELECT owner_id, generation, work FROM sweeps"
            " WHERE lease_time <= $1 ORDER BY lease_time, generation LIMIT 1"
            f" FOR UPDATE SKIP LOCKED) RETURNING {_SWEEP}",
            now,
            lease,
        )
        return None if row is None else Sweep(**{**dict(row), "step_ids": tuple(row["step_ids"])})

    async def cancel(self, sweep: Sweep) -> bool:
        """End a batch of what waits, or is not done yet; whether there may be more."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            status = await connection.execute(
                "UPDATE occurrences o SET state = 'cancelled', end_time = $2, reason = $3"
                " FROM (SELECT contact_id, occurrence_id FROM occurrences"
                "  WHERE trigger_id = $1 AND state = 'waiting' ORDER BY due_time LIMIT $4"
                "  FOR UPDATE) n"
                " WHERE o.contact_id = n.contact_id AND o.occurrence_id = n.occurrence_id",
                sweep.owner_id,
                sweep.edit_time,
                _ARCHIVED,
                _BATCH,
            )
            undone = await _drop_deeds(connection, sweep.owner_id, sweep.edit_time)
        # Until there are none: a merge may take one away to another contact meanwhile.
        return status != "UPDATE 0" or undone > 0

    async def release(self, sweep: Sweep, now: datetime) -> None:
        """Let others go on with it."""
        await self._pool.execute(
            "UPDATE sweeps SET lease_time = $4"
            " WHERE owner_id = $1 AND generation = $2 AND work = $3",
            *sweep[:3],
            now,
        )

    async def end(self, sweep: Sweep) -> None:
        """It is done."""
        await self._pool.execute(
            "DELETE FROM sweeps WHERE owner_id = $1 AND generation = $2 AND work = $3",
            *sweep[:3],
        )


async def _drop_deeds(connection: Connection, owner_id: str, now: int) -> int:
    """What was not done outside yet is not done any more; returns how many that were."""
    rows = await connection.fetch(
        "SELECT deed FROM deeds WHERE owner_id = $1 LIMIT $2", owner_id, _BATCH
    )
    if not rows:
        return 0
    deeds = [DEED.decode(row["deed"]) for row in rows]
    ids = [one.deed_id for one in deeds]
    # Before the deeds, and visits behind them: whoever settles takes them in this order, too.
    await connection.execute(
        "UPDATE occurrences SET state = 'cancelled', end_time = $2, reason = $3"
        " WHERE occurrence_id = ANY($1::text[]) AND state = 'fired'",
        ids,
        now,
        _ARCHIVED,
    )
    await connection.execute("DELETE FROM deeds WHERE deed_id = ANY($1::text[])", ids)
    await journey_rows.fail(connection, {one.step: _NOT_DONE for one in deeds if one.step})
    return len(rows)
