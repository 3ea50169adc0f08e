"""The gRPC door of reports."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from google.protobuf.duration_pb2 import Duration

from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.postgres import Pool
from chassis.reads import Reads
from chassis.times import stamped
from merhaba.reports.v1 import (
    Attribution,
    CampaignReport,
    Freshness,
    FunnelCounts,
    FunnelStep,
    GetCampaignReportRequest,
    GetCampaignReportResponse,
    GetCohortsRequest,
    GetCohortsResponse,
    GetContactTimelineRequest,
    GetContactTimelineResponse,
    GetFunnelRequest,
    GetFunnelResponse,
    GetOverviewRequest,
    GetOverviewResponse,
    GetStageFlowRequest,
    GetStageFlowResponse,
    Measure,
    MoneyAmount,
    OutcomeCounts,
    ReconcileWithMetaRequest,
    ReconcileWithMetaResponse,
    Value,
    VariantReport,
    WatchLiveRequest,
    WatchLiveResponse,
)
from merhaba.reports.v1 import Period as PeriodMessage
from services.reports.answers.answering import Answers
from services.reports.answers.api import AnsweringApi
from services.reports.answers.crediting import known
from services.reports.answers.flows import Flows
from services.reports.answers.flows_api import FlowsApi
from services.reports.answers.kept import Kept
from services.reports.answers.overview import Overviews
from services.reports.answers.question import filters
from services.reports.answers.standing_out import StandingOut
from services.reports.chronicle.api import TimelineApi
from services.reports.chronicle.store import Timelines
from services.reports.failures import DataInsufficient, QueryUnsupported
from services.reports.funnel import Tally, rate
from services.reports.insights import Share
from services.reports.ledger import Ledger, VariantFigures, Where
from services.reports.live.watching import Watching
from services.reports.model import ENDED_STATES, ORDERS, Period, QueryTooLarge
from services.reports.reconciling.api import ReconcilingApi
from services.reports.reconciling.asking import Asking
from services.reports.rollups import QUARTER

_LONGEST: Final = timedelta(days=800)
_USUAL: Final = timedelta(days=30)
_DAY: Final = timedelta(days=1)
_QUARTER: Final = timedelta(milliseconds=QUARTER)
_BEGINNING: Final = datetime(2020, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)
_CONVERTED: Final = Measure.MEASURE_CONVERTED
_USUAL_STEPS: Final = {
    Measure.MEASURE_PLANNED: "planned",
    Measure.MEASURE_SENT: "sent",
    Measure.MEASURE_DELIVERED: "delivered",
    Measure.MEASURE_READ: "read",
    Measure.MEASURE_CLICKED: "clicked",
    Measure.MEASURE_REPLIED: "replied",
    _CONVERTED: "converted",
}
_STEPS: Final = {
    **_USUAL_STEPS,
    Measure.MEASURE_OPTED_OUT: "opted_out",
    Measure.MEASURE_FAILED: "failed",
    Measure.MEASURE_SUPPRESSED: "suppressed",
    Measure.MEASURE_HELD_OUT: "held_out",
    Measure.MEASURE_UNKNOWN: "unknown",
}


class ReportApi(AnsweringApi):
    """Answers from the ledger, and from the sums."""

    def __init__(
        self,
        ledger: Ledger,
        answers: Answers,
        kept: Kept,
        pool: Pool,
        clock: Clock,
        asking: Asking,
        lifts: Callable[[str, str], Awaitable[list[Value]]],
        reads: Reads,
    ) -> None:
        """`asking`: of Meta; `lifts`: what a campaign brought over its hold-out, by what counts as
        a conversion; `reads`: whose timelines were read."""
        standing_out = StandingOut(answers)
        super().__init__(answers, kept, standing_out, self._period, self._fresh, ledger.fold_time)
        self._ledger = ledger
        self._pool = pool
        self._standing_out = standing_out
        self._overviews = Overviews(answers, standing_out)
        self._lifts = lifts
        self._timelines = TimelineApi(Timelines(pool), reads, ledger.fold_time, self._fresh)
        self._watching = Watching(pool, clock, ledger.fold_time, self._fresh)
        self._reconciling = ReconcilingApi(
            asking, answers, self._period, self._fresh, ledger.fold_time
        )
        self._flows = FlowsApi(Flows(pool), self._period, self._fresh, ledger.fold_time)

    async def GetCampaignReport(
        self, request: GetCampaignReportRequest, _context: Any
    ) -> GetCampaignReportResponse:
        """What came of one campaign."""
        any_touch = _touch(request.attribution)
        if not request.campaign_id:
            raise FieldInvalid("campaign_id", "missing; name the campaign")
        goal = await self._goal(request.conversion_id)
        report = await self._ledger.campaign(request.campaign_id, any_touch, goal)
        state, total = report.state, report.total
        held = total.tally.outcomes["held_out"]
        if request.attribution == Attribution.ATTRIBUTION_INCREMENTAL and not held:
            raise DataInsufficient("recipients held out, to compare with", 1, 0)
        ended = state.state in ENDED_STATES
        lifts = await self._lifts(state.campaign_id, goal) if held else []
        insights = await self._standing_out.campaign(
            _whole(state.launch_time, self._ledger.now(), self._ledger.zone),
            state.campaign_id,
            [(one.variant, Share(one.tally.read, one.tally.delivered)) for one in report.variants],
        )
        return GetCampaignReportResponse(
            report=CampaignReport(
                campaign_id=state.campaign_id,
                name=state.name,
                state=state.state,
                recipients=total.tally.recipients,
                outcome=_outcome(total.tally),
                funnel=_funnel(total),
                variants=[_variant(v) for v in report.variants],
                costs=_money(total.tally.costs.items()),
                revenues=_money(total.tally.revenues.items()),
                lifts=lifts,
                insights=insights,
                launch_time=stamped(state.launch_time),
                end_time=stamped(state.change_time) if ended else None,
                freshness=self._fresh(report.fold_time, total.tally.unpriced == 0),
            )
        )

    async def GetOverview(self, request: GetOverviewRequest, _context: Any) -> GetOverviewResponse:
        """A period at a glance; without one, the last 30 days."""
        fold_time = self._ledger.fold_time()
        filters(request.filters)  # that something cannot be told with them is no error, they are
        period = self._period(request.period)
        goal = await self._goal(request.conversion_id)
        overview = await self._overviews.read(period, request.filters, goal)
        return GetOverviewResponse(
            totals=overview.totals,
            days=overview.days,
            campaigns=overview.campaigns,
            amounts=overview.amounts,
            insights=overview.insights,
            open_alerts=overview.open_alerts,
            freshness=self._fresh(fold_time, overview.cost_final),
        )

    async def GetFunnel(self, request: GetFunnelRequest, _context: Any) -> GetFunnelResponse:
        """How many people came from step to step."""
        if request.attribution == Attribution.ATTRIBUTION_INCREMENTAL:
            raise QueryUnsupported("attribution: a funnel has no hold-out; see GetCampaignReport")
        steps = _STEPS | ({_CONVERTED: "touched"} if _touch(request.attribution) else {})
        measures = list(request.steps) or list(_USUAL_STEPS)
        if len(set(measures)) < len(measures):
            raise FieldInvalid("steps", "repeated; each may stand once")
        unknown = [m for m in measures if m not in steps]
        if unknown:
            names = ", ".join(Measure.Name(m) for m in _STEPS)
            raise QueryUnsupported(
                f"steps: no funnel over it; use {names}", measure=_named(unknown[0])
            )
        where = Where(period=self._period(request.period), filters=filters(request.filters))
        goal = await self._goal(request.conversion_id)
        counts, fold_time = await self._ledger.funnel(where, [steps[m] for m in measures], goal)
        return GetFunnelResponse(
            steps=[
                FunnelStep(
                    measure=measure,
                    contacts=count,
                    step_rate=_rate(measure, count, counts[max(n - 1, 0)]),
                    overall_rate=_rate(measure, count, counts[0]),
                )
                for n, (measure, count) in enumerate(zip(measures, counts, strict=True))
            ],
            freshness=self._fresh(fold_time, False),
        )

    async def GetStageFlow(
        self, request: GetStageFlowRequest, _context: Any
    ) -> GetStageFlowResponse:
        """How many people moved between stages."""
        return await self._flows.stage_flow(request)

    async def GetCohorts(self, request: GetCohortsRequest, _context: Any) -> GetCohortsResponse:
        """Who of those that began together came again."""
        return await self._flows.cohorts(request)

    async def GetContactTimeline(
        self, request: GetContactTimelineRequest, _context: Any
    ) -> GetContactTimelineResponse:
        """All that happened to one person, latest first."""
        return await self._timelines.page(request)

    async def WatchLive(
        self, request: WatchLiveRequest, _context: Any
    ) -> AsyncIterator[WatchLiveResponse]:
        """What happens, about once a second."""
        async for response in self._watching.watch(request):
            yield response

    async def ReconcileWithMeta(
        self, request: ReconcileWithMetaRequest, _context: Any
    ) -> ReconcileWithMetaResponse:
        """Our figures beside Meta's."""
        return await self._reconciling.reconcile(request)

    async def _goal(self, conversion_id: str) -> str:
        """What counts as a conversion; empty: orders. Raises `ConversionNotFound`."""
        if conversion_id in ("", ORDERS):
            return ""
        await known(self._pool, [conversion_id])
        return conversion_id

    def _fresh(self, fold_time: datetime, cost_final: bool) -> Freshness:
        lag = Duration()
        lag.FromTimedelta(max(self._ledger.now() - fold_time, timedelta(0)))
        return Freshness(fold_time=stamped(fold_time), lag_duration=lag, cost_final=cost_final)

    def _period(self, asked: PeriodMessage) -> Period:
        zone = asked.zone or self._ledger.zone
        try:
            ZoneInfo(zone)
        except (LookupError, OSError, ValueError):
            raise FieldInvalid(
                "period.zone", "unknown; write an IANA time zone like Europe/Istanbul"
            ) from None
        end = _moment(asked, "end_time") or self._ledger.now()
        start = _moment(asked, "start_time") or end - _USUAL
        if start >= end:
            raise FieldInvalid("period.start_time", "not before the period's end")
        if end - start > _LONGEST:
            raise QueryTooLarge(
                "ask for a shorter period",
                limit=f"{_LONGEST.days} days",
                estimate=f"{(end - start).days} days",
            )
        start -= (start - _BEGINNING) % _QUARTER
        end = min(end, _END) + (_BEGINNING - min(end, _END)) % _QUARTER
        return Period(start, end, zone)


