"""The questions of ReportService that sums answer: queries, heat maps and costs."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from chassis import paging
from chassis.failures import FieldInvalid
from merhaba.reports.v1 import (
    CostLine,
    Dimension,
    Freshness,
    GetCostReportRequest,
    GetCostReportResponse,
    GetHeatMapRequest,
    GetHeatMapResponse,
    Grain,
    HeatMapCell,
    Measure,
    MoneyAmount,
    QueryRequest,
    QueryResponse,
    QueryRow,
    ReportServiceServicer,
    Value,
)
from merhaba.reports.v1 import Period as PeriodMessage
from merhaba.reports.v1 import Query as Asked
from services.reports.answers.answering import Answers
from services.reports.answers.kept import Kept
from services.reports.answers.measures import ADS, BASE, PEOPLE, Made
from services.reports.answers.question import question
from services.reports.answers.standing_out import StandingOut, best_hour
from services.reports.insights import Share
from services.reports.model import Period

_MOST: Final = 10_000
_READ: Final = (
    (Measure.MEASURE_READ, Made("count", "read")),
    (Measure.MEASURE_DELIVERED, Made("count", "delivered")),
)
_COSTS: Final = (
    Measure.MEASURE_PLANNED,
    Measure.MEASURE_BILLABLE,
    Measure.MEASURE_COST,
    Measure.MEASURE_COST_PER_DELIVERED,
    Measure.MEASURE_COST_PER_READ,
    Measure.MEASURE_COST_PER_REPLY,
    Measure.MEASURE_COST_PER_CLICK,
    Measure.MEASURE_COST_PER_CONVERSION,
    Measure.MEASURE_RETURN,
)


class AnsweringApi(ReportServiceServicer):
    """Answers from the sums."""

    def __init__(
        self,
        answers: Answers,
        kept: Kept,
        standing_out: StandingOut,
        period: Callable[[PeriodMessage], Period],
        fresh: Callable[[datetime, bool], Freshness],
        fold_time: Callable[[], datetime],
    ) -> None:
        """`period` checks the asked one; `fresh` tells how new an answer is, `fold_time` now."""
        self._answers = answers
        self._kept = kept
        self._out = standing_out
        self._checked = period
        self._freshness = fresh
        self._fold_time = fold_time

    async def Query(self, request: QueryRequest, _context: Any) -> QueryResponse:
        """Measures by dimensions over a period, in pages."""
        asked = paging.query(request)
        size = paging.size(request.page_size, most=_MOST)
        place = paging.place(request.page_token, asked, [str, int])
        if place is None:
            answer = await self._whole(request.query)
            answer_id, first = "", 0
        else:
            answer_id, first = place
            answer = await self._kept.read(answer_id)
        last = first + size
        token = ""
        if last < len(answer.rows):
            answer_id = answer_id or await self._kept.keep(answer)
            token = paging.token(asked, [answer_id, last])
        return QueryResponse(
            rows=answer.rows[first:last], next_page_token=token, freshness=answer.freshness
        )

    async def _whole(self, query: Asked) -> QueryResponse:
        fold_time = self._fold_time()
        rows = await self._answers.rows(question(query, self._checked(query.period)))
        if query.order_measure:
            if query.order_measure not in query.measures:
                raise FieldInvalid("query.order_measure", "not among the measures")
            place = list(query.measures).index(query.order_measure)
            rows.sort(key=lambda row: _rank(row.values[place], query.ascending))
        return QueryResponse(rows=rows, freshness=self._freshness(fold_time, False))

    async def GetHeatMap(self, request: GetHeatMapRequest, _context: Any) -> GetHeatMapResponse:
        """A measure by weekday and hour of send."""
        measure = request.measure or Measure.MEASURE_READ_RATE
        query = Asked(
            measures=[measure],
            dimensions=[Dimension.DIMENSION_SEND_WEEKDAY, Dimension.DIMENSION_SEND_HOUR],
            filters=request.filters,
            conversion_ids=[request.conversion_id],
        )
        asked = question(query, self._checked(request.period))
        if asked.in_currency:
            raise FieldInvalid("measure", "is money; take a count or a rate")
        if asked.ads and request.contact_zone:
            raise FieldInvalid("contact_zone", "not known of ads; leave it unset")
        fold_time = self._fold_time()
        asked = asked._replace(contact_zone=request.contact_zone)
        together = not request.contact_zone and asked.columns.isdisjoint({*PEOPLE, *BASE, *ADS})
        if together:  # what the best hour is found by is read along
            asked = asked._replace(measures=(*asked.measures, *_READ))
        rows = await self._answers.rows(asked)
        known = {tuple(int(d.value) for d in row.dimensions): row.values[0] for row in rows}
        if together:
            insights = best_hour(_by_hour(rows))
        else:
            insights = await self._out.hour(asked.period, request.filters)
        return GetHeatMapResponse(
            cells=[
                HeatMapCell(
                    weekday=day, hour=hour, value=known.get((day, hour), Value(measure=measure))
                )
                for day in range(1, 8)
                for hour in range(24)
            ],
            insights=insights,
            freshness=self._freshness(fold_time, False),
        )

    async def GetCostReport(
        self, request: GetCostReportRequest, context: Any
    ) -> GetCostReportResponse:
        """What messages cost, by any dimensions, in pages."""
        usual = [Dimension.DIMENSION_MARKET, Dimension.DIMENSION_CATEGORY]
        query = Asked(
            measures=_COSTS,
            dimensions=request.dimensions or usual,
            filters=request.filters,
            period=request.period,
            grain=request.grain or Grain.GRAIN_UNSPECIFIED,
            attribution=request.attribution,
            conversion_ids=[request.conversion_id],
        )
        page = await self.Query(
            QueryRequest(query=query, page_size=request.page_size, page_token=request.page_token),
            context,
        )
        query.ClearField("dimensions")
        query.ClearField("grain")
        totals = await self._answers.rows(question(query, self._checked(query.period)))
        return GetCostReportResponse(
            lines=[_line(row) for row in page.rows],
            next_page_token=page.next_page_token,
            totals=[
                MoneyAmount(currency_code=row.currency_code, amount_micros=_micros(row))
                for row in totals
                if row.currency_code
            ],
            freshness=page.freshness,
        )


def _by_hour(rows: Iterable[QueryRow]) -> dict[str, Share]:
    """How many were read of those delivered, of rows by weekday and hour that end with both."""
    found: dict[str, Share] = {}
    for row in rows:
        hour, (read, delivered) = row.dimensions[1].value, row.values[-2:]
        known = found.get(hour, Share(0, 0))
        found[hour] = Share(known.part + int(read.value), known.whole + int(delivered.value))
    return found


def _rank(value: Value, ascending: bool) -> tuple[bool, float]:
    """What has no value stands last."""
    if not value.HasField("value"):
        return True, 0.0
    return False, value.value if ascending else -value.value


def _line(row: QueryRow) -> CostLine:
    messages, billable, *rest = row.values
    return CostLine(
        bucket_time=row.bucket_time if row.HasField("bucket_time") else None,
        dimensions=row.dimensions,
        messages=int(messages.value),
        billable_messages=int(billable.value),
        cost_micros=_micros(row),
        currency_code=row.currency_code,
        values=rest,
    )


def _micros(row: QueryRow) -> int:
    cost = row.values[_COSTS.index(Measure.MEASURE_COST)]
    return round(cost.value * 1_000_000)
