"""Conversions by other definitions than orders, and those of ads, beside what messages add up to.

Few messages bring a conversion, and few people come by ads: what these brought is kept for each,
and added up when it is asked for. Whatever does not depend on it is read from the sums, as ever.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

from chassis.postgres import Pool
from services.reports.answers import sums
from services.reports.answers.cutting import HOURS, Bound, Row, buckets, hours, of_clock, shown
from services.reports.answers.measures import ADS, PEOPLE, SALES, Column, Made
from services.reports.answers.question import MOST_ROWS, Question
from services.reports.failures import ConversionNotFound
from services.reports.model import ORDERS, QueryTooLarge
from services.reports.rollups import Cube

_OF_CUBES: Final = ", ".join(
    f"cubes.{name}" for name in Cube._fields if name not in ("segment_id", "currency")
)
_OF_MESSAGES: Final = (
    f"(SELECT c.*, c.counted_time AS time, {_OF_CUBES}{{fields}} FROM message_conversions c"  # noqa: S608 - constants
    " JOIN cubes USING (cube_id){tables}) AS f"
)
_SOLD: Final = {
    **{name: f"count(*) FILTER (WHERE f.{name})" for name in SALES},
    **{name: f"sum(f.{name})::bigint" for name in SALES - {"converted", "touched"}},
}
# Of several definitions together a message converts once
_SOLD_TOGETHER: Final = {
    **_SOLD,
    "converted": "count(DISTINCT f.message_id) FILTER (WHERE f.converted)",
    "touched": "count(DISTINCT f.message_id) FILTER (WHERE f.touched)",
}
_ARRIVALS: Final = "(SELECT a.*, a.arrive_time AS time FROM arrivals a) AS f"
_OF_ARRIVALS: Final = (
    "(SELECT a.*, a.arrive_time AS time, s.* FROM arrivals a CROSS JOIN LATERAL"
    " jsonb_to_recordset(a.sales) AS s (conversion_id text, currency text, conversions bigint,"
    " revenue_micros bigint)) AS f"
)
_SOLD_BY_ADS: Final = {
    **_SOLD,
    "converted": "count(DISTINCT (f.contact_id, f.letter_id))",
}
_DEFINED: Final = "SELECT conversion_id FROM conversions ORDER BY conversion_id"


async def both(pool: Pool, asked: Question) -> tuple[list[Row], list[Row]]:
    """As `sums.both`, whatever counts as a conversion. Raises `QueryTooLarge` and
    `ConversionNotFound`."""
    if asked.conversions is None:
        now, before = await sums.both(pool, asked)
    else:
        ids = await known(pool, asked.conversions)
        now = await _rows(pool, asked._replace(previous=False), ids)
        before = await _rows(pool, asked.before(), ids) if asked.previous else []
    for _, made in asked.measures:
        if made.kind == "unit_cost" and made.whole in SALES:
            _beside_costs(now, made.whole)
            _beside_costs(before, made.whole)
    return now, before


async def known(pool: Pool, wanted: Sequence[str]) -> list[str]:
    """Those definitions, or all there are where none is wanted. Raises `ConversionNotFound`."""
    there = [ORDERS, *(row[0] for row in await pool.fetch(_DEFINED))]
    for one in wanted:
        if one not in there:
            raise ConversionNotFound(one)
    return list(wanted or there)


async def _rows(pool: Pool, asked: Question, ids: Sequence[str]) -> list[Row]:
    plain = [name for _, name in asked.dimensions if name != "conversion_id"]
    place = next((n for n, (_, d) in enumerate(asked.dimensions) if d == "conversion_id"), None)
    wanted = sorted(asked.columns & SALES)
    besides = sorted(asked.columns - SALES)
    base: list[Row] = []
    if besides:
        base = await _base(pool, asked, besides, plain)
    sold: list[Row] = []
    if wanted:
        counts = _SOLD if len(ids) == 1 or place is not None else _SOLD_TOGETHER
        sold = await _cut(
            pool,
            asked,
            [name for _, name in asked.dimensions],
            _OF_ARRIVALS if asked.ads else _of_messages(asked),
            {name: (_SOLD_BY_ADS if asked.ads else counts)[name] for name in wanted},
            ids,
        )
        # Beside a message's own currency it converted, and nothing may have been brought in that
        sold = [row for row in sold if any(row.sums.values())]
    if asked.most:
        there = {row.values for row in base}
        sold = [row for row in sold if _without(row.values, place) in there]
    # What is no money stands beside each currency
    no_money = asked.in_currency and all(column in PEOPLE | ADS for column in besides)
    found = _merged(base, sold, wanted, ids, place, no_money)
    if not (found or asked.grain or asked.dimensions or asked.in_currency):
        found = [Row(None, (), "", dict.fromkeys([*wanted, *besides], 0))]
    if len(found) > MOST_ROWS:
        raise QueryTooLarge(
            "ask for a shorter period, a coarser grain or fewer dimensions",
            limit=str(MOST_ROWS),
            estimate=str(len(found)),
        )
    return found


async def _base(
    pool: Pool, asked: Question, columns: Sequence[Column], plain: Sequence[str]
) -> list[Row]:
    """What does not depend on what counts as a conversion."""
    if asked.ads:
        counts = dict.fromkeys(columns, "count(*)")
        bare = asked._replace(measures=())
        return await _cut(pool, bare, plain, _ARRIVALS, counts, None)
    measures = tuple(
        (0, Made("money" if asked.in_currency and column not in PEOPLE else "count", column))
        for column in columns
    )
    dimensions = tuple(one for one in asked.dimensions if one[1] != "conversion_id")
    return await sums.rows(
        pool, asked._replace(measures=measures, dimensions=dimensions, conversions=None)
    )


def _merged(
    base: Sequence[Row],
    sold: Sequence[Row],
    wanted: Sequence[Column],
    ids: Sequence[str],
    place: int | None,
    no_money: bool,
) -> list[Row]:
    """Rows of both, with nothing sold where there is none. `place`: of the definition among the
    dimensions; what does not depend on it stands beside each."""
    found: dict[tuple[object, ...], Row] = {}
    if place is not None:
        base = [
            row._replace(values=(*row.values[:place], one, *row.values[place:]), sums={**row.sums})
            for one, row in product(ids, base)
        ]
    beside: dict[tuple[object, ...], Row] = {}
    for row in base:
        if no_money:
            beside[row.start, row.values] = row
        else:
            found[row.start, row.values, row.currency] = row
            row.sums.update(dict.fromkeys(wanted, 0))
    for row in sold:
        if (same := found.get((row.start, row.values, row.currency))) is not None:
            same.sums.update(row.sums)
        else:
            found[row.start, row.values, row.currency] = row
            if (other := beside.get((row.start, row.values))) is not None:
                row.sums.update(other.sums)
    told = {(row.start, row.values) for row in found.values()}
    for row in beside.values():
        if (row.start, row.values) not in told:
            found[row.start, row.values, ""] = row
    return list(found.values())


def _beside_costs(rows: Sequence[Row], column: Column) -> None:
    """Set all conversions beside the cost that they had. A shop may be paid in one currency and pay
    in another; where costs are in several, nobody knows which of them brought what."""
    together: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        together.setdefault((row.start, row.values), []).append(row)
    for same in together.values():
        costing = [row for row in same if row.sums.get("cost_micros")]
        if len(costing) == 1:
            costing[0].sums["in_all"] = sum(row.sums.get(column, 0) for row in same)


def _without(values: tuple[str, ...], place: int | None) -> tuple[str, ...]:
    return values if place is None else (*values[:place], *values[place + 1 :])


def _of_messages(asked: Question) -> str:
    """A message counts in each of the segments of its contact, where segments are named."""
    if asked.of_segments:
        tables = " CROSS JOIN LATERAL unnest(c.segments) AS s (segment_id)"
        return _OF_MESSAGES.format(fields=", s.segment_id", tables=tables)
    return _OF_MESSAGES.format(fields="", tables="")


async def _cut(
    pool: Pool,
    asked: Question,
    dimensions: Sequence[str],
    source: str,
    columns: Mapping[Column, str],
    ids: Sequence[str] | None,
) -> list[Row]:
    """`source`: named `f`, with `time` and what it is cut by. `ids`: only of these definitions."""
    bound = Bound()
    period = asked.period
    where = [f"f.time >= {bound.add(period.start)} AND f.time < {bound.add(period.end)}"]
    if ids is not None:
        where.append(f"f.conversion_id = ANY({bound.add(list(ids))}::text[])")
    by: dict[str, str] = {}
    if asked.contact_zone:
        zone = f"coalesce(nullif(f.zone, ''), {bound.add(period.zone)}::text)"
        by = of_clock(f"(f.time AT TIME ZONE {zone})")
    elif HOURS & asked.named:
        by = hours(shown("f.time", period, bound))
    for one in asked.filters:
        sql = by.get(one.column, f"f.{one.column}")
        test = f"({sql})::text = ANY({bound.add(list(one.values))}::text[])"
        where.append(f"NOT {test}" if one.exclude else test)
    keys = [by.get(name, f"f.{name}") for name in dimensions]
    starts = buckets(period, asked.grain)
    if asked.grain:
        keys.insert(0, f"width_bucket(f.time, {bound.add(starts)}::timestamptz[])")
    in_currency = asked.in_currency and ids is not None
    if in_currency:
        keys.append("f.currency")
    group = f" GROUP BY {', '.join(str(n) for n in range(1, len(keys) + 1))}" if keys else ""
    records = await pool.fetch(
        f"SELECT {', '.join([*keys, *columns.values()])} FROM {source}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(where)}{group} LIMIT {MOST_ROWS + 1}",
        *bound.values,
    )
    return [
        _row(tuple(record), list(columns), starts if asked.grain else (), in_currency)
        for record in records
    ]


def _row(
    record: Sequence[Any], columns: Sequence[Column], starts: Sequence[Any], in_currency: bool
) -> Row:
    found = list(record)
    counts = found[len(found) - len(columns) :]
    del found[len(found) - len(columns) :]
    start = starts[found.pop(0) - 1] if starts else None
    currency = found.pop() if in_currency else ""
    sums_ = {column: many or 0 for column, many in zip(columns, counts, strict=True)}
    return Row(start, tuple(map(str, found)), currency, sums_)
