"""The commands a person types."""

import sys
from typing import Annotated

import typer
import uvloop

from cli import (
    alerts,
    background,
    conversions,
    dead_letters,
    experiments,
    keys,
    numbers,
    rate_cards,
    rights,
    segments,
    templates,
    triggers,
    write_keys,
)
from cli.apply.command import apply_files
from cli.audit import audit
from cli.campaigns import command as campaigns
from cli.certificates import certificates
from cli.exports import command as exports
from cli.imports.command import import_file
from cli.place import place
from cli.play.run import run_stack
from cli.replay import replay
from cli.reports import command as reports
from cli.terminal import echo
from cli.told import told
from cli.trace import trace

app = typer.Typer(
    help="Merhaba: talk to each customer on WhatsApp, personally and in the moment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(write_keys.app, name="write-keys")
app.add_typer(keys.app, name="keys")
app.add_typer(reports.app, name="report")
app.add_typer(exports.app, name="exports")
app.add_typer(segments.app, name="segments")
app.add_typer(triggers.app, name="triggers")
app.add_typer(templates.app, name="templates")
app.add_typer(campaigns.app, name="campaigns")
app.add_typer(numbers.app, name="numbers")
app.add_typer(rate_cards.app, name="rate-cards")
app.add_typer(experiments.app, name="experiments")
app.add_typer(conversions.app, name="conversions")
app.add_typer(alerts.app, name="alerts")
app.add_typer(rights.consents, name="consents")
app.command("audit")(audit)
app.command("certificates")(certificates)
app.command("apply")(apply_files)
app.command("import")(import_file)
app.command("replay")(replay)
app.command("trace")(trace)
app.command("export-contact")(rights.export_contact)
app.command("erase-contact")(rights.erase_contact)


@app.command()
def run(
    once: Annotated[
        bool, typer.Option(help="End by itself, the last line one JSON object.")
    ] = False,
) -> None:
    """Start everything on this machine and play real data through it; Ctrl-C stops it."""
    with told():
        sys.exit(uvloop.run(run_stack(place(), once)))


@app.command()
def up(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print addresses and secrets as one JSON line.")
    ] = False,
) -> None:
    """Start everything and leave it running, with no data played."""
    with told():
        line = background.up(place())
    echo(line if as_json else "up; `merhaba down` stops it, `merhaba up --json` tells more")


@app.command(hidden=True)
def keep_up() -> None:
    """What `up` leaves running."""
    with told():
        uvloop.run(background.keep_up(place()))


@app.command()
def down() -> None:
    """Stop what `up` started."""
    with told():
        stopped = background.down(place())
    echo("stopped" if stopped else "nothing runs here")


@app.command()
def clean() -> None:
    """Forget the data of this machine's stack."""
    with told():
        place().forget()
