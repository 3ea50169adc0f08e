"""One profile process over a base of a million contacts.

Events per second from the log into Postgres, at a tenth of the base and at all of it; batches of
500 contacts over gRPC; a recompute; the erasure of one person.
"""

import argparse
import asyncio
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import uvloop

from bench.people import SCOPE, Base, caught_up, customer, log_of, records
from bench.result import Figure, percentile, tell
from bench.running import note, suite
from bench.work import Cost
from chassis.streams import EventLog, event_log
from cli import stack
from cli.place import Place
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    ContactRef,
    EraseContactRequest,
    GetRecomputeRequest,
    PrivacyServiceStub,
    ProfileServiceStub,
    Recompute,
    RegistryServiceStub,
    StartRecomputeRequest,
)

_MODELS = 500
_BATCHES = 200
_BATCH = 500


class Measured:
    """What taking events in costs."""

    def __init__(self, events: int, seconds: float, profile_s: float, postgres_s: float) -> None:
        self.per_s = events / seconds
        self.profile_us = profile_s / events * 1e6
        self.postgres_us = postgres_s / events * 1e6


async def _events(
    log: EventLog, running: stack.Stack, numbers: range, people: int, chance: random.Random
) -> Measured:
    some = [chance.randrange(people) for _ in range(len(numbers))]
    batch = list(records(numbers, some, int(time.time() * 1000)))
    cost, started = Cost(running, "profile"), time.perf_counter()
    for first in range(0, len(batch), 2_000):
        await log.append(batch[first : first + 2_000])
    await caught_up(log, "profile.track", "inbound.track")
    return Measured(len(batch), time.perf_counter() - started, *cost.spent())


async def _batch_get(stub: ProfileServiceStub, people: int, chance: random.Random) -> list[float]:
    seconds: list[float] = []
    for _ in range(_BATCHES):
        refs = [
            ContactRef(
                identity=Identity(
                    kind=Identity.KIND_EXTERNAL_ID,
                    scope=SCOPE,
                    value=customer(chance.randrange(people)),
                )
            )
            for _ in range(_BATCH)
        ]
        request = BatchGetContactsRequest(contacts=refs)
        request.read_mask.paths.extend(
            ("addresses", "consents", "zone", "language", "attributes.city")
        )
        started = time.perf_counter()
        found = await stub.BatchGetContacts(request)
        seconds.append(time.perf_counter() - started)
        assert all(one.HasField("contact") for one in found.results)
    return seconds


async def _recompute(
    stub: RegistryServiceStub, pid: int, most_s: float
) -> tuple[float, float, int]:
    """Contacts per second, the largest memory (MB), contacts passed."""
    begun = (await stub.StartRecompute(StartRecomputeRequest())).recompute
    started, rss = time.perf_counter(), 0.0
    while True:
        await asyncio.sleep(1)
        rss = max(rss, psutil.Process(pid).memory_info().rss / 1e6)
        asked = GetRecomputeRequest(recompute_id=begun.recompute_id)
        now = (await stub.GetRecompute(asked)).recompute
        passed = time.perf_counter() - started
        if now.state != Recompute.STATE_RUNNING or passed > most_s:
            return now.passed_count / passed, rss, now.passed_count


async def main(people: int, events: int, recompute_s: float) -> None:
    """Measure everything and tell it."""
    chance = random.Random(7)
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(("profile",)))
        addresses = running.addresses()
        log = await exits.enter_async_context(event_log(log_of(addresses.redis_url)))
        opened = await exits.enter_async_context(addresses.channel("profile", purpose="benchmark"))
        base = Base(addresses.database_url, Place(Path(addresses.data)).secrets())
        note("models")
        numbers = range(_MODELS * 20)
        await log.append(list(records(numbers, range(_MODELS), int(time.time() * 1000))))
        await caught_up(log, "profile.track", "inbound.track")
        note(f"{people // 10:,} contacts")
        await base.copy(_MODELS, people // 10)
        first = range(10**6, 10**6 + events)
        await _events(log, running, range(9 * 10**5, 9 * 10**5 + 5_000), people // 10, chance)
        small = await _events(log, running, first, people // 10, chance)
        note(f"{people:,} contacts")
        await base.copy(people // 10, people)
        large = await _events(log, running, range(2 * 10**6, 2 * 10**6 + events), people, chance)
        note(f"{_BATCHES} batches of {_BATCH}")
        batches = await _batch_get(ProfileServiceStub(opened), people, chance)
        note("recompute")
        rate, rss, passed = await _recompute(
            RegistryServiceStub(opened), addresses.pids["profile"], recompute_s
        )
        who = Identity(kind=Identity.KIND_EXTERNAL_ID, scope=SCOPE, value=customer(people // 2))
        started = time.perf_counter()
        await PrivacyServiceStub(opened).EraseContact(
            EraseContactRequest(
                request_id=f"erase-{time.time_ns()}", contact=ContactRef(identity=who)
            )
        )
        erased = time.perf_counter() - started
        cost = (large.profile_us + large.postgres_us) / (small.profile_us + small.postgres_us)
        tell(
            "profile",
            [
                Figure("events_per_s", large.per_s, "1/s", small.per_s),
                Figure("growth_ratio", cost, "1", 1.0),
                Figure("profile_us_per_event", large.profile_us, "us", small.profile_us),
                Figure("postgres_us_per_event", large.postgres_us, "us", small.postgres_us),
                Figure("batch_get_p50_ms", percentile(batches, 0.5) * 1000, "ms"),
                Figure("batch_get_p99_ms", percentile(batches, 0.99) * 1000, "ms"),
                Figure("recompute_contacts_per_s", rate, "1/s"),
                Figure("recompute_passed", passed, "1"),
                Figure("recompute_rss_mb", rss, "MB"),
                Figure("erase_ms", erased * 1000, "ms"),
            ],
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--recompute-seconds", type=float, default=60)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.people, arguments.events, arguments.recompute_seconds))
