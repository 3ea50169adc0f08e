"""Cohorts and stage flow, in the words of the contract."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from chassis.failures import FieldInvalid
from chassis.times import stamped
from merhaba.reports.v1 import (
    Cohort,
    Filter,
    Freshness,
    GetCohortsRequest,
    GetCohortsResponse,
    GetStageFlowRequest,
    GetStageFlowResponse,
    Grain,
    Measure,
    StageFlow,
    Value,
)
from merhaba.reports.v1 import Period as PeriodMessage
from services.reports.answers import cutting
from services.reports.answers.flows import RETURNS, STARTS, Flows
from services.reports.answers.question import GRAINS, Where, filters, refused
from services.reports.failures import QueryUnsupported
from services.reports.model import Period, QueryTooLarge
from services.reports.statistics import rate_interval

_MOST_COHORTS: Final = 120


class FlowsApi:
    """Answers about people over time."""

    def __init__(
        self,
        flows: Flows,
        period: Callable[[PeriodMessage], Period],
        fresh: Callable[[datetime, bool], Freshness],
        fold_time: Callable[[], datetime],
    ) -> None:
        """As `AnsweringApi`."""
        self._flows = flows
        self._period = period
        self._fresh = fresh
        self._fold_time = fold_time

    async def stage_flow(self, request: GetStageFlowRequest) -> GetStageFlowResponse:
        """How many people moved between stages, beside the period before."""
        fold_time, period = self._fold_time(), self._period(request.period)
        wanted = _segments(request.filters)
        flow = await self._flows.flow(period, wanted)
        before = await self._flows.flow(period.before(), wanted)
        known = {(move.source, move.target): move.people for move in before.moves}
        now = {(move.source, move.target): move.people for move in flow.moves}
        gone = [pair for pair in known if pair not in now]
        return GetStageFlowResponse(
            flows=[
                StageFlow(
                    source_stage=pair[0],
                    target_stage=pair[1],
                    contacts=now.get(pair, 0),
                    previous_contacts=known.get(pair, 0),
                )
                for pair in [*now, *gone]
            ],
            stages=flow.stages,
            freshness=self._fresh(fold_time, False),
        )

    async def cohorts(self, request: GetCohortsRequest) -> GetCohortsResponse:
        """Cohorts, and how many of each came again."""
        fold_time, period = self._fold_time(), self._period(request.period)
        measure = request.return_measure or Measure.MEASURE_REPLIED
        comes_again = _word(Measure, measure, "MEASURE_")
        if comes_again not in RETURNS:
            raise QueryUnsupported(
                f"return_measure: coming again is one of {', '.join(RETURNS).upper()}",
                measure=_word(Measure, measure, ""),
            )
        start = request.start or GetCohortsRequest.START_CREATED
        began = _word(GetCohortsRequest.Start, start, "START_")
        if began not in STARTS:
            raise FieldInvalid("start", "unknown; see GetCohortsRequest.Start")
        grain = GRAINS.get(request.grain or Grain.GRAIN_MONTH, "")
        if grain not in ("day", "week", "month"):
            raise FieldInvalid("grain", "give DAY, WEEK or MONTH")
        many = len(cutting.buckets(period, grain))
        if many > _MOST_COHORTS:
            raise QueryTooLarge(
                "ask for a shorter period or a coarser grain",
                limit=str(_MOST_COHORTS),
                estimate=str(many),
            )
        found = await self._flows.cohorts(
            period, grain, began, comes_again, _segments(request.filters)
        )
        return GetCohortsResponse(
            cohorts=[
                Cohort(
                    start_time=stamped(cohort.start),
                    contacts=cohort.people,
                    retentions=[_share(measure, n, cohort.people) for n in cohort.returned],
                )
                for cohort in found
            ],
            freshness=self._fresh(fold_time, False),
        )


def _segments(asked: Sequence[Filter]) -> list[Where]:
    """People are told apart by segments alone. Raises `QueryUnsupported`."""
    found = filters(asked)
    for one in found:
        if one.column != "segment_id":
            raise refused(
                "people are told apart by segments here; messages are by Query", one.column
            )
    return list(found)


def _share(measure: Any, part: int, whole: int) -> Value:
    likely = rate_interval(part, whole)
    assert likely is not None  # of nobody there is no cohort
    return Value(
        measure=measure,
        value=likely.value,
        lower=likely.lower,
        upper=likely.upper,
        sample_size=whole,
    )


def _word(enum: Any, number: int, prefix: str) -> str:
    names = {value: name for name, value in enum.items()}
    name: str = names.get(number, str(number))
    return name.removeprefix(prefix).lower() if prefix else name
