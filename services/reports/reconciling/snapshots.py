"""Meta's figures in Postgres, for when Meta tells them no longer."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from chassis.postgres import Pool
from services.reports.reconciling.figures import COUNTED_ONCE, Figure, Source

_KEEP: Final = (
    "INSERT INTO meta_figures AS f SELECT $1, t.day, t.source,"
    " string_to_array(t.subjects, E'\\x1f'), t.measure, t.value, $2"
    " FROM unnest($3::date[], $4::text[], $5::text[], $6::text[],"
    " $7::float8[]) AS t (day, source, subjects, measure, value)"
    " ON CONFLICT (waba_id, day, source, subjects, measure) DO UPDATE SET ask_time ="
    " excluded.ask_time, value = CASE WHEN f.measure = ANY($8::text[])"
    " THEN greatest(f.value, excluded.value) ELSE excluded.value END"
)


class Snapshots:
    """What Meta said of days when it was last asked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, waba_id: str, figures: Sequence[Figure], now: datetime) -> None:
        """Write over what was known; of what Meta tells for a week alone the most."""
        if not figures:
            return
        await self._pool.execute(
            _KEEP,
            waba_id,
            now,
            [one.day for one in figures],
            [one.source for one in figures],
            ["\x1f".join(one.subjects) for one in figures],
            [one.measure for one in figures],
            [one.value for one in figures],
            list(COUNTED_ONCE),
        )

    async def read(self, waba_id: str, source: Source, start: date, end: date) -> list[Figure]:
        """Of days from `start` on and before `end`."""
        rows = await self._pool.fetch(
            "SELECT day, source, subjects, measure, value FROM meta_figures"
            " WHERE waba_id = $1 AND source = $2 AND day >= $3 AND day < $4",
            *(waba_id, source, start, end),
        )
        return [Figure(row[0], row[1], tuple(row[2]), row[3], row[4]) for row in rows]
