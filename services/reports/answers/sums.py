"""Sums of messages out of Postgres, as a question cuts them."""

import asyncio
from collections.abc import Sequence

from chassis.postgres import Pool
from services.reports import ledger
from services.reports.answers import base
from services.reports.answers.cutting import Row
from services.reports.answers.measures import BASE, PEOPLE, Column
from services.reports.answers.question import MOST_ROWS, Question, Where
from services.reports.answers.statements import (
    BY_STATE,
    Statement,
    of_answers,
    of_cancelled,
    of_people,
    of_sums,
)
from services.reports.model import QueryTooLarge
from services.reports.queries import one_in


async def rows(pool: Pool, asked: Question) -> list[Row]:
    """What was asked of its period, cut as asked. Raises `QueryTooLarge`."""
    return (await both(pool, asked._replace(previous=False)))[0]


async def both(pool: Pool, asked: Question) -> tuple[list[Row], list[Row]]:
    """What was asked, cut as asked, and the same of the period before, which is [] unless asked
    for. Raises `QueryTooLarge`.

    People cannot be summed up: each has to be found. Where there are more than 50,000 messages they
    are counted from one contact in 64 or more, always the same ones, and told with an interval.
    """
    if asked.most:
        asked = await _of_the_largest(pool, asked)
    now, before = await _summed(pool, asked)
    # People are looked for at once: it takes longest
    earlier = asked.before() if asked.previous else asked._replace(measures=())
    (grown, grown_before), now, before = await asyncio.gather(
        base.both(pool, asked),
        _people(pool, asked._replace(previous=False), now),
        _people(pool, earlier, before),
    )
    return _joined(now, grown), _joined(before, grown_before)


async def _summed(pool: Pool, asked: Question) -> tuple[list[Row], list[Row]]:
    """Sums of messages, now and before."""
    wanted = asked.columns - BASE.keys() - PEOPLE
    waiting = wanted & BY_STATE
    columns: list[Column] = sorted(wanted - BY_STATE)
    if waiting:
        columns.append("pending")
    if not columns:
        return [], []
    found = await _fetch(pool, asked, columns, of_sums(asked, columns))
    if not (asked.grain or asked.dimensions or asked.in_currency):
        for rows in (found[0], *([found[1]] if asked.previous else [])):
            if not rows:
                rows.append(Row(None, (), "", dict.fromkeys(columns, 0)))
    if waiting:
        called_off = await _fetch(pool, asked, ["pending"], of_cancelled(asked))
        for rows, few in zip(found, called_off, strict=True):
            cancelled = {row[:3]: row.sums["pending"] for row in few}
            for row in rows:
                row.sums["cancelled"] = many = cancelled.get(row[:3], 0)
                row.sums["pending"] = max(row.sums["pending"] - many, 0)
    return found


async def _people(pool: Pool, asked: Question, found: list[Row]) -> list[Row]:
    """Rows of one period with the people whom messages were for."""
    if people := sorted(asked.columns & PEOPLE):
        many = await one_in(pool, ledger.Where(asked.period, asked.filters))
        bare = asked._replace(measures=tuple(m for m in asked.measures if not m[1].in_currency))
        if counted := [column for column in people if column != "response"]:
            those, _ = await _fetch(pool, bare, counted, of_people(bare, counted, many))
            found = _joined(found, [_times(row, many) for row in those])
        if "response" in people:
            took, _ = await _fetch(pool, bare, ["response"], of_answers(bare, many))
            found = _joined(found, took)
    return found


async def _of_the_largest(pool: Pool, asked: Question) -> Question:
    """The same of those values alone of its one dimension of which there is most."""
    assert asked.most is not None and len(asked.dimensions) == 1
    column, _ = asked.most
    one = asked._replace(previous=False)
    largest, _ = await _fetch(pool, one, [column], of_sums(one, [column]))
    ((_, dimension),) = asked.dimensions
    those = Where(dimension, tuple(row.values[0] for row in largest), exclude=False)
    return asked._replace(most=None, filters=(*asked.filters, those))


def _times(row: Row, one_in: int) -> Row:
    """What was counted from one contact in so many, of all."""
    if one_in == 1:
        return row
    sums: dict[Column, float] = {column: n * one_in for column, n in row.sums.items()}
    return row._replace(sums={**sums, "one_in": one_in})


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
    pool: Pool, asked: Question, columns: Sequence[Column], statement: Statement
) -> tuple[list[Row], list[Row]]:
    """Rows of the period, and of the one before."""
    now: list[Row] = []
    before: list[Row] = []
    starts, in_currency, many = statement.starts, asked.in_currency, len(asked.dimensions)
    for record in await pool.fetch(statement.text, *statement.values):
        found = list(record)
        later = found.pop(0) if asked.previous else True
        start = starts[found.pop(0) - 1] if asked.grain else None
        values = tuple(map(str, found[:many]))
        currency = found[many] if in_currency else ""
        rest = zip(columns, found[many + in_currency :], strict=True)
        sums = {column: number for column, number in rest if number is not None}
        (now if later else before).append(Row(start, values, currency, sums))
    if max(len(now), len(before)) > MOST_ROWS:
        raise QueryTooLarge(
            "ask for a shorter period, a coarser grain or fewer dimensions",
            limit=str(MOST_ROWS),
            estimate=f"more than {MOST_ROWS}",
        )
    return now, before
