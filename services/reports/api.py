"""The gRPC door of reports."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from google.protobuf.duration_pb2 import Duration

from chassis.failures import FieldInvalid, Unimplemented
from chassis.times import stamped
from merhaba.reports.v1 import (
    Attribution,
    CampaignReport,
    Dimension,
    DimensionValue,
    Filter,
    Freshness,
    FunnelCounts,
    FunnelStep,
    GetCampaignReportRequest,
    GetCampaignReportResponse,
    GetFunnelRequest,
    GetFunnelResponse,
    GetOverviewRequest,
    GetOverviewResponse,
    Measure,
    MoneyAmount,
    OutcomeCounts,
    QueryRow,
    ReportServiceServicer,
    Value,
    VariantReport,
)
from merhaba.reports.v1 import Period as PeriodMessage
from services.reports.funnel import Tally, rate
from services.reports.ledger import Ledger, VariantFigures, Where
from services.reports.model import ENDED_STATES, Period, QueryTooLarge

_LONGEST: Final = timedelta(days=800)
_USUAL: Final = timedelta(days=30)
_MOST_VALUES: Final = 1_000
_COLUMNS: Final = {
    Dimension.DIMENSION_CAMPAIGN: "campaign_id",
    Dimension.DIMENSION_TEMPLATE: "template",
    Dimension.DIMENSION_VARIANT: "variant",
    Dimension.DIMENSION_LANGUAGE: "language",
    Dimension.DIMENSION_MARKET: "market",
    Dimension.DIMENSION_NUMBER: "phone_number_id",
    Dimension.DIMENSION_CATEGORY: "category",
    Dimension.DIMENSION_GATE: "gate",
    Dimension.DIMENSION_ERROR_CODE: "fail_code",
}
_STEPS: Final = {
    Measure.MEASURE_PLANNED: "planned",
    Measure.MEASURE_SENT: "sent",
    Measure.MEASURE_DELIVERED: "delivered",
    Measure.MEASURE_READ: "read",
    Measure.MEASURE_CLICKED: "clicked",
    Measure.MEASURE_REPLIED: "replied",
    Measure.MEASURE_CONVERTED: "converted",
}


class ReportApi(ReportServiceServicer):
    """Answers from the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def GetCampaignReport(
        self, request: GetCampaignReportRequest, _context: Any
    ) -> GetCampaignReportResponse:
        """What came of one campaign."""
        _last_touch(request.attribution)
        if not request.campaign_id:
            raise FieldInvalid("campaign_id", "missing; name the campaign")
        report = await self._ledger.campaign(request.campaign_id)
        state, total = report.state, report.total
        ended = state.state in ENDED_STATES
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
                revenues=_money(total.sales.revenues.items()),
                launch_time=stamped(state.launch_time),
                end_time=stamped(state.change_time) if ended else None,
                freshness=self._fresh(report.fold_time, total.tally.unpriced == 0),
            )
        )

    async def GetOverview(self, request: GetOverviewRequest, _context: Any) -> GetOverviewResponse:
        """A period at a glance; without one, the last 30 days."""
        period = self._period(request.period)
        overview = await self._ledger.overview(Where(filters=_filters(request.filters)), period)
        zone = ZoneInfo(period.zone)
        return GetOverviewResponse(
            totals=_values(
                overview.total, overview.people, overview.previous, overview.previous_people
            ),
            days=[
                QueryRow(
                    bucket_time=stamped(datetime.fromisoformat(day).replace(tzinfo=zone)),
                    values=_values(counted),
                )
                for day, counted in overview.days
            ],
            campaigns=[
                QueryRow(
                    dimensions=[
                        DimensionValue(
                            value=line.state.campaign_id,
                            label=line.state.name or line.state.campaign_id,
                        )
                    ],
                    values=_values(line.tally),
                )
                for line in overview.campaigns
            ],
            freshness=self._fresh(overview.fold_time, overview.total.unpriced == 0),
        )

    async def GetFunnel(self, request: GetFunnelRequest, _context: Any) -> GetFunnelResponse:
        """How many people came from step to step."""
        _last_touch(request.attribution)
        measures = list(request.steps) or list(_STEPS)
        if len(set(measures)) < len(measures):
            raise FieldInvalid("steps", "repeated; each may stand once")
        unknown = [m for m in measures if m not in _STEPS]
        if unknown:
            names = ", ".join(Measure.Name(m) for m in _STEPS)
            raise Unimplemented(f"no funnel over {Measure.Name(unknown[0])} yet; use {names}")
        where = Where(period=self._period(request.period), filters=_filters(request.filters))
        counts, fold_time = await self._ledger.funnel(where, [_STEPS[m] for m in measures])
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
        return Period(start, end, zone)


