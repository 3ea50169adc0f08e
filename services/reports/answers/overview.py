"""The first screen: a period at a glance."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from chassis.failures import Invalid
from chassis.postgres import Pool
from merhaba.reports.v1 import Dimension, Filter, Grain, Insight, Measure, Query, QueryRow, Value
from services.reports.answers.answering import Answers
from services.reports.answers.measures import Made
from services.reports.answers.question import question
from services.reports.answers.standing_out import StandingOut
from services.reports.answers.sums import rows
from services.reports.model import Period

M = Measure
_COUNTS: Final = [
    *(M.MEASURE_PLANNED, M.MEASURE_SENT, M.MEASURE_DELIVERED, M.MEASURE_READ, M.MEASURE_REPLIED),
    *(M.MEASURE_CLICKED, M.MEASURE_CONVERTED, M.MEASURE_OPTED_OUT, M.MEASURE_BLOCKED),
    *(M.MEASURE_FAILED, M.MEASURE_WITHHELD, M.MEASURE_SUPPRESSED, M.MEASURE_HELD_OUT),
    *(M.MEASURE_UNKNOWN, M.MEASURE_PENDING, M.MEASURE_CANCELLED),
    *(M.MEASURE_DELIVERY_RATE, M.MEASURE_READ_RATE, M.MEASURE_REPLY_RATE, M.MEASURE_CLICK_RATE),
    *(M.MEASURE_CONVERSION_RATE, M.MEASURE_OPT_OUT_RATE, M.MEASURE_FAILURE_RATE),
]
_DAYS: Final = [
    *(*_COUNTS, M.MEASURE_RECEIVED, M.MEASURE_CONTACT_GROWTH, M.MEASURE_CONSENT_GROWTH),
]
_TOTALS: Final = [
    *(*_DAYS, M.MEASURE_RECIPIENTS, M.MEASURE_CONTACTS, M.MEASURE_CONSENTED),
    *(M.MEASURE_THEIR_RESPONSE_TIME, M.MEASURE_OUR_RESPONSE_TIME),
]
_AMOUNTS: Final = [M.MEASURE_COST, M.MEASURE_REVENUE, M.MEASURE_RETURN]
_CAMPAIGNS: Final = 10


class Overview(NamedTuple):
    """A period at a glance, beside the one before."""

    totals: list[Value]
    days: list[QueryRow]
    campaigns: list[QueryRow]
    amounts: list[QueryRow]
    insights: list[Insight]
    open_alerts: int
    cost_final: bool
    """Meta told the pricing of all messages."""


class Overviews:
    """Puts together what the first screen shows."""

    def __init__(self, answers: Answers, standing_out: StandingOut, pool: Pool) -> None:
        self._answers = answers
        self._standing_out = standing_out
        self._pool = pool

    async def read(self, period: Period, filters: Sequence[Filter]) -> Overview:
        """All of it. What cannot be told with the filters is left out."""
        totals, days, campaigns, amounts, insights, alerts, unpriced = await asyncio.gather(
            self._rows(period, filters, _TOTALS, previous=True),
            self._rows(period, filters, _DAYS, grain=Grain.GRAIN_DAY),
            self._rows(period, filters, _COUNTS, dimension=Dimension.DIMENSION_CAMPAIGN),
            self._rows(period, filters, _AMOUNTS, previous=True),
            self._standing_out.period(period, filters),
            self._pool.fetchval("SELECT count(*) FROM alerts WHERE state = 'open'"),
            self._unpriced(period, filters),
        )
        named = [row for row in campaigns if row.dimensions[0].value]
        return Overview(
            [value for row in totals for value in row.values],
            days,
            sorted(named, key=_most_sent)[:_CAMPAIGNS],
            [row for row in amounts if row.currency_code],
            insights,
            alerts,
            not unpriced,
        )

    async def _unpriced(self, period: Period, filters: Sequence[Filter]) -> float:
        """Messages whose cost is not Meta's own pricing yet."""
        asked = question(Query(measures=[M.MEASURE_SENT], filters=filters), period)
        asked = asked._replace(measures=((M.MEASURE_SENT, Made("count", "unpriced")),))
        return sum(row.sums.get("unpriced", 0) for row in await rows(self._pool, asked))

    async def _rows(
        self,
        period: Period,
        filters: Sequence[Filter],
        measures: Sequence["Measure.ValueType"],
        *,
        dimension: "Dimension.ValueType | None" = None,
        grain: "Grain.ValueType" = Grain.GRAIN_UNSPECIFIED,
        previous: bool = False,
    ) -> list[QueryRow]:
        query = Query(
            dimensions=() if dimension is None else [dimension],
            filters=filters,
            grain=grain,
            compare_previous=previous,
        )
        for measure in measures:
            query.measures[:] = [measure]
            if _askable(query, period):
                continue
            measures = [one for one in measures if one != measure]
        if not measures:
            return []
        query.measures[:] = measures
        return await self._answers.rows(question(query, period))


def _askable(query: Query, period: Period) -> bool:
    try:
        question(query, period)
    except Invalid:
        return False
    return True


def _most_sent(row: QueryRow) -> tuple[float, str]:
    sent = next(value.value for value in row.values if value.measure == M.MEASURE_SENT)
    return -sent, row.dimensions[0].value
