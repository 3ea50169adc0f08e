"""Reports, put together."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from chassis.app import platform, serving, serving_http, tasks
from chassis.clock import Clock
from chassis.privacy import Erasures
from chassis.rpc import server
from chassis.settings import from_env
from chassis.streams import Consumer, EventLog
from chassis.transient import keep_at
from merhaba.reports.v1 import (
    add_PrivacyServiceServicer_to_server,
    add_ReportServiceServicer_to_server,
)
from services.reports.api import ReportApi
from services.reports.config import ReportsSettings
from services.reports.consumer import GROUP, Folding
from services.reports.dashboard import dashboard
from services.reports.freshness import Freshness
from services.reports.held import Held
from services.reports.ledger import SAMPLED_EVERY, Ledger
from services.reports.privacy_api import PrivacyApi
from services.reports.store import PostgresStore

MIGRATIONS: Final = Path(__file__).parent / "migrations"
TOPICS: Final = ("message", "contact", "signal")
_SERVICES: Final = ("ReportService", "PrivacyService")
_UPSTREAM: Final = ("inbound.message", "inbound.status", "inbound.track", *TOPICS)


async def main(stop: asyncio.Event) -> None:
    """Run reports until `stop`."""
    settings = from_env(ReportsSettings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("reports", settings))
        freshness = Freshness(base.clock.now())
        window = timedelta(days=settings.attribution_days)
        store = PostgresStore(base.pool, base.effects)
        held = Held(base.pool, base.clock, lambda: secrets.token_hex(32))
        ledger = Ledger(store, freshness, base.clock, settings.report_zone, window)
        own = server("reports", settings.api_token.get_secret_value())
        add_ReportServiceServicer_to_server(ReportApi(ledger), own)  # type: ignore[abstract]  # RPCs that do not exist yet answer UNIMPLEMENTED
        erasures = Erasures(base.pool, "reports", base.clock)
        add_PrivacyServiceServicer_to_server(PrivacyApi(held, erasures, base.clock), own)
        consumers = [
            Consumer(base.log, GROUP, [t], Folding(t, ledger, held.erase).handle) for t in TOPICS
        ]
        sampler = Sampler(base.log, freshness, base.clock)
        await stack.enter_async_context(tasks(sampler.run, *(c.run for c in consumers)))
        http = dashboard(ledger, base.clock, settings.dashboard_token.get_secret_value())
        await stack.enter_async_context(serving_http(http, settings))
        await stack.enter_async_context(
            serving(own, settings, [f"merhaba.reports.v1.{name}" for name in _SERVICES])
        )
        await stop.wait()


class Sampler:
    """Looks now and then whether events wait anywhere between the doors and the facts."""

    def __init__(self, log: EventLog, freshness: Freshness, clock: Clock) -> None:
        self._log = log
        self._freshness = freshness
        self._clock = clock

    async def run(self) -> None:
        """Look, until cancelled."""
        await keep_at(self.sample, self._clock, SAMPLED_EVERY, "freshness unknown")

    async def sample(self) -> None:
        """Look once."""
        now = self._clock.now()  # before looking: what comes meanwhile is not covered
        waiting = dict.fromkeys(TOPICS, False)
        upstream = False
        for topic in _UPSTREAM:
            for lag in await self._log.lag([topic]):
                waits = bool(lag.behind or lag.pending)
                if topic in waiting and lag.group == GROUP:
                    waiting[topic] |= waits
                else:
                    upstream |= waits
        self._freshness.sampled(now, waiting, upstream)
