"""`merhaba report`: what came of it, and what it cost."""

from datetime import datetime
from typing import Annotated, Any

import typer
import uvloop
from rich.table import Table
from rich.text import Text

from cli.calling import pages
from cli.reports import asking, tables, ways, words
from cli.terminal import Console
from cli.told import time_told
from merhaba.reports.v1 import (
    Attribution,
    CostLine,
    GetCampaignReportRequest,
    GetContactTimelineRequest,
    GetCostReportRequest,
    GetHeatMapRequest,
    GetOverviewRequest,
    Grain,
    Measure,
    Query,
    QueryRequest,
    ReconcileWithMetaRequest,
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
For = Annotated[
    str,
    typer.Option(
        "--conversion", help="What counts as a conversion, by its name or id; else orders."
    ),
]


@app.command()
def overview(
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    where: Where = None,
    conversion: For = "",
) -> None:
    """How many were sent, delivered, read, replied, clicked and bought; what it cost."""

    async def ask() -> None:
        async with asking.reports() as service:
            found = await service.GetOverview(
                GetOverviewRequest(
                    period=asking.period(days, start, end, zone),
                    filters=asking.filters(where or ()),
                    conversion_id=await asking.conversion_id(conversion),
                )
            )
        console = Console()
        console.print(words.figures(found.totals))
        if found.amounts:
            measures = [value.measure for value in found.amounts[0].values]
            console.print(words.rows(found.amounts, [], measures))
        if found.campaigns:
            console.print(tables.campaigns(found.campaigns))
        if found.open_alerts:
            console.print(f"{found.open_alerts} open alerts")
        _end(console, found)

    uvloop.run(ask())


@app.command()
def campaign(
    name: Annotated[str, typer.Argument(help="The campaign's name, or its id.")],
    any_touch: Annotated[
        bool, typer.Option(help="Every message before an order brought it, not the last alone.")
    ] = False,
    conversion: For = "",
) -> None:
    """What came of one campaign, by variant: whether B is better than A."""

    async def ask() -> None:
        async with asking.reports() as service:
            request = GetCampaignReportRequest(
                campaign_id=await asking.campaign_id(service, name),
                attribution=Attribution.ATTRIBUTION_ANY_TOUCH
                if any_touch
                else Attribution.ATTRIBUTION_UNSPECIFIED,
                conversion_id=await asking.conversion_id(conversion),
            )
            report = (await service.GetCampaignReport(request)).report
        console = Console()
        console.print(Text(f"{report.name or report.campaign_id}: {report.state}"))
        console.print(tables.funnel(report))
        console.print(tables.outcomes(report))
        console.print(tables.variants(report))
        for lift in report.lifts:
            what = words.name_of(Measure, lift.measure)
            console.print(
                f"{what} over those held out: {lift.value:+.1%}"
                f" ({lift.lower:+.1%} to {lift.upper:+.1%}, {lift.sample_size:,} held out)"
            )
        _end(console, report)

    uvloop.run(ask())


@app.command()
def costs(
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    where: Where = None,
    by: By = None,
    conversion: For = "",
) -> None:
    """What messages cost, per outcome, and what came back; by market and category unless said."""

    async def ask() -> None:
        request = GetCostReportRequest(
            period=asking.period(days, start, end, zone),
            filters=asking.filters(where or ()),
            dimensions=[asking.dimension(one) for one in by or ("market", "category")],
            page_size=10_000,
            conversion_id=await asking.conversion_id(conversion),
        )
        lines: list[CostLine] = []
        async with asking.reports() as service:
            async for page in pages(service.GetCostReport, request):
                lines += page.lines
        console = Console()
        console.print(tables.costs(lines, by or ("market", "category")))
        console.print(f"together {tables.amounts(page.totals)}")
        _end(console, page)

    uvloop.run(ask())


@app.command()
def hours(
    measure: Annotated[str, typer.Argument(help="read_rate, reply_rate, sent, …")] = "read_rate",
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    where: Where = None,
    own: Annotated[bool, typer.Option(help="In each person's own zone.")] = False,
    conversion: For = "",
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
                    conversion_id=await asking.conversion_id(conversion),
                )
            )
        console = Console()
        console.print(words.heat(found.cells))
        _end(console, found)

    uvloop.run(ask())


@app.command()
def funnel(
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    where: Where = None,
    conversion: For = "",
) -> None:
    """How many people came from step to step."""

    async def ask() -> None:
        period = asking.period(days, start, end, zone)
        table, found = await ways.funnel(period, where or [], conversion)
        console = Console()
        console.print(table)
        _end(console, found)

    uvloop.run(ask())


@app.command()
def ads(
    days: Days = 30,
    start: Start = None,
    end: End = None,
    zone: Zone = "",
    where: Where = None,
    conversion: For = "",
    most: Annotated[int, typer.Option(help="How many ads to show.")] = 50,
) -> None:
    """How many people came by each click-to-WhatsApp ad, and what they bought then."""

    async def ask() -> None:
        period = asking.period(days, start, end, zone)
        shown, found = await ways.ads(period, where or [], conversion, most)
        console = Console()
        for table in shown:
            console.print(table)
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
    any_touch: Annotated[bool, typer.Option(help="Conversions by any touch.")] = False,
    most: Annotated[int, typer.Option(help="How many rows to show.")] = 50,
    conversion: Annotated[
        list[str] | None,
        typer.Option(help="What counts as a conversion, by name or id; may be given again."),
    ] = None,
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
            conversion_ids=[await asking.conversion_id(one) for one in conversion or ()],
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
