"""Questions answered: sums fetched, measures made of them, beside the period before."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from chassis.postgres import Pool
from chassis.times import stamped
from merhaba.reports.v1 import DimensionValue, QueryRow, Value
from services.reports.answers.crediting import both
from services.reports.answers.cutting import Row, buckets
from services.reports.answers.measures import PEOPLE, Column, Made, value
from services.reports.answers.question import Question, stretch
from services.reports.failures import QueriesBusy
from services.reports.statistics import rate_interval

_Z95: Final = 1.959964  # of the normal law: 95 % lie within
_AT_ONCE: Final = 4
_WAITING: Final = 32
_LABELS: Final = {
    "campaign_id": "SELECT campaign_id, name FROM campaign_facts WHERE campaign_id = ANY($1)",
    "segment_id": (
        "SELECT segment_id, coalesce(nullif(display_name, ''), name) FROM segment_names"
        " WHERE segment_id = ANY($1)"
    ),
    "conversion_id": "SELECT conversion_id, name FROM conversions WHERE conversion_id = ANY($1)",
    "ad_id": "SELECT ad_id, headline FROM ads WHERE ad_id = ANY($1)",
}


class Answers:
    """Answers questions from the sums, few at a time."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._asking = 0

    async def sums(self, asked: Question) -> tuple[list[Row], list[Row]]:
        """The sums of an answer, and of the period before, in any order. Raises `QueriesBusy` and
        `QueryTooLarge`."""
        async with self._in_turn():
            return await both(self.pool, asked)

    async def rows(self, asked: Question) -> list[QueryRow]:
        """The answer, by time, then by value. Raises `QueriesBusy` and `QueryTooLarge`."""
        async with self._in_turn():
            found, before = await both(self.pool, asked)
            labels = await self._labels(asked, found)
        earlier = _aligned(asked, before) if asked.previous else None
        found.sort(key=lambda row: (row.start or datetime.min.replace(tzinfo=UTC), row.values))
        places = _places(asked) if earlier is not None else {}
        return [_told(asked, row, earlier, places.get(row.start), labels) for row in found]

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        if self._asking >= _WAITING:
            raise QueriesBusy(_WAITING)
        self._asking += 1
        try:
            async with self._turn:
                yield
        finally:
            self._asking -= 1

    async def _labels(self, asked: Question, found: Sequence[Row]) -> dict[tuple[str, str], str]:
        """What people call campaigns and segments."""
        labels: dict[tuple[str, str], str] = {}
        for place, (_, name) in enumerate(asked.dimensions):
            if statement := _LABELS.get(name):
                ids = list({row.values[place] for row in found} - {""})
                for value_, label in await self.pool.fetch(statement, ids):
                    if label:
                        labels[name, value_] = label
        return labels


def _aligned(asked: Question, before: Sequence[Row]) -> dict[tuple[object, ...], Row]:
    """Rows of the period before, by where they stand in their period."""
    starts = _places(asked.before())
    return {(starts.get(row.start), row.values, row.currency): row for row in before}


def _places(asked: Question) -> dict[datetime | None, int]:
    """Which of the period's buckets begins when."""
    starts = buckets(asked.period, asked.grain)
    return {start: place for place, start in enumerate(starts)}


def _told(
    asked: Question,
    row: Row,
    earlier: dict[tuple[object, ...], Row] | None,
    place: int | None,
    labels: dict[tuple[str, str], str],
) -> QueryRow:
    before = None
    if earlier is not None:
        before = earlier.get((place, row.values, row.currency))
    seconds = stretch(asked)
    return QueryRow(
        bucket_time=stamped(row.start) if row.start else None,
        dimensions=[
            DimensionValue(value=one, label=labels.get((name, one), one))
            for (_, name), one in zip(asked.dimensions, row.values, strict=True)
        ],
        values=[
            measured(measure, made, row.sums, seconds, None if before is None else before.sums)
            for measure, made in asked.measures
        ],
        currency_code=row.currency,
    )


@lru_cache(maxsize=256)
def _none(measure: int, number: float | None) -> Value:
    """Nothing of a measure, as it is on most days of most measures; put into answers as a copy."""
    return Value(measure=measure, value=number)  # type: ignore[arg-type]  # enum values are ints at run time


def measured(
    measure: int,
    made: Made,
    sums: dict[Column, float],
    seconds: float,
    before: dict[Column, float] | None = None,
) -> Value:
    """A measure of sums, with what is needed to judge it."""
    number, basis = value(made, sums, seconds)
    if before is None and not basis and made.kind in ("count", "rate"):
        return _none(measure, number)
    lower = upper = None
    if number is not None:
        if made.kind == "rate" and (likely := rate_interval(round(number * basis), basis)):
            _, lower, upper = likely
        elif made.kind == "count" and made.part in PEOPLE and (one_in := sums.get("one_in")):
            half = _Z95 * (one_in * number) ** 0.5
            lower, upper = max(number - half, 0), number + half
    return Value(
        measure=measure,  # type: ignore[arg-type]  # enum values are ints at run time
        value=number,
        previous_value=None if before is None else value(made, before, seconds)[0],
        lower=lower,
        upper=upper,
        sample_size=basis,
    )
