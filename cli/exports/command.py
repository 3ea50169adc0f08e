"""`merhaba exports`: answers as files."""

from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from rich.table import Table
from rich.text import Text

from cli.exports import asking, schedules
from cli.exports.saving import save
from cli.reports.asking import period
from cli.terminal import Console, echo
from cli.told import time_told
from merhaba.reports.v1 import CancelExportRequest, ListExportsRequest, StartExportRequest

app = typer.Typer(help="Answers as files.", no_args_is_help=True)
app.add_typer(schedules.app, name="schedules")

Out = Annotated[Path | None, typer.Option("--out", help="A new file, or a folder; here.")]


@app.command()
def start(
    campaign: asking.Campaign = "",
    messages: asking.Messages = False,
    measures: asking.Measures = None,
    by: asking.By = None,
    by_day: asking.ByDay = False,
    where: asking.Where = None,
    format_: asking.Format = "csv",
    language: asking.Language = "",
    days: asking.Days = 30,
    start_: asking.Start = None,
    end: asking.End = None,
    zone: Annotated[str, typer.Option(help="IANA zone in which days are told.")] = "",
    out: Out = None,
    wait: Annotated[bool, typer.Option(help="Wait for the file and bring it.")] = True,
) -> None:
    """Make a file, show how far it is, and bring it."""

    async def ask() -> None:
        async with asking.exports() as (service, reports):
            spec = await asking.spec(
                *(reports, campaign, messages, measures or (), by or (), by_day, where or ()),
                *(period(days, start_, end, zone), format_, language),
            )
            request = StartExportRequest(request_id=str(uuid4()), spec=spec)
            export_id = (await service.StartExport(request)).export.export_id
            echo(export_id)
            if wait:
                echo(await save(service, export_id, out))

    uvloop.run(ask())


@app.command()
def watch(export_id: str, out: Out = None) -> None:
    """Show how far a file is that somebody began, and bring it."""

    async def ask() -> None:
        async with asking.exports() as (service, _):
            echo(await save(service, export_id, out))

    uvloop.run(ask())


@app.command()
def cancel(export_id: str) -> None:
    """End one that waits or runs."""

    async def ask() -> None:
        async with asking.exports() as (service, _):
            answer = await service.CancelExport(CancelExportRequest(export_id=export_id))
        echo(f"{export_id} {asking.state(answer.export)}")

    uvloop.run(ask())


@app.command("list")
def list_exports(
    most: Annotated[int, typer.Option(help="How many to show.")] = 50,
    schedule: Annotated[str, typer.Option(help="Only those of this schedule.")] = "",
) -> None:
    """Files that are made, or were, the latest first."""

    async def ask() -> None:
        request = ListExportsRequest(page_size=most, schedule_id=schedule)
        async with asking.exports() as (service, _):
            page = await service.ListExports(request)
        table = Table("export", "file", "state", "rows", "MB", "begun", "kept until")
        for one in page.exports:
            table.add_row(
                one.export_id,
                Text(one.filename),
                Text(" ".join(filter(None, (asking.state(one), one.failure)))),
                f"{one.written_rows:,}" + (f" of {one.total_rows:,}" if one.total_rows else ""),
                f"{one.size_bytes / 1_000_000:,.1f}",
                time_told(one.create_time),
                time_told(one.expire_time) if one.HasField("expire_time") else "-",
            )
        Console().print(table)

    uvloop.run(ask())
