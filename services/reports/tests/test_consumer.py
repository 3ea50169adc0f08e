"""From the log into the facts, by the process itself."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from chassis.app import tasks
from chassis.ids import fresh_id
from chassis.settings import LogSettings
from chassis.streams import Consumer, EventLog, Record
from chassis.streams.dead_letters import DeadLetters
from chassis.testing import wait_until
from services.reports.app import TOPICS, Sampler, main
from services.reports.consumer import GROUP, Folding, _parts
from services.reports.freshness import Freshness
from services.reports.held import Held
from services.reports.ledger import Ledger
from services.reports.tests.events import NOON, campaign, event, outcome, ref
from services.reports.wire import said


@pytest.fixture
async def consuming(log: EventLog, ledger: Ledger, held: Held) -> AsyncIterator[None]:
    async with tasks(
        *(
            Consumer(log, GROUP, [topic], Folding(topic, ledger, held.erase).handle).run
            for topic in TOPICS
        )
    ):
        yield


async def settled(log: EventLog) -> bool:
    lags = await log.lag(TOPICS)
    return bool(lags) and not any(lag.pending or lag.behind for lag in lags)


async def test_what_is_on_the_log_is_in_the_report(log, ledger, consuming) -> None:
    own = fresh_id("c")
    events = [campaign(NOON, own, "running", "Summer")] + [
        outcome(kind, NOON + n, "c", ref(f"{own}/{n}", own))
        for n in range(100)
        for kind in ("sent", "delivered", "read")[: n % 3 + 1]
    ]
    records = [Record("message", e.event_id, e.SerializeToString()) for e in events]
    await log.append(records)
    await log.append(records[::-1])
    await wait_until(lambda: settled(log))
    tally = (await ledger.campaign(own)).total.tally
    assert +tally.outcomes == {"sent": 34, "delivered": 33, "read": 33}


async def test_one_bad_event_costs_the_others_nothing(log, ledger, consuming) -> None:
    own = fresh_id("c")
    good = [outcome("sent", NOON, "c", ref(f"{own}/{n}", own)) for n in range(20)]
    late = event(NOON, "c")
    late.event_time.seconds = 10**12
    nameless = event(NOON, "c")
    nameless.event_id = ""
    bad = [b"no event", late.SerializeToString(), nameless.SerializeToString()]
    bad.append(outcome("sent", NOON, "nul\0", ref(f"{own}/x", own)).SerializeToString())
    raw = [*(e.SerializeToString() for e in good[:10]), *bad]
    raw += [e.SerializeToString() for e in good[10:]]
    await log.append([Record("message", "k", one) for one in raw])
    await wait_until(lambda: settled(log))
    assert (await ledger.campaign(own)).total.tally.recipients == 20
    letters = await DeadLetters(log).list(GROUP, "", 10)
    assert len(letters) == 4
    assert sum(letter.reason.startswith("FIELD_INVALID") for letter in letters) == 3


def test_bodies_of_later_versions_say_nothing_here() -> None:
    assert said("message", event(NOON, "c")) is None


async def test_facts_are_fresh_when_nothing_waits_on_the_log(log, manual_clock) -> None:
    freshness = Freshness(manual_clock.now())
    sampler = Sampler(log, freshness, manual_clock)
    started = manual_clock.now()
    every = timedelta(seconds=1)
    await log.ensure_group("profile", ["inbound.status"])
    await log.append([Record("inbound.status", "k", b"unread")])
    await manual_clock.advance(timedelta(minutes=1))
    await sampler.sample()
    assert freshness.fold_time(manual_clock.now(), every) == started
    entries = await log.read_group("profile", "p", log.streams("inbound.status"), 10, None)
    await log.acknowledge("profile", entries)
    await sampler.sample()
    assert freshness.fold_time(manual_clock.now(), every) == manual_clock.now()


async def test_the_process_serves_both_doors_and_stops(
    monkeypatch, reports_url: str, log_settings: LogSettings
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "DATABASE_URL": reports_url,
        "REDIS_URL": log_settings.redis_url,
        "LOG_NAMESPACE": log_settings.log_namespace,
        "API_TOKEN": "t",
        "DASHBOARD_TOKEN": "a token of the dashboard",
        "PROFILE_TARGET": "127.0.0.1:1",
        "SENDER_TARGET": "127.0.0.1:1",
        "GRPC_HOST": "127.0.0.1",
        "GRPC_PORT": "0",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
    }.items():
        monkeypatch.setenv(name, value)
    stop = asyncio.Event()
    running = asyncio.create_task(main(stop))

    async def answers() -> bool:
        assert not running.done()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.write(b"GET /sign-in HTTP/1.0\r\n\r\n")
        line = await reader.readline()
        writer.close()
        return b"200" in line

    await wait_until(answers)
    stop.set()
    await asyncio.wait_for(running, 10)


async def test_many_events_are_folded_in_parts_each_of_them_once(ledger, held) -> None:
    own = fresh_id("c")
    events = [
        outcome(kind, NOON + n, f"{own}{n}", ref(f"{own}/{n}", own))
        for n in range(300)
        for kind in ("sent", "delivered", "read")[: n % 3 + 1]
    ]
    assert len(_parts([one for e in events if (one := said("message", e))])) == 2
    folding = Folding("message", ledger, held.erase)
    raw = [e.SerializeToString() for e in [*events, *events[:50]]]
    unwritable = outcome("sent", NOON, "nul\0", ref(f"{own}/x", own)).SerializeToString()
    with pytest.raises(asyncpg.PostgresError):
        await folding.handle([*raw, unwritable])
    await folding.handle(raw)
    await folding.handle(raw[::-1])
    tally = (await ledger.campaign(own)).total.tally
    assert +tally.outcomes == {"sent": 100, "delivered": 100, "read": 100}
