"""New segments over a base that profile holds, with events going on meanwhile."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.people import Base, caught_up, log_of, records
from bench.result import Figure
from bench.running import note, suite
from chassis.streams import EventLog, event_log
from cli.place import Place
from cli.segments import progress
from merhaba.segment.v1 import (
    Backfill,
    CreateSegmentRequest,
    GetBackfillRequest,
    Segment,
    SegmentServiceStub,
)

_MODELS = 500
_LIVE = 200  # events a second
_TOLD_EVERY_S = 30
_FIRST = (
    'profile.city == "Ankara" && events("order_completed").within("30d").count() >= 1'
    " || traits.order_total >= 500.0"
)
_KEPT = 'profile.city == "Ankara" && traits.order_total >= 5000.0'
"""Of what the first looks at: nothing is to be read, and hardly anybody is a member."""


@dataclass(slots=True)
class Course:
    """How a backfill went."""

    found: Backfill
    seconds: float
    reports: int
    rss_mb: float

    @property
    def per_s(self) -> float:
        """Contacts."""
        return self.found.passed_count / self.seconds


async def backfill(people: int) -> list[Figure]:
    """Contacts per second of a segment whose history is read, and of one after it; how often
    progress was told."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(("profile", "segment")))
        addresses = running.addresses()
        log = await exits.enter_async_context(event_log(log_of(addresses.redis_url)))
        opened = await exits.enter_async_context(addresses.channel("segment", purpose="benchmark"))
        stub = SegmentServiceStub(opened)
        base = Base(addresses.database_url, Place(Path(addresses.data)).secrets())
        await log.append(list(records(range(_MODELS * 20), range(_MODELS), _now_ms())))
        await caught_up(log, "profile.track", "inbound.track")
        await caught_up(log, "segment", "contact")
        note(f"  {people:,} contacts")
        await base.copy(_MODELS, people)
        process = psutil.Process(addresses.pids["segment"])
        first = await _make(stub, log, process, people, _FIRST)
        kept = await _make(stub, log, process, people, _KEPT)
        return [
            Figure("backfill_contacts_per_s", first.per_s, "1/s"),
            Figure("backfill_contacts", first.found.passed_count, "1"),
            Figure("backfill_members", first.found.member_count, "1"),
            Figure("backfill_progress_reports", first.reports, "1"),
            Figure("backfill_rss_mb", max(first.rss_mb, kept.rss_mb), "MB"),
            Figure("backfill_kept_contacts_per_s", kept.per_s, "1/s", first.per_s),
        ]


async def _make(
    stub: SegmentServiceStub, log: EventLog, process: psutil.Process, people: int, rule: str
) -> Course:
    """A segment, until everybody is looked at."""
    chance, number = random.Random(7), time.monotonic_ns()
    name = f"new-{number}"
    made = await stub.CreateSegment(
        CreateSegmentRequest(request_id=name, segment=Segment(name=name, expression=rule))
    )
    asked = GetBackfillRequest(backfill_id=made.segment.backfill_id)
    started, told, peak, last = time.perf_counter(), set[tuple[int, int]](), 0.0, 0.0
    while True:
        await asyncio.sleep(0.25)
        some = [chance.randrange(people) for _ in range(_LIVE // 4)]
        await log.append(list(records(range(number, number + len(some)), some, _now_ms())))
        number += len(some)
        found = (await stub.GetBackfill(asked)).backfill
        told.add((found.phase, found.passed_count))
        peak = max(peak, process.memory_info().rss / 1e6)
        seconds = time.perf_counter() - started
        if found.state != Backfill.STATE_RUNNING:
            break
        if seconds - last >= _TOLD_EVERY_S:
            last = seconds
            note(f"  {progress(found)}")
    assert found.state == Backfill.STATE_COMPLETED, found
    return Course(found, seconds, len(told), peak)


def _now_ms() -> int:
    return int(time.time() * 1000)
