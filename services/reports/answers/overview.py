"""The first screen: a period at a glance."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from chassis.failures import Invalid
from chassis.postgres import Pool
from merhaba.reports.v1 import Dimension, Filter, Grain, Insight, Measure, Query, QueryRow, Value
from services.reports.answers.answering import Answers
from services.reports.answers.measures import Made
from services.reports.answers.question import Question, Where, question
from services.reports.answers.standing_out import StandingOut, changes
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
        totals, days, campaigns, amounts, best, worse, alerts, unpriced = await asyncio.gather(
            self._rows(period, filters, _TOTALS, previous=True),
            self._rows(period, filters, _DAYS, grain=Grain.GRAIN_DAY),
            self._campaigns(period, filters),
            self._rows(period, filters, _AMOUNTS, previous=True),
            self._standing_out.period(period, filters),
            self._standing_out.templates(period, filters),
            self._pool.fetchval("SELECT count(*) FROM alerts WHERE state = 'open'"),
            self._unpriced(period, filters),
        )
        return Overview(
            [value for row in totals for value in row.values],
            days,
            campaigns,
            [row for row in amounts if row.currency_code],
            [*best, *changes(totals), *worse],
            alerts,
            not unpriced,
        )

    async def _unpriced(self, period: Period, filters: Sequence[Filter]) -> float:
        """Messages whose cost is not Meta's own pricing yet."""
        asked = _askable(Query(measures=[M.MEASURE_SENT], filters=filters), period)
        if asked is None:
            return 0
        asked = asked._replace(measures=((M.MEASURE_SENT, Made("count", "unpriced")),))
        return sum(row.sums.get("unpriced", 0) for row in await rows(self._pool, asked))

    async def _campaigns(self, period: Period, filters: Sequence[Filter]) -> list[QueryRow]:
        """Those of which most was sent."""
        query = _askable(
            Query(measures=_COUNTS, dimensions=[Dimension.DIMENSION_CAMPAIGN], filters=filters),
            period,
        )
        if query is None:
            return []
        named = Where("campaign_id", ("",), exclude=True)
        found = await self._answers.rows(
            query._replace(filters=(*query.filters, named), most=("sent", _CAMPAIGNS))
        )
        return sorted(found, key=_most_sent)

    async def _rows(
        self,
        period: Period,
        filters: Sequence[Filter],
        measures: Sequence["Measure.ValueType"],
        *,
        grain: "Grain.ValueType" = Grain.GRAIN_UNSPECIFIED,
        previous: bool = False,
    ) -> list[QueryRow]:
        asked = _askable(
            Query(measures=measures, filters=filters, grain=grain, compare_previous=previous),
            period,
        )
        return [] if asked is None else await self._answers.rows(asked)


def _askable(query: Query, period: Period) -> Question | None:
    """A question about the measures that can be told; None where there is none."""
    one = Query()
    one.CopyFrom(query)
    told = []
    for measure in query.measures:
        one.measures[:] = [measure]
        try:
            told.append(question(one, period))
        except Invalid:
            continue
    if not told:
        return None
    return told[0]._replace(measures=tuple(both for single in told for both in single.measures))


def _most_sent(row: QueryRow) -> tuple[float, str]:
    sent = next(value.value for value in row.values if value.measure == M.MEASURE_SENT)
    return -sent, row.dimensions[0].value
