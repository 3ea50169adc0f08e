"""`merhaba report`: what came of it, and what it cost."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
import uvloop
from rich.table import Table
from rich.text import Text

from cli.calling import pages
from cli.reports import asking, words
from cli.terminal import Console
from cli.told import time_told
from merhaba.reports.v1 import (
    Attribution,
    CampaignReport,
    CostLine,
    GetCampaignReportRequest,
    GetContactTimelineRequest,
    GetCostReportRequest,
    GetHeatMapRequest,
    GetOverviewRequest,
    Grain,
    Measure,
    MoneyAmount,
    Query,
    QueryRequest,
    QueryRow,
    ReconcileWithMetaRequest,
    Value,
)

app = typer.Typer(help="What came of it, and what it cost.", no_args_is_help=True)

Days = Annotated[float, typer.Option(help="The last so many days.")]
Start = Annotated[datetime | None, typer.Option("--from", help="Instead, from this moment on.")]
End = Annotated[datetime | None, typer.Option("--to", help="Until this moment; now.")]
Zone = Annotated[str, typer.Option(help="IANA zone in which days are told.")]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="dimension=value,…, or dimension!=value.")
]
By = Annotated[
    list[str] | None, typer.Option("--by", help="A dimension: template, segment, hour, …")
]


@app.command()
def overview(
    days: Days = 30, start: Start = None, end: End = None, zone: Zone = "", where: Where = None
) -> None:
    """How many were sent, delivered, read, replied, clicked and bought; what it cost."""

    async def ask() -> None:
        async with asking.reports() as service:
            found = await service.GetOverview(
                GetOverviewRequest(
                    period=asking.period(days, start, end, zone),
                    filters=asking.filters(where or ()),
                )
            )
        console = Console()
        console.print(words.figures(found.totals))
        if found.amounts:
            measures = [value.measure for value in found.amounts[0].values]
            console.print(words.rows(found.amounts, [], measures))
        if found.campaigns:
            _print_main(console, found.campaigns)
        if found.open_alerts:
            console.print(f"{found.open_alerts} open alerts")
        _end(console, found)

    uvloop.run(ask())


def _print_main(console: Console, found: Sequence[QueryRow]) -> None:
    """Campaigns by the figures that matter most."""
    wanted = [
        *(Measure.MEASURE_SENT, Measure.MEASURE_DELIVERY_RATE, Measure.MEASURE_READ_RATE),
        *(Measure.MEASURE_REPLY_RATE, Measure.MEASURE_CLICK_RATE, Measure.MEASURE_CONVERTED),
    ]
    table = Table("campaign", *(words.name_of(Measure, measure) for measure in wanted))
    for row in found:
        values = {value.measure: value for value in row.values}
        shown = []
        for measure in wanted:
            plain = Value(measure=measure)
            if values[measure].HasField("value"):
                plain.value = values[measure].value
            shown.append(words.told(plain))
        table.add_row(Text(row.dimensions[0].label), *shown)
    console.print(table)


@app.command()
def campaign(
    name: Annotated[str, typer.Argument(help="The campaign's name, or its id.")],
    any_touch: Annotated[
        bool, typer.Option(help="Every message before an order brought it, not the last alone.")
    ] = False,
) -> None:
    """What came of one campaign, by variant: whether B is better than A."""

    async def ask() -> None:
        async with asking.reports() as service:
            request = GetCampaignReportRequest(
                campaign_id=await asking.campaign_id(service, name),
                attribution=Attribution.ATTRIBUTION_ANY_TOUCH
                if any_touch
                else Attribution.ATTRIBUTION_UNSPECIFIED,
            )
            report = (await service.GetCampaignReport(request)).report
        console = Console()
        console.print(Text(f"{report.name or report.campaign_id}: {report.state}"))
        console.print(_funnel(report))
        console.print(_outcomes(report))
        console.print(_variants(report))
        for lift in report.lifts:
            what = words.name_of(Measure, lift.measure)
            console.print(
                f"{what} over those held out: {lift.value:+.1%}"
                f" ({lift.lower:+.1%} to {lift.upper:+.1%}, {lift.sample_size:,} held out)"
            )
        _end(console, report)

    uvloop.run(ask())


def _funnel(report: CampaignReport) -> Table:
    funnel = report.funnel
    names = [field.name for field in funnel.DESCRIPTOR.fields]
    table = Table(*(name.replace("_", " ") for name in names), "cost", "revenue")
    amounts = (_amounts(report.costs), _amounts(report.revenues))
    table.add_row(*(f"{getattr(funnel, name):,}" for name in names), *amounts)
    return table


def _outcomes(report: CampaignReport) -> Table:
    outcome = report.outcome
    found = {
        name: getattr(outcome, name)
        for name in ("read", "delivered", "sent", "pending", "unknown", "held_out", "cancelled")
    }
    found |= {f"suppressed: {gate}": n for gate, n in sorted(outcome.suppressed_gates.items())}
    found |= {f"failed: {code}": n for code, n in sorted(outcome.failed_codes.items())}
    table = Table("outcome", "recipients")
    for name, count in found.items():
        if count:
            table.add_row(name.replace("_", " "), f"{count:,}")
    return table


def _variants(report: CampaignReport) -> Table:
    measures = [value.measure for value in report.variants[0].rates] if report.variants else []
    table = Table("variant", "template", "recipients")
    for measure in measures:
        table.add_column(words.name_of(Measure, measure), justify="right")
    table.add_column("cost", justify="right")
    for one in report.variants:
        table.add_row(
            one.variant or "-",
            one.template_name,
            f"{one.recipients:,}",
            *(words.told(value) for value in one.rates),
            _amounts(one.costs),
        )
    return table


def _amounts(amounts: Sequence[MoneyAmount]) -> str:
    told = [
        f"{one.amount_micros / 1_000_000:,.2f} {one.currency_code}"
        for one in amounts
        if one.amount_micros
    ]
    return ", ".join(told) or "-"


@app.command()
def costs(
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    where: Where = None,
    by: By = None,
) -> None:
    """What messages cost, per outcome, and what came back; by market and category unless said."""

    async def ask() -> None:
        request = GetCostReportRequest(
            period=asking.period(days, start, end, zone),
            filters=asking.filters(where or ()),
            dimensions=[asking.dimension(one) for one in by or ("market", "category")],
            page_size=10_000,
        )
        lines: list[CostLine] = []
        async with asking.reports() as service:
            async for page in pages(service.GetCostReport, request):
                lines += page.lines
        console = Console()
        console.print(_costs(lines, by or ("market", "category")))
        console.print(f"together {_amounts(page.totals)}")
        _end(console, page)

    uvloop.run(ask())


def _costs(lines: Sequence[CostLine], by: Sequence[str]) -> Table:
    # Of values the cost itself stands first
    measures = [value.measure for value in lines[0].values][1:] if lines else []
    table = Table(*by, "messages", "billable", "cost")
    for measure in measures:
        table.add_column(words.name_of(Measure, measure), justify="right")
    for line in lines:
        table.add_row(
            *(Text(one.label or one.value or "(none)") for one in line.dimensions),
            f"{line.messages:,}",
            f"{line.billable_messages:,}",
            f"{line.cost_micros / 1_000_000:,.2f} {line.currency_code}",
            *(words.told(value, line.currency_code) for value in line.values[1:]),
        )
    return table


@app.command()
def hours(
    measure: Annotated[str, typer.Argument(help="read_rate, reply_rate, sent, …")] = "read_rate",
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    where: Where = None,
    own: Annotated[bool, typer.Option(help="In each person's own zone.")] = False,
) -> None:
    """Which hour of the week works best."""

    async def ask() -> None:
        async with asking.reports() as service:
            found = await service.GetHeatMap(
                GetHeatMapRequest(
                    measure=asking.measure(measure),
                    period=asking.period(days, start, end, zone),
                    filters=asking.filters(where or ()),
                    contact_zone=own,
                )
            )
        console = Console()
        console.print(words.heat(found.cells))
        _end(console, found)

    uvloop.run(ask())


@app.command()
def query(
    measures: Annotated[list[str], typer.Argument(help="read_rate sent cost …")],
    by: By = None,
    where: Where = None,
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    grain: Annotated[str, typer.Option(help="hour, day, week or month.")] = "",
    compare: Annotated[bool, typer.Option(help="Beside the period before.")] = False,
    any_touch: Annotated[bool, typer.Option(help="Orders by any touch.")] = False,
    most: Annotated[int, typer.Option(help="How many rows to show.")] = 50,
) -> None:
    """Any measures by any dimensions: which message, segment or hour works best."""

    async def ask() -> None:
        asked = [asking.measure(one) for one in measures]
        wanted = Query(
            measures=asked,
            dimensions=[asking.dimension(one) for one in by or ()],
            filters=asking.filters(where or ()),
            period=asking.period(days, start, end, zone),
            grain=_grain(grain),
            compare_previous=compare,
            attribution=Attribution.ATTRIBUTION_ANY_TOUCH
            if any_touch
            else Attribution.ATTRIBUTION_UNSPECIFIED,
            # By time where there is time, else the best first
            order_measure=Measure.MEASURE_UNSPECIFIED if grain else asked[0],
        )
        async with asking.reports() as service:
            page = await service.Query(QueryRequest(query=wanted, page_size=most))
        console = Console()
        console.print(words.rows(page.rows, by or (), asked))
        if page.next_page_token:
            console.print(f"the first {most}; --most shows more")
        _end(console, page)

    uvloop.run(ask())


def _grain(word: str) -> Any:
    if not word:
        return Grain.GRAIN_UNSPECIFIED
    name = f"GRAIN_{word.upper()}"
    if name not in Grain.keys():  # noqa: SIM118 - an enum wrapper
        raise typer.BadParameter(f"{word}: give hour, day, week or month")
    return Grain.Value(name)


@app.command()
def contact(
    contact_id: str,
    purpose: Annotated[str, typer.Option(help="What for; it is put on record.")],
    most: Annotated[int, typer.Option(help="How many to show.")] = 50,
) -> None:
    """What happened to one person, and why each message went or did not."""

    async def ask() -> None:
        request = GetContactTimelineRequest(contact_id=contact_id, page_size=most)
        async with asking.reports(purpose) as service:
            page = await service.GetContactTimeline(request)
        console = Console()
        for item in page.items:
            body = item.event.WhichOneof("body") or ""
            what = item.event.tracked.name if body == "tracked" else body
            console.print(Text(f"{time_told(item.event_time)} {what.replace('_', ' ')}"))
            for step in item.why:
                when = time_told(step.event_time) if step.HasField("event_time") else " " * 20
                told = " ".join(filter(None, (step.kind, step.label, step.outcome, step.reason)))
                console.print(Text(f"    {when} {told}"))
        _end(console, page)

    uvloop.run(ask())


@app.command()
def meta(
    waba_id: str,
    days: Days = 7,
    start: Start = None,
    end: End = None,
    by: By = None,
) -> None:
    """Our figures beside Meta's."""

    async def ask() -> None:
        request = ReconcileWithMetaRequest(
            waba_id=waba_id,
            period=asking.period(days, start, end, "UTC"),
            dimensions=[asking.dimension(one) for one in by or ()],
            page_size=10_000,
        )
        async with asking.reports() as service:
            page = await service.ReconcileWithMeta(request)
        table = Table("day", *(by or ()), "measure", "ours", "Meta's", "apart", "why")
        for line in page.lines:
            table.add_row(
                time_told(line.bucket_time)[:10],
                *(Text(one.label) for one in line.dimensions),
                words.name_of(Measure, line.measure),
                f"{line.our_value:,.2f} {line.currency_code}".strip(),
                f"{line.meta_value:,.2f}" if line.HasField("meta_value") else "-",
                f"{line.difference:+,.2f}" if line.HasField("difference") else "-",
                line.reason.replace("_", " "),
            )
        console = Console()
        console.print(table)
        _end(console, page)

    uvloop.run(ask())


def _end(console: Console, found: Any) -> None:
    """What stands out, and how new it is."""
    for line in words.insights(getattr(found, "insights", ())):
        console.print(Text(line))
    console.print(Text(words.fresh(found.freshness), style="dim"))
