"""When the front door says later: readers far behind."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest

from chassis.clock import ManualClock
from chassis.streams import EventLog, Record
from chassis.testing import wait_until
from merhaba.ingest.v1 import ingest_admin_service_pb2 as admin
from merhaba.ingest.v1.ingest_service_pb2 import DeletePlacesRequest
from services.ingest.admission import Admission
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tests.conftest import opened, refused

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
        assert (await front.track(1))[0] == 503
        request = DeletePlacesRequest(request_id=str(uuid4()), place_ids=["p"])
        code, info = await refused(front.api.DeletePlaces(request))
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LAG_TOO_HIGH")
        assert info.metadata["limit_seconds"] == "60"
        assert await front.events("inbound.track") == []
