"""Sums of messages out of Postgres, as a question cuts them."""

from collections.abc import Sequence

from asyncpg import Record

from chassis.postgres import Pool
from services.reports import ledger
from services.reports.answers import base
from services.reports.answers.cutting import Row, start_of
from services.reports.answers.measures import BASE, PEOPLE, Column
from services.reports.answers.question import MOST_ROWS, Question, Where
from services.reports.answers.statements import (
    BY_STATE,
    Statement,
    of_answers,
    of_people,
    of_sums,
)
from services.reports.model import QueryTooLarge
from services.reports.queries import one_in


async def rows(pool: Pool, asked: Question) -> list[Row]:
    """What was asked, cut as asked. Raises `QueryTooLarge`.

    People cannot be summed up: each has to be found. Where there are more than 50,000 messages they
    are counted from one contact in 64 or more, always the same ones, and told with an interval.
    """
    if asked.most:
        asked = await _of_the_largest(pool, asked)
    wanted = asked.columns - BASE.keys()
    waiting = sorted(wanted & BY_STATE)
    found: list[Row] = []
    if summed := sorted(wanted - PEOPLE - BY_STATE) or (["planned"] if waiting else []):
        found = await _fetch(pool, asked, summed, of_sums(asked, summed))
    if waiting:
        few = await _fetch(pool, asked, waiting, of_sums(asked, waiting))
        sums = {row[:3]: row.sums for row in few}
        for row in found:
            row.sums.update(sums.get(row[:3], dict.fromkeys(waiting, 0)))
    if people := sorted(wanted & PEOPLE):
        many = await one_in(pool, ledger.Where(asked.period, asked.filters))
        bare = asked._replace(measures=tuple(m for m in asked.measures if not m[1].in_currency))
        if counted := [column for column in people if column != "response"]:
            those = await _fetch(pool, bare, counted, of_people(bare, counted, many))
            found = _joined(found, [_times(row, many) for row in those])
        if "response" in people:
            took = await _fetch(pool, bare, ["response"], of_answers(bare, many))
            found = _joined(found, took)
    return _joined(found, await base.rows(pool, asked))


async def _of_the_largest(pool: Pool, asked: Question) -> Question:
    """The same of those values alone of its one dimension of which there is most."""
    assert asked.most is not None and len(asked.dimensions) == 1
    column, _ = asked.most
    largest = await _fetch(pool, asked, [column], of_sums(asked, [column]))
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
) -> list[Row]:
    text, values = statement
    found = await pool.fetch(text, *values)
    if len(found) > MOST_ROWS:
        raise QueryTooLarge(
            "ask for a shorter period, a coarser grain or fewer dimensions",
            limit=str(MOST_ROWS),
            estimate=f"more than {MOST_ROWS}",
        )
    return [_row(asked, row, columns) for row in found]


def _row(asked: Question, row: Record, columns: Sequence[Column]) -> Row:
    found = list(row)
    start = None
    if asked.grain:
        start = start_of(found.pop(0), asked.period.zone)
    values = tuple(found[: len(asked.dimensions)])
    rest = found[len(asked.dimensions) :]
    currency = rest.pop(0) if asked.in_currency else ""
    sums = {c: v for c, v in zip(columns, rest, strict=True) if v is not None}
    return Row(start, values, currency, sums)
