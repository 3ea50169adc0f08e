"""Triggers that act: how soon after their cause, and how late after their delay while very many
others wait. `python -m bench.triggers_fire` tells it alone; `--long` has a million that wait."""

import argparse
import asyncio
import os
import time
import uuid
from contextlib import suppress
from typing import Final

import asyncpg
import msgspec
import uvloop
from google.protobuf.duration_pb2 import Duration

from bench.people import caught_up
from bench.result import Figure, percentile, tell
from bench.running import note
from bench.segment import Ages, Service, offer, service
from bench.shop import Customers, people, segments
from chassis.ids import derived_id
from merhaba.event.v1 import Event
from merhaba.segment.v1 import (
    Action,
    CreateTriggerRequest,
    EventCause,
    SendAction,
    Trigger,
    TriggerServiceStub,
)
from services.segment.engine.model import Occurrence

_CONTACTS: Final = 20_000
_PER_S: Final = 2_000
_DUE_PER_S: Final = 100
_LEAD_S: Final = 3
_AT_ONCE: Final = 20_000
_HEAD_START_MS: Final = 10_000
_HOUR_MS: Final = 3_600_000


async def undelayed(long: bool) -> list[Figure]:
    """Causing event to signal, by the times at which the log had them."""
    async with service() as one, asyncio.TaskGroup() as tasks:
        await one.define(segments(100))
        await _make(one, "order_completed", 0)
        customers = Customers(people(_CONTACTS))
        await one.drain(list(customers.records(_CONTACTS, _now_ms())))
        hop, ages = Ages(_since_received), Ages(_since_cause)
        readers = [
            tasks.create_task(hop.run(one.log, "contact")),
            tasks.create_task(ages.run(one.log, "signal")),
        ]
        await asyncio.sleep(0.2)  # they stand at the end of the log
        await offer(
            one.log,
            lambda n: list(customers.records(n, _now_ms())),
            _PER_S,
            60 if long else 20,
        )
        await caught_up(one.log, "segment", "contact")
        await asyncio.sleep(0.5)
        for reader in readers:
            reader.cancel()
    log_p99_ms = percentile(hop.found, 0.99) * 1e3
    return [
        Figure("trigger_p50_ms", percentile(ages.found, 0.5) * 1e3, "ms"),
        Figure("trigger_p99_ms", percentile(ages.found, 0.99) * 1e3, "ms", log_p99_ms),
        Figure("triggers_fired", len(ages.found), "1"),
    ]


async def delayed(long: bool) -> list[Figure]:
    """Those that wait are put in place; so many of them fall due each second, beside events."""
    pending, seconds = (1_000_000, 60) if long else (100_000, 20)
    async with service() as one, asyncio.TaskGroup() as tasks:
        await one.define(segments(100))
        trigger_id = await _make(one, "cart_updated", 3_600)
        customers = Customers(people(_CONTACTS))
        await one.drain(list(customers.records(_CONTACTS, _now_ms())))
        begin = await _fill(one.running.addresses().database_url, trigger_id, pending)
        note(f"  {pending:,} wait")
        hop, ages = Ages(_since_received), Ages(_since_due)
        await asyncio.sleep(begin / 1000 - _LEAD_S - time.time())
        readers = [
            tasks.create_task(hop.run(one.log, "contact")),
            tasks.create_task(ages.run(one.log, "signal")),
        ]
        await offer(
            one.log,
            lambda n: list(customers.records(n, _now_ms())),
            _PER_S,
            _LEAD_S + seconds,
        )
        await asyncio.sleep(_LEAD_S)
        for reader in readers:
            reader.cancel()
    assert len(ages.found) >= _DUE_PER_S * seconds * 0.9, "those that were due fired"
    log_p99_ms = percentile(hop.found, 0.99) * 1e3
    return [
        Figure("delay_lateness_p50_ms", percentile(ages.found, 0.5) * 1e3, "ms"),
        Figure("delay_lateness_p99_ms", percentile(ages.found, 0.99) * 1e3, "ms", log_p99_ms),
        Figure("delays_fired", len(ages.found), "1"),
        Figure("delays_pending", pending, "1"),
    ]


async def _make(one: Service, name: str, delay_s: int) -> str:
    addresses = one.running.addresses()
    async with addresses.channel("segment", purpose="benchmark") as opened:
        trigger = Trigger(
            name=name,
            event=EventCause(name=name),
            delay_duration=Duration(seconds=delay_s),
            action=Action(send=SendAction(campaign_id="c")),
        )
        request = CreateTriggerRequest(trigger=trigger)
        made = await TriggerServiceStub(opened).CreateTrigger(request)
    return made.trigger.trigger_id


async def _fill(database_url: str, trigger_id: str, pending: int) -> int:
    """Have so many wait, who were caused at a steady rate; returns when (ms) the first is due."""
    connection = await asyncpg.connect(
        database_url, server_settings={"search_path": "segment", "synchronous_commit": "off"}
    )
    # The first is due once all are there, which takes some 80 us each.
    begin = _now_ms() + _HEAD_START_MS + pending // 12
    try:
        for first in range(0, pending, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, pending))
            rows = [_waiting(trigger_id, begin + n * 1_000 // _DUE_PER_S) for n in numbers]
            await connection.copy_records_to_table(
                "contact_states",
                columns=("contact_id", "state"),
                records=[(uuid.UUID(one.contact_id), b"") for one in rows],
            )
            await connection.copy_records_to_table(
                "occurrences",
                columns=(
                    *("contact_id", "occurrence_id", "trigger_id", "trigger_version", "state"),
                    *("cause_time", "due_time", "occurrence"),
                ),
                records=[
                    (
                        uuid.UUID(one.contact_id),
                        one.occurrence_id,
                        one.trigger_id,
                        1,
                        one.state,
                        one.cause_time,
                        one.due_time,
                        msgspec.msgpack.encode(one),
                    )
                    for one in rows
                ],
            )
        await connection.execute("ANALYZE contact_states, occurrences")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    assert _now_ms() < begin, "filling took longer than thought"
    return begin


def _waiting(trigger_id: str, due_time: int) -> Occurrence:
    contact_id = str(uuid.UUID(bytes=os.urandom(16), version=4))
    return Occurrence(
        occurrence_id=derived_id("occ", trigger_id, contact_id),
        trigger_id=trigger_id,
        trigger_version=1,
        contact_id=contact_id,
        key="",
        state="waiting",
        cause_event_id=f"cause/{contact_id}",
        cause_time=due_time - _HOUR_MS,
        due_time=due_time,
        properties={"cart_id": "a", "total": 10.0},
    )


def _now_ms() -> int:
    return int(time.time() * 1000)


def _since_received(event: Event, now: float) -> float:
    return now - event.received_time.ToMilliseconds() / 1000


def _since_cause(event: Event, now: float) -> float | None:
    return _since_received(event, now) if event.HasField("trigger_fired") else None


def _since_due(event: Event, now: float) -> float | None:
    if not event.HasField("trigger_fired"):
        return None
    return now - event.event_time.ToMilliseconds() / 1000


async def main(long: bool) -> None:
    """Measure and tell."""
    figures = await undelayed(long) + await delayed(long)
    tell("triggers_fire", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    with suppress(KeyboardInterrupt):
        uvloop.run(main(parser.parse_args().long))
