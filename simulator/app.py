"""The simulator put together."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from secrets import token_bytes

import aiohttp
from aiohttp import web

from simulator.api import Graph
from simulator.control import Control
from simulator.faults import FaultBox
from simulator.ids import Ids
from simulator.media import MediaShelf
from simulator.people import seeded
from simulator.pipeline import Pipeline, Taps
from simulator.settings import Settings
from simulator.webhooks import Courier, posting, verify
from simulator.world import World

# One call may bring tens of thousands of people.
_LARGEST_BODY = 16 * 1024 * 1024


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[str]:
    """The simulator, listening at the address given out, until the block ends."""
    ids = Ids(token_bytes(12))
    faults = FaultBox(seeded(settings.simulator_seed, "faults"))
    world = World(
        seed=settings.simulator_seed,
        ids=ids,
        people_limit=settings.people_limit,
        ledger_limit=settings.ledger_limit,
    )
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        courier = Courier(
            post=posting(session, settings.webhook_timeout_s),
            secret=settings.app_secret.get_secret_value().encode(),
            url=settings.webhook_url,
            faults=faults,
            speed=settings.simulator_speed,
            batch=settings.batch_webhooks,
            linger_s=settings.webhook_linger_ms / 1000,
            concurrency=settings.webhook_concurrency,
            limit=settings.webhook_limit,
            clock=clock,
        )
        taps = Taps(session, settings.clickable_hosts)
        pipeline = Pipeline(
            world,
            courier,
            taps,
            speed=settings.simulator_speed,
            limit=settings.pending_limit,
            clock=clock,
        )

        async def check_address(url: str, token: str) -> str | None:
            return await verify(session, url, token)

        async def check_own_address(url: str) -> str | None:
            return await verify(session, url, settings.verify_token.get_secret_value())

        graph = Graph(
            world=world,
            pipeline=pipeline,
            courier=courier,
            faults=faults,
            media=MediaShelf(settings.media_limit_bytes),
            ids=ids,
            access_token=settings.access_token.get_secret_value(),
            check_address=check_address,
            clock=clock,
        )
        control = Control(
            world=world,
            pipeline=pipeline,
            courier=courier,
            taps=taps,
            faults=faults,
            control_token=settings.control_token.get_secret_value(),
            check_address=check_own_address,
            clock=clock,
        )
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.add_routes([*control.routes(), *graph.routes()])
        # A caller that went away must not hold a place in the queue.
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in (courier, taps, pipeline)]
            try:
                yield await _listen(runner, settings)
            finally:
                await runner.cleanup()
                for task in tasks:
                    task.cancel()


async def _listen(runner: web.AppRunner, settings: Settings) -> str:
    await runner.setup()
    site = web.TCPSite(runner, settings.simulator_host, settings.simulator_port, backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    return f"http://{settings.simulator_host}:{port}"
