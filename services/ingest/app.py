"""The front door put together: HTTP and gRPC in, the log out, its own archive behind."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from aiohttp import web

from chassis.app import platform, serving, serving_http, tasks
from chassis.rpc import server
from chassis.settings import from_env
from chassis.streams import Consumer, EventLog, Upkeep
from chassis.telemetry import counter
from merhaba.ingest.v1.ingest_admin_service_pb2_grpc import (
    add_IngestAdminServiceServicer_to_server,
)
from merhaba.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from services.ingest.admin_api import IngestAdminApi
from services.ingest.admission import Admission, WriteLimits
from services.ingest.api import IngestApi
from services.ingest.config import TOPICS, IngestSettings
from services.ingest.consumer import ARCHIVE_GROUP, GROUP, Archivist, Retention, Retrier
from services.ingest.intake import Intake
from services.ingest.links import LinkDoor
from services.ingest.model import RAW, RETRY
from services.ingest.signature import app_secrets
from services.ingest.store import Archive, Links
from services.ingest.tracking import BODY_BYTES, TrackingDoor, WriteKeys
from services.ingest.webhook import PATH, WebhookDoor
from services.ingest.wire import LogWriter

SERVICES = ("merhaba.ingest.v1.IngestService", "merhaba.ingest.v1.IngestAdminService")


async def main(stop: asyncio.Event) -> None:
    """Run until told to stop."""
    settings = from_env(IngestSettings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(platform("ingest", settings))
        log, clock = base.log, base.clock
        writer = LogWriter(log)
        intake = Intake(writer, settings.portfolio_id, settings.default_region)
        archive = Archive(base.pool, settings.archive_index_key.get_secret_value().encode())
        links = Links(base.pool)
        lag_limit = timedelta(seconds=settings.lag_limit_s)
        admission = Admission(log, TOPICS, settings.memory_limit, lag_limit, clock)
        retention = Retention(archive, links, clock, settings.archive_retention_days)
        await stack.enter_async_context(
            tasks(
                admission.run,
                Consumer(log, ARCHIVE_GROUP, [RAW], Archivist(archive).handle).run,
                Consumer(log, GROUP, [RETRY], Retrier(intake).handle).run,
                Upkeep(log, [topic for topic in TOPICS if topic != RAW], clock).run,
                Upkeep(_briefly(log, settings.raw_retention_s), [RAW], clock).run,
                retention.run,
            )
        )
        traced = bool(settings.otel_exporter_otlp_endpoint)
        webhooks = WebhookDoor(
            intake,
            admission,
            app_secrets(settings.app_secrets.get_secret_value()),
            settings.verify_token.get_secret_value(),
            clock,
            counter("merhaba.webhook.requests", "{request}"),
            settings.http_body_s,
            traced,
        )
        keys = WriteKeys(settings.write_keys.get_secret_value())
        limits = WriteLimits(settings.write_key_limit, settings.write_key_burst_s, clock)
        tracking = TrackingDoor(
            intake, admission, keys, limits, clock, settings.http_body_s, traced
        )
        doors = http(webhooks, tracking, LinkDoor(links, writer, clock))
        own = server("ingest", settings.api_token.get_secret_value())
        api = IngestApi(  # type: ignore[abstract]  # what does not exist yet answers UNIMPLEMENTED
            log, links, admission, clock, settings.public_url, settings.link_days
        )
        admin = IngestAdminApi(  # type: ignore[abstract]  # as above
            log, archive, intake, admission, clock
        )
        add_IngestServiceServicer_to_server(api, own)
        add_IngestAdminServiceServicer_to_server(admin, own)
        await stack.enter_async_context(serving_http(doors, settings))
        await stack.enter_async_context(serving(own, settings, SERVICES))
        await stop.wait()


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
    return app


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok")
