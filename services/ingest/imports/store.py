"""Imports in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from chassis.clock import milliseconds_of, moment_of
from chassis.ids import fresh_id
from chassis.postgres import Pool
from services.ingest.imports.job import File, Job, Reject, State, Step, fingerprint
from services.ingest.imports.mapping import Spec

_PAGE_BYTES: Final = 1024 * 1024  # of refused rows in one answer; one may be as large alone
_START: Final = """
    INSERT INTO imports (import_id, fingerprint, name, format, sha256, size_bytes, spec,
                         create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
    -- An update of nothing: only so is the row returned that was there
    ON CONFLICT (fingerprint) WHERE state = 'running' DO UPDATE SET state = 'running'
    RETURNING *
"""
_ADVANCE: Final = """
    WITH moved AS (
        UPDATE imports SET offset_bytes = $3, line = $4, heading = $5,
            accepted_count = accepted_count + $6, rejected_count = rejected_count + $7,
            state = CASE WHEN $3 = size_bytes THEN 'completed' ELSE state END,
            update_time = $8::timestamptz,
            end_time = CASE WHEN $3 = size_bytes THEN $8::timestamptz END
        WHERE import_id = $1 AND offset_bytes = $2 AND state = 'running'
        RETURNING *
    ), kept AS (
        INSERT INTO import_rejects SELECT import_id, refused.*
        FROM moved CROSS JOIN unnest($9::bigint[], $10::bigint[], $11::bytea[], $12::text[],
                                     $13::text[], $14::jsonb[]) AS refused
    )
    SELECT * FROM moved
"""
# Sizes are told without reading the rows, so that as much is read as fits
_REJECTS: Final = """
    SELECT * FROM (
        SELECT *, sum(octet_length(raw)) OVER (ORDER BY line) - octet_length(raw) AS before
        FROM (
            SELECT * FROM import_rejects
            WHERE import_id = $1 AND line > $2 AND offset_bytes >= $3 AND offset_bytes < $4
            ORDER BY line LIMIT $5
        ) AS next
    ) AS sized WHERE before < $6 ORDER BY line
"""


class Imports:
    """Every import that is running, and those that ended not long ago."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def start(self, name: str, file: File, spec: Spec, now_ms: int) -> Job:
        """A new import, or the unfinished one of the same file and spec."""
        row = await self._pool.fetchrow(
            _START,
            fresh_id("imp"),
            UUID(fingerprint(file, spec)),
            name,
            file.format,
            file.sha256,
            file.size_bytes,
            msgspec.json.encode(spec).decode(),
            moment_of(now_ms),
        )
        assert row is not None
        return _job(row)

    async def get(self, import_id: str) -> Job | None:
        """One import, or None."""
        row = await self._pool.fetchrow("SELECT * FROM imports WHERE import_id = $1", import_id)
        return _job(row) if row else None

    async def newest(self, states: Sequence[State], before: str, count: int) -> list[Job]:
        """Imports, newest first, before an id (empty: from the newest); no states: all."""
        rows = await self._pool.fetch(
            "SELECT * FROM imports WHERE ($1::text[] = '{}' OR state = ANY($1))"
            " AND ($2 = '' OR import_id < $2) ORDER BY import_id DESC LIMIT $3",
            states,
            before,
            count,
        )
        return [_job(row) for row in rows]

    async def advance(self, job: Job, step: Step, now_ms: int) -> bool:
        """Take a step from where `job` stands; False when it stands there no more, or ended."""
        refused = step.rejects
        row = await self._pool.fetchrow(
            _ADVANCE,
            job.import_id,
            job.offset_bytes,
            step.offset_bytes,
            step.line,
            step.heading,
            step.accepted_count,
            len(refused),
            moment_of(now_ms),
            [one.line for one in refused],
            [one.offset_bytes for one in refused],
            [one.raw for one in refused],
            [one.reason for one in refused],
            [one.message for one in refused],
            [msgspec.json.encode(one.facts).decode() for one in refused],
        )
        return row is not None

    async def rejects(
        self, import_id: str, after: int, count: int, start: int = 0, end: int = 0
    ) -> tuple[list[Reject], bool]:
        """Refused records in the order of the file, after a line: at most `count`, and fewer when
        they are large, but at least one when there is one; and whether there may be more.
        `start`, `end`: of which part of the file, in bytes."""
        rows = await self._pool.fetch(
            _REJECTS, import_id, after, start, end or 2**63 - 1, count + 1, _PAGE_BYTES
        )
        found = [_reject(row) for row in rows[:count]]
        full = sum(len(one.raw) for one in found) >= _PAGE_BYTES
        return found, full or len(rows) > count

    async def cancel(self, import_id: str, now_ms: int) -> Job | None:
        """End an import that runs; None when there is no such import."""
        await self._pool.execute(
            "UPDATE imports SET state = 'cancelled', update_time = $2, end_time = $2"
            " WHERE import_id = $1 AND state = 'running'",
            import_id,
            moment_of(now_ms),
        )
        return await self.get(import_id)

    async def forget(self, before: datetime) -> None:
        """Delete imports, finished or not, of which nothing was heard since."""
        await self._pool.execute("DELETE FROM imports WHERE update_time < $1", before)


def _job(row: asyncpg.Record) -> Job:
    return Job(
        import_id=row["import_id"],
        name=row["name"],
        file=File(row["format"], row["sha256"], row["size_bytes"]),
        spec=msgspec.json.decode(row["spec"], type=Spec),
        start_ms=milliseconds_of(row["create_time"]),
        state=row["state"],
        offset_bytes=row["offset_bytes"],
        line=row["line"],
        heading=row["heading"],
        accepted_count=row["accepted_count"],
        rejected_count=row["rejected_count"],
        update_ms=milliseconds_of(row["update_time"]),
        end_ms=milliseconds_of(row["end_time"]) if row["end_time"] else 0,
    )


def _reject(row: asyncpg.Record) -> Reject:
    facts: dict[str, str] = msgspec.json.decode(row["facts"])
    return Reject(
        row["line"], row["offset_bytes"], row["raw"], row["reason"], row["message"], facts
    )
