"""A slow log closes the door, and not by turns; what GetLag says of the log is so."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from chassis.streams import DeadLetters, EventLog, Lag, WriteTimes
from chassis.testing import wait_until
from merhaba.ingest.v1 import ingest_admin_service_pb2 as admin
from services.ingest.admission import Admission
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tests.conftest import Front, opened

LIMIT = timedelta(seconds=2)


class SlowLog:
    """A log that takes as long to write as a test says."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.takes = 0.01
        self.gone = False
        self.pulses = 0
        self.writes = WriteTimes(lambda: self.now)

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            with self.writes.one():
                self.now += self.takes

    async def pulse(self) -> None:
        if self.gone:
            raise ConnectionError
        self.pulses += 1
        await asyncio.sleep(self.takes)

    async def memory_pressure(self) -> float:
        return 0.0

    async def lag(self, topics: Sequence[str]) -> list[Lag]:
        return []


@pytest.fixture
def slow() -> SlowLog:
    return SlowLog()


def watching(log: SlowLog, limit: timedelta = LIMIT) -> Admission:
    return Admission(log, (), 1, timedelta(0), ManualClock(datetime.now(UTC)), limit)


async def closed(admission: Admission, looks: int = 1) -> list[str]:
    found = []
    for _ in range(looks):
        await admission.look()
        found.append(admission.closed)
    return found


async def test_writes_that_are_slow_as_a_rule_close_the_door(slow: SlowLog) -> None:
    admission = watching(slow)
    slow.write(200)
    assert await closed(admission) == [""]
    slow.takes = 2.1
    slow.write(3)
    assert await closed(admission) == ["log_slow"]


async def test_two_slow_writes_of_a_quiet_night_close_nothing(slow: SlowLog) -> None:
    admission = watching(slow)
    slow.write(20)
    slow.takes = 5
    slow.write(2)
    assert await closed(admission) == [""]
    assert slow.pulses == 0, "while it is open nothing is written for its sake"


async def test_a_write_that_does_not_end_closes_the_door(slow: SlowLog) -> None:
    admission = watching(slow)
    with slow.writes.one():
        slow.now += 1.9
        assert await closed(admission) == [""]
        slow.now += 0.2
        assert await closed(admission) == ["log_slow"]


async def test_the_door_opens_after_ten_quick_looks_in_a_row_and_stays_open(slow: SlowLog) -> None:
    limit = timedelta(milliseconds=40)
    admission = watching(slow, limit)
    slow.takes = 0.05
    slow.write(100)
    assert await closed(admission) == ["log_slow"]
    slow.takes = 0
    assert await closed(admission, 9) == ["log_slow"] * 9
    slow.takes = 0.03  # below the limit, and above half of it
    assert await closed(admission) == ["log_slow"]
    slow.takes = 0
    assert await closed(admission, 9) == ["log_slow"] * 9
    assert await closed(admission, 30) == [""] * 30


async def test_a_slow_log_that_goes_is_down_and_not_open(slow: SlowLog) -> None:
    admission = watching(slow)
    slow.takes = 3
    slow.write(100)
    assert await closed(admission) == ["log_slow"]
    slow.gone = True
    assert await closed(admission) == ["log_down"]
    slow.gone, slow.takes = False, 0
    assert await closed(admission) == ["log_slow"]


async def test_without_a_limit_nothing_is_too_slow(slow: SlowLog) -> None:
    admission = watching(slow, timedelta(0))
    slow.takes = 30
    slow.write(200)
    assert await closed(admission) == [""]


async def test_a_slow_log_is_told_to_every_caller_and_to_the_operator(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPEND_LIMIT_S", "0.000001")
    async with opened(environment, log) as front:
        statuses = set()

        async def refused() -> bool:
            response = await front.post(webhook(value(messages=[message()])))
            statuses.add(response.status)
            return response.status == 503

        await wait_until(refused, timeout_s=20, every_s=0)
        assert statuses == {200, 503}
        said = (await front.admin.GetLag(admin.GetLagRequest())).admission
        assert (said.accepting, said.reason) == (False, "log_slow")


async def test_what_each_group_has_before_it_is_told(front: Front) -> None:
    await front.log.ensure_group("profile", ["inbound.message"])
    for number in range(5):
        await front.post(webhook(value(messages=[message(f"wamid.{number}")])))
    taken = await front.log.read_group(
        "profile", "a", front.log.streams("inbound.message"), 1, None
    )
    letters = DeadLetters(front.log)
    await letters.put("profile", "s", "REASON", b"x")
    await letters.put("another", "s", "REASON", b"x")
    response = await front.admin.GetLag(admin.GetLagRequest(groups=["profile"]))
    (group,) = response.groups
    assert (group.topic, group.group) == ("inbound.message", "profile")
    assert group.pending_entry_count == len(taken)
    assert group.unread_entry_count == 5 - len(taken)
    assert (group.consumer_count, group.dead_letter_count) == (1, 1)
    assert response.lag_duration == group.oldest_duration
    told = response.admission
    assert told.accepting
    assert 0 < told.log_memory_bytes < told.log_memory_limit_bytes
    assert told.append_p99_duration.ToMicroseconds() > 0
