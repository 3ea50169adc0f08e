"""The parts of campaigns put together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from chassis.clock import Clock
from chassis.postgres import Effects, Pool
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
    passing: Callable[[BaseException], bool],
    warn: Callable[[str, BaseException], None],
) -> Campaigning:
    """`meant` finds who a destination is; `wake` tells dispatch that something is due."""
    store, counting = CampaignStore(pool, effects), Counting(pool, clock)
    whom = audiences.Audiences(neighbours, files)
    planning = planner.Planner(
        PlanningStore(pool, effects, store), whom, neighbours, clock, wake, passing, warn
    )

    def due() -> None:
        planning.call()
        wake()

    keeper = Keeper(pool, effects, store, counting, clock, due, passing, warn)

    def moved() -> None:
        planning.call()
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
    return Campaigning(store, planning, keeper, api)
