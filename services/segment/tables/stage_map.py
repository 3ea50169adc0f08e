"""Where the whole base stands and how it moves, in Postgres.

Moves are counted in quarters of an hour, since the days of every zone are made of whole ones.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from chassis.postgres import Connection, Pool
from services.segment.engine.stages import Move

QUARTER: Final = 900_000


class Flow(NamedTuple):
    """How many moved from a stage to another on a day."""

    day: str
    previous: str
    stage: str
    contacts: int


async def stand(connection: Connection, stages: Mapping[str, str | None]) -> None:
    """Note where contacts stand; None: nowhere that may be known."""
    gone = [contact_id for contact_id, stage in stages.items() if stage is None]
    if gone:
        await leave(connection, gone)
    there = [(contact_id, stage) for contact_id, stage in stages.items() if stage is not None]
    if there:
        await connection.execute(
            "INSERT INTO contact_stages (contact_id, stage)"
            " SELECT * FROM unnest($1::uuid[], $2::text[])"
            " ON CONFLICT (contact_id) DO UPDATE SET stage = excluded.stage",
            [contact_id for contact_id, _ in there],
            [stage for _, stage in there],
        )


async def leave(connection: Connection, contact_ids: Collection[str]) -> None:
    """Contacts stand nowhere any more."""
    await connection.execute(
        "DELETE FROM contact_stages WHERE contact_id = ANY($1::uuid[])", list(contact_ids)
    )


async def count(connection: Connection, moves: Sequence[Move]) -> None:
    """Count moves. The last thing before the end of a transaction, since everybody writes these
    rows; in one order, so that nobody deadlocks."""
    counts = Counter((m.time // QUARTER * QUARTER, m.previous, m.stage) for m in moves)
    keys = sorted(counts)
    await connection.execute(
        "INSERT INTO stage_moves AS s (bucket_time, previous_stage, stage, moves)"
        " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])"
        " ON CONFLICT (bucket_time, previous_stage, stage)"
        " DO UPDATE SET moves = s.moves + excluded.moves",
        *(list(column) for column in zip(*keys, strict=True)),
        [counts[key] for key in keys],
    )


class StageMap:
    """Reads what was counted."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def counts(self, moment: int) -> dict[str, int]:
        """How many stood in each stage at a moment (ms): those of now, without who came since."""
        row = await self._pool.fetch(
            "SELECT stage, sum(contacts)::bigint AS contacts FROM ("
            " SELECT stage, count(*) AS contacts FROM contact_stages GROUP BY stage"
            " UNION ALL SELECT stage, -moves FROM stage_moves WHERE bucket_time >= $1"
            " UNION ALL SELECT previous_stage, moves FROM stage_moves"
            "  WHERE bucket_time >= $1 AND previous_stage <> ''"
            ") AS told GROUP BY stage ORDER BY stage",
            moment,
        )
        return {one["stage"]: max(one["contacts"], 0) for one in row}

    async def flows(self, start: int, end: int, zone: str) -> list[Flow]:
        """Who moved from where to where on each day of a zone, from a moment (ms) to another."""
        rows = await self._pool.fetch(
            "SELECT to_char(to_timestamp(bucket_time / 1000.0) AT TIME ZONE $3, 'YYYY-MM-DD')"
            "  AS day, previous_stage, stage, sum(moves)::bigint AS moves"
            " FROM stage_moves WHERE bucket_time >= $1 AND bucket_time < $2"
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            start,
            end,
            zone,
        )
        return [Flow(*row) for row in rows]
