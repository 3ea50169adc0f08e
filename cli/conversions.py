"""`merhaba conversions`: what counts as success."""

from datetime import timedelta
from functools import partial
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from rich.table import Table
from rich.text import Text

from cli.calling import calling, pages
from cli.terminal import Console, echo
from merhaba.reports.v1 import (
    Conversion,
    ConversionServiceStub,
    CreateConversionRequest,
    DeleteConversionRequest,
    ListConversionsRequest,
)

app = typer.Typer(help="What counts as success.", no_args_is_help=True)
_conversions = partial(calling, "reports", ConversionServiceStub, "operations")


@app.command("list")
def list_conversions() -> None:
    """Definitions, by name."""

    async def ask() -> None:
        table = Table("conversion", "name", "event", "if", "worth", "within", "after it was")
        request = ListConversionsRequest()
        async with _conversions() as service:
            async for page in pages(service.ListConversions, request):
                for one in page.conversions:
                    table.add_row(
                        one.conversion_id,
                        Text(one.name),
                        one.event_name,
                        Text(one.condition),
                        Text(f"{one.value_expression} {one.currency_expression}".strip()),
                        f"{one.window_duration.ToTimedelta() / timedelta(days=1):g} days",
                        Conversion.Anchor.Name(one.anchor).removeprefix("ANCHOR_").lower(),
                    )
        Console().print(table)

    uvloop.run(ask())


@app.command()
def add(
    name: str,
    event: Annotated[str, typer.Argument(help="The event that counts: trial_started.")],
    condition: Annotated[
        str, typer.Option(help="""CEL: event.plan == "pro"; empty for every such event.""")
    ] = "",
    value: Annotated[str, typer.Option(help="CEL that gives its worth: event.price.")] = "",
    currency: Annotated[str, typer.Option(help="""CEL that gives the currency: "EUR".""")] = "",
    key: Annotated[
        str, typer.Option(help="CEL that gives what it is about, which counts once: event.id.")
    ] = "",
    undone_by: Annotated[str, typer.Option(help="An event that undoes it.")] = "",
    days: Annotated[float, typer.Option(help="How long after a message it counts.")] = 7,
    after: Annotated[
        str, typer.Option(help="Once the message was delivered, read or clicked.")
    ] = "delivered",
) -> None:
    """Count events as success, from some seconds later on."""
    anchor = f"ANCHOR_{after.upper()}"
    if anchor not in Conversion.Anchor.keys():  # noqa: SIM118 - an enum wrapper
        raise typer.BadParameter(f"{after}: give delivered, read or clicked")
    wanted = Conversion(
        name=name,
        event_name=event,
        condition=condition,
        value_expression=value,
        currency_expression=currency,
        key_expression=key,
        reversal_event_name=undone_by,
        anchor=Conversion.Anchor.Value(anchor),
    )
    wanted.window_duration.FromTimedelta(timedelta(days=days))

    async def ask() -> None:
        async with _conversions() as service:
            request = CreateConversionRequest(request_id=str(uuid4()), conversion=wanted)
            echo((await service.CreateConversion(request)).conversion.conversion_id)

    uvloop.run(ask())


@app.command()
def delete(conversion_id: str) -> None:
    """Delete a definition and what it counted."""

    async def ask() -> None:
        async with _conversions() as service:
            await service.DeleteConversion(DeleteConversionRequest(conversion_id=conversion_id))
        echo(f"{conversion_id} deleted")

    uvloop.run(ask())
