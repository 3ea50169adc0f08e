"""`merhaba dead-letters`: what could not be handled, why, and another try."""

import sys
from functools import partial
from typing import Annotated

import typer
import uvloop
from google.protobuf.json_format import MessageToJson
from rich.table import Table

from chassis.ids import fresh_id
from cli.calling import calling
from cli.terminal import Console, echo
from merhaba.ingest.v1 import (
    DeadLetterFilter,
    GetDeadLetterRequest,
    IngestAdminServiceStub,
    ListDeadLettersRequest,
    RedriveDeadLettersRequest,
)

app = typer.Typer(help="What could not be handled.", no_args_is_help=True)
_ingest = partial(calling, "ingest", IngestAdminServiceStub)

Group = Annotated[str, typer.Option(help="Only of this consumer group.")]


@app.command("list")
def list_letters(group: Group = "") -> None:
    """The oldest hundred, with their reasons."""

    async def ask() -> None:
        table = Table("id", "group", "reason", "event")
        async with _ingest() as ingest:
            answer = await ingest.ListDeadLetters(
                ListDeadLettersRequest(page_size=100, filter=DeadLetterFilter(group=group))
            )
        for letter in answer.dead_letters:
            table.add_row(letter.dead_letter_id, letter.group, letter.reason, letter.name)
        Console().print(table)

    uvloop.run(ask())


@app.command()
def show(dead_letter_id: str) -> None:
    """One of them, whole."""

    async def ask() -> None:
        async with _ingest() as ingest:
            answer = await ingest.GetDeadLetter(GetDeadLetterRequest(dead_letter_id=dead_letter_id))
        echo(MessageToJson(answer.dead_letter))

    uvloop.run(ask())


@app.command()
def redrive(
    ids: Annotated[list[str] | None, typer.Argument(help="Which; none: all of the group.")] = None,
    group: Group = "",
) -> None:
    """Send them round again; effects that already happened do not happen twice."""
    if not ids and not group:
        sys.exit("merhaba: name dead letters, or a group with --group")

    async def ask() -> None:
        async with _ingest() as ingest:
            answer = await ingest.RedriveDeadLetters(
                RedriveDeadLettersRequest(
                    request_id=fresh_id("r"),
                    dead_letter_ids=ids or [],
                    filter=DeadLetterFilter(group=group),
                )
            )
        echo(f"{answer.redriven_count} sent round again")

    uvloop.run(ask())
