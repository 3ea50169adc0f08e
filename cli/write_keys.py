"""`merhaba write-keys`: keys with which the business's sources post events."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from chassis.times import stamped
from cli.calling import calling, pages
from cli.terminal import Console, echo
from merhaba.ingest.v1 import (
    CreateWriteKeyRequest,
    IngestAdminServiceStub,
    ListWriteKeysRequest,
    RevokeWriteKeyRequest,
    UpdateWriteKeyRequest,
    WriteKey,
)

app = typer.Typer(help="Keys with which sources post events.", no_args_is_help=True)
_ingest = partial(calling, "ingest", IngestAdminServiceStub)

Limit = Annotated[int, typer.Option(help="Events a second, over all replicas; 0: the usual.")]


@app.command()
def create(
    name: str,
    source: Annotated[
        str, typer.Option(help="Whose events come with it, to take another key's place.")
    ] = "",
    limit: Limit = 0,
) -> None:
    """Make a key; the output is its secret, shown this once."""

    async def ask() -> None:
        wanted = WriteKey(name=name, source=source, max_events_per_second=limit)
        async with _ingest() as ingest:
            answer = await ingest.CreateWriteKey(
                CreateWriteKeyRequest(request_id=str(uuid4()), write_key=wanted)
            )
        key = answer.write_key
        echo(f"{key.write_key_id} {key.name}, good within 10 seconds; its secret:", err=True)
        echo(answer.secret)

    uvloop.run(ask())


@app.command("list")
def list_keys(
    ended: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
) -> None:
    """Keys by name; those of the settings are not among them."""

    async def ask() -> None:
        table = Table("id", "name", "source", "secret", "limit", "last used", "ends")
        request = ListWriteKeysRequest(show_revoked=ended)
        async with _ingest() as ingest:
            async for page in pages(ingest.ListWriteKeys, request):
                for key in page.write_keys:
                    table.add_row(
                        key.write_key_id,
                        key.name,
                        key.source,
                        f"{key.secret_prefix}…",
                        str(key.max_events_per_second or "usual"),
                        _time(key.last_use_time) if key.HasField("last_use_time") else "never",
                        _time(key.revoke_time) if key.HasField("revoke_time") else "",
                    )
        Console().print(table)

    uvloop.run(ask())


@app.command()
def update(write_key_id: str, limit: Limit) -> None:
    """Give a key another limit."""

    async def ask() -> None:
        async with _ingest() as ingest:
            answer = await ingest.UpdateWriteKey(
                UpdateWriteKeyRequest(
                    request_id=str(uuid4()),
                    write_key=WriteKey(write_key_id=write_key_id, max_events_per_second=limit),
                    update_mask=FieldMask(paths=["max_events_per_second"]),
                )
            )
        echo(f"{answer.write_key.name}: {limit or 'the usual'}, within 10 seconds")

    uvloop.run(ask())


@app.command()
def revoke(
    write_key_id: str,
    at: Annotated[datetime | None, typer.Option(help="When, in UTC; now if left out.")] = None,
) -> None:
    """End a key, for good."""

    async def ask() -> None:
        async with _ingest() as ingest:
            answer = await ingest.RevokeWriteKey(
                RevokeWriteKeyRequest(
                    request_id=str(uuid4()),
                    write_key_id=write_key_id,
                    revoke_time=stamped(at.replace(tzinfo=UTC) if at else None),
                )
            )
        key = answer.write_key
        echo(f"{key.name} ends {_time(key.revoke_time)}, on every replica within 10 seconds")

    uvloop.run(ask())


def _time(moment: Timestamp) -> str:
    return f"{moment.ToDatetime(UTC):%Y-%m-%d %H:%M}Z"
