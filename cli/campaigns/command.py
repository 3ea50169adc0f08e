"""The commands."""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import typer
import uvloop
from rich.live import Live
from rich.table import Table

from chassis.failures import FieldInvalid
from chassis.rpc import channel
from cli.calling import calling
from cli.campaigns import file, views
from cli.campaigns.following import followed
from cli.target import target_of
from cli.terminal import Console, echo
from cli.told import time_told, told
from expressions.values import parse_duration
from merhaba.segment.v1 import SegmentServiceStub
from merhaba.sender.v1 import (
    Campaign,
    CampaignServiceStub,
    CancelCampaignRequest,
    CreateCampaignRequest,
    Destination,
    FileServiceStub,
    GetCampaignRequest,
    LaunchCampaignRequest,
    ListCampaignsRequest,
    NumberServiceStub,
    PauseCampaignRequest,
    Preflight,
    PreflightCampaignRequest,
    ResumeCampaignRequest,
    Schedule,
    WatchCampaignRequest,
)
from merhaba.sender.v1 import Message as MessageProto
from merhaba.sender.v1 import TestSendCampaignRequest as TrialRequest

_BLOCKED: Final = 2

app = typer.Typer(
    help="Messages to many: looked at beforehand, launched, watched.", no_args_is_help=True
)

Named = Annotated[str, typer.Argument(help="The name of one, or its id.")]
Moment = Annotated[datetime | None, typer.Option("--at", help="When to begin, in UTC; else now.")]
Best = Annotated[
    str, typer.Option("--best-time", help="Each contact's best time within so long: 24h, 3d.")
]


@app.command("list")
def list_campaigns(
    name: Annotated[str, typer.Option(help="Part of the name.")] = "",
    state: Annotated[
        list[str] | None, typer.Option(help="draft, running, paused, …; again for each.")
    ] = None,
    most: Annotated[int, typer.Option(help="How many to show.")] = 50,
) -> None:
    """Campaigns, the newest first."""

    async def ask() -> None:
        table = Table("name", "state", "created", "launched", "variants", "id", "why")
        states = [_state(one) for one in state or ()]
        async with calling("sender", CampaignServiceStub) as service:
            page = await service.ListCampaigns(
                ListCampaignsRequest(name_query=name, states=states, page_size=most)
            )
        for one in page.campaigns:
            launched = time_told(one.launch_time) if one.HasField("launch_time") else ""
            table.add_row(
                *(one.name, views.state_told(one.state), time_told(one.create_time), launched),
                *(", ".join(v.name for v in one.variants), one.campaign_id, one.state_reason),
            )
        Console().print(table)

    uvloop.run(ask())


@app.command()
def show(campaign: Named) -> None:
    """One campaign, and how far it is."""

    async def ask() -> None:
        async with calling("sender", CampaignServiceStub) as service:
            found = await _named(service, campaign)
            answer = await service.GetCampaign(GetCampaignRequest(campaign_id=found.campaign_id))
        Console().print(views.campaign_view(answer.campaign))
        if answer.campaign.HasField("launch_time"):
            Console().print(views.progress_view(answer.progress, answer.campaign.name))

    uvloop.run(ask())


@app.command()
def create(
    path: Annotated[Path, typer.Option("--file", "-f", help="YAML; see docs/campaigns.md.")],
) -> None:
    """Draft what a file says. Nothing is sent."""

    async def ask() -> None:
        with told():
            campaign, references = file.read(path)
            if references:
                async with channel(*target_of("segment"), purpose="operations") as opened:
                    await file.refer(references, SegmentServiceStub(opened))
            async with channel(*target_of("sender")) as opened:
                await file.account(campaign, NumberServiceStub(opened))
                await file.upload(campaign, path, FileServiceStub(opened))
                made = await CampaignServiceStub(opened).CreateCampaign(
                    CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign)
                )
        echo(f"{made.campaign.campaign_id} {made.campaign.name}: drafted, not launched")

    uvloop.run(ask())


@app.command()
def preflight(campaign: Named, at: Moment = None, best_time: Best = "") -> None:
    """What a launch would mean: whom it reaches, what it costs, how long it takes.

    Exit code 0: it could be launched, 2: something stands in the way.
    """

    async def ask() -> int:
        async with calling("sender", CampaignServiceStub) as service:
            found = await _named(service, campaign)
            request = PreflightCampaignRequest(
                campaign_id=found.campaign_id, schedule=_schedule(at, best_time)
            )
            known = await _looked(service, request)
        if not Console().is_terminal:
            Console().print(views.preflight_view(known))
        return _BLOCKED if views.blocked(known) else 0

    with told():
        sys.exit(uvloop.run(ask()))


async def _looked(service: CampaignServiceStub, request: PreflightCampaignRequest) -> Preflight:
    """Shown as it becomes known; on a terminal in place, else line by line."""
    console, known = Console(), Preflight()
    live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
    said = Console(stderr=True)
    if live:
        live.start()
    try:
        async for response in followed(request, service.PreflightCampaign):
            known = response.preflight
            line = views.looked_at(response.checked_recipients, response.total_recipients)
            if live:
                live.update(views.preflight_view(known))
            else:
                said.print(line)
    finally:
        if live:
            live.stop()
    return known


