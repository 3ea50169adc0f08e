"""What is known of people beside their messages: how many there are, who agreed, who wrote."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from asyncpg import Record

from chassis.postgres import Pool
from services.reports.answers.cutting import HOURS, Bound, Row, begins, buckets, hours, shown
from services.reports.answers.measures import BASE, Column
from services.reports.answers.question import Question
from services.reports.model import REACHED, SENT, Period
from services.reports.sampling import LETTERS_AT_ONCE, letters, one_in

_BETWEEN: Final = "base_between('{{{}}}', $1, $4, $5, $2, $3)"
_RECEIVED: Final = f"(SELECT bucket AS time, added FROM {_BETWEEN.format('received')}) AS f"  # noqa: S608 - constants
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


async def both(pool: Pool, asked: Question) -> tuple[list[Row], list[Row]]:
    """What was asked of people, cut as asked, and the same of the period before, which is [] unless
    asked for."""
    wanted = asked.columns & BASE.keys()
    summed: list[Column] = [name for name, growth in _GROWTH.items() if wanted & {name, growth}]
    if "received" in wanted and not asked.named:
        summed.append("received")
    now, before = await _summed(pool, asked, summed) if summed else ([], [])
    periods = (asked, asked.before()) if asked.previous else (asked,)
    if "received" in wanted - {*summed}:
        for found, one in zip((now, before), periods, strict=False):
            found.extend(await _cut(pool, one, _RECEIVED, {"received": "sum(f.added)::bigint"}))
    if "our_response" in wanted:
        answered = await asyncio.gather(*(_answered(pool, one) for one in periods))
        for found, some in zip((now, before), answered, strict=False):
            found.extend(some)
    return now, before


async def _answered(pool: Pool, asked: Question) -> list[Row]:
    many = await pool.fetchval(_LETTERS, *_bounds(asked.period))
    tests = letters(one_in(many, LETTERS_AT_ONCE))
    return await _cut(
        pool,
        asked,
        _ANSWERED.format(tests="".join(f" AND {test}" for test in tests)),
        {
            "our_response": "percentile_cont(0.5) WITHIN GROUP (ORDER BY f.waited)",
            "answered": "count(f.waited)",
        },
    )


async def _cut(
    pool: Pool, asked: Question, source: str, columns: Mapping[Column, str]
) -> list[Row]:
    bound = Bound()
    bound.values += _bounds(asked.period, fine=asked.by_hour)[: 5 if "$5" in source else 2]
    by = hours(shown("f.time", asked.period, bound)) if HOURS & asked.named else {}
    where = ["f.time >= $1 AND f.time < $2"]
    for one in asked.filters:
        sql = by.get(one.column, f"f.{one.column}")
        test = f"({sql})::text = ANY({bound.add(list(one.values))})"
        where.append(f"NOT {test}" if one.exclude else test)
    keys = [by.get(name, f"f.{name}") for _, name in asked.dimensions]
    starts = buckets(asked.period, asked.grain)
    if asked.grain:
        keys.insert(0, f"width_bucket(f.time, {bound.add(starts)}::timestamptz[])")
    group = f" GROUP BY {', '.join(str(n) for n in range(1, len(keys) + 1))}" if keys else ""
    records: list[Record] = await pool.fetch(
        f"SELECT {', '.join([*keys, *columns.values()])} FROM {source}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(where)}{group}",
        *bound.values,
    )
    return [_row(asked, starts, tuple(record), list(columns)) for record in records]


def _row(
    asked: Question,
    starts: Sequence[datetime | None],
    record: Sequence[Any],
    columns: Sequence[Column],
) -> Row:
    found = list(record)
    start = starts[found.pop(0) - 1] if asked.grain else None
    split = len(asked.dimensions)
    told = zip(columns, found[split:], strict=True)
    values = tuple(map(str, found[:split]))
    return Row(start, values, "", {c: float(v) for c, v in told if v is not None})


async def _summed(
    pool: Pool, asked: Question, names: Sequence[Column]
) -> tuple[list[Row], list[Row]]:
    """How much was added in each bucket, and of what grows how much there was at its end."""
    periods = [*([asked.period.before()] if asked.previous else []), asked.period]
    # Until the first of them, where it matters how many there were
    grows = not _GROWTH.keys().isdisjoint(names)
    standing = [] if asked.columns.isdisjoint(_GROWTH) else [periods[0]._replace(start=_BEGINNING)]
    standing = [one._replace(end=periods[0].start) for one in standing]
    bound = Bound()
    starts = sorted({*begins(periods[0], asked.grain), *begins(periods[-1], asked.grain)})
    places = {start: place for place, start in enumerate(starts, 1)}
    bucket = f"width_bucket(bucket, {bound.add(starts)}::timestamptz[])" if asked.grain else "0"
    parts = [
        f"SELECT {part} AS part, name, {bucket if part else 0} AS place, added"  # noqa: S608 - constants
        f" FROM {_between(one, names, bound, asked.by_hour)}"
        for part, one in enumerate([*standing, *periods], 1 - len(standing))
    ]
    records = await pool.fetch(
        "SELECT part, name, place, sum(added)::bigint"  # noqa: S608 - names are constants, values are bound
        f" FROM ({' UNION ALL '.join(parts)}) AS f GROUP BY 1, 2, 3",
        *bound.values,
    )
    added = {(part, name, place): many for part, name, place, many in records}
    total = {name: added.get((0, name, 0), 0) for name in names}
    found: list[list[Row]] = []
    for part, period in enumerate(periods, 1):
        found.append([])
        for start in buckets(period, asked.grain):
            place = 0 if start is None else places[start]
            more = {name: added.get((part, name, place), 0) for name in names}
            total = {name: total[name] + more[name] for name in names}
            if grows or start is None or any(more.values()):
                found[-1].append(Row(start, (), "", _told(total, more)))
    return found[-1], found[0] if asked.previous else []


def _told(total: Mapping[Column, int], more: Mapping[Column, int]) -> dict[Column, float]:
    told: dict[Column, float] = {}
    for name, many in more.items():
        if growth := _GROWTH.get(name):
            told |= {name: float(total[name]), growth: float(many)}
        else:
            told[name] = float(many)
    return told


def _between(period: Period, names: Sequence[Column], bound: Bound, fine: bool) -> str:
    start, end, zone, first, last = map(bound.add, _bounds(period, fine=fine))
    return f"base_between('{{{', '.join(names)}}}', {start}, {first}, {last}, {end}, {zone})"


def _bounds(period: Period, *, fine: bool = False) -> tuple[Any, ...]:
    """`fine`: no sums of days, but of quarters of an hour throughout."""
    first, last = (period.end, period.end) if fine else period.days()
    return period.start, period.end, period.zone, first, last
