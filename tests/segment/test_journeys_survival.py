"""A segment process that dies again and again while people go through a journey: every step is done
once for everybody, for whoever drops repeats by id, and nobody is lost."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from time import time
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration

from chassis.streams import Position, Record
from chassis.testing import wait_until
from merhaba.event.v1 import Event
from merhaba.segment.v1 import (
    Action,
    CreateJourneyRequest,
    CreateTriggerRequest,
    EventCause,
    Journey,
    JourneyServiceStub,
    SendAction,
    StartAction,
    Step,
    Trigger,
    TriggerServiceStub,
    WaitStep,
    WaitUntilStep,
)
from tests.segment.conftest import Alone

PEOPLE = 200
SECOND = Duration(seconds=1)


def send(step_id: str, following: str = "") -> Step:
    action = Action(send=SendAction(campaign_id=f"cmp_{step_id}"))
    return Step(step_id=step_id, next_step_id=following, action=action)


def until(step_id: str, held: str, timeout: Duration, late: str) -> Step:
    ordered = WaitUntilStep(
        expression='events("order_completed").where(e, e.cart_id == parameters.cart).exists()',
        timeout_duration=timeout,
        timeout_step_id=late,
    )
    return Step(step_id=step_id, next_step_id=held, wait_until=ordered)


STEPS = [
    Step(step_id="wait", next_step_id="hello", wait=WaitStep(duration=SECOND)),
    send("hello", "patient"),
    # Orders come for every other cart, long before this is over.
    until("patient", "thanks", Duration(seconds=25), "remind"),
    send("thanks", "rest"),
    send("remind", "rest"),
    Step(step_id="rest", next_step_id="bye", wait=WaitStep(duration=SECOND)),
    send("bye"),
]


def event(who: str, name: str, cart: str) -> Record:
    now = int(time() * 1000)
    made = Event(event_id=f"{name}/{cart}", contact_id=who)
    made.event_time.FromMilliseconds(now)
    made.received_time.FromMilliseconds(now)
    made.tracked.name = name
    made.tracked.properties_json = b'{"cart_id":"%b"}' % cart.encode()
    return Record("contact", who, made.SerializeToString())


class Suite(Alone):
    """What the service is asked, and what it does."""

    async def define(self) -> None:
        addresses = self.running.addresses()
        async with addresses.channel("segment") as opened:
            journey = Journey(name="cart", steps=STEPS, key="parameters.cart")
            made = await JourneyServiceStub(opened).CreateJourney(
                CreateJourneyRequest(journey=journey)
            )
            start = StartAction(
                journey_id=made.journey.journey_id, parameters={"cart": "event.cart_id"}
            )
            trigger = Trigger(
                name="cart",
                event=EventCause(name="cart_updated"),
                key="event.cart_id",
                action=Action(start=start),
            )
            await TriggerServiceStub(opened).CreateTrigger(CreateTriggerRequest(trigger=trigger))

    async def steps(self) -> Counter[tuple[str, str]]:
        """By contact and step, how often something was sent; each event once by its id."""
        found: dict[str, tuple[str, str]] = {}
        positions = {s: Position(s, b"0") for s in self.log.streams("signal")}
        while page := await self.log.read([*positions.values()], 500, 1):
            for position, events in page:
                positions[position.stream] = position
                for one in map(Event.FromString, events):
                    if one.journey_step_reached.campaign_id:
                        told = one.contact_id, one.journey_step_reached.step_id
                        assert found.setdefault(one.event_id, told) == told
        return Counter(found.values())

    async def states(self) -> Counter[str]:
        """How many instances are in which state."""
        connection = await asyncpg.connect(self.running.addresses().database_url)
        try:
            rows = await connection.fetch("SELECT state FROM segment.journey_instances")
            return Counter(row["state"] for row in rows)
        finally:
            await connection.close()


@pytest.fixture
async def suite(alone: Alone) -> Suite:
    one = Suite(alone.running, alone.log)
    await one.define()
    return one


def carts() -> Iterator[tuple[str, str, bool]]:
    """Who, which cart, and whether it is ordered."""
    for number in range(PEOPLE):
        yield str(uuid4()), secrets.token_hex(8), number % 2 == 0


@pytest.mark.timeout(240)
async def test_killed_again_and_again_every_step_is_done_once_for_everybody(suite: Suite) -> None:
    people = list(carts())
    turns = 60
    for turn in range(turns):
        records = [
            event(who, "cart_updated", cart)
            for number, (who, cart, _) in enumerate(people)
            if turn in (number % 20, number % 20 + 3)  # once, and its repeat
        ]
        records += [
            event(who, "order_completed", cart)
            for number, (who, cart, ordered) in enumerate(people)
            if ordered and turn in (number % 20 + 35, number % 20 + 38)
        ]
        await suite.log.append(records)
        if turn in (7, 18, 29, 41, 52):
            suite.kill()
        await asyncio.sleep(0.1)

    async def all_done() -> bool:
        return await suite.states() == {"completed": PEOPLE}

    await wait_until(all_done, timeout_s=120, every_s=0.5)
    wanted = {
        (who, step)
        for who, _, ordered in people
        for step in ("hello", "thanks" if ordered else "remind", "bye")
    }

    async def all_told() -> bool:
        return (await suite.steps()).keys() >= wanted

    await wait_until(all_told, timeout_s=30, every_s=0.5)
    assert await suite.steps() == Counter(dict.fromkeys(wanted, 1))
