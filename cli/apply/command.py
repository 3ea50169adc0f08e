"""The command, how a plan is shown, and how it ends."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.text import Text

from chassis.failures import Misconfigured
from cli.apply import files
from cli.apply.applying import Applying, Refused
from cli.apply.files import Declared, Mistake
from cli.apply.plan import Change, Step
from cli.apply.services import services
from cli.terminal import Console, echo
from cli.told import told

_WRONG: Final = 2
_IN_PART: Final = 3
_SIGNS: Final = {"make": ("+", "green"), "change": ("~", "yellow"), "archive": ("-", "red")}
_DONE: Final = {"make": "made", "change": "changed", "archive": "archived"}


def apply_files(
    paths: Annotated[
        list[Path],
        typer.Option("--file", "-f", help="YAML, or a folder of it; again for each."),
    ],
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    prune: Annotated[
        bool, typer.Option(help="Archive what was applied under the same name and is gone.")
    ] = False,
    name: Annotated[str, typer.Option("--as", help="What is applied together.")] = "default",
) -> None:
    """Make places, segments, templates, campaigns, journeys and triggers as files declare them.

    Exit code 0: it is so; 2: nothing was done, since something is wrong; 3: it was done in part.
    """
    with told():
        try:
            declared, mistakes = files.read(paths)
        except OSError as error:
            raise Misconfigured(f"{error.filename}: {error.strerror}") from None
        if mistakes:
            sys.exit(_wrong(mistakes))
        sys.exit(uvloop.run(applied(declared, only_plan, yes, prune, name)))


async def applied(
    declared: Sequence[Declared],
    only_plan: bool = False,
    yes: bool = False,
    prune: bool = False,
    name: str = "default",
) -> int:
    """Show the plan, ask, and do it; returns the exit code."""
    async with services() as opened:
        applying = Applying(opened, name)
        steps, mistakes = await applying.plan(declared, prune)
        console = Console()
        for step in steps:
            _show(console, step)
        if mistakes:
            return _wrong(mistakes)
        todo = [step for step in steps if step.verb != "leave"]
        counts = {verb: sum(one.verb == verb for one in todo) for verb in _SIGNS}
        said = ", ".join(f"{count} to {verb}" for verb, count in counts.items() if count)
        same = len(steps) - len(todo)
        _say(console, f"{said or 'nothing to do'}; {same} unchanged")
        if only_plan or not todo:
            return 0
        if not yes:
            typer.confirm("Do it?", abort=True, err=True)
        for at, step in enumerate(todo):
            try:
                await applying.do(step)
            except Refused as refused:
                echo(f"merhaba: {refused}", err=True)
                left = ", ".join(f"{one.kind.name} {one.name}" for one in todo[at:])
                echo(f"done: {at} of {len(todo)}; not done: {left}", err=True)
                return _IN_PART
            _say(console, f"{_DONE[step.verb]} {step.kind.name} {step.name}")
    return 0


def _wrong(mistakes: Sequence[Mistake]) -> int:
    for one in mistakes:
        echo(f"merhaba: {one}", err=True)
    echo("nothing was changed", err=True)
    return _WRONG


def _show(console: Console, step: Step) -> None:
    if step.verb == "leave":
        return
    sign, style = _SIGNS[step.verb]
    _say(console, f"{sign} {step.kind.name} {step.name}", style)
    for change in step.changes:
        _say(console, f"    {_changed(change)}")
    if step.waits_for:
        _say(console, f"    checked when there is {', '.join(step.waits_for)}")


def _changed(change: Change) -> str:
    if change.before is None:
        return f"{change.path}: {_told(change.after)}"
    return f"{change.path}: {_told(change.before)} → {_told(change.after)}"


def _told(value: object) -> str:
    return "nothing" if value is None else str(value)


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style), soft_wrap=True)
