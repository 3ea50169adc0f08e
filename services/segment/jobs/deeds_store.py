"""Postgres: what is to be done outside, and what came of it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from chassis.postgres import Connection, Pool
from services.segment.jobs.deeds import Claim, Result
from services.segment.tables import journey_rows
from services.segment.tables.occurrence_rows import DEED

_CLAIM: Final = (
    # Of each owner its share, by its own part of the index: one that has very many, or that is
    # paused, is in nobody's way.
    "WITH RECURSIVE owners AS ((SELECT owner_id FROM deeds ORDER BY owner_id LIMIT 1)"
    " UNION ALL SELECT (SELECT d.owner_id FROM deeds d WHERE d.owner_id > o.owner_id"
    " ORDER BY d.owner_id LIMIT 1) FROM owners o WHERE o.owner_id IS NOT NULL),"
    " acting AS (SELECT owner_id FROM owners WHERE owner_id IN"
    " (SELECT trigger_id FROM triggers WHERE state = 'active'"
    " UNION ALL SELECT journey_id FROM journeys WHERE state = 'active')"
    " AND EXISTS (SELECT FROM deeds d WHERE d.owner_id = owners.owner_id AND next_time <= $1)),"
    " due AS (SELECT ready.* FROM acting, LATERAL (SELECT contact_id, deed_id FROM deeds d"
    " WHERE d.owner_id = acting.owner_id AND next_time <= $1 ORDER BY next_time"
    " LIMIT greatest($3 / (SELECT count(*) FROM acting), 1) FOR UPDATE SKIP LOCKED) AS ready"
    " LIMIT $3)"
    " UPDATE deeds d SET next_time = $2, attempt_count = attempt_count + 1 FROM due"
    " WHERE d.contact_id = due.contact_id AND d.deed_id = due.deed_id"
    " RETURNING d.contact_id::text AS id, d.attempt_count, d.deed"
)


class DeedsStore:
    """The table of deeds; implements `deeds.Store`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, now: int, until: int, limit: int) -> list[Claim]:
        """Those that are due and that nobody holds, to be held until then."""
        # A lock is written, and its commit waits for the disk: ten times a second not for nothing
        if not await self._pool.fetchval("SELECT EXISTS (SELECT FROM deeds)"):
            return []
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            # Whoever pauses or ends something waits for this, or is seen by what follows.
            await connection.execute("SELECT FROM generation FOR SHARE")
            rows = await connection.fetch(_CLAIM, now, until, limit)
        return [
            Claim(
                msgspec.structs.replace(DEED.decode(row["deed"]), contact_id=row["id"]),
                row["attempt_count"],
            )
            for row in rows
        ]

    async def settle(self, results: Sequence[Result], now: int) -> None:
        """Write what came of them. Rows are found by their ids alone: a merge may have moved them
        meanwhile, and whom an erasure took is not there any more."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            # Before the deeds: whoever merges contacts takes them in this order, too.
            if told := [one for one in results if one.deed.origin == "occurrence"]:
                await _tell(connection, told, now)
            await connection.execute(
                "DELETE FROM deeds WHERE deed_id = ANY($1::text[])",
                [one.deed.deed_id for one in results if one.state != "waiting"],
            )
            again = [one for one in results if one.state == "waiting"]
            if again:
                await connection.execute(
                    "UPDATE deeds d SET next_time = n.next_time, attempt_count = n.attempts"
                    " FROM unnest($1::text[], $2::bigint[], $3::int[])"
                    " AS n (deed_id, next_time, attempts) WHERE d.deed_id = n.deed_id",
                    [one.deed.deed_id for one in again],
                    [one.next_time for one in again],
                    [one.attempt for one in again],
                )
            # Behind the deeds, for the same reason.
            failed = {
                one.deed.step: one.reason
                for one in results
                if one.deed.step and one.state in ("failed", "missed")
            }
            if failed:
                await journey_rows.fail(connection, failed)


async def _tell(connection: Connection, results: Sequence[Result], now: int) -> None:
    await connection.execute(
        "UPDATE occurrences o SET attempt_count = n.attempts, reason = n.reason,"
        " state = CASE n.state WHEN 'waiting' THEN o.state ELSE n.state END,"
        " end_time = CASE n.state WHEN 'waiting' THEN o.end_time ELSE $5 END"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::int[])"
        " AS n (occurrence_id, state, reason, attempts)"
        " WHERE o.occurrence_id = n.occurrence_id AND o.state = 'fired'",
        [one.deed.deed_id for one in results],
        [one.state for one in results],
        [one.reason for one in results],
        [one.attempt for one in results],
        now,
    )