def _touch(attribution: int) -> bool:
    """Whether any touch counts rather than the last. Raises `QueryUnsupported`."""
    if attribution == Attribution.ATTRIBUTION_FIRST_TOUCH_AD:
        raise QueryUnsupported("attribution: what ads brought is told by Query, by dimension AD")
    return attribution == Attribution.ATTRIBUTION_ANY_TOUCH


def _whole(launch: datetime | None, now: datetime, zone: str) -> Period:
    """All of a campaign: from before it began."""
    return Period((launch or _BEGINNING) - _DAY, now + _DAY, zone)


def _named(measure: int) -> str:
    names: dict[int, str] = {number: name for name, number in Measure.items()}
    return names.get(measure, str(measure))


def _moment(asked: PeriodMessage, field: str) -> datetime | None:
    if not asked.HasField(field):  # type: ignore[arg-type]  # one of two constants of this module
        return None
    try:
        moment: datetime = getattr(asked, field).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise FieldInvalid(f"period.{field}", "the time is out of range") from None
    return moment


def _outcome(tally: Tally) -> OutcomeCounts:
    o = tally.outcomes
    return OutcomeCounts(
        pending=o["pending"],
        suppressed_gates=tally.gates,
        held_out=o["held_out"],
        unknown=o["unknown"],
        failed_codes=tally.codes,
        sent=o["sent"],
        delivered=o["delivered"],
        read=o["read"],
        cancelled=o["cancelled"],
    )


