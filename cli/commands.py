"""The commands a person types."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
import uvloop

from chassis.failures import Failure, Misconfigured
from cli import background, dead_letters
from cli.place import place
from cli.play.run import run_stack

app = typer.Typer(
    help="Merhaba: talk to each customer on WhatsApp, personally and in the moment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(dead_letters.app, name="dead-letters")


def _done(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run it; what a person can act on is told in one line, with exit code 2."""
    try:
        return uvloop.run(_awaited(work))
    except* (Misconfigured, Failure) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        typer.echo(f"merhaba: {error}", err=True)
        sys.exit(2)
    except* KeyboardInterrupt:
        sys.exit(130)


async def _awaited(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()


@app.command()
def run(
    once: Annotated[
        bool, typer.Option(help="End by itself, the last line one JSON object.")
    ] = False,
) -> None:
    """Start everything on this machine and play real data through it; Ctrl-C stops it."""
    sys.exit(_done(lambda: run_stack(place(), once)))


@app.command()
def up(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print addresses and secrets as one JSON line.")
    ] = False,
) -> None:
    """Start everything and leave it running, with no data played."""
    try:
        line = background.up(place())
    except Misconfigured as error:
        typer.echo(f"merhaba: {error}", err=True)
        sys.exit(2)
    typer.echo(line if as_json else "up; `merhaba down` stops it, `merhaba up --json` tells more")


@app.command(hidden=True)
def keep_up() -> None:
    """What `up` leaves running."""
    _done(lambda: background.keep_up(place()))


@app.command()
def down() -> None:
    """Stop what `up` started."""
    try:
        stopped = background.down(place())
    except Misconfigured as error:
        typer.echo(f"merhaba: {error}", err=True)
        sys.exit(2)
    typer.echo("stopped" if stopped else "nothing runs here")


@app.command()
def clean() -> None:
    """Forget the data of this machine's stack."""
    try:
        place().forget()
    except Misconfigured as error:
        typer.echo(f"merhaba: {error}", err=True)
        sys.exit(2)


__all__ = ["app", "asyncio"]
