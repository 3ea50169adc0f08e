"""When the front door says later: readers far behind, and sources that send too fast."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.streams import EventLog, Record
from chassis.testing import wait_until
from merhaba.ingest.v1 import ingest_admin_service_pb2 as admin
from merhaba.ingest.v1.ingest_service_pb2 import DeletePlacesRequest
from services.ingest.admission import Admission, WriteLimits
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tests.conftest import Front, opened, refused

TOPIC = "inbound.message"
HOUR = timedelta(hours=1)


async def put(log: EventLog) -> None:
    await log.append([Record(TOPIC, "one", b"x")])


async def read_all(log: EventLog) -> None:
    while entries := await log.read_group("slow", "a", log.streams(TOPIC), 10, None):
        await log.acknowledge("slow", entries)


def watching(log: EventLog, clock: ManualClock) -> Admission:
    return Admission(log, [TOPIC], 1, HOUR, clock)


async def aged(log: EventLog, clock: ManualClock, age: timedelta) -> None:
    """An entry as it would be after some time: the log's own clock cannot be moved."""
    at_ms = int((clock.now() - age).timestamp() * 1000)
    await log.redis.xadd(log.streams(TOPIC)[0], {b"e": b""}, id=f"{at_ms}-1")


async def test_a_reader_that_is_far_behind_closes_the_door_until_it_has_read(
    log: EventLog,
) -> None:
    clock = ManualClock(datetime.now(UTC))
    await aged(log, clock, 2 * HOUR)
    await aged(log, clock, timedelta(seconds=1))
    await log.ensure_group("slow", [TOPIC])
    admission = watching(log, clock)
    await admission.look_at_readers()
    await admission.look()
    assert admission.closed == "lag"
    assert abs(admission.lag - 2 * HOUR) < timedelta(seconds=5)
    await read_all(log)
    await admission.look_at_readers()
    await admission.look()
    assert (admission.closed, admission.lag) == ("", timedelta(0))


async def test_the_first_entry_after_a_quiet_night_is_not_a_backlog(log: EventLog) -> None:
    clock = ManualClock(datetime.now(UTC))
    await aged(log, clock, 10 * HOUR)
    await log.ensure_group("slow", [TOPIC])
    await read_all(log)
    await aged(log, clock, timedelta(seconds=3))
    admission = watching(log, clock)
    await admission.look_at_readers()
    await admission.look()
    assert admission.closed == ""
    assert admission.lag < timedelta(seconds=10)


async def test_while_readers_are_far_behind_every_door_says_later(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAG_LIMIT_S", "60")
    clock = ManualClock(datetime.now(UTC))
    await aged(log, clock, HOUR)
    await aged(log, clock, timedelta(0))
    await log.ensure_group("slow", [TOPIC])
    async with opened(environment, log) as front:

        async def closed() -> bool:
            said = await front.admin.GetLag(admin.GetLagRequest())
            return said.admission.reason == "lag"

        await wait_until(closed)
        response = await front.post(webhook(value(messages=[message()])))
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (await track(front, 1))[0] == 503
        request = DeletePlacesRequest(request_id=str(uuid4()), place_ids=["p"])
        code, info = await refused(front.api.DeletePlaces(request))
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LAG_TOO_HIGH")
        assert info.metadata["limit_seconds"] == "60"
        assert await front.events("inbound.track") == []


async def track(front: Front, count: int, key: str = "key-of-shop") -> tuple[int, str, str]:
    """Status, code and Retry-After of a batch of so many calls."""
    call = {"type": "track", "event": "x", "userId": "c1", "messageId": fresh_id("m")}
    body = json.dumps({"batch": [call] * count, "writeKey": key}).encode()
    async with front.session.post(f"{front.url}/v1/batch", data=body) as response:
        told = (await response.json()).get("code", "")
        return response.status, told, response.headers.get("Retry-After", "")


async def test_a_source_that_sends_too_fast_is_told_when_to_send_again(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRITE_KEY_LIMIT", "1")
    monkeypatch.setenv("WRITE_KEY_BURST_S", "1000")
    async with opened(environment, log) as front:
        assert (await track(front, 990))[0] == 200
        status, code, after = await track(front, 100)
        assert (status, code) == (429, "rate_limited")
        assert 60 <= int(after) <= 90
        assert (await track(front, 1))[0] == 200
        assert (await track(front, 100, "key-of-web"))[0] == 200
        assert len(await front.events("inbound.track")) == 1_091


NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


async def test_a_batch_larger_than_a_burst_passes_and_is_paid_for(
    manual_clock: ManualClock,
) -> None:
    limits = WriteLimits(10, 2, manual_clock)
    assert limits.wait("shop", 100) == timedelta(0)
    assert limits.wait("shop", 1) == timedelta(seconds=8.1)
    await manual_clock.advance(timedelta(seconds=8.1))
    assert limits.wait("shop", 1) == timedelta(0)


@given(
    st.integers(1, 50),
    st.integers(1, 10),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 40)), min_size=1, max_size=50),
)
def test_nobody_sends_more_than_a_burst_and_the_limit_together(
    per_s: int, burst_s: int, sent: list[tuple[int, int]]
) -> None:
    async def run() -> None:
        clock = ManualClock(NOW)
        limits = WriteLimits(per_s, burst_s, clock)
        passed, last = 0, 0
        for pause_ms, items in sent:
            await clock.advance(timedelta(milliseconds=pause_ms))
            wait = limits.wait("shop", items)
            if wait:
                await clock.advance(wait + timedelta(microseconds=1))
                assert limits.wait("shop", items) == timedelta(0)
            passed += items
            last = items
            elapsed = (clock.now() - NOW).total_seconds()
            assert passed - last <= per_s * burst_s + per_s * elapsed + 0.01

    asyncio.run(run())


async def test_without_a_limit_nobody_waits(manual_clock: ManualClock) -> None:
    limits = WriteLimits(0, 1, manual_clock)
    assert limits.wait("shop", 10**9) == timedelta(0)
