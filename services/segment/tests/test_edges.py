"""The edges: the log, the contract's reasons, settings, and the process as a whole."""

import asyncio
import inspect

import pytest

from chassis import failures as shared
from chassis.app import tasks
from chassis.failures import Failure, FieldInvalid, Misconfigured
from chassis.ids import fresh_id
from chassis.postgres import migrate
from chassis.settings import from_env
from chassis.streams import Consumer, Record
from chassis.testing import wait_until
from merhaba.event.v1 import (
    Event,
    MessageFailed,
    MessageReceived,
    MessageRef,
    PageViewed,
    PlatformError,
    SegmentEntered,
    StageChanged,
)
from merhaba.event.v1 import MessageContent as Content
from merhaba.segment.v1 import CreateSegmentRequest, ErrorReason, Segment
from services.segment import failures
from services.segment.app import MIGRATIONS, main
from services.segment.config import SegmentSettings
from services.segment.jobs.consumer import GROUP
from services.segment.wire import happening


def test_every_failure_is_a_reason_of_the_contract() -> None:
    kinds = [
        kind
        for module in (failures, shared)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Failure)
        and kind.__module__ == module.__name__
        and kind not in {Failure, *Failure.__subclasses__()}
    ]
    assert len(kinds) > 15
    for kind in kinds:
        reason = Failure.reason.fget(kind.__new__(kind))
        assert f"ERROR_REASON_{reason}" in dict(ErrorReason.items())


CONTACT = "7f2c1e9a-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("body", "name", "properties"),
    [
        (
            {"message_received": MessageReceived(content=Content(kind="text", text="hi"))},
            "message_received",
            {"kind": "text", "text": "hi", "phone_number_id": "", "payload": ""},
        ),
        (
            {
                "message_failed": MessageFailed(
                    message=MessageRef(message_id="m", campaign_id="c"),
                    error=PlatformError(code=131049),
                    kind="recipient",
                )
            },
            "message_failed",
            {
                **{"message_id": "m", "campaign_id": "c", "template": "", "variant": ""},
                **{"category": "", "kind": "recipient", "code": 131049},
            },
        ),
        (
            {"page_viewed": PageViewed(name="Home", properties_json=b'{"path": "/"}')},
            "page_viewed",
            {"name": "Home", "path": "/"},
        ),
    ],
)
def test_events_have_the_names_and_properties_of_expressions(body, name, properties) -> None:
    data = Event(event_id="e", contact_id=CONTACT, **body).SerializeToString()
    read = happening(data, {name})
    assert (read.name, read.properties) == (name, properties)
    assert happening(data, set()).properties == {}


def test_a_stage_that_changed_is_an_attribute() -> None:
    event = Event(event_id="e", contact_id=CONTACT, stage_changed=StageChanged(stage="loyalty"))
    (fact,) = happening(event.SerializeToString(), set()).attributes
    assert (fact.name, fact.value) == ("stage", "loyalty")


@pytest.mark.parametrize("event", [Event(event_id="e", contact_id="x"), Event(contact_id=CONTACT)])
def test_what_cannot_be_read_is_named(event: Event) -> None:
    with pytest.raises(FieldInvalid):
        happening(event.SerializeToString(), set())


def test_settings_name_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTRA_ATTRIBUTES", "seats:integer")
    with pytest.raises(Misconfigured, match="EXTRA_ATTRIBUTES"):
        from_env(SegmentSettings)


async def test_a_bad_event_of_the_log_costs_nobody_else(suite) -> None:
    expression = 'events("signed_in").exists()'
    request = CreateSegmentRequest(segment=Segment(name="in", expression=expression))
    await suite.segments.CreateSegment(request)
    good = suite.tracked(CONTACT, "signed_in")
    bad = suite.tracked(CONTACT, "signed_in", '"no object"')
    await suite.log.append(
        [Record("contact", CONTACT, e.SerializeToString()) for e in (bad, good, good)]
    )
    consumer = Consumer(suite.log, GROUP, ["contact"], suite.intake.handle)
    async with tasks(consumer.run):

        async def entered() -> bool:
            return await suite.said(CONTACT) == ["segment_entered"]

        await wait_until(entered)
    (told,) = await suite.signals(CONTACT)
    assert told.segment_entered == SegmentEntered(
        segment_id=told.segment_entered.segment_id,
        segment_version=1,
        cause_event_id=good.event_id,
    )


async def test_the_process_starts_serves_and_stops(
    postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(migrate, postgres_url, "segment", MIGRATIONS)
    for name, value in {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "LOG_NAMESPACE": fresh_id("test"),
        "API_TOKEN": "t",
        "GRPC_HOST": "127.0.0.1",
        "GRPC_PORT": "0",
        "PROFILE_TARGET": "127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(15):
        await main(stop)
