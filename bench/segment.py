"""One segment process: what it takes in, how soon it answers, how exact it is, what it costs.

`--parts` chooses among them, all when it is left out; `--long` is what the documents are made with:
a million contacts instead of some ten thousand.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

import psutil
import uvloop

from bench.backfill import backfill
from bench.bulk import fill
from bench.exactness import search
from bench.interpreter import interpreter
from bench.people import caught_up, log_of
from bench.result import Figure, percentile, tell
from bench.running import note, suite
from bench.shop import Customers, dense, people, segments
from bench.work import Cost
from chassis.streams import EventLog, Record, event_log
from cli import stack
from merhaba.event.v1 import Event
from merhaba.segment.v1 import CreateSegmentRequest, Segment, SegmentServiceStub

_CONTACTS: Final = 20_000
_EVENTS: Final = 30_000
_CHECKS: Final = 100_000


@dataclass(slots=True)
class Service:
    """A segment service on an empty base."""

    running: stack.Stack
    log: EventLog
    stub: SegmentServiceStub

    async def define(self, rules: dict[str, str]) -> None:
        """Make segments, which are in force at once."""
        for name, rule in rules.items():
            await self.stub.CreateSegment(
                CreateSegmentRequest(request_id=name, segment=Segment(name=name, expression=rule))
            )

    async def drain(self, records: Sequence[Record]) -> None:
        """Have it take in events as fast as it can."""
        for first in range(0, len(records), 2_000):
            await self.log.append(records[first : first + 2_000])
        await caught_up(self.log, "segment", "contact")


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """A service for as long as the block runs."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(("segment",)))
        addresses = running.addresses()
        log = await exits.enter_async_context(event_log(log_of(addresses.redis_url)))
        opened = await exits.enter_async_context(addresses.channel("segment", purpose="benchmark"))
        yield Service(running, log, SegmentServiceStub(opened))


