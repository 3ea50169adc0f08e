"""Nothing personal leaves the process by its logs, spans, metrics or dead letters' reasons.

A real process takes in people full of unlikely words, good events and broken ones, and is asked
all it can be asked, wrongly too. Then none of the words may stand in anything it said.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from chassis.ids import fresh_id
from chassis.postgres import Pool
from chassis.rpc import channel
from chassis.settings import LogSettings
from chassis.streams import DeadLetters, EventLog, Record
from chassis.testing import wait_until
from merhaba.event.v1 import AttributeChange, ConsentChanged, Event, Identity
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    ContactAttributes,
    ContactFilter,
    ContactRef,
    ContactUpsert,
    GetConsentRequest,
    GetContactRequest,
    ListConsentsRequest,
    ListContactsRequest,
    ListEventsRequest,
    PrivacyServiceStub,
    ProfileServiceStub,
    RecordConsentRequest,
    ResolveContactRequest,
    SetAttributesRequest,
    StreamHistoryRequest,
    UpsertContactsRequest,
)

TOKEN = "a token for tests"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector(TraceServiceServicer, MetricsServiceServicer):
    """Keeps all that is exported."""

    def __init__(self) -> None:
        self.told: list[ExportTraceServiceRequest | ExportMetricsServiceRequest] = []

    async def _export_traces(
        self, request: ExportTraceServiceRequest, context: object
    ) -> ExportTraceServiceResponse:
        self.told.append(request)
        return ExportTraceServiceResponse()

    async def _export_metrics(
        self, request: ExportMetricsServiceRequest, context: object
    ) -> ExportMetricsServiceResponse:
        self.told.append(request)
        return ExportMetricsServiceResponse()


class _Traces(TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self.Export = collector._export_traces  # type: ignore[assignment]


class _Metrics(MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self.Export = collector._export_metrics  # type: ignore[assignment]


class Words:
    """Unlikely words, each remembered."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def word(self, what: str) -> str:
        self.said.append(f"{what}{fresh_id('q')[-12:]}")
        return self.said[-1]

    def number(self) -> str:
        digits = int.from_bytes(fresh_id("x").encode()[-4:], "big") % 10_000_000
        self.said.append(f"90534{digits:07d}")
        return self.said[-1]


class Running(NamedTuple):
    process: asyncio.subprocess.Process
    errors: Path
    collector: Collector
    target: str


