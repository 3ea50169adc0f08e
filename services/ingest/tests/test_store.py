"""What is forgotten, on a real Postgres, and the trace of a webhook."""

import hmac
import json
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.sdk.trace import TracerProvider

from chassis.clock import ManualClock, SystemClock
from chassis.ids import fresh_id
from chassis.limits import Limits
from chassis.postgres import Pool, database
from chassis.streams import EventLog, Position
from merhaba.event.v1.event_pb2 import Event
from services.ingest.admission import Admission
from services.ingest.app import http
from services.ingest.archive import Archive, ArchiveQuery
from services.ingest.consumer import Retention
from services.ingest.imports.store import Imports
from services.ingest.intake import Intake
from services.ingest.links import Clicks, LinkDoor, Signer, Targets, TargetStore
from services.ingest.model import RawWebhook
from services.ingest.signature import app_secrets
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tracking import TrackingDoor
from services.ingest.visitor import Visitors
from services.ingest.webhook import WebhookDoor
from services.ingest.wire import LogWriter
from services.ingest.write_key_store import WriteKeyStore
from services.ingest.write_keys import Keyring


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "ingest", 4) as opened:
        yield opened


def raw(person: str, at_ms: int) -> RawWebhook:
    webhook_id = f"wh_{at_ms:012x}{secrets.token_hex(10)}"
    return RawWebhook(webhook_id, at_ms, "shop", b"{}", identities=(person,))


async def test_what_is_past_its_time_is_deleted(pool: Pool, manual_clock: ManualClock) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    now_ms = int(manual_clock.now().timestamp() * 1000)
    await archive.add([raw(person, now_ms)])
    retention = Retention(archive, TargetStore(pool), Imports(pool), manual_clock, days=30)
    await manual_clock.advance(timedelta(days=29))
    await retention.once()
    assert await archive.count(ArchiveQuery(identities=[person])) == 1
    await manual_clock.advance(timedelta(days=2))
    await retention.once()
    assert await archive.count(ArchiveQuery(identities=[person])) == 0


class Uncounted:
    def add(self, amount: int, attributes: dict[str, str]) -> None:
        del amount, attributes


async def test_a_sampled_webhook_gives_its_trace_to_its_events(
    pool: Pool, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.telemetry._whole", TracerProvider().get_tracer("test"))
    monkeypatch.setattr("chassis.telemetry._share", 1.0)
    clock, writer = SystemClock(), LogWriter(log)
    intake, admission = Intake(writer, "", "TR"), Admission(log, (), 1, timedelta(0), clock)
    secrets = app_secrets("secret")
    door = WebhookDoor(intake, admission, secrets, "v", clock, Uncounted(), 1)
    tracking = TrackingDoor(
        intake,
        admission,
        Keyring("", WriteKeyStore(pool), clock),
        Limits(log, "write-limit", 0, 1, clock),
        clock,
        1,
    )
    clicks = Clicks(writer, clock, Uncounted())
    links = LinkDoor(Signer([b"key"]), Targets(TargetStore(pool)), Visitors(), clicks, clock)
    app = http(door, tracking, links)
    body = json.dumps(webhook(value(messages=[message()]))).encode()
    signature = "sha256=" + hmac.new(b"secret", body, "sha256").hexdigest()
    async with TestClient(TestServer(app)) as client:
        response = await client.post(
            "/webhooks/whatsapp", data=body, headers={"X-Hub-Signature-256": signature}
        )
        assert response.status == 200
    starts = [Position(stream, b"0") for stream in log.streams("inbound.message")]
    ((_, (event,)),) = await log.read(starts, 10, 1)
    flags = Event.FromString(event).traceparent.rpartition("-")[2]
    assert int(flags, 16) & 1
