"""The archive and the links on a real Postgres, and the trace of a webhook."""

import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.sdk.trace import TracerProvider

from chassis.clock import ManualClock, SystemClock
from chassis.ids import fresh_id
from chassis.postgres import Pool, database
from chassis.streams import EventLog, Position
from merhaba.event.v1.event_pb2 import Event
from services.ingest.admission import Admission, WriteLimits
from services.ingest.app import http
from services.ingest.consumer import Retention
from services.ingest.intake import Intake
from services.ingest.links import LinkDoor, new_link
from services.ingest.model import ArchiveQuery, RawWebhook
from services.ingest.signature import app_secrets
from services.ingest.store import Archive, Links
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tracking import TrackingDoor, WriteKeys
from services.ingest.webhook import WebhookDoor
from services.ingest.wire import LogWriter


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "ingest", 4) as opened:
        yield opened


def raw(person: str, received_ms: int, **more: object) -> RawWebhook:
    parts = {"fields": ["messages"], "identities": [person, "other"]} | more
    return RawWebhook(fresh_id("wh"), received_ms, "shop", b'{"a":1}' * 100, **parts)


async def test_the_archive_keeps_each_webhook_once_and_finds_it_by_person(pool: Pool) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    made = [raw(person, 1_763_000_000_000 + n) for n in range(3)]
    webhooks = sorted(made, key=lambda one: one.webhook_id)
    await archive.add(webhooks)
    await archive.add([*webhooks[1:], raw("somebody else", 1)])
    query = ArchiveQuery(identities=[person])
    assert await archive.count(query) == 3
    newest = await archive.newest(query, "", 2)
    assert [one.webhook_id for one in newest] == [w.webhook_id for w in webhooks[:0:-1]]
    assert [one.body for one in await archive.oldest(query, "", 9)] == [w.body for w in webhooks]
    assert await Archive(pool, b"another key").count(query) == 0


async def test_what_postgres_cannot_hold_as_text_spoils_no_batch(pool: Pool) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    await archive.add([raw(person, 1_763_000_000_000, fields=["a\0b"]), raw(person, 1)])
    query = ArchiveQuery(identities=[person], fields=["ab"])
    assert await archive.count(query) == 1


async def test_what_is_past_its_time_is_deleted(pool: Pool, manual_clock: ManualClock) -> None:
    archive, links, person = Archive(pool, b"key"), Links(pool), fresh_id("p")
    now_ms = int(manual_clock.now().timestamp() * 1000)
    await archive.add([raw(person, now_ms)])
    (link,) = await links.register([new_link(0, "https://a.example", person, "", "", now_ms)])
    retention = Retention(archive, links, manual_clock, days=30)
    await manual_clock.advance(timedelta(days=29))
    await retention.once()
    assert await archive.count(ArchiveQuery(identities=[person])) == 1
    assert await links.get(link.token) == link
    await manual_clock.advance(timedelta(days=2))
    await retention.once()
    assert await archive.count(ArchiveQuery(identities=[person])) == 0
    assert await links.get(link.token) is None


class Uncounted:
    def add(self, amount: int, attributes: dict[str, str]) -> None:
        del amount, attributes


async def test_a_sampled_webhook_gives_its_trace_to_its_events(
    pool: Pool, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = TracerProvider().get_tracer("test")
    monkeypatch.setattr("services.ingest.webhook.tracer", tracer)
    clock, writer = SystemClock(), LogWriter(log)
    intake, admission = Intake(writer, "", "TR"), Admission(log, (), 1, timedelta(0), clock)
    secrets = app_secrets("secret")
    door = WebhookDoor(intake, admission, secrets, "v", clock, Uncounted(), 1, traced=True)
    tracking = TrackingDoor(
        intake, admission, WriteKeys(""), WriteLimits(0, 1, clock), clock, 1, traced=True
    )
    app = http(door, tracking, LinkDoor(Links(pool), writer, clock))
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