def _funnel(figures: VariantFigures) -> FunnelCounts:
    tally = figures.tally
    return FunnelCounts(
        planned=tally.recipients,
        sent=tally.sent,
        delivered=tally.delivered,
        read=tally.read,
        clicked=tally.clicked,
        replied=tally.replied,
        converted=figures.tally.converted,
        opted_out=figures.tally.opted_out,
    )


def _variant(figures: VariantFigures) -> VariantReport:
    tally, reached = figures.tally, figures.tally.delivered
    return VariantReport(
        variant=figures.variant,
        template_name=figures.template,
        recipients=tally.recipients,
        outcome=_outcome(tally),
        funnel=_funnel(figures),
        rates=[
            *_rates(tally),
            _rate(Measure.MEASURE_CONVERSION_RATE, figures.tally.converted, reached),
            _rate(Measure.MEASURE_OPT_OUT_RATE, figures.tally.opted_out, reached),
        ],
        costs=_money(tally.costs.items()),
        revenues=_money(figures.tally.revenues.items()),
    )


def _rates(tally: Tally) -> list[Value]:
    return [
        _rate(Measure.MEASURE_DELIVERY_RATE, tally.delivered, tally.sent),
        _rate(Measure.MEASURE_READ_RATE, tally.read, tally.delivered),
        _rate(Measure.MEASURE_CLICK_RATE, tally.clicked, tally.delivered),
        _rate(Measure.MEASURE_REPLY_RATE, tally.replied, tally.delivered),
    ]


def _rate(measure: Any, part: int, whole: int) -> Value:
    share = rate(part, whole)
    if share is None:
        return Value(measure=measure)
    return Value(
        measure=measure,
        value=share.value,
        lower=share.lower,
        upper=share.upper,
        sample_size=share.of,
    )


def _money(amounts: Iterable[tuple[str, int]]) -> list[MoneyAmount]:
    return [
        MoneyAmount(currency_code=currency, amount_micros=micros)
        for currency, micros in sorted(amounts)
    ]
