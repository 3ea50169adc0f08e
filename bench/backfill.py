"""A new segment over a base that profile holds, with events going on meanwhile."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from bench.people import Base, caught_up, log_of, records
from bench.result import Figure
from bench.suite import note, suite
from chassis.rpc import channel
from chassis.streams import event_log
from cli.place import Place
from merhaba.segment.v1 import (
    Backfill,
    CreateSegmentRequest,
    GetBackfillRequest,
    Segment,
    SegmentServiceStub,
)

_MODELS = 500
_LIVE = 200  # events a second


async def backfill(people: int) -> list[Figure]:
    """Contacts per second, and how often its progress was told."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(("profile", "segment")))
        addresses = running.addresses()
        log = await exits.enter_async_context(event_log(log_of(addresses.redis_url)))
        opened = await exits.enter_async_context(
            channel(addresses.grpc["segment"], addresses.api_token, purpose="benchmark")
        )
        stub = SegmentServiceStub(opened)
        base = Base(addresses.database_url, Place(Path(addresses.data)).secrets())
        await log.append(list(records(range(_MODELS * 20), range(_MODELS), _now_ms())))
        await caught_up(log, "profile.track", "inbound.track")
        await caught_up(log, "segment", "contact")
        note(f"  {people:,} contacts")
        await base.copy(_MODELS, people)
        rule = (
            'profile.city == "Ankara" && events("order_completed").within("30d").count() >= 1'
            " || traits.order_total >= 500.0"
        )
        made = await stub.CreateSegment(
            CreateSegmentRequest(request_id="b", segment=Segment(name="new", expression=rule))
        )
        asked = GetBackfillRequest(backfill_id=made.segment.backfill_id)
        started, told, peak = time.perf_counter(), set[int](), 0.0
        process = psutil.Process(addresses.pids["segment"])
        chance, number = random.Random(7), 10**6
        while True:
            await asyncio.sleep(0.25)
            some = [chance.randrange(people) for _ in range(_LIVE // 4)]
            await log.append(list(records(range(number, number + len(some)), some, _now_ms())))
            number += len(some)
            found = (await stub.GetBackfill(asked)).backfill
            told.add(found.passed_count)
            peak = max(peak, process.memory_info().rss / 1e6)
            if found.state != Backfill.STATE_RUNNING:
                break
        seconds = time.perf_counter() - started
        assert found.state == Backfill.STATE_COMPLETED, found
        return [
            Figure("backfill_contacts_per_s", found.passed_count / seconds, "1/s"),
            Figure("backfill_contacts", found.passed_count, "1"),
            Figure("backfill_members", found.member_count, "1"),
            Figure("backfill_progress_reports", len(told), "1"),
            Figure("backfill_rss_mb", peak, "MB"),
        ]


def _now_ms() -> int:
    return int(time.time() * 1000)
