"""Reports, put together."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from chassis.app import platform, serving, serving_http, tasks
from chassis.clock import Clock
from chassis.postgres import database
from chassis.privacy import Erasures
from chassis.settings import from_env
from chassis.streams import Consumer, EventLog
from chassis.telemetry import gauge
from chassis.transient import keep_at
from merhaba.audit import v1 as audit
from merhaba.profile.v1 import ProfileServiceStub
from merhaba.reports.v1 import (
    add_PrivacyServiceServicer_to_server,
    add_ReportServiceServicer_to_server,
)
from services import POLICY
from services.reports.acting import SERVICES, acting
from services.reports.answers.answering import Answers
from services.reports.answers.kept import Kept
from services.reports.answers.lift import lifts
from services.reports.api import ReportApi
from services.reports.chronicle.api import timeline_reads
from services.reports.chronicle.gates import Gates
from services.reports.config import ReportsSettings
from services.reports.consumer import GROUP, Folding
from services.reports.dashboard.door import dashboard
from services.reports.dashboard.people import People
from services.reports.dashboard.reading import Reading
from services.reports.dashboard.views import Sources
from services.reports.exporting import SERVICES as EXPORTS
from services.reports.exporting import exporting
from services.reports.freshness import Freshness
from services.reports.held import Held
from services.reports.ledger import SAMPLED_EVERY, Ledger
from services.reports.privacy_api import PrivacyApi
from services.reports.reconciling.asking import Asking
from services.reports.reconciling.graph import analytics
from services.reports.reconciling.snapshots import Snapshots
from services.reports.retention import Retention
from services.reports.store import PostgresStore

MIGRATIONS: Final = Path(__file__).parent / "migrations"
TOPICS: Final = ("message", "contact", "signal")
_SERVICES: Final = ("ReportService", "PrivacyService", *SERVICES, *EXPORTS)
_REVISED_EVERY: Final = timedelta(milliseconds=250)
_UPSTREAM: Final = ("inbound.message", "inbound.status", "inbound.track", *TOPICS)


async def main(stop: asyncio.Event) -> None:
    """Run reports until `stop`."""
    settings = from_env(ReportsSettings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("reports", settings, POLICY))
        freshness = Freshness(base.clock.now())
        window = timedelta(days=settings.attribution_days)
        store = PostgresStore(base.pool, base.effects, window)
        await store.adopt(settings.report_zone)
        held = Held(base.pool, base.clock, lambda: secrets.token_hex(32))
        ledger = Ledger(store, freshness, base.clock, settings.report_zone)
        own = base.mesh.server()
        # Each statement has one plan that is right for any period, and most cost less than to plan
        # them. Connections of their own, so that folding waits for no answers.
        reading = await stack.enter_async_context(
            database(
                settings.database_url.get_secret_value(),
                *("reports", settings.answers_pool_size),
                plan_cache_mode="force_generic_plan",
                default_transaction_read_only="on",
            )
        )
        answers, kept = Answers(reading), Kept(base.pool, base.clock)
        acts = await stack.enter_async_context(acting(base, settings, ledger.fold_time, own))
        graph = await stack.enter_async_context(
            analytics(
                settings.cloud_api_url,
                settings.cloud_api_version,
                settings.cloud_api_token.get_secret_value(),
            )
        )
        sender = await stack.enter_async_context(
            base.mesh.channel("sender", settings.sender_target, purpose="reconciling with Meta")
        )
        asking = Asking(graph, Snapshots(base.pool), sender, base.clock)
        brought = partial(lifts, acts.recipients)
        reads = timeline_reads(base.pool, base.clock, timedelta(days=settings.reads_kept_days))
        reporting = ReportApi(ledger, answers, kept, base.pool, base.clock, asking, brought, reads)
        add_ReportServiceServicer_to_server(reporting, own)
        files = await stack.enter_async_context(
            exporting(base, settings, ledger, reporting, lambda: secrets.token_bytes(32), own)
        )
        profile = await stack.enter_async_context(
            base.mesh.channel(
                "profile", settings.profile_target, purpose="dashboard: whose messages they are"
            )
        )
        erasures = Erasures(base.pool, "reports", base.clock)
        add_PrivacyServiceServicer_to_server(PrivacyApi(held, erasures, base.clock), own)
        base.audit.serve(audit, own)
        consumers = [
            Consumer(
                base.log,
                GROUP,
                [topic],
                Folding(
                    *(topic, ledger, held.erase, lambda: acts.definitions.reader),
                    Gates(base.pool).keep,
                ).handle,
                hurry=False,
            )
            for topic in TOPICS
        ]
        retention = Retention(base.pool, base.clock, timedelta(days=settings.history_kept_days))
        sampler = Sampler(base.log, freshness, base.clock)
        revising = partial(keep_at, store.revise, base.clock, _REVISED_EVERY, "no revisions")
        await stack.enter_async_context(
            tasks(
                *(sampler.run, revising, retention.run, reads.forget, asking.run),
                *(c.run for c in consumers),
                *acts.runners,
                *files.runners,
            )
        )
        sources = Sources(
            ledger,
            Reading(base.pool),
            reporting,
            acts.alert_api,
            acts.experiment_api,
            files.api,
            People(ProfileServiceStub(profile), settings.report_zone),
        )
        http = dashboard(sources, base.clock, settings.dashboard_tokens)
        await stack.enter_async_context(serving_http(http, settings))
        await stack.enter_async_context(
            serving(own, settings, [f"merhaba.reports.v1.{name}" for name in _SERVICES])
        )
        await stop.wait()


_age = gauge("merhaba.reports.freshness")


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
        now = self._clock.now()
        _age.set((now - self._freshness.fold_time(now, SAMPLED_EVERY)).total_seconds())
