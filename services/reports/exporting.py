"""Files, put together: asked for, made, delivered."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from chassis.answers import Answers
from chassis.app import Platform
from chassis.outbound import outbound
from chassis.webhooks import secrets_of
from merhaba.reports.v1 import (
    ExportServiceServicer,
    ReportServiceServicer,
    add_ExportServiceServicer_to_server,
)
from services.reports.config import ReportsSettings
from services.reports.exports.api import ExportApi
from services.reports.exports.beginning import Beginning
from services.reports.exports.bucket import credentials_of
from services.reports.exports.contents import Contents
from services.reports.exports.delivering import CONNECTIONS, TIMEOUT, Deliverer
from services.reports.exports.destinations import checker
from services.reports.exports.making import Maker
from services.reports.exports.scheduling import Scheduler
from services.reports.exports.store import ExportStore
from services.reports.ledger import Ledger

SERVICES: Final = ("ExportService",)
_SMALL: Final = 20_000
"""Rows of a file that is made in seconds."""


class Exporting(NamedTuple):
    """What makes files."""

    api: ExportServiceServicer
    runners: list[Callable[[], Awaitable[None]]]
    """What has to run in the background."""


@asynccontextmanager
async def exporting(
    base: Platform,
    settings: ReportsSettings,
    ledger: Ledger,
    reports: ReportServiceServicer,
    secret: Callable[[], bytes],
    own: grpc.aio.Server,
) -> AsyncIterator[Exporting]:
    """Exports and their schedules, served by `own`. `secret`: a new one, which nobody can guess."""
    clock = base.clock
    store = ExportStore(base.pool)
    contents = Contents(base.pool, ledger, reports, secret)
    beginning = Beginning(store, contents, ledger, clock)
    secrets = secrets_of(settings.webhook_secrets.get_secret_value())
    credentials = credentials_of(settings.export_credentials.get_secret_value())
    folder = Path(settings.export_folder) if settings.export_folder else None
    answers = Answers(base.pool, clock)
    async with outbound(TIMEOUT, CONNECTIONS, inside=settings.webhook_inside) as calls:
        check = checker(calls.check, folder, secrets, credentials)
        api = ExportApi(store, beginning, check, answers, clock)
        add_ExportServiceServicer_to_server(api, own)
        maker = Maker(store, contents, clock, settings.report_zone)
        quick = Maker(store, contents, clock, settings.report_zone, _SMALL)
        deliverer = Deliverer(store, calls, clock, folder, secrets, credentials)
        scheduler = Scheduler(store, beginning, clock)
        yield Exporting(api, [maker.run, quick.run, maker.sweep, deliverer.run, scheduler.run])
