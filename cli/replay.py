"""`merhaba replay`: archived webhooks once more, as after a restore."""

from datetime import UTC, datetime
from typing import Annotated

import typer
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.calling import calling
from cli.terminal import Console, echo
from merhaba.ingest.v1 import IngestAdminServiceStub, ReplayWebhooksRequest, ReplayWebhooksResponse


def replay(
    since: Annotated[datetime, typer.Option(help="Received from this moment on, in UTC.")],
    until: Annotated[
        datetime | None, typer.Option(help="Received before this moment, in UTC; now.")
    ] = None,
    cursor: Annotated[str, typer.Option(help="Where a former replay stood.")] = "",
    per_second: Annotated[
        int, typer.Option(help="Webhooks a second at most; 0: as fast as they are handled.")
    ] = 0,
) -> None:
    """Send archived webhooks through again; what already had its effect has none again."""
    request = ReplayWebhooksRequest(
        start_time=_stamp(since),
        end_time=_stamp(until or datetime.now(UTC)),
        cursor=cursor,
        max_webhooks_per_second=per_second,
    )
    uvloop.run(_follow(request))


async def _follow(request: ReplayWebhooksRequest) -> None:
    last = ReplayWebhooksResponse(cursor=request.cursor)
    columns = (TextColumn("webhooks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as shown:
            bar = shown.add_task("webhooks", total=None)
            async with calling("ingest", IngestAdminServiceStub) as ingest:
                async for last in ingest.ReplayWebhooks(request):
                    shown.update(bar, total=last.total_count, completed=last.replayed_count)
    except BaseException:
        if last.cursor:
            echo(f"merhaba: it goes on from here with --cursor {last.cursor}", err=True)
        raise
    echo(
        f"{last.replayed_count} webhooks, {last.event_count} events;"
        f" {last.failed_count} could not be read"
    )


def _stamp(moment: datetime) -> Timestamp:
    stamped = Timestamp()
    stamped.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return stamped
