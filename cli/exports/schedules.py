"""`merhaba exports schedules`: files that are made and delivered again and again."""

from datetime import timedelta
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from google.protobuf.field_mask_pb2 import FieldMask
from rich.table import Table
from rich.text import Text

from cli.calling import pages
from cli.exports import asking
from cli.terminal import Console, echo
from cli.told import time_told
from merhaba.reports.v1 import (
    BucketDestination,
    CreateExportScheduleRequest,
    DeleteExportScheduleRequest,
    ExportDestination,
    ExportSchedule,
    ListExportSchedulesRequest,
    Period,
    UpdateExportScheduleRequest,
    WebhookDestination,
)

app = typer.Typer(help="Files that are made again and again.", no_args_is_help=True)


@app.command()
def add(
    name: str,
    cron: Annotated[str, typer.Option(help="Minute, hour, day, month, weekday: '30 8 * * 1'.")],
    covers: Annotated[float, typer.Option(help="How many days back each file reaches.")],
    zone: Annotated[str, typer.Option(help="IANA zone of the clock.")] = "Europe/Istanbul",
    campaign: asking.Campaign = "",
    messages: asking.Messages = False,
    measures: asking.Measures = None,
    by: asking.By = None,
    by_day: asking.ByDay = False,
    where: asking.Where = None,
    format_: asking.Format = "csv",
    language: asking.Language = "",
    folder: Annotated[str, typer.Option(help="To this folder below EXPORT_FOLDER.")] = "",
    webhook: Annotated[str, typer.Option(help="To this https:// address, signed.")] = "",
    bucket: Annotated[str, typer.Option(help="To this bucket with an S3 interface.")] = "",
    endpoint: Annotated[str, typer.Option(help="Of the bucket, where it is not Amazon's.")] = "",
    region: Annotated[str, typer.Option(help="Of the bucket.")] = "",
    prefix: Annotated[str, typer.Option(help="What names in the bucket begin with.")] = "",
    key: Annotated[
        str, typer.Option(help="Name in WEBHOOK_SECRETS, or in EXPORT_CREDENTIALS.")
    ] = "",
) -> None:
    """Have a file made and delivered again and again."""
    if sum(map(bool, (folder, webhook, bucket))) != 1:
        raise typer.BadParameter("say where to: one of --folder, --webhook and --bucket")

    async def ask() -> None:
        async with asking.exports() as (service, reports):
            spec = await asking.spec(
                *(reports, campaign, messages, measures or (), by or (), by_day, where or ()),
                *(Period(zone=zone), format_, language),
            )
            wanted = ExportSchedule(
                name=name,
                spec=spec,
                cron=cron,
                zone=zone,
                destination=_destination(folder, webhook, bucket, endpoint, region, prefix, key),
            )
            wanted.period_duration.FromTimedelta(timedelta(days=covers))
            request = CreateExportScheduleRequest(request_id=str(uuid4()), schedule=wanted)
            made = (await service.CreateExportSchedule(request)).schedule
        echo(f"{made.schedule_id} runs next at {time_told(made.next_run_time)}")

    uvloop.run(ask())


def _destination(
    folder: str, webhook: str, bucket: str, endpoint: str, region: str, prefix: str, key: str
) -> ExportDestination:
    if webhook:
        return ExportDestination(webhook=WebhookDestination(url=webhook, secret_name=key))
    if folder:
        return ExportDestination(folder=folder)
    return ExportDestination(
        bucket=BucketDestination(
            endpoint=endpoint, region=region, bucket=bucket, prefix=prefix, credential_name=key
        )
    )


@app.command("list")
def list_schedules() -> None:
    """Schedules by name."""

    async def ask() -> None:
        table = Table("schedule", "name", "when", "goes to", "next", "last file", "failed")
        request = ListExportSchedulesRequest()
        async with asking.exports() as (service, _):
            async for page in pages(service.ListExportSchedules, request):
                for one in page.schedules:
                    table.add_row(
                        one.schedule_id,
                        Text(one.name),
                        f"{one.cron} {one.zone}",
                        str(one.destination.WhichOneof("destination")),
                        "paused" if one.disabled else time_told(one.next_run_time),
                        one.last_export_id or "-",
                        Text(one.last_failure or "-"),
                    )
        Console().print(table)

    uvloop.run(ask())


@app.command()
def pause(schedule_id: str) -> None:
    """Let one rest."""
    _change(schedule_id, disabled=True)


@app.command()
def resume(schedule_id: str) -> None:
    """Go on with one."""
    _change(schedule_id, disabled=False)


@app.command()
def delete(schedule_id: str) -> None:
    """Delete one; the files it made stay until their time is over."""

    async def ask() -> None:
        async with asking.exports() as (service, _):
            await service.DeleteExportSchedule(DeleteExportScheduleRequest(schedule_id=schedule_id))
        echo(f"{schedule_id} deleted")

    uvloop.run(ask())


def _change(schedule_id: str, *, disabled: bool) -> None:
    async def ask() -> None:
        request = UpdateExportScheduleRequest(
            schedule=ExportSchedule(schedule_id=schedule_id, disabled=disabled),
            update_mask=FieldMask(paths=["disabled"]),
        )
        async with asking.exports() as (service, _):
            await service.UpdateExportSchedule(request)
        echo(f"{schedule_id} {'paused' if disabled else 'runs'}")

    uvloop.run(ask())
