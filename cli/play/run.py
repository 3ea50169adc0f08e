"""`merhaba run`: everything up, the story played, its outcome told."""

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp
import grpc
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from cli import samples, stack
from cli.clients import Clients, clients
from cli.doors import Doors
from cli.place import Place
from cli.play import story
from cli.play.definitions import NUMBER, define
from cli.play.summary import Outcome, outcome, show
from cli.terminal import Console
from merhaba.segment.v1 import GetSegmentRequest
from merhaba.sender.v1 import Campaign, GetCampaignRequest, LaunchCampaignRequest

SAMPLES: Final = Path(__file__).parents[2] / "samples" / "online_retail"
_WATCH_S: Final = 120
_ENDED: Final = (Campaign.STATE_COMPLETED, Campaign.STATE_STOPPED, Campaign.STATE_CANCELLED)


async def run_stack(place: Place, once: bool) -> int:
    """Run the suite and play the samples; returns the exit code.

    With `once` it ends by itself, with the outcome as one JSON object on the last line of standard
    output; else it stays up until Ctrl-C.
    """
    console = Console(stderr=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    began = monotonic()
    said: Outcome | None = None
    with console.status("starting") as status:
        starting = stack.running(place, lambda text: status.update(f"starting: {text}"))
        running = await starting.__aenter__()
    try:
        console.print(f"everything is up after {monotonic() - began:.1f} s")
        playing = asyncio.create_task(play(place, running, console))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            said = playing.result()
            show(said, console)
            _tell_where(running, console)
            if not once:
                await stop.wait()
        else:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        stopping.cancel()
    finally:
        with console.status("stopping"):
            await starting.__aexit__(None, None, None)
    if once and said is not None:
        print(json.dumps(said.as_dict()), flush=True)  # noqa: T201 - the answer of the command
        return 0 if said.whole else 1
    return 0 if said is not None or not once else 130


async def play(place: Place, running: stack.Stack, console: Console) -> Outcome:
    """Play the whole story against a running suite and say what came of it."""
    addresses = running.addresses()
    shop = samples.load(SAMPLES)
    run = place.next_run()
    shift = shop.shift_to(datetime.now(UTC))
    async with AsyncExitStack() as exits:
        session = await exits.enter_async_context(aiohttp.ClientSession())
        services = await exits.enter_async_context(clients(addresses))
        doors = Doors(session, addresses)
        defined = await define(services, addresses, session, run)
        await story.introduce(session, addresses, shop)
        progress = exits.enter_context(_progress(console))

        items, messages = story.history_items(shop, shift), story.history_messages(shop, shift)
        posted = progress.add_task("history: posted", total=len(items) + len(messages))
        began = monotonic()
        await story.post_history(doors, shop, shift, lambda n: progress.advance(posted, n))
        waiting = progress.add_task("history: processed by every service", total=1)
        await story.until_processed(services, _WATCH_S, lambda _: None)
        progress.advance(waiting, 1)
        history_s = monotonic() - began

        live = progress.add_task("live: orders", total=story.LIVE)
        await services.campaigns.LaunchCampaign(
            LaunchCampaignRequest(
                request_id=f"launch-{defined.campaign_id}", campaign_id=defined.campaign_id
            )
        )
        sent = progress.add_task("campaign: decided", total=None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                story.play_live(doors, shop, run, lambda n: progress.advance(live, n))
            )
            tasks.create_task(_watch(services, defined.campaign_id, progress, sent))
        answering = progress.add_task("people: read, click and answer", total=1)
        await story.control(session, addresses, "drain", {"timeout_s": 100, "hurry": True})
        await story.until_processed(services, _WATCH_S, lambda _: None)
        progress.advance(answering, 1)
        leaving = progress.add_task("time passes: just_ordered empties", total=None)
        await _until_empty(
            services,
            defined.segments["just_ordered"],
            lambda most, gone: progress.update(leaving, total=most, completed=gone),
        )
        return await outcome(
            services,
            defined,
            run=run,
            history_events=len(items) + len(messages),
            history_s=history_s,
            simulated=await story.summary_of_simulator(session, addresses),
        )


async def _watch(services: Clients, campaign_id: str, progress: Progress, task: TaskID) -> None:
    """Follow a campaign until every recipient's message left or was decided against."""
    async with asyncio.timeout(_WATCH_S):
        while True:
            try:
                answer = await services.campaigns.GetCampaign(
                    GetCampaignRequest(campaign_id=campaign_id)
                )
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.5)
                continue
            states = dict(answer.progress.states)
            open_ones = states.get("planned", 0) + states.get("attempting", 0)
            decided = answer.progress.recipients - open_ones
            progress.update(task, total=answer.progress.recipients or None, completed=decided)
            if answer.campaign.state in _ENDED:
                return
            await asyncio.sleep(0.3)


async def _until_empty(
    services: Clients, segment_id: str, tell: Callable[[int, int], None]
) -> None:
    """Follow a segment that depends on time alone until its last member has left."""
    most = 0
    async with asyncio.timeout(_WATCH_S):
        while True:
            answer = await services.segments.GetSegment(GetSegmentRequest(segment_id=segment_id))
            members = answer.segment.member_count
            most = max(most, members)
            tell(most, most - members)
            if not members:
                return
            await asyncio.sleep(0.2)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<36}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _tell_where(running: stack.Stack, console: Console) -> None:
    addresses = running.addresses()
    console.print(f"dashboard   {addresses.dashboard_url}")
    console.print(f"sign in with {addresses.dashboard_token} to see figures,")
    console.print(f"        with {addresses.dashboard_manager_token} to see people and make files")
    console.print(f"number {NUMBER}; Ctrl-C stops everything, `make clean` forgets it")
