"""Exports and schedules in Postgres: whoever dies at it, another goes on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from chassis.postgres import Pool
from services.reports.exports.model import KEPT, LEASE, Export, Schedule, State

_COLUMNS: Final = ", ".join(Export._fields)
_SCHEDULE: Final = ", ".join(Schedule._fields)
_CLAIM: Final = f"""
    UPDATE exports SET state = 'running', attempt = attempt + 1, lease_time = $2, written_rows = 0,
        size_bytes = 0
    WHERE export_id = (SELECT export_id FROM exports
        WHERE (state = 'waiting' OR state = 'running' AND lease_time < $1)
            AND ($3::bigint IS NULL OR total_rows <= $3)
        ORDER BY create_time LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
"""  # noqa: S608 - names are constants
_PUT: Final = """
    WITH mine AS (UPDATE exports SET lease_time = $3, written_rows = $4, total_rows = $5,
        size_bytes = $6 WHERE export_id = $1 AND attempt = $2 AND state = 'running'
        RETURNING export_id)
    INSERT INTO export_pieces (export_id, attempt, start, data)
    SELECT export_id, $2, $7, $8 FROM mine RETURNING export_id
"""


class ExportStore:
    """Keeps exports, their files and schedules."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, one: Export, most_open: int) -> bool:
        """Store an export that waits, unless too many wait; storing it again changes nothing."""
        known = await self.get(one.export_id)
        if known is not None:
            return True
        waiting: int = await self._pool.fetchval(
            "SELECT count(*) FROM exports WHERE state IN ('waiting', 'running')"
        )
        if waiting >= most_open:
            return False
        await self._pool.execute(
            "INSERT INTO exports (export_id, schedule_id, spec, state, filename, unmasked,"
            " create_time, fold_time, total_rows, lease_time)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7)"
            " ON CONFLICT DO NOTHING",
            *(one.export_id, one.schedule_id, one.spec, one.state, one.filename),
            *(one.unmasked, one.create_time, one.fold_time, one.total_rows),
        )
        return True

    async def get(self, export_id: str) -> Export | None:
        """One of them."""
        return _export(
            await self._pool.fetchrow(
                f"SELECT {_COLUMNS} FROM exports WHERE export_id = $1",  # noqa: S608 - constants
                export_id,
            )
        )

    async def listed(
        self,
        states: Sequence[State],
        schedule_id: str,
        before: tuple[datetime, str] | None,
        most: int,
    ) -> list[Export]:
        """Those in these states (all, if none is named), the latest begun first."""
        moment, export_id = before or (None, "")
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM exports WHERE (cardinality($1::text[]) = 0"  # noqa: S608 - constants
            " OR state = ANY($1)) AND ($2 = '' OR schedule_id = $2)"
            " AND ($3::timestamptz IS NULL OR (create_time, export_id) < ($3, $4))"
            " ORDER BY create_time DESC, export_id DESC LIMIT $5",
            *(states, schedule_id, moment, export_id, most),
        )
        return [Export(*row.values()) for row in rows]

    async def claim(self, now: datetime, most_rows: int | None) -> Export | None:
        """One that is to be made, or begun again, for whoever asks. `most_rows`: only one of which
        no more rows are expected."""
        return _export(await self._pool.fetchrow(_CLAIM, now, now + LEASE, most_rows))

    async def forget_pieces(self, one: Export) -> None:
        """Delete what earlier attempts wrote."""
        await self._pool.execute(
            "DELETE FROM export_pieces WHERE export_id = $1 AND attempt < $2",
            one.export_id,
            one.attempt,
        )

    async def put(
        self, one: Export, now: datetime, rows: int, total: int, start: int, piece: bytes
    ) -> bool:
        """Store a piece of the file; False when it is no longer ours to make."""
        kept = await self._pool.fetchval(
            _PUT,
            *(one.export_id, one.attempt, now + LEASE, rows, total, start + len(piece), start),
            piece,
        )
        return kept is not None

    async def beat(self, one: Export, now: datetime, rows: int, total: int) -> bool:
        """Say that it is still being made; False when it is no longer ours to make."""
        done = await self._pool.execute(
            "UPDATE exports SET lease_time = $3, written_rows = $4, total_rows = $5"
            " WHERE export_id = $1 AND attempt = $2 AND state = 'running'",
            *(one.export_id, one.attempt, now + LEASE, rows, total),
        )
        return done == "UPDATE 1"

    async def complete(self, one: Export, now: datetime, rows: int, size: int, sha256: str) -> None:
        """The file is there; where it is of a schedule, it is to be delivered."""
        await self._pool.execute(
            "UPDATE exports SET state = 'completed', complete_time = $3::timestamptz,"
            " expire_time = $4, written_rows = $5, total_rows = $5, size_bytes = $6, sha256 = $7,"
            " due_time = CASE WHEN schedule_id <> '' THEN $3::timestamptz END"
            " WHERE export_id = $1 AND attempt = $2 AND state = 'running'",
            *(one.export_id, one.attempt, now, now + KEPT, rows, size, sha256),
        )

    async def fail(self, one: Export, now: datetime, failure: str) -> None:
        """It cannot be made."""
        done = await self._pool.execute(
            "UPDATE exports SET state = 'failed', failure = $3, complete_time = $4"
            " WHERE export_id = $1 AND attempt = $2 AND state = 'running'",
            *(one.export_id, one.attempt, failure, now),
        )
        if done == "UPDATE 1":
            await self._tell(one.schedule_id, failure)
        await self._drop(one.export_id)

    async def cancel(self, export_id: str, now: datetime) -> None:
        """End one that waits or runs."""
        await self._pool.execute(
            "UPDATE exports SET state = 'cancelled', complete_time = $2"
            " WHERE export_id = $1 AND state IN ('waiting', 'running')",
            export_id,
            now,
        )

    async def pieces(self, one: Export, start: int, most: int) -> list[tuple[int, bytes]]:
        """Pieces of the file from where one begins on."""
        rows = await self._pool.fetch(
            "SELECT start, data FROM export_pieces WHERE export_id = $1 AND attempt = $2"
            " AND start + length(data) > $3 ORDER BY start LIMIT $4",
            *(one.export_id, one.attempt, start, most),
        )
        return [(row[0], row[1]) for row in rows]

    async def expire(self, now: datetime) -> bool:
        """Delete the file of one whose time is over, or of one that was cancelled; whether there
        was one."""
        export_id = await self._pool.fetchval(
            "UPDATE exports SET state = 'expired', due_time = NULL WHERE export_id = (SELECT"
            " export_id FROM exports WHERE state = 'completed' AND expire_time < $1 LIMIT 1)"
            " RETURNING export_id",
            now,
        )
        if export_id is None:
            export_id = await self._pool.fetchval(
                "SELECT export_id FROM exports JOIN export_pieces USING (export_id)"
                " WHERE state = 'cancelled' LIMIT 1"
            )
        if export_id is None:
            return False
        await self._drop(export_id)
        return True

    async def _drop(self, export_id: str) -> None:
        await self._pool.execute("DELETE FROM export_pieces WHERE export_id = $1", export_id)

    async def due(self, now: datetime) -> Export | None:
        """One that is to be delivered; for a while nobody else gets it."""
        return _export(
            await self._pool.fetchrow(
                "UPDATE exports SET due_time = $2, deliveries = deliveries + 1"  # noqa: S608 - constants
                " WHERE export_id = (SELECT export_id FROM exports WHERE due_time <= $1"
                f" ORDER BY due_time LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}",
                now,
                now + 10 * LEASE,
            )
        )

    async def delivered(self, one: Export, again: datetime | None, failure: str) -> None:
        """It was delivered, or is to be tried again, or never."""
        await self._pool.execute(
            "UPDATE exports SET due_time = $2 WHERE export_id = $1", one.export_id, again
        )
        await self._tell(one.schedule_id, failure)

    async def _tell(self, schedule_id: str, failure: str) -> None:
        await self._pool.execute(
            "UPDATE export_schedules SET last_failure = $2 WHERE schedule_id = $1",
            schedule_id,
            failure,
        )

    async def add_schedule(self, one: Schedule) -> Schedule:
        """Store a schedule; storing it again changes nothing."""
        await self._pool.execute(
            "INSERT INTO export_schedules (schedule_id, name, version, schedule, next_run_time)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            *one[:5],
        )
        return await self.schedule(one.schedule_id) or one

    async def schedule(self, schedule_id: str) -> Schedule | None:
        """One of them."""
        return _schedule(
            await self._pool.fetchrow(
                f"SELECT {_SCHEDULE} FROM export_schedules WHERE schedule_id = $1",  # noqa: S608 - constants
                schedule_id,
            )
        )

    async def schedules(self, after: tuple[str, str], most: int) -> list[Schedule]:
        """Schedules by name, behind one."""
        rows = await self._pool.fetch(
            f"SELECT {_SCHEDULE} FROM export_schedules WHERE (name, schedule_id) > ($1, $2)"  # noqa: S608 - constants
            " ORDER BY name, schedule_id LIMIT $3",
            *(*after, most),
        )
        return [Schedule(*row.values()) for row in rows]

    async def change_schedule(self, one: Schedule) -> bool:
        """Write a schedule over the version before; False when somebody else did meanwhile."""
        done = await self._pool.execute(
            "UPDATE export_schedules SET name = $2, version = $3, schedule = $4,"
            " next_run_time = $5 WHERE schedule_id = $1 AND version = $3 - 1",
            *one[:5],
        )
        return done == "UPDATE 1"

    async def delete_schedule(self, schedule_id: str, version: int | None) -> bool:
        """Delete a schedule; False when it is another version."""
        done = await self._pool.execute(
            "DELETE FROM export_schedules WHERE schedule_id = $1"
            " AND ($2::int IS NULL OR version = $2)",
            schedule_id,
            version,
        )
        return done == "DELETE 1"

    async def due_schedule(self, now: datetime) -> Schedule | None:
        """A schedule whose time has come."""
        return _schedule(
            await self._pool.fetchrow(
                f"SELECT {_SCHEDULE} FROM export_schedules WHERE next_run_time <= $1"  # noqa: S608 - constants
                " ORDER BY next_run_time LIMIT 1",
                now,
            )
        )

    async def ran(self, one: Schedule, next_run: datetime | None) -> None:
        """A schedule's export was begun, or could not be."""
        await self._pool.execute(
            "UPDATE export_schedules SET next_run_time = $3, last_export_id = $4, last_failure = $5"
            " WHERE schedule_id = $1 AND next_run_time = $2",
            *(one.schedule_id, one.next_run_time, next_run, one.last_export_id, one.last_failure),
        )


def _export(row: asyncpg.Record | None) -> Export | None:
    return None if row is None else Export(*row.values())


def _schedule(row: asyncpg.Record | None) -> Schedule | None:
    return None if row is None else Schedule(*row.values())