@app.command()
def launch(
    campaign: Named,
    at: Moment = None,
    best_time: Best = "",
    watching: Annotated[bool, typer.Option("--watch", help="Go on watching it.")] = False,
) -> None:
    """Launch a draft: now, at a time, or at each contact's best time."""

    async def ask() -> None:
        async with calling("sender", CampaignServiceStub) as service:
            found = await _named(service, campaign)
            answer = await service.LaunchCampaign(
                LaunchCampaignRequest(
                    request_id=str(uuid4()),
                    campaign_id=found.campaign_id,
                    etag=found.etag,
                    schedule=_schedule(at, best_time),
                )
            )
            echo(f"{found.name}: {views.state_told(answer.campaign.state)}")
            if watching:
                await _watched(service, found)

    uvloop.run(ask())


@app.command()
def watch(campaign: Named) -> None:
    """How far a campaign is, until it is over."""

    async def ask() -> None:
        async with calling("sender", CampaignServiceStub) as service:
            await _watched(service, await _named(service, campaign))

    uvloop.run(ask())


async def _watched(service: CampaignServiceStub, campaign: Campaign) -> None:
    console, last = Console(), ""
    live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
    if live:
        live.start()
    try:
        request = WatchCampaignRequest(campaign_id=campaign.campaign_id)
        async for response in followed(request, service.WatchCampaign):
            if not response.HasField("progress"):
                continue
            if live:
                live.update(views.progress_view(response.progress, campaign.name))
            elif (line := views.progress_line(response.progress)) != last:
                last = line
                echo(line)
    finally:
        if live:
            live.stop()


@app.command()
def pause(
    campaign: Named, reason: Annotated[str, typer.Option(help="For those who come later.")] = ""
) -> None:
    """Stop messages from leaving. None leaves any more when this ends."""

    async def change(service: CampaignServiceStub, campaign_id: str) -> Campaign:
        request = PauseCampaignRequest(campaign_id=campaign_id, reason=reason)
        return (await service.PauseCampaign(request)).campaign

    _changed(campaign, change)


@app.command()
def resume(campaign: Named) -> None:
    """Let messages leave again."""

    async def change(service: CampaignServiceStub, campaign_id: str) -> Campaign:
        request = ResumeCampaignRequest(campaign_id=campaign_id)
        return (await service.ResumeCampaign(request)).campaign

    _changed(campaign, change)


@app.command()
def cancel(
    campaign: Named, reason: Annotated[str, typer.Option(help="For those who come later.")] = ""
) -> None:
    """End a campaign for good; whoever waits gets nothing."""

    async def change(service: CampaignServiceStub, campaign_id: str) -> Campaign:
        request = CancelCampaignRequest(campaign_id=campaign_id, reason=reason)
        return (await service.CancelCampaign(request)).campaign

    _changed(campaign, change)


@app.command()
def test(
    campaign: Named,
    testers: Annotated[list[str], typer.Option("--to", help="A contact id; again for each.")],
    variant: Annotated[str, typer.Option(help="Which one, where there are several.")] = "",
    sample: Annotated[
        str, typer.Option(help="A contact whose values fill it; else each tester's own.")
    ] = "",
    language: Annotated[str, typer.Option(help="Instead of the tester's: tr, en_US.")] = "",
) -> None:
    """Send a variant to testers now. No report counts it."""

    async def ask() -> None:
        async with calling("sender", CampaignServiceStub) as service:
            found = await _named(service, campaign)
            answer = await service.TestSendCampaign(
                TrialRequest(
                    request_id=str(uuid4()),
                    campaign_id=found.campaign_id,
                    variant=variant or found.variants[0].name,
                    testers=[Destination(contact_id=one) for one in testers],
                    sample_contact_id=sample,
                    language=language,
                )
            )
        for message in answer.messages:
            state = MessageProto.State.Name(message.state).removeprefix("STATE_").lower()
            echo(f"{message.contact_id} {message.ref.message_id} {state}")

    uvloop.run(ask())


def _changed(name: str, change: Callable[[CampaignServiceStub, str], Awaitable[Campaign]]) -> None:
    async def ask() -> None:
        async with calling("sender", CampaignServiceStub) as service:
            found = await _named(service, name)
            after = await change(service, found.campaign_id)
        echo(f"{after.name}: {views.state_told(after.state)}")

    uvloop.run(ask())


async def _named(service: CampaignServiceStub, given: str) -> Campaign:
    """A campaign by its id or, where only one has it, its name."""
    if given.startswith("cmp_"):
        return (await service.GetCampaign(GetCampaignRequest(campaign_id=given))).campaign
    page = await service.ListCampaigns(ListCampaignsRequest(name_query=given, page_size=1_000))
    found = [one for one in page.campaigns if one.name == given]
    open_ones = [one for one in found if one.state < Campaign.STATE_COMPLETED]
    chosen = open_ones if len(open_ones) == 1 else found
    if not chosen:
        raise FieldInvalid("campaign", f"there is no campaign {given}; list them first")
    if len(chosen) > 1:
        ids = ", ".join(one.campaign_id for one in chosen[:5])
        raise FieldInvalid("campaign", f"{len(chosen)} have that name; give an id: {ids}")
    return chosen[0]


def _schedule(at: datetime | None, best_time: str) -> Schedule:
    schedule = Schedule()
    if at is not None:
        schedule.start_time.FromDatetime(at.replace(tzinfo=UTC))
    if best_time:
        try:
            schedule.best_time_duration.FromMilliseconds(parse_duration(best_time))
        except ValueError as error:
            raise FieldInvalid("best-time", str(error)) from None
    return schedule


def _state(name: str) -> Campaign.State.ValueType:
    try:
        return Campaign.State.Value(f"STATE_{name.upper()}")
    except ValueError:
        known = [views.state_told(one) for one in Campaign.State.values() if one]
        raise FieldInvalid("state", f"one of {', '.join(known)}") from None
