"""One run: a shop's day, misfortunes, and whether every promise was kept."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import asyncpg
import grpc

from chassis.transient import transient
from cli.clients import clients
from cli.doors import Doors
from cli.play import story
from cli.stack import SERVICES, Addresses
from merhaba.reports.v1 import GetCampaignReportRequest
from merhaba.sender.v1 import GetCampaignRequest, Message
from tests.chaos.evidence import gather, ledger
from tests.chaos.mischief import Mischief, plan
from tests.chaos.promises import PROMISES, broken
from tests.chaos.relays import Relays
from tests.chaos.shop import Shop, until_answered

_SETTLE_S = 300.0
_OPEN = ("planned", "held", "attempting")
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def run(
    addresses: Addresses,
    relays: Relays,
    seed: int,
    seconds: float,
    people: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What came of it, as one JSON object; `broken` is empty when every promise was kept."""
    async with aiohttp.ClientSession() as session, clients(addresses) as services:
        doors = Doors(session, addresses)
        shop = Shop(services, doors, session, addresses, random.Random(seed))
        say(f"seed {seed}: {people} people, {seconds:.0f} s")
        await shop.open(people)
        mischief = Mischief(addresses, relays, lambda faults: shop.control("faults", faults))
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mischief.do(plan(seed, seconds), say))
            tasks.create_task(shop.trade(seconds))
            await asyncio.sleep(seconds * 0.1)
            say("the offer is launched")
            await shop.launch()
        say(f"over after {time.monotonic() - begun:.0f} s; settling")
        begun = time.monotonic()
        try:
            async with asyncio.timeout(_SETTLE_S):
                await settle(shop)
        except TimeoutError:
            say("it does not settle")
        settled = time.monotonic() - begun
        say(f"{settled:.0f} s later; looking")
        found = await gather(shop)
    states = Counter(
        Message.State.Name(one.state).removeprefix("STATE_").lower()
        for recipients in found.recipients.values()
        for one in recipients
    )
    return {
        "name": "chaos",
        "seed": seed,
        "seconds": seconds,
        "deeds": dict(mischief.done),
        "hung_while_stopping": dict(mischief.hung),
        "settled_s": round(settled, 1),
        "looked_at": {
            "tracked": len(found.tracked),
            "user_messages": len(found.written),
            "archived": len(found.archived),
            "statuses": sum(map(len, found.told.values())),
            "accepted_by_meta": len(found.ledger),
            "outcomes": dict(states),
            "members": {n.rpartition("_")[0]: len(m.said) for n, m in found.members.items()},
            "erased": len(found.erased),
            "being_erased": found.being_erased,
            "dead_letters": len(found.dead),
        },
        "promises": [promise.name for promise in PROMISES],
        "broken": broken(found),
    }


async def settle(shop: Shop) -> None:
    """Return when nothing is under way any more, as far as anybody can tell."""
    while True:
        drained = (await shop.control("drain", {"timeout_s": 60, "hurry": True}))["drained"]
        if drained and await _published(shop):
            await _processed(shop)
            if not await _open(shop) and await _published(shop):
                return
        await asyncio.sleep(1)


async def _published(shop: Shop) -> bool:
    """Whether all that follows from what happened is on the log: what a crash left in an outbox
    is swept up seconds later."""
    try:
        connection = await asyncpg.connect(shop.addresses.database_url, timeout=10)
        try:
            waiting = [
                await connection.fetchval(f"SELECT EXISTS (SELECT FROM {one}.outbox)")
                for one in SERVICES
            ]
        finally:
            await connection.close(timeout=10)
    except Exception as error:
        if not transient(error):
            raise
        return False
    return not any(waiting)


async def _processed(shop: Shop) -> None:
    while True:
        try:
            await story.until_processed(shop.services, _SETTLE_S, lambda _: None)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _PASSING:
                raise
            await asyncio.sleep(0.3)
        else:
            return


async def _open(shop: Shop) -> bool:
    """Whether any message waits, or a report has not heard of one yet."""
    accepted = Counter(entry["callback_data"] for entry in await ledger(shop))
    for campaign_id in (shop.offer, shop.thanks):
        asked = GetCampaignRequest(campaign_id=campaign_id)
        answer = await until_answered(
            lambda asked=asked: shop.services.campaigns.GetCampaign(asked)  # type: ignore[misc]
        )
        states = dict(answer.progress.states)
        if any(states.get(state) for state in _OPEN):
            return True
    planned = await until_answered(
        lambda: shop.services.reports.GetCampaignReport(
            GetCampaignReportRequest(campaign_id=shop.offer)
        )
    )
    return not accepted or planned.report.recipients < len(shop.people)
