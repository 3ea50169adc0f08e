"""What comes from outside: a change of the catalogue that concerns many, a location among many
places. `python -m bench.triggers_fanout` tells it alone; `--long` has a million contacts."""

import argparse
import asyncio
import os
import random
import time
import uuid
from collections.abc import Sequence
from typing import Final

import asyncpg
import uvloop

from bench.result import Figure, tell
from bench.running import note
from bench.segment import Service, service
from bench.work import Cost
from chassis.streams import EventLog, Record
from merhaba.event.v1 import CatalogItemChanged, Event
from merhaba.segment.v1 import (
    Action,
    CatalogCause,
    CreateTriggerRequest,
    SendAction,
    Trigger,
    TriggerServiceStub,
)
from services.segment.engine.actions import SendAction as Send
from services.segment.engine.causes import PlaceCause
from services.segment.engine.model import Spot, TriggerDefinition
from services.segment.engine.places import Places
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.engine.things import PlaceRecord
from services.segment.engine.whereabouts import locate
from services.segment.vocabulary import registry

_AT_ONCE: Final = 20_000
_ITEM: Final = "dress-1"


def geofence(places: int = 10_000, locations: int = 20_000) -> list[Figure]:
    """A location against many places of one city, in each of its states: outside, in, lingering."""
    draw = random.Random(1)
    records = {
        str(number): PlaceRecord(
            str(number),
            1,
            latitude=draw.uniform(40.8, 41.2),
            longitude=draw.uniform(28.6, 29.4),
            radius=200.0,
            labels=("store",),
        )
        for number in range(places)
    }
    trigger = TriggerDefinition("t", "t", PlaceCause(labels=("store",)), Send("c"))
    rules = Rules(1, (), [trigger], Compiler(registry()), Places(records))
    assert rules.places.fence.containing(0.0, 0.0) == set()
    states = [ContactState() for _ in range(200)]
    seen = [
        Spot(time_ms, draw.uniform(40.8, 41.2), draw.uniform(28.6, 29.4), 10.0)
        for time_ms in range(1, locations + 1)
    ]
    began = time.perf_counter()
    passages = sum(len(locate(rules, states[s.time % 200], s)) for s in seen)
    each = (time.perf_counter() - began) / locations * 1e6
    assert passages
    return [Figure("geofence_us", each, "us")]


async def fanout(long: bool) -> list[Figure]:
    """An item that a tenth of all looked at comes back: until the last of them is told of."""
    contacts = 1_000_000 if long else 100_000
    lookers = contacts // 10
    async with service() as one:
        addresses = one.running.addresses()
        async with addresses.channel("segment", purpose="benchmark") as opened:
            await _trigger(TriggerServiceStub(opened))
        await _fill(addresses.database_url, contacts, lookers)
        await one.drain([])
        await _stock(one, 0)
        seen = asyncio.create_task(_told(one.log, lookers))
        await asyncio.sleep(1)
        cost, began = Cost(one.running, "segment"), time.perf_counter()
        await _stock(one, 5)
        last = await seen
        own, postgres = cost.spent()
        return [
            Figure("fanout_s", last - began, "s"),
            Figure("fanout_us", own / lookers * 1e6, "us"),
            Figure("fanout_postgres_us", postgres / lookers * 1e6, "us"),
        ]


async def _trigger(triggers: TriggerServiceStub) -> None:
    trigger = Trigger(
        name="back",
        catalog=CatalogCause(change=CatalogCause.CHANGE_BACK_IN_STOCK),
        action=Action(send=SendAction(campaign_id="c", parameters={"item": "item.item_id"})),
    )
    await triggers.CreateTrigger(CreateTriggerRequest(request_id="back", trigger=trigger))


async def _fill(database_url: str, contacts: int, lookers: int) -> None:
    connection = await asyncpg.connect(
        database_url, server_settings={"search_path": "segment", "synchronous_commit": "off"}
    )
    try:
        generation = await connection.fetchval("SELECT number FROM generation")
        now = int(time.time() * 1000)
        state = ContactState(clock=now, generation=generation).to_bytes()
        for first in range(0, contacts, _AT_ONCE):
            ids = [uuid.UUID(bytes=os.urandom(16), version=4) for _ in range(_AT_ONCE)]
            await connection.copy_records_to_table(
                "contact_states",
                columns=("contact_id", "next_time", "generation", "state"),
                records=[(one, None, generation, state) for one in ids],
            )
            looked = ids[: _AT_ONCE * lookers // contacts]
            await connection.copy_records_to_table(
                "looks",
                columns=("item_id", "contact_id", "name", "first_time", "look_time"),
                records=[
                    *((_ITEM, one, "product_viewed", now - 86_400_000, now) for one in looked),
                    *((f"other-{n}", one, "product_viewed", now, now) for n, one in enumerate(ids)),
                ],
            )
            if first % 200_000 == 0:
                note(f"  {first + _AT_ONCE:,} contacts")
        await connection.execute("VACUUM (ANALYZE) contact_states, looks")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _stock(one: Service, stock: int) -> None:
    event = Event(
        event_id=str(uuid.uuid4()),
        catalog_item_changed=CatalogItemChanged(
            catalog_id="shop", item_id=_ITEM, stock=stock, item_json=b'{"title":"Dress"}'
        ),
    )
    event.event_time.GetCurrentTime()
    event.received_time.GetCurrentTime()
    await one.log.append([Record("inbound.track", _ITEM, event.SerializeToString())])
    await asyncio.sleep(0 if stock else 2)


async def _told(log: EventLog, wanted: int) -> float:
    """When so many were seen on the log."""
    positions = {p.stream: p for p in await log.end("signal")}
    seen: set[str] = set()
    while len(seen) < wanted:
        for position, events in await log.read(list(positions.values()), 5_000, 1_000):
            positions[position.stream] = position
            seen |= {Event.FromString(one).contact_id for one in events}
    return time.perf_counter()


async def _run(long: bool) -> Sequence[Figure]:
    return [*geofence(), *await fanout(long)]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    tell("triggers_fanout", uvloop.run(_run(parser.parse_args().long)))


if __name__ == "__main__":
    main()
