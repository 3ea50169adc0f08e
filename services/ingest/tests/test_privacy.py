"""One person's right to see and to erase, through the whole service."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import msgspec
import pytest

from chassis.clock import SystemClock
from chassis.ids import fresh_id
from chassis.postgres import Pool, database
from chassis.privacy import Readers, Told
from chassis.rpc import channel
from chassis.streams import DeadLetters, EventLog
from chassis.testing import wait_until
from merhaba.event.v1.event_pb2 import Event, Identity
from merhaba.ingest.v1 import ingest_admin_service_pb2 as admin
from merhaba.ingest.v1 import privacy_service_pb2 as privacy
from merhaba.ingest.v1.privacy_service_pb2_grpc import PrivacyServiceStub
from merhaba.ingest.v1.webhook_pb2 import Webhook, WebhookFilter
from merhaba.profile.v1.privacy_pb2 import ExportedRecord
from services.ingest.config import TOPICS
from services.ingest.imports.mapping import Spec
from services.ingest.model import Posted, RawWebhook
from services.ingest.privacy_api import PrivacyApi
from services.ingest.tests.bodies import message, status, value, webhook
from services.ingest.tests.conftest import API_TOKEN, Front, opened, refused
from services.ingest.wire import LogWriter


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "ingest", 2) as opened_:
        yield opened_


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.app.ERASE_PATIENCE", timedelta(seconds=2))


@asynccontextmanager
async def service(environment: dict[str, str]) -> AsyncIterator[PrivacyServiceStub]:
    async with channel(f"127.0.0.1:{environment['GRPC_PORT']}", API_TOKEN) as rpc:
        yield PrivacyServiceStub(rpc)


def new_number() -> str:
    """A number that no other test has, of a country that there is not."""
    return f"999{secrets.randbelow(10**10):010d}"


def known_as(number: str) -> list[Identity]:
    return [Identity(kind=Identity.KIND_WA_ID, value=number)]


def erasure(contact_id: str, number: str, request_id: str = "") -> privacy.EraseContactRequest:
    return privacy.EraseContactRequest(
        request_id=request_id or fresh_id("erasure"),
        contact_id=contact_id,
        identities=known_as(number),
    )


async def listed(front: Front, number: str) -> list[Webhook]:
    chosen = WebhookFilter(identities=known_as(number))
    request = admin.ListWebhooksRequest(filter=chosen)
    return list((await front.admin.ListWebhooks(request)).webhooks)


async def archived(front: Front, number: str, count: int = 1) -> list[Webhook]:
    """Webhooks that tell of somebody, once they are all there."""

    async def there() -> bool:
        return len(await listed(front, number)) == count

    await wait_until(there)
    return await listed(front, number)


async def body_of(front: Front, webhook_id: str) -> bytes:
    request = admin.GetWebhookRequest(webhook_id=webhook_id)
    return (await front.admin.GetWebhook(request)).body


async def exported(stub: PrivacyServiceStub, number: str, cursor: str = "") -> list[Any]:
    request = privacy.ExportContactRequest(
        contact_id="c", identities=known_as(number), cursor=cursor
    )
    return [
        (record.dataset, json.loads(record.record_json))
        async for response in stub.ExportContact(request)
        for record in response.records
    ]


async def test_of_two_people_in_one_webhook_one_is_erased_and_the_other_stays(
    front: Front, environment: dict[str, str]
) -> None:
    anne, bob = new_number(), new_number()
    body = webhook(
        value(
            messages=[message("wamid.a") | {"from": anne}, message("wamid.b") | {"from": bob}],
            contacts=[{"wa_id": one, "profile": {"name": one}} for one in (anne, bob)],
        ),
        value(statuses=[status("wamid.c", recipient_id=bob)]),
    )
    assert (await front.post(body)).status == 200
    (one,) = await archived(front, anne)
    async with service(environment) as stub:
        ((dataset, told),) = await exported(stub, anne)
        assert dataset == "webhook"
        (entry,) = told["posted"]["entry"]
        (change,) = entry["changes"]
        assert [said["id"] for said in change["value"]["messages"]] == ["wamid.a"]
        assert bob not in json.dumps(told)

        answer = await stub.EraseContact(erasure("c", anne))
        assert answer.receipt.records["webhook"] == 1
        assert answer.receipt.records["log_entry"] >= 1
        assert await exported(stub, anne) == []
    assert await listed(front, anne) == []
    (left,) = await listed(front, bob)
    assert left.webhook_id == one.webhook_id
    assert left.redact_time.ToMilliseconds() > 0
    assert left.item_count == 2
    posted = await body_of(front, one.webhook_id)
    assert anne.encode() not in posted
    assert len(posted) == left.size_bytes
    changes = json.loads(posted)["entry"][0]["changes"]
    assert changes[0]["value"]["messages"] == [message("wamid.b") | {"from": bob}]
    assert changes[1] == body["entry"][0]["changes"][1]


async def test_a_replay_brings_nobody_back_who_was_erased(
    front: Front, environment: dict[str, str]
) -> None:
    anne, bob, waba = new_number(), new_number(), fresh_id("waba")
    both = [message("wamid.a") | {"from": anne}, message("wamid.b") | {"from": bob}]
    await front.post(webhook(value(messages=both), waba=waba))
    await front.post(webhook(value(messages=both[:1]), waba=waba))
    pair = await archived(front, anne, 2)
    async with service(environment) as stub:
        receipt = (await stub.EraseContact(erasure("c", anne))).receipt
    assert receipt.records["webhook"] == 2
    assert sorted([await body_of(front, one.webhook_id) == b"" for one in pair]) == [False, True]
    request = admin.ReplayWebhooksRequest(filter=WebhookFilter(waba_ids=[waba]))
    request.start_time.FromSeconds(1_700_000_000)
    request.end_time.FromSeconds(4_000_000_000)
    *_, last = [response async for response in front.admin.ReplayWebhooks(request)]
    assert (last.event_count, last.failed_count) == (1, 0)
    again = [e for e in await front.events("inbound.message") if e.event_id == "wamid.a"]
    assert again == []


async def test_the_log_keeps_what_consumers_have_not_had_and_the_call_says_to_repeat(
    front: Front, environment: dict[str, str]
) -> None:
    anne = new_number()
    await front.log.ensure_group("profile", ["inbound.message"])
    await front.post(webhook(value(messages=[message("wamid.a") | {"from": anne}])))
    await archived(front, anne)
    request = erasure("c", anne)
    async with service(environment) as stub:
        code, info = await refused(stub.EraseContact(request))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "LOG_NOT_FINISHED")
        assert info.metadata["entries"] == "1"
        assert len(await front.events("inbound.message")) == 1

        streams = front.log.streams("inbound.message")
        entries = await front.log.read_group("profile", "c", streams, 10, 1)
        await front.log.acknowledge("profile", entries)
        receipt = (await stub.EraseContact(request)).receipt
    for topic in TOPICS:
        assert not any(anne.encode() in record for record in await front.records(topic))
    # One on `raw`, in the try that came to no end, and one here
    assert receipt.records["log_entry"] == 2


async def test_a_repeat_erases_what_came_since_and_gives_the_first_receipt(
    front: Front, environment: dict[str, str]
) -> None:
    anne = new_number()
    body = webhook(value(messages=[message() | {"from": anne}]))
    await front.post(body)
    await archived(front, anne)
    request = erasure("c", anne)
    async with service(environment) as stub:
        first = (await stub.EraseContact(request)).receipt
        await front.post(body)
        await archived(front, anne)
        assert (await stub.EraseContact(request)).receipt == first
        assert await listed(front, anne) == []

        digest, first.sha256 = first.sha256, ""
        said = first.SerializeToString(deterministic=True)
        assert digest == hashlib.sha256(said).hexdigest()
        assert (first.service, first.contact_id, first.request_id) == (
            *("ingest", "c"),
            request.request_id,
        )
        other = erasure("another", anne, request.request_id)
        code, info = await refused(stub.EraseContact(other))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
        nobody = (await stub.EraseContact(erasure("c", new_number()))).receipt
        assert sum(nobody.records.values()) == 0


async def test_dead_letters_of_the_person_are_shown_and_deleted(
    front: Front, environment: dict[str, str], log: EventLog
) -> None:
    anne, bob, contact_id = new_number(), new_number(), fresh_id("c")
    letters, writer = DeadLetters(log), LogWriter(log)

    async def put(topic: str, record: bytes) -> None:
        await letters.put("g", log.streams(topic)[0], "BROKEN: x", record)

    for number in (anne, bob):
        event = Event(event_id=number, identities=known_as(number))
        await put("inbound.message", event.SerializeToString())
        alone = json.dumps(webhook(value(messages=[{"from": number}]))).encode()
        await put("raw.retry", writer.retry(Posted("whatsapp", "a", 1, alone)).event)
        call = {"type": "identify", "userId": "42", "traits": {"phone": f"+{number}"}}
        calls = json.dumps({"batch": [call], "sentAt": None}).encode()
        await put("raw.retry", writer.retry(Posted("track", "a", 1, calls)).event)
        raw = RawWebhook(fresh_id("wh"), 1, "a", alone, identities=(number,))
        await put("raw", writer.raw(raw).event)
        await put("contact", b"\xff" + number.encode())
    await put("contact", Event(event_id="e", contact_id=contact_id).SerializeToString())
    async with service(environment) as stub:
        request = privacy.ExportContactRequest(contact_id=contact_id, identities=known_as(anne))
        told = [r async for one in stub.ExportContact(request) for r in one.records]
        assert [one.dataset for one in told] == ["dead_letter"] * 6
        assert not any(bob in one.record_json.decode() for one in told)
        receipt = (await stub.EraseContact(erasure(contact_id, anne))).receipt
    assert receipt.records["dead_letter"] == 6
    left = await letters.list("", "", 100)
    assert len(left) == 5
    assert all(bob.encode() in one.event for one in left)


async def test_refused_rows_of_imports_are_shown_and_deleted(
    front: Front, environment: dict[str, str], pool: Pool
) -> None:
    del front
    anne, import_id, now = "905321234567", fresh_id("imp"), datetime.now(UTC)
    await pool.execute(
        "INSERT INTO imports (import_id, fingerprint, name, format, sha256, size_bytes, spec,"
        " create_time, update_time)"
        " VALUES ($1, gen_random_uuid(), 'x', 'csv', '', 1, $3, $2, $2)",
        import_id,
        now,
        msgspec.json.encode(Spec("contacts", {}, {}, "", "", "")).decode(),
    )
    rows = [
        b"+90 532 123 45 67,Anne,3\n", b'{"phone":"05321234567"}\n', b"905321234568,Bob,u-7\n",
        b"x,u-7,9053212345671\n", b"4,u-7777,5\n",
    ]  # fmt: skip
    await pool.executemany(
        "INSERT INTO import_rejects VALUES ($1, $2, 0, $3, 'FIELD_INVALID', 'x', '{}')",
        [(import_id, line, row) for line, row in enumerate(rows, 1)],
    )
    identities = [
        *known_as(anne),
        Identity(kind=Identity.KIND_EXTERNAL_ID, scope="shop", value="u-7"),
    ]
    async with service(environment) as stub:
        asked = privacy.ExportContactRequest(contact_id="c", identities=identities)
        shown = [r async for one in stub.ExportContact(asked) for r in one.records]
        # A short id may be anything, so what has nothing else is erased but shown to nobody
        assert [json.loads(one.record_json)["line"] for one in shown] == [1, 2]
        request = privacy.EraseContactRequest(
            request_id=fresh_id("e"), contact_id="c", identities=identities
        )
        receipt = (await stub.EraseContact(request)).receipt
    assert receipt.records["import_reject"] == 4
    left = await pool.fetch("SELECT line FROM import_rejects WHERE import_id = $1", import_id)
    assert [row["line"] for row in left] == [5]


async def test_an_export_goes_on_behind_its_cursor(
    front: Front, environment: dict[str, str]
) -> None:
    anne = new_number()
    large = {"type": "text", "text": {"body": "x" * 700_000}}
    for n in range(3):
        await front.post(webhook(value(messages=[message(f"wamid.{n}", **large) | {"from": anne}])))
    await archived(front, anne, 3)
    async with service(environment) as stub:
        request = privacy.ExportContactRequest(contact_id="c", identities=known_as(anne))
        pages = [one async for one in stub.ExportContact(request) if one.records]
        assert [len(one.records) for one in pages] == [1, 1, 1]
        request.cursor = pages[0].cursor
        rest = [r async for one in stub.ExportContact(request) for r in one.records]
        assert rest == [pages[1].records[0], pages[2].records[0]]
        request.contact_id = "another"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.ExportContact(request):
                pass
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


class Slow:
    """Holdings that take their time."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    def readers(self, _: Any) -> Readers:
        return {"webhook": self.told}

    async def told(self, _: str) -> AsyncIterator[Told]:
        await self.released.wait()
        yield Told("webhook", "wh", ExportedRecord(service="ingest"))


async def test_an_export_has_a_heartbeat() -> None:
    slow = Slow()
    api = PrivacyApi(slow, None, SystemClock(), timedelta(milliseconds=5))  # type: ignore[arg-type]
    request = privacy.ExportContactRequest(contact_id="c")
    responses = api.ExportContact(request, None)
    assert not (await anext(responses)).records
    assert not (await anext(responses)).records
    slow.released.set()
    assert [len(one.records) async for one in responses if one.records] == [1]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"request_id": ""}, "request_id"),
        ({"contact_id": ""}, "contact_id"),
        ({"identities": [Identity(value="1")]}, "identities[0].kind"),
        ({"identities": [Identity(kind=Identity.KIND_WA_ID)]}, "identities[0].value"),
    ],
)
async def test_who_is_to_be_erased_must_be_said(
    environment: dict[str, str], log: EventLog, wrong: dict[str, Any], field: str
) -> None:
    request: dict[str, Any] = {"request_id": "r", "contact_id": "c", "identities": known_as("1")}
    async with opened(environment, log), service(environment) as stub:
        code, info = await refused(
            stub.EraseContact(privacy.EraseContactRequest(**(request | wrong)))
        )
    assert (code, info.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)
