"""What is known of people beside their messages: how many there are, who agreed, who wrote."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from asyncpg import Record

from chassis.postgres import Pool
from services.reports.answers.cutting import Row, buckets, key, start_of
from services.reports.answers.measures import BASE, Column
from services.reports.answers.question import Question
from services.reports.model import REACHED, SENT

GROWTH: Final = {
    "contact_created": 1,
    "contact_split": 1,
    "contact_merged": -1,
    "contact_erased": -1,
}
"""What each event adds to the number of contacts."""
_SAID: Final = (
    "SELECT coalesce(p.person_id, h.contact_id) AS person, h.change_time, max(h.value) AS value"
    " FROM contact_history h LEFT JOIN people p USING (contact_id)"
    " WHERE h.name = 'consent' AND h.change_time < $2 GROUP BY 1, 2"
)
# A grant holds until the next word, or until it ends by itself
_CONSENTS: Final = (
    f"WITH said AS ({_SAID}), spans AS (SELECT change_time AS start, least("  # noqa: S608 - constants
    "lead(change_time) OVER (PARTITION BY person ORDER BY change_time),"
    " to_timestamp(nullif(split_part(value, ' ', 2), '')::bigint / 1000.0)) AS until,"
    " value LIKE 'granted%' AS held FROM said)"
    " SELECT start AS time, 1 AS added FROM spans WHERE held UNION ALL"
    " SELECT greatest(start, until), -1 FROM spans"
    " WHERE held AND until IS NOT NULL AND greatest(start, until) < $2"
)
_CONTACTS: Final = (
    "SELECT minute AS time, count * CASE name "  # noqa: S608 - constants
    + " ".join(f"WHEN '{name}' THEN {added}" for name, added in GROWTH.items())
    + " END AS added FROM activity WHERE kind = 'contact' AND minute < $2 AND name IN ("
    + ", ".join(f"'{name}'" for name in GROWTH)
    + ")"
)
_RECEIVED: Final = (
    "(SELECT minute AS time, count FROM activity"
    " WHERE kind = 'contact' AND name = 'message_received') AS f"
)
_PERSON: Final = "coalesce(p.person_id, l.contact_id)"
_THEIRS: Final = (
    f"ANY(ARRAY(SELECT {_PERSON} UNION SELECT o.contact_id FROM people o"  # noqa: S608 - constants
    f" WHERE o.person_id = {_PERSON}))"
)
_WITHIN: Final = ">= l.write_time AND {0} < l.write_time + interval '24 hours'"
# The earlier of our next message, and of what the business wrote by other means
_ANSWERED: Final = (
    "(SELECT l.write_time AS time, l.phone_number_id, extract(epoch FROM least("  # noqa: S608 - constants
    f"(SELECT min(m.counted_time) FROM message_facts m WHERE m.contact_id = {_THEIRS}"
    f" AND m.counted_time {_WITHIN.format('m.counted_time')}"
    f" AND m.progress & {SENT | REACHED} <> 0),"
    f" (SELECT min(e.write_time) FROM letters e WHERE e.contact_id = {_THEIRS} AND e.ours"
    f" AND e.write_time {_WITHIN.format('e.write_time')})) - l.write_time) * 1000 AS waited"
    " FROM letters l LEFT JOIN people p USING (contact_id)"
    " WHERE NOT l.ours AND l.write_time >= $1 AND l.write_time < $2) AS f"
)


async def rows(pool: Pool, asked: Question) -> list[Row]:
    """What was asked of people, cut as asked."""
    wanted = asked.columns & BASE.keys()
    found: list[Row] = []
    if "received" in wanted:
        found += await _cut(pool, asked, _RECEIVED, {"received": "sum(f.count)::bigint"})
    if "our_response" in wanted:
        found += await _cut(
            pool,
            asked,
            _ANSWERED,
            {
                "our_response": "percentile_cont(0.5) WITHIN GROUP (ORDER BY f.waited)",
                "answered": "count(f.waited)",
            },
        )
    if wanted & {"contacts", "contact_growth"}:
        found += await _grown(pool, asked, _CONTACTS, "contacts", "contact_growth")
    if wanted & {"consented", "consent_growth"}:
        found += await _grown(pool, asked, _CONSENTS, "consented", "consent_growth")
    return found


async def _cut(
    pool: Pool, asked: Question, source: str, columns: Mapping[Column, str]
) -> list[Row]:
    local = "f.time AT TIME ZONE $3"
    values: list[Any] = [asked.period.start, asked.period.end, asked.period.zone]
    where = ["f.time >= $1 AND f.time < $2"]
    for one in asked.filters:
        values.append(list(one.values))
        test = f"{key(one.column, local, 'f')} = ANY(${len(values)})"
        where.append(f"NOT {test}" if one.exclude else test)
    keys = [key(name, local, "f") for _, name in asked.dimensions]
    if asked.grain:
        keys.insert(0, f"date_trunc('{asked.grain}', {local})")
    group = f" GROUP BY {', '.join(str(n) for n in range(1, len(keys) + 1))}" if keys else ""
    zone = "" if "$3" in "".join([*keys, *where]) else " AND $3::text <> ''"
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


async def _grown(
    pool: Pool, asked: Question, changes: str, total: Column, growth: Column
) -> list[Row]:
    """How many there were at the end of each bucket, and how many more than at its beginning."""
    bucket = f"date_trunc('{asked.grain}', time AT TIME ZONE $3)" if asked.grain else "NULL"
    records = await pool.fetch(
        f"SELECT time < $1 AS before, CASE WHEN time >= $1 THEN {bucket} END AS bucket,"  # noqa: S608 - constants
        f" sum(added)::bigint AS added FROM ({changes}) AS changes"
        " WHERE $3::text <> '' GROUP BY 1, 2",
        *(asked.period.start, asked.period.end, asked.period.zone),
    )
    added: dict[datetime | None, int] = {}
    standing = 0
    for before, local, count in records:
        if before:
            standing += count
        else:
            added[start_of(local, asked.period.zone)] = count
    found: list[Row] = []
    for start in buckets(asked.period, asked.grain):
        more = added.get(start, 0)
        standing += more
        found.append(Row(start, (), "", {total: float(standing), growth: float(more)}))
    return found
