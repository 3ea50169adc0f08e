"""The front door put together: HTTP and gRPC in, the log out, its own archive behind."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from aiohttp import web

from chassis.answers import Answers
from chassis.app import platform, serving, serving_http, tasks
from chassis.limits import Limits
from chassis.privacy import Erasures
from chassis.settings import from_env
from chassis.streams import Consumer, EventLog, Upkeep
from chassis.telemetry import Tally, counter
from merhaba.audit import v1 as audit
from merhaba.ingest.v1.ingest_admin_service_pb2_grpc import (
    add_IngestAdminServiceServicer_to_server,
)
from merhaba.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from merhaba.ingest.v1.privacy_service_pb2_grpc import add_PrivacyServiceServicer_to_server
from services import POLICY
from services.ingest.admin_api import IngestAdminApi
from services.ingest.admission import Admission
from services.ingest.answer import HEADERS
from services.ingest.api import Acceptance, ImportCalls, IngestApi
from services.ingest.archive import Archive, ArchiveAdmin, Archivist
from services.ingest.config import TOPICS, IngestSettings
from services.ingest.consumer import ARCHIVE_GROUP, GROUP, Retention, Retrier
from services.ingest.imports.store import Imports
from services.ingest.intake import Intake
from services.ingest.lane import Lanes
from services.ingest.links import (
    Clicks,
    LinkDoor,
    Links,
    Signer,
    Targets,
    TargetStore,
    link_keys,
)
from services.ingest.model import RAW, RETRY
from services.ingest.privacy.holdings import Holdings
from services.ingest.privacy.rejects import Rejects
from services.ingest.privacy_api import PrivacyApi
from services.ingest.signature import app_secrets
from services.ingest.tracking import BODY_BYTES, TrackingDoor
from services.ingest.visitor import Visitors
from services.ingest.webhook import PATH, WebhookDoor
from services.ingest.wire import LogWriter
from services.ingest.write_key_admin import WriteKeyAdmin
from services.ingest.write_key_store import WriteKeyStore
from services.ingest.write_keys import Keyring

SERVICES = (
    "merhaba.ingest.v1.IngestService",
    "merhaba.ingest.v1.IngestAdminService",
    "merhaba.ingest.v1.PrivacyService",
)
ERASE_PATIENCE = timedelta(seconds=8)  # of a call that may take ten


async def main(stop: asyncio.Event) -> None:
    """Run until told to stop."""
    settings = from_env(IngestSettings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("ingest", settings, POLICY))
        log, clock = base.log, base.clock
        writer = LogWriter(log)
        intake = Intake(writer, settings.portfolio_id, settings.default_region)
        archive = Archive(base.pool, settings.archive_index_key.get_secret_value().encode())
        targets = TargetStore(base.pool)
        signer = Signer(link_keys(settings.link_key.get_secret_value()))
        links = Links(targets, signer, clock, settings.public_url, settings.link_days)
        clicks = Clicks(writer, clock, counter("merhaba.link.clicks"))
        answers = Answers(base.pool, clock)
        write_keys = WriteKeyStore(base.pool)
        keys = Keyring(settings.write_keys.get_secret_value(), write_keys, clock)
        await keys.refresh()
        lag_limit = timedelta(seconds=settings.lag_limit_s)
        append_limit = timedelta(seconds=settings.append_limit_s)
        admission = Admission(log, TOPICS, settings.memory_limit, lag_limit, clock, append_limit)
        claimed_after = timedelta(milliseconds=settings.log_claim_idle_ms)
        archivist = Archivist(archive, clock, claimed_after)
        imports = Imports(base.pool)
        retention = Retention(archive, targets, imports, clock, settings.archive_retention_days)
        await stack.enter_async_context(
            tasks(
                admission.run,
                Consumer(log, ARCHIVE_GROUP, [RAW], archivist.handle, hurry=False).run,
                Consumer(log, GROUP, [RETRY], Retrier(intake).handle).run,
                Upkeep(log, [topic for topic in TOPICS if topic != RAW], clock).run,
                Upkeep(_briefly(log, settings.raw_retention_s), [RAW], clock).run,
                retention.run,
                answers.run,
                keys.run,
            )
        )
        webhooks = WebhookDoor(
            intake,
            admission,
            app_secrets(settings.app_secrets.get_secret_value()),
            settings.verify_token.get_secret_value(),
            clock,
            Tally("merhaba.webhook.requests"),
            settings.http_body_s,
        )
        limits = Limits(
            log, "write-limit", settings.write_key_limit, settings.write_key_burst_s, clock
        )
        tracking = TrackingDoor(intake, admission, keys, limits, clock, settings.http_body_s)
        await stack.enter_async_context(clicks.telling(settings.grace_s))
        opener = LinkDoor(signer, Targets(targets), Visitors(), clicks, clock)
        doors = http(webhooks, tracking, opener)
        own = base.mesh.server()
        acceptance = Acceptance(log, admission)
        files = ImportCalls(imports, acceptance, answers, clock, settings.default_region)
        api = IngestApi(log, links, answers, acceptance, files, clock)
        admin = IngestAdminApi(
            log,
            WriteKeyAdmin(write_keys, answers, clock),
            answers,
            ArchiveAdmin(archive, intake, log, TOPICS, clock),
            admission,
            clock,
        )
        add_IngestServiceServicer_to_server(api, own)
        add_IngestAdminServiceServicer_to_server(admin, own)
        rejects = Rejects(base.pool)
        holdings = Holdings(archive, rejects, targets, log, TOPICS, clock, ERASE_PATIENCE)
        privacy = PrivacyApi(holdings, Erasures(base.pool, "ingest", clock), clock)
        add_PrivacyServiceServicer_to_server(privacy, own)
        base.audit.serve(audit, own)
        lanes = Lanes(
            webhooks,
            PATH,
            settings.http_head_s,
            settings.http_body_s,
            settings.http_idle_s,
            settings.http_connections,
        )
        doors.on_response_prepare.append(partial(_leaving, lanes))
        await stack.enter_async_context(serving_http(doors, settings, lanes))
        await stack.enter_async_context(serving(own, settings, SERVICES))
        await stop.wait()
        lanes.leaving = True


def _briefly(log: EventLog, retention_s: int) -> EventLog:
    """The log, for what need not stay in it: bodies are by far the largest."""
    return EventLog(log.redis, log.settings.model_copy(update={"log_retention_s": retention_s}))


def http(webhooks: WebhookDoor, tracking: TrackingDoor, links: LinkDoor) -> web.Application:
    """The HTTP door: every path there is."""
    app = web.Application(client_max_size=BODY_BYTES)
    app.add_routes(
        [
            web.get(PATH, webhooks.verify, allow_head=False),
            web.post(PATH, webhooks.post),
            *tracking.routes(),
            web.get("/l/{token}", links.open),
            web.get("/healthz", _healthy, allow_head=False),
        ]
    )
    app.on_response_prepare.append(_named)
    return app


async def _named(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)  # the framework's own answers, too


async def _leaving(lanes: Lanes, _request: web.Request, response: web.StreamResponse) -> None:
    if lanes.leaving:
        response.headers["Connection"] = "close"
        response.force_close()


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok")
