"""Segment processes that die under load, and two at once: every signal there should be, and no
other, for whoever drops repeats by id."""

import asyncio
import random
import secrets
from collections.abc import Iterable
from time import time
from uuid import uuid4

import asyncpg
import pytest

from bench.running import replica
from chassis.streams import Position, Record
from chassis.testing import wait_until
from merhaba.event.v1 import Event
from merhaba.segment.v1 import CreateSegmentRequest, Segment, SegmentServiceStub
from tests.segment.conftest import Alone

PEOPLE = 300
STAYS_MS = 3_000
RULES = {
    "timed": 'events("cart_shared").within("3s").exists()',
    "twice": 'events("product_viewed").where(e, e.category == "dress").count() >= 2',
    "both": 'segment("twice") && events("product_viewed").where(e, e.category == "sock").exists()',
}
Said = tuple[str, str, bool, int]
"""Who entered (or left) what, and when (ms)."""


class Life:
    """What people do, and what has to be said of it."""

    def __init__(self) -> None:
        self.people = [str(uuid4()) for _ in range(PEOPLE)]
        self.wanted: set[Said] = set()
        self._chance = random.Random(4)
        self._seen: dict[str, list[str]] = {}

    def happen(self, turn: int) -> list[Record]:
        """Some look at something, others share a cart, once: what comes so late that it began and
        ended meanwhile is not told, and who does nothing else is never late."""
        now = int(time() * 1000)
        records = []
        for number, who in enumerate(self.people):
            if number % 3 and (number + turn) % 10 == 0:
                records.append(self._view(who, now))
            elif number % 3 == 0 and turn == number % 50:
                self.wanted |= {(who, "timed", True, now), (who, "timed", False, now + STAYS_MS)}
                records.append(Record("contact", who, _event(who, now, "cart_shared")))
        repeats = self._chance.sample(records, len(records) // 3)
        return records + repeats

    def _view(self, who: str, now: int) -> Record:
        what = self._chance.choice(("dress", "dress", "sock"))
        seen = self._seen.setdefault(who, [])
        before = seen.count("dress") >= 2, seen.count("dress") >= 2 and "sock" in seen
        seen.append(what)
        after = seen.count("dress") >= 2, seen.count("dress") >= 2 and "sock" in seen
        for name, was, is_so in zip(("twice", "both"), before, after, strict=True):
            if is_so and not was:
                self.wanted.add((who, name, True, now))
        return Record("contact", who, _event(who, now, "product_viewed", what))

    @property
    def members(self) -> set[tuple[str, str]]:
        """Who is in which segment in the end."""
        return {(who, name) for who, name, entered, _ in self.wanted if entered} - {
            (who, name) for who, name, entered, _ in self.wanted if not entered
        }


def _event(who: str, now: int, name: str, category: str = "") -> bytes:
    event = Event(event_id=f"{name}/{secrets.token_hex(8)}", contact_id=who)
    event.event_time.FromMilliseconds(now)
    event.received_time.FromMilliseconds(now)
    event.tracked.name = name
    event.tracked.properties_json = b'{"category":"%b"}' % category.encode()
    return event.SerializeToString()


def _timed(said: Iterable[Said]) -> list[Said]:
    return sorted(one for one in said if one[1] == "timed")


class Suite(Alone):
    """What the service has and says."""

    def __init__(self, alone: Alone) -> None:
        super().__init__(alone.running, alone.log)
        self.names: dict[str, str] = {}

    async def define(self) -> None:
        addresses = self.running.addresses()
        async with addresses.channel("segment") as opened:
            stub = SegmentServiceStub(opened)
            for name, rule in RULES.items():
                made = await stub.CreateSegment(
                    CreateSegmentRequest(
                        request_id=name, segment=Segment(name=name, expression=rule)
                    )
                )
                self.names[made.segment.segment_id] = name

    async def said(self) -> dict[str, Said]:
        """Every signal on the log, once by its id."""
        found: dict[str, Said] = {}
        positions = {s: Position(s, b"0") for s in self.log.streams("signal")}
        while page := await self.log.read([*positions.values()], 500, 1):
            for position, events in page:
                positions[position.stream] = position
                for event in map(Event.FromString, events):
                    kind = event.WhichOneof("body")
                    if kind not in ("segment_entered", "segment_left"):
                        continue
                    one = (
                        event.contact_id,
                        self.names[getattr(event, kind).segment_id],
                        kind == "segment_entered",
                        event.event_time.ToMilliseconds(),
                    )
                    assert found.setdefault(event.event_id, one) == one, "an id means one thing"
        return found

    async def members(self) -> set[tuple[str, str]]:
        addresses = self.running.addresses()
        connection = await asyncpg.connect(addresses.database_url)
        try:
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, segment_id FROM segment.memberships"
            )
            return {(row["id"], self.names[row["segment_id"]]) for row in rows}
        finally:
            await connection.close()

    async def agrees(self, life: Life) -> None:
        """Return when everything was said, and nothing else."""

        async def all_of_it() -> bool:
            return {one[:3] for one in (await self.said()).values()} >= {
                one[:3] for one in life.wanted
            }

        await wait_until(all_of_it, timeout_s=60, every_s=0.3)
        said = list((await self.said()).values())
        assert sorted(one[:3] for one in said) == sorted(one[:3] for one in life.wanted)
        # What a dead process had taken comes after later events, of which one may have decided.
        assert _timed(said) == _timed(life.wanted)
        assert await self.members() == life.members


@pytest.fixture
async def suite(alone: Alone) -> Suite:
    one = Suite(alone)
    await one.define()
    return one


async def live(suite: Suite, life: Life, turns: Iterable[int], kill_at: Iterable[int] = ()) -> None:
    for turn in turns:
        await suite.log.append(life.happen(turn))
        if turn in kill_at:
            suite.kill()
        await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_killed_again_and_again_under_load_it_loses_no_signal_and_makes_none_up(
    suite: Suite,
) -> None:
    life = Life()
    await live(suite, life, range(60), kill_at={8, 22, 37, 52})
    await suite.agrees(life)


@pytest.mark.timeout(180)
async def test_two_replicas_of_which_one_dies_say_what_one_says(suite: Suite) -> None:
    life = Life()
    async with replica(suite.running, "segment") as other:

        async def both_take_part() -> bool:
            streams = suite.log.streams("contact")
            readers = [await suite.log.redis.xinfo_consumers(one, "segment") for one in streams]
            return max(map(len, readers)) == 2

        turns = 0
        while turns < 40 or not await both_take_part():
            assert turns < 600, "only one of them reads"
            await live(suite, life, range(turns, turns + 10))
            turns += 10
        other.kill()
        await live(suite, life, range(turns, turns + 20))
        await suite.agrees(life)
