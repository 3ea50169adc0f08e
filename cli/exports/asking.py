"""What commands ask of exports, as people write it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import typer

from chassis.rpc import channel
from cli.reports import asking
from cli.target import target_of
from cli.told import told
from merhaba.reports.v1 import (
    Export,
    ExportServiceStub,
    ExportSpec,
    Grain,
    MessageFacts,
    Period,
    Query,
    ReportServiceStub,
)

Campaign = Annotated[str, typer.Option(help="The report of this campaign: its name, or its id.")]
Messages = Annotated[bool, typer.Option("--messages", help="Messages, one by one.")]
Measures = Annotated[
    list[str] | None, typer.Option("--measure", help="Figures: sent, read_rate, cost, …")
]
By = Annotated[list[str] | None, typer.Option("--by", help="A dimension of the figures.")]
ByDay = Annotated[bool, typer.Option("--by-day", help="Figures of each day.")]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="dimension=value,…, or dimension!=value.")
]
Format = Annotated[str, typer.Option("--format", help="csv, parquet, xlsx; of campaigns pdf, png.")]
Language = Annotated[str, typer.Option(help="Of a campaign's PDF or PNG: tr or en.")]
Days = Annotated[float, typer.Option(help="The last so many days.")]
Start = Annotated[datetime | None, typer.Option("--from", help="Instead, from this moment on.")]
End = Annotated[datetime | None, typer.Option("--to", help="Until this moment; now.")]


@asynccontextmanager
async def exports() -> AsyncIterator[tuple[ExportServiceStub, ReportServiceStub]]:
    """The running stack of this folder, or REPORTS_TARGET with API_TOKEN."""
    with told():
        async with channel(*target_of("reports"), purpose="making files of reports") as opened:
            yield ExportServiceStub(opened), ReportServiceStub(opened)


async def spec(
    service: ReportServiceStub,
    campaign: str,
    messages: bool,
    measures: Sequence[str],
    by: Sequence[str],
    by_day: bool,
    where: Sequence[str],
    period: Period,
    format_: str,
    language: str,
) -> ExportSpec:
    """What to write to a file: exactly one of a campaign, messages and measures."""
    if sum(map(bool, (campaign, messages, measures))) != 1:
        raise typer.BadParameter("say what: one of --campaign, --messages and --measure")
    made = ExportSpec(format=_format(format_), language=language)
    if campaign:
        made.campaign_id = await asking.campaign_id(service, campaign)
    elif messages:
        made.messages.CopyFrom(MessageFacts(filters=asking.filters(where), period=period))
    else:
        made.query.CopyFrom(
            Query(
                measures=[asking.measure(one) for one in measures],
                dimensions=[asking.dimension(one) for one in by],
                filters=asking.filters(where),
                period=period,
                grain=Grain.GRAIN_DAY if by_day else Grain.GRAIN_UNSPECIFIED,
            )
        )
    return made


def state(of: Export) -> str:
    """Where an export stands, as a word."""
    return Export.State.Name(of.state).removeprefix("STATE_").lower()


def _format(word: str) -> Any:
    known = [name.removeprefix("FORMAT_").lower() for name in ExportSpec.Format.keys()[1:]]
    if word not in known:
        raise typer.BadParameter(f"{word}: no format; there are {', '.join(known)}")
    return ExportSpec.Format.Value(f"FORMAT_{word.upper()}")
