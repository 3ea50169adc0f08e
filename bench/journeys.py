"""Steps of journeys that fell due for many at once: how fast one process does them."""

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from typing import Final

import asyncpg
import uvloop
from google.protobuf.duration_pb2 import Duration

from bench.people import caught_up, log_of
from bench.result import Figure, tell
from bench.running import note, suite
from bench.work import Cost
from chassis.streams import Record, event_log
from merhaba.event.v1 import ContactCreated, Event
from merhaba.segment.v1 import (
    Action,
    BranchCase,
    BranchStep,
    CreateJourneyRequest,
    Journey,
    JourneyServiceStub,
    PauseJourneyRequest,
    ResumeJourneyRequest,
    SendAction,
    SplitArm,
    SplitStep,
    StartInstancesRequest,
    Step,
    WaitStep,
    WaitUntilStep,
)

_AT_ONCE: Final = 500
_FIRST_S: Final = 30
_LIVE: Final = "SELECT EXISTS (SELECT FROM segment.journey_instances WHERE end_time IS NULL)"


async def steps_per_s(people: int = 20_000) -> list[Figure]:
    """Everybody waits while the journey is paused; then it goes on, for all of them at once."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(("segment",)))
        addresses = running.addresses()
        log = await exits.enter_async_context(event_log(log_of(addresses.redis_url)))
        opened = await exits.enter_async_context(addresses.channel("segment", purpose="benchmark"))
        stub = JourneyServiceStub(opened)
        database = await asyncpg.connect(addresses.database_url)
        exits.push_async_callback(database.close)
        contacts = [str(uuid.uuid4()) for _ in range(people)]
        await log.append([Record("contact", one, _created(one)) for one in contacts])
        await caught_up(log, "segment", "contact")
        made = await stub.CreateJourney(CreateJourneyRequest(journey=_journey()))
        journey_id = made.journey.journey_id
        for first in range(0, people, _AT_ONCE):
            await stub.StartInstances(
                StartInstancesRequest(
                    request_id=f"start-{first}",
                    journey_id=journey_id,
                    contact_ids=contacts[first : first + _AT_ONCE],
                    parameters_json=b'{"cart_id":"c1","total":250}',
                )
            )
        await stub.PauseJourney(PauseJourneyRequest(journey_id=journey_id))
        note(f"  {people:,} people in the journey")
        await asyncio.sleep(_FIRST_S)  # everybody's first wait is over
        before = await database.fetchval("SELECT count(*) FROM segment.journey_visits")
        cost, started = Cost(running, "segment"), time.perf_counter()
        await stub.ResumeJourney(ResumeJourneyRequest(journey_id=journey_id))
        while await database.fetchval(_LIVE):
            await asyncio.sleep(0.1)
        seconds = time.perf_counter() - started
        own, postgres = cost.spent()
        after = await database.fetchval("SELECT count(*) FROM segment.journey_visits")
        steps = after - before
    return [
        Figure("steps_per_s", steps / seconds, "1/s"),
        Figure("steps", steps, "1"),
        Figure("segment_us_per_step", own / steps * 1e6, "us"),
        Figure("postgres_us_per_step", postgres / steps * 1e6, "us"),
    ]


def _journey() -> Journey:
    def send(step_id: str, following: str, campaign_id: str) -> Step:
        values = {"cart": "parameters.cart_id"}
        action = Action(send=SendAction(campaign_id=campaign_id, parameters=values))
        return Step(step_id=step_id, next_step_id=following, action=action)

    def wait(step_id: str, following: str, seconds: int) -> Step:
        body = WaitStep(duration=Duration(seconds=seconds))
        return Step(step_id=step_id, next_step_id=following, wait=body)

    until = WaitUntilStep(
        expression='events("order_completed").exists()',
        timeout_duration=Duration(seconds=1),
        timeout_step_id="last",
    )
    rich = BranchCase(expression="parameters.total >= 100.0", step_id="split")
    arms = [SplitArm(name=name, weight=1, step_id=name) for name in ("kind", "short")]
    return Journey(
        name="bench",
        goal='events("order_completed").where(e, e.total > 1000.0).exists()',
        steps=[
            wait("first", "branch", _FIRST_S),
            Step(step_id="branch", branch=BranchStep(cases=[rich])),
            Step(step_id="split", split=SplitStep(arms=arms)),
            send("kind", "second", "cmp_kind"),
            send("short", "second", "cmp_short"),
            wait("second", "until", 1),
            Step(step_id="until", wait_until=until),
            send("last", "", "cmp_last"),
        ],
    )


def _created(contact_id: str) -> bytes:
    event = Event(
        event_id=f"c/{contact_id}", contact_id=contact_id, contact_created=ContactCreated()
    )
    event.event_time.GetCurrentTime()
    event.received_time.GetCurrentTime()
    return event.SerializeToString()


if __name__ == "__main__":
    tell("journeys", uvloop.run(steps_per_s()))
