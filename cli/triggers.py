"""`merhaba triggers`: what starts by itself, tried on what happened."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
import uvloop
from rich.table import Table
from rich.text import Text

from chassis.failures import FieldInvalid, Misconfigured
from chassis.rpc import channel
from cli.apply import files
from cli.apply.kinds import KINDS, TRIGGER
from cli.apply.services import Services
from cli.target import target_of
from cli.terminal import Console, echo
from cli.told import time_told, told
from expressions.values import parse_duration
from merhaba.segment.v1 import (
    ListTriggersRequest,
    Occurrence,
    TestTriggerRequest,
    Trigger,
    TriggerServiceStub,
)

_SUFFIXES: Final = (".yaml", ".yml")

app = typer.Typer(help="What starts by itself.", no_args_is_help=True)


@app.callback()
def triggers() -> None:
    """What starts by itself."""


@app.command()
def test(
    trigger: Annotated[
        str, typer.Argument(help="The name of one that is saved, or a file of one.")
    ],
    since: Annotated[str, typer.Option(help="How long ago to begin: 36h, 7d.")] = "7d",
    contacts: Annotated[
        list[str] | None, typer.Option("--contact", help="Only this one; again for each.")
    ] = None,
    unmet: Annotated[
        bool, typer.Option("--unmet", help="Also causes of which nothing would have come.")
    ] = False,
    most: Annotated[int, typer.Option(help="How many to show; all are counted.")] = 100,
) -> None:
    """Who would have got what, when and why, had a trigger been there. Nothing is done."""

    async def ask() -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(told())
            start = datetime.now(UTC) - timedelta(milliseconds=_span(since))
            request = await _subject(trigger, stack)
            request.start_time.FromDatetime(start)
            request.contact_ids.extend(contacts or ())
            request.show_unmet = unmet
            await _show(request, await _triggers(stack), most)

    uvloop.run(ask())


async def _show(request: TestTriggerRequest, service: TriggerServiceStub, most: int) -> None:
    table = Table("contact", "when", "what", "due", "key", "values", "why")
    counts = Counter[str]()
    with Console(stderr=True).status("…") as status:
        async for response in service.TestTrigger(request):
            for one in response.occurrences:
                counts[_state(one)] += 1
                if table.row_count < most:
                    table.add_row(*_row(one))
            passed = f"{response.passed_count} of {response.total_count} contacts"
            status.update(f"{passed}, {counts.total()} found")
    Console().print(table)
    said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    echo(f"{said or 'nothing'}; {passed}, since {time_told(request.start_time)}; nothing was done")


async def _triggers(stack: AsyncExitStack) -> TriggerServiceStub:
    opened = channel(*target_of("segment"), purpose="operations")
    return TriggerServiceStub(await stack.enter_async_context(opened))


async def _subject(given: str, stack: AsyncExitStack) -> TestTriggerRequest:
    """Of a name the saved one; of a file the one that it declares."""
    if given.endswith(_SUFFIXES):
        return TestTriggerRequest(trigger=await _declared(Path(given), stack))
    service = await _triggers(stack)
    states = [state for state in Trigger.State.values() if state]
    page = await service.ListTriggers(ListTriggersRequest(names=[given], states=states))
    if not page.triggers:
        raise FieldInvalid("trigger", f"there is no trigger {given}; list them first")
    return TestTriggerRequest(trigger_id=page.triggers[0].trigger_id)


async def _declared(file: Path, stack: AsyncExitStack) -> Trigger:
    """The trigger of a file, with ids where names stand."""
    try:
        found, mistakes = files.read([file])
    except OSError as error:
        raise Misconfigured(f"{error.filename}: {error.strerror}") from None
    if mistakes:
        raise Misconfigured(str(mistakes[0]))
    own = [one for one in found if one.kind is TRIGGER]
    if len(own) != 1:
        raise Misconfigured(f"{file}: it declares {len(own)} triggers; give a file of one")
    services = Services(stack)
    for reference in own[0].references:
        named = reference.name
        if reference.kind != "campaign":  # which nothing is asked of
            kind = next(one for one in KINDS if one.name == reference.kind)
            standing = (await (await services.keeper(kind)).all()).get(reference.name)
            if standing is None:
                said = f"there is no {reference.kind} {reference.name}; apply it first"
                raise Misconfigured(f"{file}:{reference.line}: {said}")
            named = getattr(standing, f"{reference.kind}_id")
        setattr(reference.message, reference.field, named)
    message = own[0].message
    assert isinstance(message, Trigger)
    return message


def _span(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise FieldInvalid("--since", str(error)) from None


def _row(one: Occurrence) -> Sequence[str | Text]:
    values = orjson.loads(one.parameters_json) if one.parameters_json else {}
    said = one.reason
    if wrong := _wrong(one):
        said += f": {wrong}"
    return (
        one.contact_id,
        time_told(one.cause_time),
        _state(one),
        time_told(one.due_time) if one.due_time != one.cause_time else "",
        Text(one.key),
        Text(" ".join(f"{name}={value}" for name, value in values.items())),
        Text(said),  # not markup: expressions have brackets
    )


def _wrong(one: Occurrence) -> str:
    """The parts of the condition that did not hold, of a cause of which nothing came."""
    root = one.explanation.root
    if one.state != Occurrence.STATE_UNMET or root.value_json != b"false":
        return ""
    parts = [c.text for c in root.clauses if c.value_json == b"false" and not c.skipped]
    return "; ".join(parts) or root.text


def _state(one: Occurrence) -> str:
    return Occurrence.State.Name(one.state).removeprefix("STATE_").lower()
