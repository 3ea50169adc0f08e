"""The tracking API, proven by the libraries that businesses use, unmodified."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import milliseconds_of
from merhaba.event.v1.event_pb2 import Event, Identity
from services.ingest.admission import Admission
from services.ingest.tests.conftest import Front
from services.ingest.track import snake

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent / "sdks"
HOUR_S = 3_600
MANY = 230  # an SDK sends at most 100 at once


class Sdk:
    """One version of one SDK, in a place of its own."""

    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self.package = package

    @asynccontextmanager
    async def sending(self, front: Front, **given: Any) -> AsyncIterator[asyncio.StreamReader]:
        """Use it in a process that sees nothing else; what that tells, line by line."""
        place = ROOT / ".venv" / "sdks" / self.name
        if not (place / ".ready").exists():
            pytest.skip(f"{self.name} is not installed: make setup")
        told = {"host": front.url, "key": "key-of-shop", "gzip": True, "ahead_s": 0, "many": 0}
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", str(HERE / "send.py"), self.package, json.dumps(told | given)),
            env={"PYTHONPATH": str(place), "PATH": os.environ["PATH"]},
            stdout=asyncio.subprocess.PIPE,
        )
        assert program.stdout is not None
        try:
            yield program.stdout
            assert await program.wait() == 0
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()

    async def send(self, front: Front, **given: Any) -> tuple[list[int], list[Any], list[Any]]:
        """Statuses of its requests, what it says it sent, and the errors it told of."""
        async with self.sending(front, **given) as lines:
            return await read(lines)


async def read(lines: asyncio.StreamReader) -> tuple[list[int], list[Any], list[Any]]:
    statuses: list[int] = []
    sent: list[Any] = []
    async for line in lines:
        match json.loads(line):
            case {"path": "/v1/batch", "status": status}:
                statuses.append(status)
            case {"sent": message}:
                sent.append(message)
            case {"errors": errors}:
                return statuses, sent, errors
            case other:
                raise AssertionError(other)
    raise AssertionError("the program ended before it was done")


SEGMENT, RUDDER = "segment.analytics", "rudderstack.analytics"
SDKS = [
    Sdk("segment-analytics-python-2.2.3", SEGMENT),
    Sdk("segment-analytics-python-2.3.4", SEGMENT),
    Sdk("segment-analytics-python-2.4.0", SEGMENT),
    Sdk("rudder-sdk-python-2.1.9", RUDDER),
]
every_sdk = pytest.mark.parametrize("sdk", SDKS, ids=[sdk.name for sdk in SDKS])


def test_every_locked_sdk_is_tried() -> None:
    assert {sdk.name for sdk in SDKS} == {lock.stem for lock in HERE.glob("*.lock")}


def identities(call: dict[str, Any]) -> list[Identity]:
    """Of a call, as it should arrive."""
    found = []
    if call.get("userId"):
        found.append(("KIND_EXTERNAL_ID", "shop", call["userId"]))
    if call.get("anonymousId"):
        found.append(("KIND_ANONYMOUS_ID", "shop", call["anonymousId"]))
    if call["type"] == "identify":
        found += [("KIND_WA_ID", "", "447700900123"), ("KIND_EMAIL", "", "a@example.com")]
    return [
        Identity(kind=Identity.Kind.Value(kind), scope=scope, value=value)
        for kind, scope, value in found
    ]


def same(event: Event, call: dict[str, Any]) -> None:
    """The event says what the call said."""
    kind = call["type"]
    assert event.source == "track:shop"
    assert list(event.identities) == identities(call)
    body = getattr(event, event.WhichOneof("body") or "")
    properties, context = call.get("properties"), call["context"]
    if kind == "track":
        assert body.name == snake(call["event"])
    if kind in ("page", "screen"):
        assert event.WhichOneof("body") == f"{kind}_viewed"
        assert (body.name, body.category) == (call["name"], call["category"])
    if kind in ("track", "page", "screen"):
        assert json.loads(body.properties_json) == properties
        assert json.loads(body.context_json) == context
    if kind == "identify":
        traits = call.get("traits") or context["traits"]
        assert json.loads(body.traits_json) == traits
        assert traits["city"] == "İzmir"
    if kind == "group":
        assert body.group_id == "g1"
        assert json.loads(body.traits_json) == {"plan": "x"}
    if kind == "alias":
        assert body.previous_id == "c0"


def at_ms(call: dict[str, Any]) -> int:
    return milliseconds_of(datetime.fromisoformat(call["timestamp"]))


@every_sdk
async def test_every_call_is_on_the_log_as_it_was_sent(front: Front, sdk: Sdk) -> None:
    statuses, sent, errors = await sdk.send(front, many=MANY)
    assert errors == []
    assert set(statuses) == {200}
    assert 1 + MANY // 100 <= len(statuses) < 20
    events = {event.event_id: event for event in await front.events("inbound.track")}
    assert len(events) == len(sent) == 8 + MANY
    assert events.keys() == {f"track/shop/{call['messageId']}" for call in sent}
    assert {call["type"] for call in sent} == {
        *("identify", "track", "page", "screen", "group", "alias")
    }
    for call in sent:
        event = events[f"track/shop/{call['messageId']}"]
        same(event, call)
        assert event.event_time.ToMilliseconds() == at_ms(call)


@every_sdk
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
async def test_a_wrong_clock_is_corrected_by_the_time_of_sending(
    front: Front, sdk: Sdk, ahead_s: int
) -> None:
    _, sent, errors = await sdk.send(front, gzip=False, ahead_s=ahead_s)
    assert errors == []
    events = {event.event_id: event for event in await front.events("inbound.track")}
    assert len(events) == len(sent)
    for call in sent:
        event = events[f"track/shop/{call['messageId']}"]
        same(event, call)
        old = call["messageId"].startswith("history")  # as it was recorded, years ago
        expected = at_ms(call) - (0 if old else ahead_s * 1_000)
        assert abs(event.event_time.ToMilliseconds() - expected) < (1 if old else 2_000)


@every_sdk
async def test_a_wrong_key_is_told_once_and_not_tried_again(front: Front, sdk: Sdk) -> None:
    statuses, sent, errors = await sdk.send(front, key="a wrong key")
    assert statuses == [401]
    ((error, count),) = errors
    assert "write_key_invalid" in error
    assert count == len(sent)
    assert await front.events("inbound.track") == []


async def test_what_was_refused_for_now_is_sent_again_and_taken_once(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = [True]
    monkeypatch.setattr("services.ingest.tracking.RETRY_AFTER_S", 1)
    monkeypatch.setattr(
        Admission,
        "closed",
        property(lambda _: "log_down" if shut[0] else "", lambda *_: None),
        raising=False,
    )
    refused = 0

    async def use(sdk: Sdk) -> tuple[list[int], list[Any], list[Any]]:
        nonlocal refused
        async with sdk.sending(front, key="key-of-web") as lines:
            assert json.loads(await lines.readline())["status"] == 503
            refused += 1
            shut[0] = refused < len(SDKS)
            return await read(lines)

    sent: list[dict[str, Any]] = []
    for statuses, messages, errors in await asyncio.gather(*map(use, SDKS)):
        assert errors == []
        assert set(statuses) <= {503, 200}
        assert statuses.count(200) == 1
        sent += messages
    ids = [event.event_id for event in await front.events("inbound.track")]
    assert sorted(ids) == sorted(f"track/web/{call['messageId']}" for call in sent)
    assert len(ids) == 8 * len(SDKS)
