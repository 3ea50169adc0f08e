"""Sums of messages out of Postgres, as a question cuts them."""

from collections.abc import Sequence
from typing import Any, Final

from asyncpg import Record

from chassis.postgres import Pool
from services.reports.answers import base
from services.reports.answers.cutting import Row, key, start_of
from services.reports.answers.measures import BASE, PEOPLE, Column
from services.reports.answers.question import MOST_ROWS, Question
from services.reports.model import ABANDONED_STATES, CLICKED, READ, REPLIED, QueryTooLarge
from services.reports.sampling import EACH_UP_TO, ONE_IN, SAMPLE

_ABANDONED: Final = (
    "cubes.campaign_id IN (SELECT campaign_id FROM campaign_facts WHERE state IN ("  # noqa: S608 - constants
    + ", ".join(f"'{state}'" for state in ABANDONED_STATES)
    + "))"
)
_CUBES: Final = " JOIN cubes USING (cube_id)"
_QUARTERS: Final = "rollups AS f"
_FACTS: Final = f"message_facts AS f{_CUBES} LEFT JOIN people USING (contact_id)"
_PERSON: Final = "coalesce(people.person_id, f.contact_id)"
_OF_PEOPLE: Final[dict[Column, str]] = {
    "recipients": f"count(DISTINCT {_PERSON})",
    "reached": f"count(DISTINCT {_PERSON}) FILTER (WHERE f.reached_time IS NOT NULL)",
    "engagements": (
        f"sum((f.progress & {READ}) / {READ} + (f.progress & {CLICKED}) / {CLICKED}"
        f" + (f.progress & {REPLIED}) / {REPLIED})"
    ),
    "response": "percentile_cont(0.5) WITHIN GROUP (ORDER BY f.response_ms)",
}


async def rows(pool: Pool, asked: Question) -> list[Row]:
    """What was asked, cut as asked. Raises `QueryTooLarge`.

    People cannot be summed up: each has to be found. Where there are more than 50,000 messages they
    are counted from one contact in 64, always the same ones, and told with an interval.
    """
    wanted = asked.columns - BASE.keys()
    found = await _fetch(pool, asked, sorted(wanted - PEOPLE))
    if people := sorted(wanted & PEOPLE):
        bare = asked._replace(dimensions=(), grain="")
        whole = await _fetch(pool, bare, ["planned"])
        one_in = ONE_IN if sum(row.sums["planned"] for row in whole) > EACH_UP_TO else 1
        found = _joined(found, await _fetch(pool, asked, people, one_in))
    return _joined(found, await base.rows(pool, asked))


def _joined(found: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """Rows with what else is known of the same, which is no money: of each currency the same."""
    known: dict[tuple[object, ...], list[Row]] = {}
    for row in found:
        known.setdefault((row.start, row.values), []).append(row)
    joined = list(found)
    for row in others:
        if same := known.get((row.start, row.values)):
            for one in same:
                one.sums.update(row.sums)
        else:
            known[row.start, row.values] = [row]
            joined.append(row)
    return joined


async def _fetch(
    pool: Pool, asked: Question, columns: Sequence[Column], one_in: int = 0
) -> list[Row]:
    """`one_in`: of people, from how many contacts one is counted; 0 for sums of messages."""
    if not columns:
        return []
    statement, values = statement_of(asked, columns, one_in)
    found = await pool.fetch(statement, *values)
    if len(found) > MOST_ROWS:
        raise QueryTooLarge(
            "ask for a shorter period, a coarser grain or fewer dimensions",
            limit=str(MOST_ROWS),
            estimate=f"more than {MOST_ROWS}",
        )
    return [_row(asked, row, columns, one_in) for row in found]


def statement_of(asked: Question, columns: Sequence[Column], one_in: int) -> tuple[str, list[Any]]:
    """SQL of columns of fixed lists, with the values bound to it."""
    people = one_in > 0
    time = "f.counted_time" if people else "f.bucket"
    values: list[Any] = [asked.period.start, asked.period.end, asked.period.zone]
    local = f"{time} AT TIME ZONE $3"
    hours = f"{time} AT TIME ZONE coalesce(nullif(cubes.zone, ''), $3)"
    where = [f"{time} >= $1 AND {time} < $2", *([SAMPLE] if one_in > 1 else [])]
    if not people:
        # Where messages were taken out again there is a row with nothing in it
        where.append("f.planned + f.touches > 0")
    for one in asked.filters:
        values.append(list(one.values))
        test = f"{key(one.column, hours if asked.contact_zone else local)} = ANY(${len(values)})"
        if people and one.column == "campaign_id":  # there is an index
            test = test.replace("cubes.", "f.")
        where.append(f"NOT {test}" if one.exclude else test)
    keys = [key(name, hours if asked.contact_zone else local) for _, name in asked.dimensions]
    if asked.grain:
        keys.insert(0, f"date_trunc('{asked.grain}', {local})")
    if asked.in_currency and not people:
        keys.append("cubes.currency")
    sums = [_OF_PEOPLE[c] if c in PEOPLE else _sum(c) for c in columns]
    group = f" GROUP BY {', '.join(str(n) for n in range(1, len(keys) + 1))}" if keys else ""
    table = _FACTS
    if not people:
        table = _rollups(asked)
        if "$" in table:
            values += asked.period.days()
            table = table.format(first=len(values) - 1, last=len(values))
        if "cubes." in "".join([*keys, *where, *sums]):
            table += _CUBES
        elif table == _QUARTERS:
            # What an hour is in a zone costs more than a sum: once for each quarter
            needed = ", ".join(f"sum({c}) AS {c}" for c in sorted({*columns, "planned", "touches"}))
            table = (
                f"(SELECT bucket, {needed} FROM rollups"  # noqa: S608 - names are constants
                " WHERE bucket >= $1 AND bucket < $2 GROUP BY bucket) AS f"
            )
    # Without a zone among the parameters Postgres could not tell what it is
    zone = "" if "$3" in "".join([table, *keys, *where]) else " AND $3::text <> ''"
    return (
        f"SELECT {', '.join([*keys, *sums])} FROM {table}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(where)}{zone}{group} LIMIT {MOST_ROWS + 1}",
        values,
    )


def _rollups(asked: Question) -> str:
    """The sums that tell: by day where nothing finer is asked for."""
    if asked.of_segments:
        return "segment_rollups AS f"
    named = {name for _, name in asked.dimensions} | {one.column for one in asked.filters}
    if asked.grain == "hour" or "send_hour" in named or asked.contact_zone:
        return _QUARTERS
    return "rollups_between($1, ${first}, ${last}, $2, $3) AS f"


def _sum(column: Column) -> str:
    if column == "cancelled":
        return f"coalesce(sum(f.pending) FILTER (WHERE {_ABANDONED}), 0)::bigint"
    if column == "pending":
        return f"coalesce(sum(f.pending) FILTER (WHERE NOT {_ABANDONED}), 0)::bigint"
    return f"coalesce(sum(f.{column}), 0)::bigint"


def _row(asked: Question, row: Record, columns: Sequence[Column], one_in: int) -> Row:
    found = list(row)
    start = None
    if asked.grain:
        start = start_of(found.pop(0), asked.period.zone)
    values = tuple(found[: len(asked.dimensions)])
    rest = found[len(asked.dimensions) :]
    currency = rest.pop(0) if asked.in_currency and not one_in else ""
    sums = {c: v for c, v in zip(columns, rest, strict=True) if v is not None}
    if one_in > 1:
        sums = {c: v if c == "response" else v * one_in for c, v in sums.items()}
        sums["one_in"] = one_in
    return Row(start, values, currency, sums)