@pytest.fixture
def errors(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "stderr"


@pytest.fixture
async def running(
    profile_url: str, log_settings: LogSettings, master_keys: str, index_key: str, errors: Path
) -> AsyncIterator[Running]:
    collector = Collector()
    receiver = grpc.aio.server()
    add_TraceServiceServicer_to_server(_Traces(collector), receiver)
    add_MetricsServiceServicer_to_server(_Metrics(collector), receiver)
    otlp = receiver.add_insecure_port("127.0.0.1:0")
    await receiver.start()
    environment = {
        **os.environ,
        "DATABASE_URL": profile_url,
        "REDIS_URL": log_settings.redis_url,
        "LOG_NAMESPACE": log_settings.log_namespace,
        "LOG_LINGER_MS": "1",
        "LOG_PACE_MS": "1",
        "API_TOKEN": TOKEN,
        "GRPC_HOST": "127.0.0.1",
        "GRPC_PORT": "0",
        "MASTER_KEYS": master_keys,
        "INDEX_KEY": index_key,
        **dict.fromkeys(("INGEST_TARGET", "SEGMENT_TARGET"), "127.0.0.1:1"),
        **dict.fromkeys(("SENDER_TARGET", "REPORTS_TARGET"), "127.0.0.1:1"),
        "LOG_LEVEL": "DEBUG",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{otlp}",
        "TRACE_SAMPLE_RATIO": "1",
    }
    with errors.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.profile"),
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        await wait_until(
            lambda: b'"port"' in errors.read_bytes() or process.returncode is not None,
            timeout_s=60,
        )
        assert process.returncode is None, errors.read_text()
        found = re.search(rb'"port": (\d+)', errors.read_bytes())
        assert found
        yield Running(process, errors, collector, f"127.0.0.1:{int(found[1])}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await receiver.stop(0)


def event(*who: Identity, **body: object) -> Event:
    made = Event(event_id=fresh_id("e"), source="shop", traceparent=TRACE, identities=who, **body)  # type: ignore[arg-type]
    made.event_time.seconds = made.received_time.seconds = 1_700_000_000
    return made


def external(value: str) -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=value)


def good(words: Words) -> list[Event]:
    who = [external(words.word("id")), Identity(kind="KIND_WA_ID", value=words.number())]
    who.append(Identity(kind="KIND_EMAIL", value=f"{words.word('mail')}@example.com"))
    traits = f'{{"first_name": "{words.word("name")}", "city": "{words.word("city")}"}}'
    text = {"kind": "text", "text": words.word("text")}
    message = {
        "wamid": words.word("wamid"),
        "phone_number_id": "n1",
        "profile_name": words.word("profile"),
        "content": text,
    }
    said = {"purpose": "marketing", "granted": True, "proof": words.word("proof")}
    return [
        event(*who, identified={"traits_json": traits.encode()}),
        event(*who[1:2], message_received=message),
        event(*who[:1], consent_changed=said),
    ]


def broken(words: Words) -> list[bytes]:
    who = external(words.word("id"))

    def tracked(name: str, json: str) -> Event:
        return event(who, tracked={"name": name, "properties_json": json.encode()})

    long = words.word("long")
    events = [
        event(who, identified={"traits_json": words.word("nojson").encode()}),
        event(who, identified={"traits_json": f'["{words.word("list")}"]'.encode()}),
        event(who, identified={"traits_json": f'{{"x": "{long * 2_000}"}}'.encode()}),
        tracked("order_completed", f'{{"total": "{words.word("total")}"}}'),
        tracked("order_completed", f'{{"total": 1, "products": "{words.word("products")}"}}'),
        tracked("consent_granted", f'{{"purpose": "a", "expire_time": "{words.word("never")}"}}'),
        event(Identity(kind="KIND_WA_ID", value=words.word("phone"))),
        event(
            Identity(kind="KIND_WA_ID", value=words.word("phone")),
            identified={"traits_json": b"{}"},
        ),
        event(who, preference_changed={"category": "x", "value": words.word("preference")}),
        # What Postgres cannot keep: nobody expected it, so it fails deep inside.
        event(who, consent_changed={"purpose": f"{words.word('purpose')}\0", "granted": True}),
    ]
    nobody = event(contact_id="01900000-0000-7000-8000-000000000009")
    nobody.identified.traits_json = f'{{"x": "{words.word("erased")}"}}'.encode()
    raws = [one.SerializeToString() for one in [*events, nobody]]
    return [*raws, b"\xff\xff" + words.word("noevent").encode()]


async def asked(target: str, words: Words, known: Identity, pool: Pool) -> int:
    """Ask everything, right and wrong; returns how much was refused."""
    name = words.word("named")
    number = Identity(kind="KIND_WA_ID", value=f"+{words.number()}")
    wrong = Identity(kind="KIND_WA_ID", value=words.word("wrong"))
    ref, mask = ContactRef(identity=known), FieldMask(paths=["attributes"])
    refused = 0
    async with channel(target, TOKEN, purpose="tests") as opened:
        profiles, privacy = ProfileServiceStub(opened), PrivacyServiceStub(opened)
        contact_id = (
            await profiles.ResolveContact(ResolveContactRequest(identities=[known]))
        ).contact_id
        own = ContactRef(contact_id=contact_id)

        async def history() -> None:
            async for _ in profiles.StreamHistory(StreamHistoryRequest(contact_ids=[contact_id])):
                pass

        def told(json: str) -> list[AttributeChange]:
            return [AttributeChange(name="nick", value_json=json.encode())]

        calls = [
            profiles.GetContact(GetContactRequest(contact=ref)),
            profiles.GetContact(GetContactRequest(contact=ContactRef(identity=wrong))),
            profiles.GetContact(
                GetContactRequest(contact=ContactRef(identity=external(words.word("nobody"))))
            ),
            profiles.GetContact(
                GetContactRequest(contact=ref, read_mask=FieldMask(paths=[words.word("path")]))
            ),
            profiles.GetContact(
                GetContactRequest(contact=ContactRef(contact_id=words.word("noid")))
            ),
            profiles.BatchGetContacts(BatchGetContactsRequest(contacts=[own, ref], read_mask=mask)),
            profiles.ListContacts(ListContactsRequest(filter=ContactFilter(identities=[known]))),
            profiles.ListContacts(ListContactsRequest(page_token=words.word("token"))),
            profiles.ListEvents(ListEventsRequest(contact_id=contact_id)),
            history(),
            profiles.UpsertContacts(
                UpsertContactsRequest(
                    contacts=[
                        ContactUpsert(identities=[number, known], attributes=told(f'"{name}"')),
                        ContactUpsert(identities=[known], attributes=told(words.word("nojson"))),
                        ContactUpsert(identities=[known], etag=words.word("etag")),
                        ContactUpsert(identities=[wrong]),
                    ]
                )
            ),
            profiles.SetAttributes(
                SetAttributesRequest(
                    contacts=[
                        ContactAttributes(contact=own, attributes=told(words.word("nojson"))),
                        ContactAttributes(contact=own, attributes=told(f'"{words.word("ok")}"')),
                    ]
                )
            ),
            privacy.RecordConsent(
                RecordConsentRequest(
                    contact=own,
                    change=ConsentChanged(purpose="sms", granted=True, proof=words.word("proof")),
                )
            ),
            # Postgres cannot keep it: an error that nobody foresaw.
            privacy.RecordConsent(
                RecordConsentRequest(
                    contact=own,
                    change=ConsentChanged(purpose=f"{words.word('unforeseen')}\0", granted=True),
                )
            ),
            privacy.GetConsent(GetConsentRequest(contact=own, purpose="sms")),
            privacy.ListConsents(ListConsentsRequest(contact=own)),
        ]
        for call in calls:
            try:
                await call
            except grpc.aio.AioRpcError:
                refused += 1
        # And a row that was tampered with.
        await pool.execute(
            "UPDATE contacts SET document = set_byte(document, 20, 255 - get_byte(document, 20))"
            " WHERE contact_id = $1",
            contact_id,
        )
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await profiles.GetContact(GetContactRequest(contact=own))
        assert raised.value.code() == grpc.StatusCode.INTERNAL
    return refused


async def test_no_log_span_metric_or_reason_says_anything_of_a_person(
    running: Running, log: EventLog, pool: Pool
) -> None:
    words, letters = Words(), DeadLetters(log)
    people, spoiled = good(words), broken(words)
    raws = [*(one.SerializeToString() for one in people), *spoiled]
    await log.append([Record("inbound.message", fresh_id("k"), raw) for raw in raws])

    async def all_done() -> bool:
        consents = await log.redis.xinfo_groups(log.streams("inbound.message")[0])
        return bool(consents) and len(await letters.list("", "", 100)) >= len(spoiled) - 3

    await wait_until(all_done, timeout_s=60)
    async with channel(running.target, TOKEN, purpose="tests") as opened:
        stub = ProfileServiceStub(opened)

        async def known() -> bool:
            try:
                await stub.ResolveContact(
                    ResolveContactRequest(identities=[people[0].identities[0]])
                )
            except grpc.aio.AioRpcError:
                return False
            return True

        await wait_until(known)
    assert await asked(running.target, words, people[0].identities[0], pool) == 6
    running.process.terminate()
    assert await running.process.wait() == 0
    said = running.errors.read_text()
    reasons = [letter.reason for letter in await letters.list("", "", 100)]
    exported = running.collector.told
    assert "dead letter" in said
    assert "internal error" in said
    kinds = {type(one) for one in exported}
    assert kinds == {ExportTraceServiceRequest, ExportMetricsServiceRequest}
    assert "profile process" in str(exported)
    everything = b"\n".join(
        (said.encode(), *map(str.encode, reasons), *(one.SerializeToString() for one in exported))
    )
    assert [word for word in words.said if word.encode() in everything] == []
