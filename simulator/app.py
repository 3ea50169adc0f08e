"""The simulator put together."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from secrets import token_bytes

import aiohttp
from aiohttp import web

from simulator.control.control import Control
from simulator.faults import FaultBox
from simulator.graph.analytics import AnalyticsCalls
from simulator.graph.apps import Apps
from simulator.graph.door import Door
from simulator.graph.lane import Lanes
from simulator.graph.media import MediaCalls
from simulator.graph.numbers import NumberCalls
from simulator.graph.sends import Sends
from simulator.graph.templates import TemplateCalls
from simulator.ids import Ids
from simulator.messages.media import LARGEST
from simulator.pipeline import Pipeline
from simulator.settings import Settings
from simulator.taps import Taps
from simulator.webhooks.courier import Courier, Packing
from simulator.webhooks.posting import Posting, verify
from simulator.webhooks.subscriptions import Subscriptions
from simulator.world.account import TemplateAccount
from simulator.world.life import Life
from simulator.world.sending import Sending
from simulator.world.standing import Standing
from simulator.world.world import Lifetime, World

_BACKLOG = 1024


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[str]:
    """The simulator, listening at the address given out, until the block ends."""
    world = World(
        seed=settings.simulator_seed,
        ids=Ids(token_bytes(12)),
        lifetime=Lifetime(settings.simulator_speed, clock(), settings.simulator_hour),
        subscriptions=Subscriptions(settings.webhook_url),
        people_limit=settings.people_limit,
        ledger_limit=settings.ledger_limit,
        media_limit=settings.media_limit_bytes,
    )
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        faults = FaultBox(Random(f"{settings.simulator_seed}/faults"))  # noqa: S311 - not a secret
        posting = Posting(settings.webhook_timeout_s)
        courier = Courier(
            post=posting.post,
            secret=settings.app_secret.get_secret_value().encode(),
            subscriptions=world.subscriptions,
            faults=faults,
            speed=settings.simulator_speed,
            packing=Packing(settings.batch_webhooks, settings.webhook_linger_ms / 1000),
            concurrency=settings.webhook_concurrency,
            limit=settings.webhook_limit,
            clock=clock,
        )
        standing = Standing(world)
        taps = Taps(session, settings.clickable_hosts)
        pipeline = Pipeline(
            Life(world, standing),
            courier,
            taps,
            speed=settings.simulator_speed,
            limit=settings.pending_limit,
            clock=clock,
        )
        sends = Sends(
            world,
            Sending(world),
            pipeline,
            faults,
            settings.access_token.get_secret_value(),
            clock,
        )
        door = _door(settings, world, standing, pipeline, courier, sends, faults, session, clock)
        control = _control(
            settings, world, standing, pipeline, courier, taps, faults, session, clock
        )
        app = web.Application(client_max_size=LARGEST)
        app.add_routes([*control.routes(), *door.routes()])
        # A caller that went away must not hold a place in the queue.
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0
        )
        lanes = Lanes(sends)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in (courier, taps, pipeline)]
            listening = None
            try:
                await runner.setup()
                assert runner.server is not None
                listening = await asyncio.get_running_loop().create_server(
                    lanes.protocol(runner.server),
                    settings.simulator_host,
                    settings.simulator_port,
                    backlog=_BACKLOG,
                )
                port = listening.sockets[0].getsockname()[1]
                yield f"http://{settings.simulator_host}:{port}"
            finally:
                if listening is not None:
                    listening.close()
                lanes.close()
                await runner.cleanup()
                for task in tasks:
                    task.cancel()
                posting.close()


def _door(
    settings: Settings,
    world: World,
    standing: Standing,
    pipeline: Pipeline,
    courier: Courier,
    sends: Sends,
    faults: FaultBox,
    session: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> Door:
    async def check_address(url: str, token: str) -> str | None:
        return await verify(session, url, token)

    apps = Apps(world, settings.app_secret.get_secret_value(), check_address)
    return Door(
        world=world,
        sends=sends,
        numbers=NumberCalls(world, apps.checked, clock),
        templates=TemplateCalls(world, TemplateAccount(world, standing), pipeline, courier, clock),
        media=MediaCalls(world, clock),
        apps=apps,
        analytics=AnalyticsCalls(world, clock),
        faults=faults,
        clock=clock,
    )


def _control(
    settings: Settings,
    world: World,
    standing: Standing,
    pipeline: Pipeline,
    courier: Courier,
    taps: Taps,
    faults: FaultBox,
    session: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> Control:
    async def check_own_address(url: str) -> str | None:
        return await verify(session, url, settings.verify_token.get_secret_value())

    return Control(
        world=world,
        standing=standing,
        pipeline=pipeline,
        courier=courier,
        taps=taps,
        faults=faults,
        control_token=settings.control_token.get_secret_value(),
        check_address=check_own_address,
        clock=clock,
    )
