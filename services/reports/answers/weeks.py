"""How people take the first, second, third … message in a week."""

from datetime import timedelta
from typing import Final

from chassis.postgres import Pool
from services.reports.answers.cutting import buckets
from services.reports.insights import Share
from services.reports.model import READ, Period
from services.reports.sampling import facts

_MOST: Final = 7
"""As one: the seventh message in a week and all after it."""
_LATEST: Final = timedelta(days=31)
"""Longer than Meta tries to deliver a message."""
_LOADS: Final = (
    "WITH placed AS (SELECT row_number() OVER (PARTITION BY f.contact_id,"  # noqa: S608 - constants
    " width_bucket(f.reached_time, $3::timestamptz[]) ORDER BY f.reached_time) AS place,"
    f" f.progress & {READ} <> 0 AS read FROM {{table}} WHERE f.counted_time >= $1"
    " AND f.counted_time < $2 AND f.reached_time IS NOT NULL AND f.contact_id <> ''{tests})"
    f" SELECT least(place, {_MOST})::int, count(*) FILTER (WHERE read), count(*) FROM placed"
    " GROUP BY 1"
)


async def loads(pool: Pool, period: Period, one_in: int) -> dict[int, Share]:
    """Of messages that reached people, how many were read, by their number in the person's week.
    `one_in`: from how many contacts one is looked at."""
    table, tests = facts(one_in)
    statement = _LOADS.format(table=table, tests="".join(f" AND {test}" for test in tests))
    weeks = buckets(period._replace(end=period.end + _LATEST), "week")
    found = await pool.fetch(statement, period.start, period.end, weeks)
    return {place: Share(read, reached) for place, read, reached in found}
