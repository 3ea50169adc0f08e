"""What is known of people beside their messages: how many there are, who agreed, who wrote."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from asyncpg import Record

from chassis.postgres import Pool
from services.reports.answers.cutting import Row, buckets, key, start_of
from services.reports.answers.measures import BASE, Column
from services.reports.answers.question import Question
from services.reports.model import REACHED, SENT, Period
from services.reports.sampling import LETTERS_AT_ONCE, letters, one_in

_BETWEEN: Final = "base_between('{{{}}}', $1, $4, $5, $2, $3)"
_RECEIVED: Final = f"(SELECT bucket AS time, added FROM {_BETWEEN.format('received')}) AS f"  # noqa: S608 - constants
_WRITTEN: Final = (
    "(SELECT bucket AS time, added FROM base_changes WHERE name = 'received'"
    " AND bucket >= $1 AND bucket < $2) AS f"
)
_LETTERS: Final = f"SELECT coalesce(sum(added), 0)::bigint FROM {_BETWEEN.format('received')}"  # noqa: S608 - constants
_GROWTH: Final[Mapping[Column, Column]] = {
    "contacts": "contact_growth",
    "consented": "consent_growth",
}
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PERSON: Final = "coalesce(p.person_id, l.contact_id)"
_WITHIN: Final = "{0} >= l.write_time AND {0} < l.write_time + interval '24 hours'"
# The earlier of our next message, and of what the business wrote by other means. Each is looked for
# once: that is what `OFFSET 0` is for.
_ANSWERED: Final = (
    "(SELECT l.write_time AS time, l.phone_number_id,"  # noqa: S608 - constants
    " extract(epoch FROM least("
    "(SELECT min(m.counted_time) FROM message_facts m WHERE m.contact_id = ANY(theirs.ids)"
    f" AND {_WITHIN.format('m.counted_time')} AND m.progress & {SENT | REACHED} <> 0),"
    " (SELECT min(e.write_time) FROM letters e WHERE e.contact_id = ANY(theirs.ids) AND e.ours"
    f" AND {_WITHIN.format('e.write_time')})) - l.write_time) * 1000 AS waited"
    " FROM letters l LEFT JOIN people p USING (contact_id)"
    f" CROSS JOIN LATERAL (SELECT {_PERSON} || ARRAY(SELECT o.contact_id FROM people o"
    f" WHERE o.person_id = {_PERSON}) AS ids OFFSET 0) AS theirs"
    " WHERE NOT l.ours AND l.write_time >= $1 AND l.write_time < $2{tests} OFFSET 0) AS f"
)


async def rows(pool: Pool, asked: Question) -> list[Row]:
    """What was asked of people, cut as asked."""
    wanted = asked.columns & BASE.keys()
    found: list[Row] = []
    if "received" in wanted:
        named = {name for _, name in asked.dimensions} | {one.column for one in asked.filters}
        fine = asked.grain == "hour" or "send_hour" in named
        source = _WRITTEN if fine else _RECEIVED
        found += await _cut(pool, asked, source, {"received": "sum(f.added)::bigint"})
    if "our_response" in wanted:
        many = await pool.fetchval(_LETTERS, *_bounds(asked.period))
        tests = letters(one_in(many, LETTERS_AT_ONCE))
        found += await _cut(
            pool,
            asked,
            _ANSWERED.format(tests="".join(f" AND {test}" for test in tests)),
            {
                "our_response": "percentile_cont(0.5) WITHIN GROUP (ORDER BY f.waited)",
                "answered": "count(f.waited)",
            },
        )
    if grown := [name for name, growth in _GROWTH.items() if wanted & {name, growth}]:
        found += await _grown(pool, asked, grown)
    return found


async def _cut(
    pool: Pool, asked: Question, source: str, columns: Mapping[Column, str]
) -> list[Row]:
    local = "f.time AT TIME ZONE $3"
    values: list[Any] = [asked.period.start, asked.period.end, asked.period.zone]
    if "$4" in source:
        values = [*_bounds(asked.period)]
    where = ["f.time >= $1 AND f.time < $2"]
    for one in asked.filters:
        values.append(list(one.values))
        test = f"{key(one.column, local, 'f')} = ANY(${len(values)})"
        where.append(f"NOT {test}" if one.exclude else test)
    keys = [key(name, local, "f") for _, name in asked.dimensions]
    if asked.grain:
        keys.insert(0, f"date_trunc('{asked.grain}', {local})")
    group = f" GROUP BY {', '.join(str(n) for n in range(1, len(keys) + 1))}" if keys else ""
    zone = "" if "$3" in "".join([source, *keys, *where]) else " AND $3::text <> ''"
    records: list[Record] = await pool.fetch(
        f"SELECT {', '.join([*keys, *columns.values()])} FROM {source}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(where)}{zone}{group}",
        *values,
    )
    return [_row(asked, tuple(record), list(columns)) for record in records]


def _row(asked: Question, record: Sequence[Any], columns: Sequence[Column]) -> Row:
    found = list(record)
    start = start_of(found.pop(0), asked.period.zone) if asked.grain else None
    split = len(asked.dimensions)
    told = zip(columns, found[split:], strict=True)
    return Row(start, tuple(found[:split]), "", {c: float(v) for c, v in told if v is not None})


async def _grown(pool: Pool, asked: Question, names: Sequence[Column]) -> list[Row]:
    """How many there were at the end of each bucket, and how many more than at its beginning."""
    period = asked.period
    standing: dict[str, int] = {}
    if not asked.columns.isdisjoint(names):
        records = await pool.fetch(
            f"SELECT name, sum(added)::bigint FROM {_BETWEEN.format(', '.join(names))} GROUP BY 1",  # noqa: S608 - constants
            *_bounds(period._replace(start=_BEGINNING, end=period.start)),
        )
        standing = {row[0]: row[1] for row in records}
    bucket = f"date_trunc('{asked.grain}', bucket AT TIME ZONE $3)" if asked.grain else "NULL"
    records = await pool.fetch(
        f"SELECT name, {bucket}, sum(added)::bigint FROM {_BETWEEN.format(', '.join(names))}"  # noqa: S608 - constants
        " GROUP BY 1, 2",
        *_bounds(period),
    )
    added = {(name, start_of(local, period.zone)): count for name, local, count in records}
    found: list[Row] = []
    for start in buckets(period, asked.grain):
        sums: dict[Column, float] = {}
        for name in names:
            more = added.get((name, start), 0)
            standing[name] = standing.get(name, 0) + more
            sums |= {name: float(standing[name]), _GROWTH[name]: float(more)}
        found.append(Row(start, (), "", sums))
    return found


def _bounds(period: Period) -> tuple[Any, ...]:
    first, last = period.days()
    return period.start, period.end, period.zone, first, last
