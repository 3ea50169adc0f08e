"""The commands a person types."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

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


@contextmanager
def _told() -> Iterator[None]:
    """What a person can act on is told in one line, with exit code 2."""
    try:
        yield
    except* (Misconfigured, Failure) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        typer.echo(f"merhaba: {error}", err=True)
        sys.exit(2)
    except* KeyboardInterrupt:
        sys.exit(130)


@app.command()
def run(
    once: Annotated[
        bool, typer.Option(help="End by itself, the last line one JSON object.")
    ] = False,
) -> None:
    """Start everything on this machine and play real data through it; Ctrl-C stops it."""
    with _told():
        sys.exit(uvloop.run(run_stack(place(), once)))


@app.command()
def up(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print addresses and secrets as one JSON line.")
    ] = False,
) -> None:
    """Start everything and leave it running, with no data played."""
    with _told():
        line = background.up(place())
    typer.echo(line if as_json else "up; `merhaba down` stops it, `merhaba up --json` tells more")


@app.command(hidden=True)
def keep_up() -> None:
    """What `up` leaves running."""
    with _told():
        uvloop.run(background.keep_up(place()))


@app.command()
def down() -> None:
    """Stop what `up` started."""
    with _told():
        stopped = background.down(place())
    typer.echo("stopped" if stopped else "nothing runs here")


@app.command()
def clean() -> None:
    """Forget the data of this machine's stack."""
    with _told():
        place().forget()