def _now_ms() -> int:
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What taking events in costs."""

    per_s: float
    own_us: float
    postgres_us: float


async def _capacity(rules: dict[str, str]) -> Capacity:
    async with service() as one:
        await one.define(rules)
        customers = Customers(people(_CONTACTS))
        await one.drain(list(customers.records(_EVENTS * 2, _now_ms())))
        records = list(customers.records(_EVENTS, _now_ms()))
        cost, started = Cost(one.running, "segment"), time.perf_counter()
        await one.drain(records)
        per_s = _EVENTS / (time.perf_counter() - started)
        own, postgres = cost.spent()
        return Capacity(per_s, own / _EVENTS * 1e6, postgres / _EVENTS * 1e6)


async def _oracle(_long: bool) -> list[Figure]:
    verdict = search(count(1), _CHECKS)
    for difference in verdict.differences[:5]:
        note(difference)
    return [
        Figure("oracle_checks", verdict.checks, "1"),
        Figure("oracle_differences", len(verdict.differences), "1"),
    ]


async def _interpreter(_long: bool) -> list[Figure]:
    return interpreter()


async def _ratio(_long: bool) -> list[Figure]:
    ten, thousand = await _capacity(segments(10)), await _capacity(segments(1_000))
    few, many = ten.own_us + ten.postgres_us, thousand.own_us + thousand.postgres_us
    return [
        Figure("thousand_ratio", many / few, "1", 1.0),
        Figure("us_per_event_1000", many, "us", few),
        Figure("own_ratio", thousand.own_us / ten.own_us, "1", 1.0),
        Figure("events_per_s_1000", thousand.per_s, "1/s", ten.per_s),
    ]


async def _events(_long: bool) -> list[Figure]:
    few, found = await _capacity(segments(1)), await _capacity(segments(100))
    heavy = await _capacity(dense(100))
    return [
        Figure("events_per_s", found.per_s, "1/s", few.per_s),
        Figure("segment_us_per_event", found.own_us, "us", few.own_us),
        Figure("postgres_us_per_event", found.postgres_us, "us", few.postgres_us),
        Figure("events_per_s_dense", heavy.per_s, "1/s", few.per_s),
    ]


class Ages:
    """How old what follows is when a reader of the log sees it, in seconds."""

    def __init__(self, age: Callable[[Event, float], float | None]) -> None:
        self._age = age
        self.found: list[float] = []

    async def run(self, log: EventLog, topic: str) -> None:
        """Until cancelled."""
        positions = {p.stream: p for p in await log.end(topic)}
        while True:
            read = await log.read(list(positions.values()), 500, 1_000)
            now = time.time()
            for position, events in read:
                positions[position.stream] = position
                ages = (self._age(Event.FromString(event), now) for event in events)
                self.found += [age for age in ages if age is not None]


def _since_received(event: Event, now: float) -> float:
    return now - event.received_time.ToMilliseconds() / 1000


def _since_cause(event: Event, now: float) -> float | None:
    body = getattr(event, event.WhichOneof("body") or "", None)
    caused = bool(getattr(body, "cause_event_id", ""))
    return _since_received(event, now) if caused else None


def _since_due(event: Event, now: float) -> float | None:
    if not event.HasField("segment_left") or event.segment_left.cause_event_id:
        return None
    return now - event.event_time.ToMilliseconds() / 1000


async def offer(log: EventLog, make: Callable[[int], list[Record]], per_s: int, s: float) -> None:
    """Events on schedule, 20 times a second."""
    started = time.perf_counter()
    for turn in range(int(s * 20)):
        await asyncio.sleep(max(started + turn / 20 - time.perf_counter(), 0))
        await log.append(make(per_s // 20))


async def _signal(long: bool) -> list[Figure]:
    async with service() as one, asyncio.TaskGroup() as tasks:
        await one.define(segments(100))
        customers = Customers(people(_CONTACTS))
        await one.drain(list(customers.records(_EVENTS, _now_ms())))
        hop, ages = Ages(_since_received), Ages(_since_cause)
        readers = [
            tasks.create_task(hop.run(one.log, "contact")),
            tasks.create_task(ages.run(one.log, "signal")),
        ]
        await asyncio.sleep(0.2)  # they stand at the end of the log
        await offer(
            one.log, lambda n: list(customers.records(n, _now_ms())), 1_000, 60 if long else 15
        )
        await caught_up(one.log, "segment", "contact")
        await asyncio.sleep(0.5)
        for reader in readers:
            reader.cancel()
    return [
        Figure("signal_p50_ms", percentile(ages.found, 0.5) * 1e3, "ms"),
        Figure(
            "signal_p99_ms",
            percentile(ages.found, 0.99) * 1e3,
            "ms",
            percentile(hop.found, 0.99) * 1e3,
        ),
        Figure("signals", len(ages.found), "1"),
    ]


async def _timers(long: bool) -> list[Figure]:
    """Carts that time out at a thousand a second, beside a thousand other events a second."""
    stays_s, seconds = 15, 60 if long else 15
    async with service() as one, asyncio.TaskGroup() as tasks:
        await one.define(segments(100))
        await one.define({"timed": f'events("cart_shared").within("{stays_s}s").exists()'})
        customers, carts = Customers(people(_CONTACTS)), Customers(people(_CONTACTS, 9), 9)

        def make(number: int) -> list[Record]:
            found = list(customers.records(number // 2, _now_ms()))
            for _ in range(number // 2):
                event = carts.event(_now_ms())
                event.tracked.name = "cart_shared"
                found.append(Record("contact", event.contact_id, event.SerializeToString()))
            return found

        late = Ages(_since_due)
        reader = tasks.create_task(late.run(one.log, "signal"))
        await offer(one.log, make, 2_000, stays_s + seconds)
        await asyncio.sleep(stays_s + 2)
        reader.cancel()
    return [
        Figure("timeout_lateness_p50_ms", percentile(late.found, 0.5) * 1e3, "ms"),
        Figure("timeout_lateness_p99_ms", percentile(late.found, 0.99) * 1e3, "ms"),
        Figure("timeout_lateness_max_ms", max(late.found, default=0) * 1e3, "ms"),
        Figure("timeouts", len(late.found), "1"),
    ]


async def _memory(long: bool) -> list[Figure]:
    """A base whose timers wait, a hundred of them due each second, beside events."""
    contacts = people(1_000_000 if long else 100_000)
    async with service() as one:
        process = psutil.Process(one.running.addresses().pids["segment"])
        await one.define(segments(100))
        await one.define({"timed": 'events("cart_shared").within("24h").exists()'})
        empty = process.memory_info().rss / 1e6
        await fill(one.running.addresses().database_url, contacts, _now_ms())
        peak = 0.0

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, process.memory_info().rss / 1e6)
                await asyncio.sleep(0.2)

        watching = asyncio.create_task(watch())
        customers = Customers(contacts)
        await offer(
            one.log, lambda n: list(customers.records(n, _now_ms())), 2_000, 60 if long else 10
        )
        await caught_up(one.log, "segment", "contact")
        watching.cancel()
    return [
        Figure("rss_mb", peak, "MB", empty),
        Figure("contacts_with_timers", len(contacts), "1"),
    ]


async def _backfill(long: bool) -> list[Figure]:
    return await backfill(1_000_000 if long else 50_000)


_PARTS: Final[dict[str, Callable[[bool], Awaitable[list[Figure]]]]] = {
    "oracle": _oracle,
    "interpreter": _interpreter,
    "ratio": _ratio,
    "events": _events,
    "signal": _signal,
    "timers": _timers,
    "memory": _memory,
    "backfill": _backfill,
}


async def main(parts: Sequence[str], long: bool) -> None:
    """Measure some parts and tell it."""
    figures: list[Figure] = []
    for name in parts:
        note(f"part {name}")
        found = await _PARTS[name](long)
        for figure in found:
            note(f"  {figure.name} {figure.value:.3f} {figure.unit} ({figure.baseline})")
        figures += found
    tell("segment", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(_PARTS))
    parser.add_argument("--long", action="store_true")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.parts.split(","), arguments.long))
