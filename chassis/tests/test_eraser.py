"""Erasing from the log: only what every group has had, and all of that."""

from datetime import timedelta

from chassis.clock import SystemClock
from chassis.streams import Eraser, EventLog, Position, Record

NOW = timedelta(0)


def about_anne(_topic: str, event: bytes) -> bool:
    return b"anne" in event


async def held(log: EventLog, topic: str) -> list[bytes]:
    starts = [Position(stream, b"0") for stream in log.streams(topic)]
    return [event for _, events in await log.read(starts, 1_000, 1) for event in events]


async def test_what_every_group_has_finished_is_deleted(log: EventLog) -> None:
    for n in range(40):
        await log.append([Record("t", str(n), b"anne" if n % 2 else b"bob")])
    await log.ensure_group("g", ["t"])
    entries = await log.read_group("g", "c", log.streams("t"), 100, 1)
    await log.acknowledge("g", entries)
    erased, left = await Eraser(log, SystemClock()).erase(["t"], about_anne, NOW)
    assert (erased, left) == (20, 0)
    assert await held(log, "t") == [b"bob"] * 20


async def test_what_a_group_has_not_read_or_not_finished_stays(log: EventLog) -> None:
    eraser = Eraser(log, SystemClock())
    await log.append([Record("t", "k", b"anne 1")])
    await log.ensure_group("fast", ["t"])
    await log.ensure_group("slow", ["t"])
    fast = await log.read_group("fast", "c", log.streams("t"), 10, 1)
    await log.acknowledge("fast", fast)
    assert await eraser.erase(["t"], about_anne, NOW) == (0, 1)
    slow = await log.read_group("slow", "c", log.streams("t"), 10, 1)
    assert await eraser.erase(["t"], about_anne, NOW) == (0, 1)
    await log.acknowledge("slow", slow)
    assert await eraser.erase(["t"], about_anne, NOW) == (1, 0)
    assert await held(log, "t") == []


async def test_a_topic_that_nobody_reads_holds_nobody(log: EventLog) -> None:
    await log.append([Record("t", "k", b"anne"), Record("t", "k", b"bob")])
    assert await Eraser(log, SystemClock()).erase(["t", "u"], about_anne, NOW) == (1, 0)