def _last_touch(attribution: int) -> None:
    if attribution not in (
        Attribution.ATTRIBUTION_UNSPECIFIED,
        Attribution.ATTRIBUTION_LAST_TOUCH,
    ):
        raise Unimplemented("conversions are attributed by last touch so far; leave it unset")


def _filters(asked: Sequence[Filter]) -> tuple[tuple[str, tuple[str, ...], bool], ...]:
    for n, one in enumerate(asked):
        path = f"filters[{n}]"
        if one.dimension == Dimension.DIMENSION_UNSPECIFIED:
            raise FieldInvalid(f"{path}.dimension", "missing; name a dimension")
        if one.dimension not in _COLUMNS:
            names = ", ".join(Dimension.Name(d) for d in _COLUMNS)
            raise Unimplemented(f"{path}: no filter by this dimension yet; use {names}")
        if len(one.values) > _MOST_VALUES:
            raise FieldInvalid(f"{path}.values", "too many values", limit=str(_MOST_VALUES))
    return tuple((_COLUMNS[one.dimension], tuple(one.values), one.exclude) for one in asked)


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
        converted=figures.sales.converted,
        opted_out=figures.opted_out,
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
            _rate(Measure.MEASURE_CONVERSION_RATE, figures.sales.converted, reached),
            _rate(Measure.MEASURE_OPT_OUT_RATE, figures.opted_out, reached),
        ],
        costs=_money(tally.costs.items()),
        revenues=_money(figures.sales.revenues.items()),
    )


def _counts(tally: Tally) -> dict[int, int]:
    o = tally.outcomes
    return {
        Measure.MEASURE_PLANNED: tally.recipients,
        Measure.MEASURE_SENT: tally.sent,
        Measure.MEASURE_DELIVERED: tally.delivered,
        Measure.MEASURE_READ: tally.read,
        Measure.MEASURE_CLICKED: tally.clicked,
        Measure.MEASURE_REPLIED: tally.replied,
        Measure.MEASURE_FAILED: o["failed"],
        Measure.MEASURE_SUPPRESSED: o["suppressed"],
        Measure.MEASURE_HELD_OUT: o["held_out"],
        Measure.MEASURE_UNKNOWN: o["unknown"],
        Measure.MEASURE_PENDING: o["pending"],
    }


def _rates(tally: Tally) -> list[Value]:
    return [
        _rate(Measure.MEASURE_DELIVERY_RATE, tally.delivered, tally.sent),
        _rate(Measure.MEASURE_READ_RATE, tally.read, tally.delivered),
        _rate(Measure.MEASURE_CLICK_RATE, tally.clicked, tally.delivered),
        _rate(Measure.MEASURE_REPLY_RATE, tally.replied, tally.delivered),
    ]


def _values(
    tally: Tally,
    people: int | None = None,
    previous: Tally | None = None,
    previous_people: int | None = None,
) -> list[Value]:
    before = _counts(previous) if previous else {}
    values = [
        Value(measure=measure, value=count, previous_value=before.get(measure))  # type: ignore[arg-type]  # enum values are ints at run time
        for measure, count in _counts(tally).items()
    ]
    if people is not None:
        values.append(
            Value(measure=Measure.MEASURE_RECIPIENTS, value=people, previous_value=previous_people)
        )
    rates = _rates(tally)
    for value, old in zip(rates, _rates(previous) if previous else [], strict=False):
        if old.HasField("value"):
            value.previous_value = old.value
    return [*values, *rates]


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
