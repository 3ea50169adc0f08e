"""What is done outside: webhooks against a real receiver, and attributes in profile."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from merhaba.profile.v1 import ErrorReason
from merhaba.segment.v1 import (
    Action,
    ArchiveTriggerRequest,
    CreateJourneyRequest,
    EventCause,
    Journey,
    JourneyInstance,
    ListInstancesRequest,
    Occurrence,
    PauseJourneyRequest,
    PauseTriggerRequest,
    ResumeTriggerRequest,
    SetAction,
    StartAction,
    Step,
    Trigger,
    WaitStep,
    WebhookAction,
)
from services.segment.engine.actions import Deed
from services.segment.engine.actions import WebhookAction as Webhook
from services.segment.jobs.deeds import ATTEMPTS, wait_of
from services.segment.jobs.webhooks import webhooks
from services.segment.tables.occurrence_rows import add_deeds
from services.segment.tests.conftest import SECRETS
from services.segment.tests.test_service import HOURS, person, start
from services.segment.tests.test_triggers import occurrences

ORDER = EventCause(name="order_completed")
FIRED, FAILED = Occurrence.STATE_FIRED, Occurrence.STATE_FAILED


@dataclass
class Receiver:
    """Somebody's server: answers as told, and remembers what it was asked."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        await self.open.wait()
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    one = Receiver()
    one.open.set()
    app = web.Application()
    app.router.add_post("/hook", one.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.port = site._server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        await runner.cleanup()


async def hooked(suite: Any, receiver: Receiver, **fields: Any) -> Trigger:
    parameters = {"total": "event.total", "city": "profile.city"}
    hook = WebhookAction(url=receiver.url, secret_name="crm", parameters=parameters)
    return await start(suite, event=ORDER, action=Action(webhook=hook), **fields)


async def order(suite: Any) -> str:
    contact = person()
    await suite.hear(suite.tracked(contact, "order_completed", '{"total": 5}'))
    return contact


async def the_one(suite: Any, contact: str) -> Occurrence:
    (found,) = await occurrences(suite, contact_id=contact)
    return found


async def test_a_webhook_is_posted_once_signed_with_its_occurrence(
    suite: Any, receiver: Receiver
) -> None:
    trigger = await hooked(suite, receiver)
    contact = await order(suite)
    before = await the_one(suite, contact)
    assert (before.state, before.attempt_count) == (FIRED, 0)
    assert await suite.deeds.work() == 1
    assert await suite.deeds.work() == 0
    ((headers, body),) = receiver.calls
    told = json.loads(body)
    after = await the_one(suite, contact)
    assert (after.state, after.attempt_count, after.reason) == (FIRED, 1, "it answered 200")
    assert told["occurrence_id"] == headers["Merhaba-Occurrence-Id"] == after.occurrence_id
    assert told["trigger_id"] == trigger.trigger_id
    assert told["contact_id"] == contact
    assert told["parameters"] == {"total": 5.0, "city": None}
    second, sign = (one.partition("=")[2] for one in headers["Merhaba-Signature"].split(","))
    wanted = hmac.new(SECRETS["crm"].encode(), second.encode() + b"." + body, hashlib.sha256)
    assert sign == wanted.hexdigest()
    assert abs(int(second) - suite.now.timestamp()) < 2


async def test_a_receiver_that_fails_is_asked_again_ever_later_with_the_same_body(
    suite: Any, receiver: Receiver
) -> None:
    await hooked(suite, receiver)
    receiver.answers = [500, 302, 404]
    contact = await order(suite)
    for attempt in (1, 2, 3):
        assert await suite.deeds.work() == 1
        assert (await the_one(suite, contact)).attempt_count == attempt
        await suite.clock.advance(timedelta(milliseconds=wait_of(attempt) - 1))
        assert await suite.deeds.work() == 0
        await suite.clock.advance(timedelta(milliseconds=1))
    assert await suite.deeds.work() == 1
    assert (await the_one(suite, contact)).state == FIRED
    assert len({body for _, body in receiver.calls}) == 1
    assert len(receiver.calls) == 4, "a redirect is not followed"


async def test_when_the_attempts_end_it_failed_and_when_it_is_too_late_it_was_missed(
    suite: Any, receiver: Receiver
) -> None:
    receiver.answers = [503] * 100
    await hooked(suite, receiver)
    contact = await order(suite)
    for _ in range(ATTEMPTS):
        assert await suite.deeds.work() == 1
        await suite.clock.advance(timedelta(hours=1))
    assert await suite.deeds.work() == 0
    found = await the_one(suite, contact)
    assert (found.state, found.attempt_count) == (FAILED, ATTEMPTS)
    assert "503" in found.reason

    await hooked(suite, receiver, name="strict", not_after_duration=HOURS[1])
    other = await order(suite)
    for _ in range(ATTEMPTS):
        await suite.deeds.work()
        await suite.clock.advance(timedelta(minutes=11))
    ended = {o.state for o in await occurrences(suite, contact_id=other)}
    assert Occurrence.STATE_MISSED in ended


async def test_nobody_there_and_an_unknown_secret_are_failures_that_are_told(
    suite: Any, receiver: Receiver
) -> None:
    deed = Deed("d", "occurrence", "t", person(), Webhook("http://127.0.0.1:1/", "crm"), {}, {}, 0)
    async with webhooks(SECRETS, inside=True) as calls:
        assert (await calls.call(deed, 0)).reason == "no answer: ClientConnectorError"
    async with webhooks({}, inside=True) as calls:
        assert "WEBHOOK_SECRETS" in (await calls.call(deed, 0)).reason


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_address_inside_our_network_is_not_called_whatever_its_name(
    receiver: Receiver, host: str
) -> None:
    action = Webhook(f"https://{host}:{receiver.port}/hook", "crm")
    deed = Deed("d", "occurrence", "t", person(), action, {}, {}, 0)
    async with webhooks(SECRETS, inside=False) as calls:
        answer = await calls.call(deed, 0)
    assert answer == (False, "not called: its address is inside our own network")
    assert receiver.calls == []


async def test_nothing_is_called_while_a_trigger_is_paused_or_after_it_ended(
    suite: Any, receiver: Receiver
) -> None:
    trigger = await hooked(suite, receiver)
    contact, other = await order(suite), await order(suite)
    await suite.triggers.PauseTrigger(PauseTriggerRequest(trigger_id=trigger.trigger_id))
    assert await suite.deeds.work() == 0
    await suite.triggers.ResumeTrigger(ResumeTriggerRequest(trigger_id=trigger.trigger_id))
    receiver.answers = [500, 200]
    assert await suite.deeds.work() == 2
    archive = ArchiveTriggerRequest(trigger_id=trigger.trigger_id)
    ended = await suite.triggers.ArchiveTrigger(archive)
    assert ended.cancelled_count == 1
    await suite.clock.advance(timedelta(hours=1))
    assert await suite.deeds.work() == 0, "not even before it is cancelled"
    await suite.sweeps.work()
    both = {(await the_one(suite, one)).state for one in (contact, other)}
    assert both == {FIRED, Occurrence.STATE_CANCELLED}


async def test_a_replica_that_has_not_heard_of_a_pause_calls_nobody_either(
    suite: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = await hooked(suite, receiver)
    await order(suite)

    async def late() -> None:
        """It has the rules of before."""

    monkeypatch.setattr(suite.membership, "reload", late)
    await suite.triggers.PauseTrigger(PauseTriggerRequest(trigger_id=trigger.trigger_id))
    assert await suite.deeds.work() == 0
    assert receiver.calls == []


async def test_one_trigger_with_very_many_calls_takes_nobody_elses_place(suite: Any) -> None:
    action, ids = Webhook("http://127.0.0.1:1/", "crm"), []
    for name in ("one", "other"):
        made = await start(suite, name, event=EventCause(name="signed_up"))
        ids.append(made.trigger_id)
    deeds = [Deed(f"d{n}", "occurrence", ids[0], person(), action, {}, {}, n) for n in range(900)]
    deeds.append(Deed("d", "occurrence", ids[1], person(), action, {}, {}, 10_000))
    async with suite.pool.acquire() as connection:
        await add_deeds(connection, deeds)
    claimed = await suite.deeds._claim()
    assert [one.deed.owner_id for one in claimed].count(ids[1]) == 1
    assert 100 <= len(claimed) <= 200


async def test_what_a_crash_left_is_done_again_when_its_lease_is_over(
    suite: Any, receiver: Receiver
) -> None:
    await hooked(suite, receiver)
    await order(suite)
    receiver.open.clear()
    dying = asyncio.create_task(suite.deeds.work())
    while not receiver.calls:
        await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    receiver.open.set()
    assert await suite.deeds.work() == 0, "somebody may be at it"
    await suite.clock.advance(timedelta(seconds=61))
    assert await suite.deeds.work() == 1
    assert len({headers["Merhaba-Occurrence-Id"] for headers, _ in receiver.calls}) == 1


async def test_one_receiver_that_does_not_answer_does_not_hold_up_another(
    suite: Any, receiver: Receiver
) -> None:
    async with receiving() as slow:
        slow.open.clear()
        action = Webhook(slow.url.replace("127.0.0.1", "localhost"), "crm")
        await hooked(suite, receiver)
        other = (await start(suite, "other", event=EventCause(name="signed_up"))).trigger_id
        contacts = [await order(suite) for _ in range(3)]
        stuck = [
            Deed(f"d{n}", "occurrence", other, person(), action, {}, {}, 0) for n in range(120)
        ]
        async with suite.pool.acquire() as connection:
            await add_deeds(connection, stuck)
        running = asyncio.create_task(suite.deeds.run())
        try:
            async with asyncio.timeout(8):
                while len(receiver.calls) < len(contacts):
                    await asyncio.sleep(0.02)
            assert len(slow.calls) <= 50
        finally:
            slow.open.set()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_an_attribute_is_set_in_profile_in_one_call(suite: Any) -> None:
    action = Action(set=SetAction(attribute_name="city", expression="event.order_id"))
    await start(suite, event=ORDER, action=action)
    contacts = [person() for _ in range(3)]
    for contact in contacts:
        await suite.hear(suite.tracked(contact, "order_completed", '{"order_id": "o1"}'))
    suite.profile.refused = {1: ErrorReason.ERROR_REASON_CONTACT_NOT_FOUND}
    assert await suite.deeds.work() == 3
    (request,) = suite.profile.sets
    told = [(c.contact.contact_id, c.attributes[0].value_json) for c in request.contacts]
    assert sorted(told) == sorted((c, b'"o1"') for c in contacts)
    failed = request.contacts[1].contact.contact_id
    for contact in contacts:
        found = await the_one(suite, contact)
        assert found.state == (FAILED if contact == failed else FIRED)


async def test_while_profile_is_away_attributes_wait(suite: Any) -> None:
    action = Action(set=SetAction(attribute_name="city", expression="'izmir'"))
    await start(suite, event=ORDER, action=action)
    contact = await order(suite)
    suite.profile.away = True
    assert await suite.deeds.work() == 1
    assert (await the_one(suite, contact)).attempt_count == 1
    suite.profile.away = False
    await suite.clock.advance(timedelta(milliseconds=wait_of(1)))
    assert await suite.deeds.work() == 1
    assert (await the_one(suite, contact)).state == FIRED
    assert len(suite.profile.sets) == 1


async def journey(suite: Any, *steps: Step) -> str:
    given = Journey(name=f"way-{len(steps)}", steps=steps)
    made = await suite.journeys.CreateJourney(CreateJourneyRequest(journey=given))
    return made.journey.journey_id


async def instances(suite: Any, contact: str) -> list[JourneyInstance]:
    request = ListInstancesRequest(contact_id=contact)
    return list((await suite.journeys.ListInstances(request)).instances)


async def test_a_journey_is_started_at_once_or_after_the_delay_and_only_once(suite: Any) -> None:
    waiting = Step(step_id="wait", wait=WaitStep(days=3))
    journey_id = await journey(suite, waiting)
    action = Action(
        start=StartAction(journey_id=journey_id, parameters={"order": "event.order_id"})
    )
    await start(suite, "at-once", event=EventCause(name="signed_up"), action=action)
    await start(suite, "later", event=ORDER, action=action, delay_duration=HOURS[1])
    now, later = person(), person()
    await suite.hear(suite.tracked(now, "signed_up"))
    await suite.hear(suite.tracked(later, "order_completed", '{"order_id": "o1"}'))
    assert len(await instances(suite, now)) == 1
    assert await instances(suite, later) == []
    await suite.pass_time(hours=1)
    assert await suite.deeds.work() == 1
    (found,) = await instances(suite, later)
    assert json.loads(found.parameters_json) == {"order": "o1"}
    assert (await the_one(suite, later)).state == FIRED
    await suite.journeys.PauseJourney(PauseJourneyRequest(journey_id=journey_id))
    other = person()
    await suite.hear(suite.tracked(other, "signed_up"))
    refused = await the_one(suite, other)
    assert (refused.state, refused.reason) == (FAILED, "the journey is paused")
    delayed = person()
    await suite.hear(suite.tracked(delayed, "order_completed", '{"order_id": "o2"}'))
    await suite.pass_time(hours=1)
    assert await suite.deeds.work() == 1
    refused = await the_one(suite, delayed)
    assert (refused.state, refused.reason) == (FAILED, "the journey is paused")


async def test_what_did_not_come_of_a_step_stands_with_the_visit(
    suite: Any, receiver: Receiver
) -> None:
    hook = Action(webhook=WebhookAction(url=receiver.url, secret_name="crm"))
    call = Step(step_id="call", next_step_id="wait", action=hook)
    journey_id = await journey(suite, call, Step(step_id="wait", wait=WaitStep(days=30)))
    await start(suite, event=ORDER, action=Action(start=StartAction(journey_id=journey_id)))
    receiver.answers = [500] * ATTEMPTS
    contact = await order(suite)
    for _ in range(ATTEMPTS):
        assert await suite.deeds.work() == 1
        await suite.clock.advance(timedelta(hours=1))
    outcome = await suite.pool.fetchval(
        "SELECT outcome FROM journey_visits WHERE contact_id = $1", contact
    )
    assert outcome == f"it answered 500, {ATTEMPTS} times"
