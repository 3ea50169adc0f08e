"""The parts of campaigns put together."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from chassis.clock import Clock
from chassis.postgres import Effects, Pool
from chassis.transient import keep_at
from merhaba.sender.v1 import Destination
from services.sender.campaigns import audiences, planner, preflight, steering, trying
from services.sender.campaigns.api import CampaignApi
from services.sender.campaigns.counting import Counting
from services.sender.campaigns.keeping import Keeper
from services.sender.campaigns.planning_store import PlanningStore
from services.sender.campaigns.preflight.known import Knowledge
from services.sender.campaigns.store import CampaignStore
from services.sender.campaigns.watching import Watching
from services.sender.files.store import FileStore
from services.sender.model import Contact

_SIDE_BY_SIDE: Final = 3  # campaigns in one process: a small one does not wait for a large one
_LOOK_EVERY: Final = timedelta(seconds=1)


class Neighbours(
    audiences.Sources, planner.People, preflight.People, steering.Segments, trying.People, Protocol
):
    """Other services, as campaigns need them."""


@dataclass(frozen=True, slots=True)
class Campaigning:
    """What serves campaigns, and what runs in the background for them."""

    store: CampaignStore
    planner: planner.Planner
    keeper: Keeper
    api: CampaignApi
    plan: Callable[[], Awaitable[None]]
    """Plans in the background, until cancelled."""


def assembled(
    pool: Pool,
    effects: Effects,
    neighbours: Neighbours,
    files: FileStore,
    outbox: trying.Outbox,
    meant: Callable[[Destination], Awaitable[Contact]],
    limiters: preflight.Limiters,
    clock: Clock,
    wake: Callable[[], None],
) -> Campaigning:
    """`meant` finds who a destination is; `wake` tells dispatch that something is due."""
    store, counting = CampaignStore(pool, effects), Counting(pool, clock)
    whom = audiences.Audiences(neighbours, files)
    planning = planner.Planner(PlanningStore(pool, effects, store), whom, neighbours, clock, wake)
    called = [asyncio.Event() for _ in range(_SIDE_BY_SIDE)]

    async def plan() -> None:
        async with asyncio.TaskGroup() as group:
            for one in called:
                keeping = keep_at(planning.step, clock, _LOOK_EVERY, "planning waits", one)
                group.create_task(keeping, name="planning")

    def call() -> None:
        for one in called:
            one.set()

    def due() -> None:
        call()
        wake()

    keeper = Keeper(pool, effects, store, counting, clock, due)

    def moved() -> None:
        call()
        keeper.call()

    steers = steering.Steering(store, whom, neighbours, clock, moved)
    api = CampaignApi(
        store,
        steers,
        Watching(store, counting, clock),
        preflight.Preflights(
            store, whom, neighbours, Knowledge(pool), limiters, steers.found, clock
        ),
        trying.Trying(store, neighbours, meant, outbox, wake, clock),
    )
    return Campaigning(store, planning, keeper, api, plan)
