"""`merhaba segments`: who belongs where, and why."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from chassis.failures import FieldInvalid
from chassis.times import stamped
from cli.calling import calling, pages
from cli.terminal import Console, echo
from cli.told import time_told
from merhaba.segment.v1 import (
    Backfill,
    Clause,
    CreateSegmentRequest,
    ExplainMembershipRequest,
    GetBackfillRequest,
    ListMembersRequest,
    ListSegmentDefinitionsRequest,
    ListSegmentsRequest,
    Preview,
    PreviewSegmentRequest,
    Segment,
    SegmentServiceStub,
)

app = typer.Typer(help="Who belongs where, and why.", no_args_is_help=True)
_segments = partial(calling, "segment", SegmentServiceStub, "operations")


@app.command("list")
def list_segments(
    ended: Annotated[bool, typer.Option("--all", help="Archived ones, too.")] = False,
) -> None:
    """Segments by name."""

    async def ask() -> None:
        table = Table("name", "what", "state", "members", "version", "expression")
        states = [state for state in Segment.State.values() if state] if ended else []
        request = ListSegmentsRequest(states=states)
        async with _segments() as service:
            async for page in pages(service.ListSegments, request):
                for one in page.segments:
                    state = Segment.State.Name(one.state).removeprefix("STATE_").lower()
                    if one.state == Segment.STATE_BACKFILLING:
                        asked = GetBackfillRequest(backfill_id=one.backfill_id)
                        state += f": {progress((await service.GetBackfill(asked)).backfill)}"
                    table.add_row(
                        one.name,
                        one.display_name,
                        state,
                        str(one.member_count),
                        str(one.version),
                        Text(one.expression),
                    )
        Console().print(table)

    uvloop.run(ask())


def progress(found: Backfill) -> str:
    """How far a backfill is, in words."""
    words = {Backfill.PHASE_HISTORY: "reading history", Backfill.PHASE_MEMBERS: "finding members"}
    told = words.get(found.phase, "about to begin")
    if found.total_count:
        told += f", {min(found.passed_count / found.total_count, 1):.0%}"
    if found.HasField("remaining_duration"):
        minutes, seconds = divmod(round(found.remaining_duration.ToTimedelta().total_seconds()), 60)
        told += f", {minutes} min {seconds} s to go" if minutes else f", {seconds} s to go"
    return told


@app.command()
def definitions(
    language: Annotated[str, typer.Option(help="en or tr")] = "en",
) -> None:
    """Segments ready to be made."""

    async def ask() -> None:
        table = Table("category", "name", "what", "parameters")
        request = ListSegmentDefinitionsRequest(language=language, page_size=500)
        async with _segments() as service:
            page = await service.ListSegmentDefinitions(request)
        for one in page.definitions:
            values = (f"{p.name}={p.default_json.decode() or '?'}" for p in one.parameters)
            table.add_row(one.category, one.name, one.display_name, " ".join(values))
        Console().print(table)

    uvloop.run(ask())


@app.command()
def create(
    name: str,
    expression: Annotated[str, typer.Argument(help="The rule, unless --from says it.")] = "",
    definition: Annotated[str, typer.Option("--from", help="A ready definition.")] = "",
    values: Annotated[
        list[str] | None, typer.Option("--set", help="name=value: a parameter of the definition.")
    ] = None,
    display_name: Annotated[str, typer.Option(help="What people call it.")] = "",
) -> None:
    """Make a segment."""

    async def ask() -> None:
        async with _segments() as service:
            answer = await service.CreateSegment(
                CreateSegmentRequest(
                    request_id=str(uuid4()),
                    segment=Segment(
                        name=name,
                        expression=expression,
                        definition_name=definition,
                        display_name=display_name,
                    ),
                    definition_parameters=_values(values or ()),
                )
            )
        made = answer.segment
        echo(f"{made.segment_id} {made.name}: {made.expression}")

    uvloop.run(ask())


@app.command()
def preview(
    expression: str,
    sample: Annotated[bool, typer.Option(help="Look at some, not at everybody.")] = False,
) -> None:
    """What a segment would be; nothing is saved."""

    async def ask() -> None:
        modes = PreviewSegmentRequest
        request = PreviewSegmentRequest(
            expression=expression, mode=modes.MODE_SAMPLE if sample else modes.MODE_EXACT
        )
        console = Console(stderr=True)
        with console.status("…") as status:
            async with _segments() as service:
                async for response in service.PreviewSegment(request):
                    found = response.preview
                    status.update(f"{found.passed_count} of {found.total_count} contacts")
        _show(found, response.exact)

    uvloop.run(ask())


@app.command()
def explain(
    name: str,
    contact_id: str,
    at: Annotated[datetime | None, typer.Option(help="A former moment, in UTC.")] = None,
) -> None:
    """Why a contact is a member, or is not."""

    async def ask() -> None:
        async with _segments() as service:
            segment = await _named(service, name)
            answer = await service.ExplainMembership(
                ExplainMembershipRequest(
                    contact_id=contact_id, segment_id=segment.segment_id, moment_time=_utc(at)
                )
            )
        Console().print(_tree(answer.explanation.root))

    uvloop.run(ask())


@app.command()
def members(
    name: str,
    at: Annotated[datetime | None, typer.Option(help="A former moment, in UTC.")] = None,
    most: Annotated[int, typer.Option(help="How many to show.")] = 100,
) -> None:
    """Members by contact id."""

    async def ask() -> None:
        table = Table("contact", "since")
        async with _segments() as service:
            segment = await _named(service, name)
            page = await service.ListMembers(
                ListMembersRequest(
                    segment_id=segment.segment_id, moment_time=_utc(at), page_size=most
                )
            )
        for one in page.members:
            table.add_row(one.contact_id, time_told(one.enter_time))
        Console().print(table)
        echo(f"{len(page.members)} of {page.total_count}, {time_told(page.moment_time)}")

    uvloop.run(ask())


async def _named(service: SegmentServiceStub, name: str) -> Segment:
    page = await service.ListSegments(ListSegmentsRequest(names=[name]))
    if not page.segments:
        raise FieldInvalid("name", f"there is no segment {name}; list them first")
    return page.segments[0]


def _values(given: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise typer.BadParameter(f"{one}: write it as name=value")
        found[name] = value
    return found


def _show(found: Preview, exact: bool) -> None:
    share = f"{found.share:.2%}"
    if not exact:
        share += f", between {found.share_low:.2%} and {found.share_high:.2%}"
    table = Table("what", "how many", title=None if exact else "an estimate")
    table.add_row("members", str(found.member_count))
    table.add_row("of contacts", f"{found.total_count} ({found.passed_count} looked at)")
    table.add_row("share", share)
    for overlap in found.overlaps:
        shares = f"{overlap.share:.1%} of it, {overlap.other_share:.1%} of that"
        table.add_row(f"also in {overlap.name}", f"{overlap.common_count}: {shares}")
    for contact_id in found.sample_contact_ids:
        table.add_row("for example", contact_id)
    for warning in found.warnings:
        table.add_row(Text("warning", "yellow"), warning.message)
    Console().print(table)


def _tree(clause: Clause) -> Tree:
    said = f"{clause.text} = {clause.value_json.decode()}"
    if clause.HasField("cause"):
        cause = clause.cause
        said += f"\n{cause.name} {time_told(cause.event_time)} {cause.event_id}".rstrip()
    if clause.HasField("next_change_time"):
        said += f"\nchanges {time_told(clause.next_change_time)} if nothing happens"
    if clause.skipped:
        said += "\ndecided without it"
    tree = Tree(Text(said))  # not markup: expressions have brackets
    for one in clause.clauses:
        tree.add(_tree(one))
    return tree


def _utc(at: datetime | None) -> Timestamp | None:
    return stamped(at.replace(tzinfo=UTC) if at else None)
