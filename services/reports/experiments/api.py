"""gRPC: experiments."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

from google.protobuf.duration_pb2 import Duration

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock, moment_of
from chassis.failures import FieldInvalid
from chassis.times import stamped
from merhaba.reports.v1 import (
    ArmWeight,
    CreateExperimentRequest,
    CreateExperimentResponse,
    DeclareWinnerRequest,
    DeclareWinnerResponse,
    EstimatePolicyRequest,
    EstimatePolicyResponse,
    ExperimentPlan,
    ExperimentServiceServicer,
    Filter,
    Freshness,
    GetBanditWeightsRequest,
    GetBanditWeightsResponse,
    GetExperimentReportRequest,
    GetExperimentReportResponse,
    GetExperimentRequest,
    GetExperimentResponse,
    ListExperimentsRequest,
    ListExperimentsResponse,
    PlanExperimentRequest,
    PlanExperimentResponse,
    StopExperimentRequest,
    StopExperimentResponse,
    UpdateExperimentRequest,
    UpdateExperimentResponse,
)
from services.reports.experiments import judging, nouns, planning
from services.reports.experiments.desk import Desk, Judged
from services.reports.failures import DataInsufficient

_ALPHA: Final = 0.05
_POWER: Final = 0.8
_MOST_ARMS: Final = 100
_MOST_RECIPIENTS: Final = 10**10


class History(Protocol):
    """What was before."""

    async def past(self, measure: int, asked: Sequence[Filter]) -> planning.Past:
        """What a rate was of late. Raises `FieldInvalid` and `QueryUnsupported`."""
        ...


class ExperimentApi(ExperimentServiceServicer):
    """Which variant is better. Meaning and errors: the contract."""

    def __init__(
        self,
        desk: Desk,
        history: History,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._history = history
        self._answers = answers
        self._clock = clock

    async def CreateExperiment(
        self, request: CreateExperimentRequest, context: Any
    ) -> CreateExperimentResponse:
        """Begins to judge."""
        _given(request.request_id, "request_id")

        async def respond() -> CreateExperimentResponse:
            made = await self._desk.create(nouns.draft(request.experiment), request.request_id)
            return CreateExperimentResponse(experiment=nouns.experiment(made))

        return await self._answers.once(
            request, request.request_id, respond, CreateExperimentResponse
        )

    async def GetExperiment(
        self, request: GetExperimentRequest, context: Any
    ) -> GetExperimentResponse:
        """Returns one."""
        found = await self._desk.get(_given(request.experiment_id))
        return GetExperimentResponse(experiment=nouns.experiment(found))

    async def ListExperiments(
        self, request: ListExperimentsRequest, context: Any
    ) -> ListExperimentsResponse:
        """Lists them, latest created first."""
        query, size = paging.query(request), paging.size(request.page_size)
        place = paging.place(request.page_token, query, [int, str])
        found = await self._desk.listed(
            nouns.states(request.states),
            request.campaign_id,
            place and (moment_of(place[0]), place[1]),
            size + 1,
        )
        page, more = paging.page(
            query, found, size, lambda one: [one.create_time, one.experiment_id]
        )
        return ListExperimentsResponse(
            experiments=[nouns.experiment(one) for one in page], next_page_token=more
        )

    async def UpdateExperiment(
        self, request: UpdateExperimentRequest, context: Any
    ) -> UpdateExperimentResponse:
        """Changes one."""
        given = request.experiment
        changed = await self._desk.update(
            _given(given.experiment_id, "experiment.experiment_id"),
            given.etag,
            lambda one: nouns.change(one, given, request.update_mask.paths),
        )
        return UpdateExperimentResponse(experiment=nouns.experiment(changed))

    async def StopExperiment(
        self, request: StopExperimentRequest, context: Any
    ) -> StopExperimentResponse:
        """Ends one without a winner."""
        stopped = await self._desk.stop(
            _given(request.experiment_id), nouns.reason(request.reason, "stopped")
        )
        return StopExperimentResponse(experiment=nouns.experiment(stopped))

    async def GetExperimentReport(
        self, request: GetExperimentReportRequest, context: Any
    ) -> GetExperimentReportResponse:
        """Returns what is known."""
        if request.WhichOneof("key") == "campaign_id":
            found = await self._desk.report_campaign(_given(request.campaign_id, "campaign_id"))
        else:
            found = await self._desk.report(_given(request.experiment_id))
        told = nouns.report(found)
        told.freshness.CopyFrom(self._fresh(found))
        return GetExperimentReportResponse(report=told)

    async def PlanExperiment(
        self, request: PlanExperimentRequest, context: Any
    ) -> PlanExperimentResponse:
        """Computes how many recipients a question needs."""
        rate, recipients_a_day = await _from(request, self._history)
        question = planning.Question(
            _within(rate, 0, 1, "baseline"),
            int(_within(request.arms or 2, 1, _MOST_ARMS + 1, "arms")),
            _within(request.alpha or _ALPHA, 0, 1, "alpha"),
            _within(request.power or _POWER, 0, 1, "power"),
            *_known(request),
        )
        found_plan = planning.plan(question, recipients_a_day)
        return PlanExperimentResponse(
            plan=ExperimentPlan(
                recipients_per_arm=found_plan.per_arm,
                total_recipients=found_plan.total,
                detectable_effect=found_plan.effect,
                expected_days=found_plan.days,
            )
        )

    async def DeclareWinner(
        self, request: DeclareWinnerRequest, context: Any
    ) -> DeclareWinnerResponse:
        """Ends one with a winner."""
        _given(request.request_id, "request_id")

        async def respond() -> DeclareWinnerResponse:
            decided = await self._desk.declare(
                _given(request.experiment_id),
                _given(request.variant, "variant"),
                nouns.reason(request.reason, "declared"),
                request.request_id,
            )
            return DeclareWinnerResponse(experiment=nouns.experiment(decided))

        return await self._answers.once(request, request.request_id, respond, DeclareWinnerResponse)

    async def GetBanditWeights(
        self, request: GetBanditWeightsRequest, context: Any
    ) -> GetBanditWeightsResponse:
        """Returns the weights that follow from what is known."""
        found = await self._desk.weights(_given(request.experiment_id))
        weights = judging.weights(found.experiment, found.gathered) or {}
        return GetBanditWeightsResponse(
            weights=[
                ArmWeight(
                    variant=arm.variant,
                    weight=weights[arm.variant],
                    probability_best=arm.probability_best,
                )
                for arm in found.report.arms
            ],
            freshness=self._fresh(found),
        )

    async def EstimatePolicy(
        self, request: EstimatePolicyRequest, context: Any
    ) -> EstimatePolicyResponse:
        """Estimates what other weights would have brought."""
        found, estimates = await self._desk.estimates(
            _given(request.experiment_id), dict(request.weights)
        )
        return EstimatePolicyResponse(
            estimates=[nouns.estimate(found.experiment.goal, one) for one in estimates],
            freshness=self._fresh(found),
        )

    def _fresh(self, found: Judged) -> Freshness:
        lag = Duration()
        lag.FromTimedelta(max(self._clock.now() - found.fold_time, timedelta(0)))
        return Freshness(fold_time=stamped(found.fold_time), lag_duration=lag)


async def _from(request: PlanExperimentRequest, history: History) -> tuple[float, float]:
    """The rate to begin from, and messages a day."""
    past = await history.past(request.measure, request.filters)
    if request.HasField("baseline"):
        return request.baseline, past.sent_a_day
    if not 0 < past.part < past.whole:
        # Of none, or all, nothing can be planned: one of the other kind is wanted
        least = min(past.part, past.whole - past.part)
        raise DataInsufficient("a rate above 0 and below 1 in the last four weeks", 1, least)
    return past.part / past.whole, past.sent_a_day


def _known(request: PlanExperimentRequest) -> tuple[float | None, int | None]:
    match request.WhichOneof("known"):
        case "minimum_effect":
            if not request.minimum_effect:
                raise FieldInvalid("minimum_effect", "0; say what difference is worth knowing")
            return _within(request.minimum_effect, -1, 1_000, "minimum_effect"), None
        case "recipients":
            return None, int(_within(request.recipients, 0, _MOST_RECIPIENTS, "recipients"))
        case _:
            raise FieldInvalid("known", "missing; give minimum_effect or recipients")


def _within(value: float, low: float, high: float, field: str) -> float:
    if not low < value < high:
        raise FieldInvalid(field, f"not between {low:g} and {high:g}")
    return value


def _given(text: str, field: str = "experiment_id") -> str:
    if not text:
        raise FieldInvalid(field, "missing")
    return text
