"""How people take the first, second, third … message in a week, of a sample of them."""

from typing import Final

from chassis.postgres import Pool
from services.reports.insights import Share
from services.reports.model import READ, Period

_LOOKED_AT: Final = 50_000
"""Messages whose people are the sample, or all where there are no more."""
_PEOPLE: Final = 5_000
_MOST: Final = 7
"""As one: the seventh message in a week and all after it."""
_LOADS: Final = (
    "WITH sample AS (SELECT DISTINCT contact_id FROM (SELECT contact_id FROM message_facts"  # noqa: S608 - constants
    " TABLESAMPLE SYSTEM ($4) WHERE counted_time >= $1 AND counted_time < $2 AND contact_id <> ''"
    f" LIMIT {_LOOKED_AT}) AS looked LIMIT {_PEOPLE}),"
    " placed AS (SELECT row_number() OVER (PARTITION BY contact_id,"
    " date_trunc('week', reached_time AT TIME ZONE $3) ORDER BY reached_time) AS place,"
    f" progress & {READ} <> 0 AS read FROM message_facts JOIN sample USING (contact_id)"
    " WHERE counted_time >= $1 AND counted_time < $2 AND reached_time IS NOT NULL)"
    f" SELECT least(place, {_MOST})::int, count(*) FILTER (WHERE read), count(*) FROM placed"
    " GROUP BY 1"
)


async def loads(pool: Pool, period: Period) -> dict[int, Share]:
    """Of messages that reached people, how many were read, by their number in the person's week.

    Whoever gets more messages is likelier to be in the sample, which changes nothing within a
    number.
    """
    rows = await pool.fetchval(
        "SELECT reltuples FROM pg_class WHERE oid = 'message_facts'::regclass"
    )
    percent = min(100.0, 100.0 * 4 * _LOOKED_AT / max(rows, 1.0))
    found = await pool.fetch(_LOADS, period.start, period.end, period.zone, percent)
    return {place: Share(read, reached) for place, read, reached in found}
