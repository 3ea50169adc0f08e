"""What a trigger would have done, before or after it is saved."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc
import orjson
import pytest

from chassis.rpc import channel
from chassis.testing import wait_until
from merhaba.event.v1 import ConsentChanged, ContactCreated, Event, StageChanged
from merhaba.profile.v1 import Attribute, AttributeType, ConsentRecord, StageStanding
from merhaba.segment import v1 as contract
from merhaba.segment.v1 import (
    Action,
    CatalogCause,
    DateCause,
    EventCause,
    ListOccurrencesRequest,
    Occurrence,
    PlaceCause,
    ScheduleCause,
    SeasonCause,
    SegmentCause,
    SendAction,
    StageCause,
    StartAction,
    Trigger,
    TriggerServiceStub,
    WeatherCause,
)
from services.segment.tests.conftest import stamp
from services.segment.tests.test_places import ping, place
from services.segment.tests.test_service import HOURS, make, person, refused, start

ORDER = EventCause(name="order_completed")
SEND = Action(send=SendAction(campaign_id="cmp_1", parameters={"total": "event.total"}))
BARE = Action(send=SendAction(campaign_id="cmp_1"))
STATES = Occurrence.State
ABANDONED = {
    "event": EventCause(name="cart_updated"),
    "condition": "event.total >= 100.0",
    "delay_duration": HOURS[2],
    "cancel_condition": 'events("order_completed").where(e, e.cart_id == event.cart_id).exists()',
    "key": "event.cart_id",
    "action": SEND,
}


async def answered(suite: Any, **given: Any) -> list[Any]:
    """All answers."""
    call = suite.triggers.TestTrigger(contract.TestTriggerRequest(**given))
    return [answer async for answer in call]


async def found(suite: Any, **given: Any) -> list[Occurrence]:
    return [one for answer in await answered(suite, **given) for one in answer.occurrences]


async def states(suite: Any, **given: Any) -> list[str]:
    return [STATES.Name(one.state)[6:].lower() for one in await found(suite, **given)]


def history(suite: Any, contact: str, *events: Event) -> None:
    """Profile knows these of somebody, who was there long before."""
    known = Attribute(name="city", value_json=b'"Izmir"')
    known.change_time.CopyFrom(suite.tracked(contact, "x", ago=timedelta(days=400)).event_time)
    suite.profile.facts.setdefault(contact, [known])
    told = [*suite.profile.events.get(contact, []), *events]
    suite.profile.events[contact] = sorted(told, key=lambda e: e.event_time.ToMicroseconds())


def order(suite: Any, contact: str, total: float, cart: str = "a", **ago: float) -> Event:
    properties = f'{{"total":{total},"cart_id":"{cart}"}}'
    found: Event = suite.tracked(contact, "order_completed", properties, timedelta(**ago))
    return found


def cart(suite: Any, contact: str, total: float, cart: str = "a", **ago: float) -> Event:
    found = order(suite, contact, total, cart, **ago)
    found.tracked.name = "cart_updated"
    return found


async def failing(suite: Any, **given: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    return await refused(answered(suite, **given))


async def test_a_test_says_what_the_service_did_with_the_same_events(suite: Any) -> None:
    trigger = await start(suite, "abandoned", **ABANDONED)
    begun = stamp(suite.now)
    one, other = person(), person()
    for contact, steps in {
        one: [("cart_updated", 150, "a"), ("cart_updated", 150, "a"), ("order_completed", 1, "b")],
        other: [("cart_updated", 99, "a"), ("cart_updated", 300, "b"), ("order_completed", 1, "b")],
    }.items():
        for name, total, cart_id in steps:
            event = suite.tracked(contact, name, f'{{"total":{total},"cart_id":"{cart_id}"}}')
            history(suite, contact, event)
            await suite.hear(event)
            await suite.pass_time(minutes=30)
    last = cart(suite, one, 200, "c")
    history(suite, one, last)
    await suite.hear(last)
    await suite.pass_time(minutes=90)
    kept = await suite.triggers.ListOccurrences(
        ListOccurrencesRequest(trigger_id=trigger.trigger_id)
    )
    said = await found(suite, trigger_id=trigger.trigger_id, start_time=begun)
    told = [(one.contact_id, one.cause_time.ToMilliseconds()) for one in said]
    assert told == sorted(told)
    assert sorted(STATES.Name(one.state)[6:] for one in said) == [
        *("CANCELLED", "FIRED", "LIMITED", "WAITING")
    ]
    for occurrence in said:
        assert occurrence.explanation.root.value_json == b"true"
        occurrence.ClearField("explanation")
        if occurrence.state == STATES.STATE_WAITING:
            occurrence.ClearField("reason")
    by_id = {occurrence.occurrence_id: occurrence for occurrence in kept.occurrences}
    assert {occurrence.occurrence_id: occurrence for occurrence in said} == by_id


async def test_a_test_of_what_nobody_saved_tells_when_and_why_and_does_nothing(suite: Any) -> None:
    contact = person()
    bought, carted = order(suite, contact, 1, "b", hours=5), cart(suite, contact, 150, "b", hours=6)
    history(suite, contact, carted, bought, cart(suite, contact, 50, "c", hours=4))
    history(suite, contact, cart(suite, contact, 120, "d", hours=3), order(suite, contact, 9, "b"))
    history(suite, contact, cart(suite, contact, 500, "e", minutes=30))
    history(suite, contact, cart(suite, contact, 500, "old", days=8))
    trigger = Trigger(name="abandoned", **ABANDONED)
    cancelled, unmet, fired, waiting = await found(suite, trigger=trigger, show_unmet=True)

    assert (cancelled.state, cancelled.key) == (STATES.STATE_CANCELLED, "b")
    assert cancelled.cause_event_id == carted.event_id
    assert cancelled.cause_time == carted.event_time
    assert cancelled.end_time == bought.event_time
    assert cancelled.reason == "the cancel condition came to hold"
    assert unmet.state == STATES.STATE_UNMET
    assert unmet.reason == "the condition did not hold"
    assert unmet.explanation.root.value_json == b"false"
    assert fired.state == STATES.STATE_FIRED
    assert fired.end_time == fired.due_time == stamp(suite.now - timedelta(hours=1))
    assert orjson.loads(fired.parameters_json) == {"total": 120}
    root = fired.explanation.root
    assert (root.text, root.value_json) == ("event.total >= 100.0", b"true")
    assert fired.explanation.evaluate_time == fired.cause_time
    assert (waiting.state, waiting.reason) == (STATES.STATE_WAITING, "it waits until it is due")
    assert not waiting.HasField("end_time")

    assert await states(suite, trigger=trigger) == ["cancelled", "fired", "waiting"]
    for table in ("occurrences", "contact_states", "triggers", "outbox", "deeds"):
        assert not await suite.pool.fetchval(f"SELECT count(*) FROM {table}"), table
    assert await suite.signals(contact) == []


async def test_what_was_before_counts_and_causes_nothing(suite: Any) -> None:
    contact = person()
    history(suite, contact, *(order(suite, contact, 10, days=day) for day in (9, 8, 3, 1)))
    third = Trigger(
        name="third",
        event=ORDER,
        condition='events("order_completed").within("30d").count() == 3',
        action=BARE,
    )
    (only,) = await found(suite, trigger=third)
    assert only.cause_time == stamp(suite.now - timedelta(days=3))
    bounded = {"start_time": stamp(suite.now - timedelta(days=8))}
    assert await found(suite, trigger=third, **bounded, end_time=only.cause_time) == []


async def test_a_journey_that_a_trigger_starts_is_told_of_and_not_started(suite: Any) -> None:
    from merhaba.segment.v1 import CreateJourneyRequest, Journey, Step, WaitStep

    wait = Step(step_id="wait", wait=WaitStep(duration=HOURS[1]))
    journey = Journey(name="welcome", steps=[wait])
    made = await suite.journeys.CreateJourney(CreateJourneyRequest(journey=journey))
    action = Action(
        start=StartAction(journey_id=made.journey.journey_id, parameters={"total": "event.total"})
    )
    contact = person()
    history(suite, contact, order(suite, contact, 7, days=1))
    (one,) = await found(suite, trigger=Trigger(name="t", event=ORDER, action=action))
    assert (one.state, orjson.loads(one.parameters_json)) == (STATES.STATE_FIRED, {"total": 7})
    assert not await suite.pool.fetchval("SELECT count(*) FROM journey_instances")


async def test_segments_are_entered_and_left_as_they_would_have_been(suite: Any) -> None:
    recent = await make(suite, "recent", 'events("order_completed").within("24h").exists()')
    good = await make(suite, "good", 'segment("recent") && profile.plan == "gold"')
    contact = person()
    history(suite, contact, order(suite, contact, 1, days=5), order(suite, contact, 1, days=2))
    plan = Attribute(name="plan", value_json=b'"gold"')
    plan.change_time.CopyFrom(order(suite, contact, 1, days=1, hours=12).event_time)
    suite.profile.facts[contact].append(plan)

    async def times(segment: Any, leaving: bool) -> list[float]:
        cause = SegmentCause(segment_id=segment.segment_id, leaving=leaving)
        told = await found(suite, trigger=Trigger(name="t", segment=cause, action=BARE))
        day = 86_400_000
        now = int(suite.now.timestamp() * 1000)
        return [(now - one.cause_time.ToMilliseconds()) / day for one in told]

    assert await times(recent, False) == [5, 2]
    assert await times(recent, True) == [4, 1]
    assert await times(good, False) == [1.5], "since the plan is gold"
    assert await times(good, True) == [1]


async def test_stages_and_consents_are_what_they_were(suite: Any) -> None:
    contact = person()

    def moved(previous: str, stage: str, days: int) -> Event:
        event: Event = suite.tracked(contact, "x", ago=timedelta(days=days))
        event.stage_changed.CopyFrom(StageChanged(previous_stage=previous, stage=stage))
        return event

    def said(granted: bool, days: int) -> ConsentRecord:
        change = ConsentChanged(purpose="marketing", granted=granted)
        time = order(suite, contact, 1, days=days).event_time
        return ConsentRecord(change=change, event_time=time)

    history(suite, contact, moved("lead", "customer", 4), moved("customer", "loyal", 2))
    history(suite, contact, *(order(suite, contact, 1, days=d, hours=1) for d in (5, 3, 1)))
    suite.profile.stages[contact] = StageStanding(
        stage="loyal",
        enter_time=moved("", "", 2).event_time,
        previous_stage="customer",
    )
    suite.profile.consents[contact] = [said(True, 20), said(False, 2)]
    grown = StageCause(stage="loyal")
    assert len(await found(suite, trigger=Trigger(name="t", stage=grown, action=BARE))) == 1

    async def met(condition: str) -> list[str]:
        given = Trigger(name="t", event=ORDER, condition=condition, action=BARE)
        return await states(suite, trigger=given, show_unmet=True)

    assert await met('stage() == "lead"') == ["fired", "unmet", "unmet"]
    assert await met('stage() == "customer"') == ["unmet", "fired", "unmet"]
    assert await met('consent("marketing")') == ["fired", "fired", "unmet"]
    assert await met('profile.city == "Izmir"') == ["fired", "fired", "fired"]


async def test_moments_come_from_when_somebody_was_there(suite: Any) -> None:
    old, new = person(), person()
    history(suite, old)
    for contact in (old, new):
        zone = Attribute(name="zone", value_json=b'"Europe/Istanbul"')
        zone.change_time.CopyFrom(order(suite, contact, 1, days=2).event_time)
        born = Attribute(name="birthday", value_json=b'"1990-11-20"')
        born.change_time.CopyFrom(zone.change_time)
        suite.profile.facts.setdefault(contact, []).extend([zone, born])
    created = suite.tracked(new, "x", ago=timedelta(days=2))
    created.contact_created.CopyFrom(ContactCreated())
    suite.profile.events[new] = [created]
    daily = Trigger(name="t", schedule=ScheduleCause(cron="0 12 * * *"), action=BARE)
    assert len(await found(suite, trigger=daily, contact_ids=[old])) == 7
    assert len(await found(suite, trigger=daily, contact_ids=[new])) == 2
    birthday = DateCause(attribute_name="birthday", time_of_day="18:00", day_offset=1)
    yearly = Trigger(name="t", date=birthday, action=BARE)
    (one,) = await found(suite, trigger=yearly, contact_ids=[old])
    assert one.cause_time.ToJsonString() == "2026-11-21T15:00:00Z"
    season = SeasonCause(start_day="11-18", end_day="11-30")
    (one,) = await found(
        suite, trigger=Trigger(name="t", season=season, action=BARE), contact_ids=[old]
    )
    assert one.cause_time.ToJsonString() == "2026-11-17T21:00:00Z"


async def test_places_are_entered_and_left_as_they_were(suite: Any) -> None:
    await suite.things.handle([place(suite, "shop", name="Moda")])
    contact = person()
    pings = [ping(suite, contact, 0, ago=86_400 * day) for day in (30, 6)]
    pings += [ping(suite, contact, metres, ago=3600 * n) for n, metres in ((3, 900), (2, 10))]
    history(suite, contact, *pings)
    for leaving, hours in ((False, 2), (True, 3)):
        trigger = Trigger(
            name="t",
            place=PlaceCause(place_ids=["shop"], leaving=leaving),
            condition='event.name == "Moda"',
            action=BARE,
        )
        (one,) = await found(suite, trigger=trigger)
        assert one.cause_time == stamp(suite.now - timedelta(hours=hours))


async def test_a_test_goes_on_behind_any_answer(suite: Any) -> None:
    people = sorted(person() for _ in range(4))
    for contact in people:
        orders = [order(suite, contact, n, minutes=10 * n + 1) for n in range(9)]
        history(suite, contact, *orders)
    asked = {"trigger": Trigger(name="t", event=ORDER, action=BARE)}
    answers = await answered(suite, **asked)
    whole = [one.occurrence_id for answer in answers for one in answer.occurrences]
    assert len(set(whole)) == len(whole) == 36
    assert len(answers) > 10, "also within a contact"
    assert answers[-1].passed_count == answers[-1].total_count == 4
    await suite.pass_time(minutes=5)  # the span of time stays
    seen = 0
    for answer in answers:
        seen += len(answer.occurrences)
        rest = await found(suite, **asked, cursor=answer.cursor)
        assert [one.occurrence_id for one in rest] == whole[seen:]
    other = {"trigger": Trigger(name="u", event=ORDER, action=BARE)}
    for given in (other, asked | {"show_unmet": True}, asked | {"contact_ids": people[:1]}):
        wrong = await failing(suite, **given, cursor=answers[0].cursor)
        assert wrong[1:] == ("TOKEN_INVALID", {"field": "cursor"})


async def test_a_test_may_ask_for_some_and_leaves_out_whose_data_may_not_be_used(
    suite: Any,
) -> None:
    people = [person() for _ in range(3)]
    for contact in people:
        history(suite, contact, order(suite, contact, 1, hours=1))
    suite.profile.restricted.add(people[0])
    trigger = Trigger(name="t", event=ORDER, action=BARE)
    assert {o.contact_id for o in await found(suite, trigger=trigger)} == {*people[1:]}
    some = await found(suite, trigger=trigger, contact_ids=people[:2])
    assert [one.contact_id for one in some] == [people[1]]
    assert await found(suite, trigger=trigger, contact_ids=[person()]) == []


async def test_a_test_refuses_what_it_cannot_answer(suite: Any) -> None:
    weather = WeatherCause(expression="weather().temperature_c > 30.0")
    stock = CatalogCause(change=CatalogCause.CHANGE_BACK_IN_STOCK)
    good = Trigger(name="t", event=ORDER, action=BARE)
    wrong: Sequence[tuple[str, str, dict[str, Any]]] = (
        ("FIELD_INVALID", "trigger", {}),
        ("TRIGGER_NOT_FOUND", "", {"trigger_id": "nope"}),
        ("FIELD_INVALID", "trigger.cause", {"trigger": Trigger(name="t", action=BARE)}),
        ("FIELD_INVALID", "trigger.action", {"trigger": Trigger(name="t", event=ORDER)}),
        (
            "EXPRESSION_INVALID",
            "trigger.condition",
            {"trigger": Trigger(name="t", event=ORDER, condition="profile.citi", action=BARE)},
        ),
        (
            "REFERENCE_NOT_FOUND",
            "trigger.segment.segment_id",
            {"trigger": Trigger(name="t", segment=SegmentCause(segment_id="x"), action=BARE)},
        ),
        (
            "FIELD_INVALID",
            "trigger.weather",
            {"trigger": Trigger(name="t", weather=weather, action=BARE)},
        ),
        (
            "FIELD_INVALID",
            "trigger.catalog",
            {"trigger": Trigger(name="t", catalog=stock, action=BARE)},
        ),
        (
            "FIELD_INVALID",
            "trigger",
            {"trigger": Trigger(name="t", event=ORDER, key="weather().code", action=BARE)},
        ),
        (
            "FIELD_INVALID",
            "start_time",
            {"trigger": good, "start_time": stamp(suite.now), "end_time": stamp(suite.now)},
        ),
        (
            "FIELD_INVALID",
            "end_time",
            {"trigger": good, "end_time": stamp(suite.now + timedelta(hours=1))},
        ),
        ("FIELD_INVALID", "contact_ids[1]", {"trigger": good, "contact_ids": [person(), "x"]}),
        ("FIELD_INVALID", "contact_ids", {"trigger": good, "contact_ids": ["x"] * 1_001}),
        ("TOKEN_INVALID", "cursor", {"trigger": good, "cursor": "x"}),
    )
    for reason, field, given in wrong:
        told = await failing(suite, **given)
        assert told[1] == reason, (given, told)
        assert told[2].get("field", "") == field, (given, told)
    suite.profile.away = True
    assert (await failing(suite, trigger=good))[1] == "SERVICE_UNAVAILABLE"


async def test_a_test_needs_as_much_history_as_the_trigger_looks_at(suite: Any) -> None:
    history(suite, person())
    suite.profile.oldest = {"order_completed": suite.now - timedelta(days=20)}
    looks = 'events("order_completed").within("{}d").exists()'

    async def said(**fields: Any) -> str:
        given = Trigger(name="t", action=BARE, **{"event": ORDER, **fields})
        try:
            await answered(suite, trigger=given)
        except grpc.aio.AioRpcError:
            _, reason, facts = await failing(suite, trigger=given)
            assert reason == "HISTORY_TOO_SHORT"
            return facts["oldest_time"]
        return ""

    assert await said(condition=looks.format(13)) == ""
    assert await said(condition=looks.format(14)) == "2026-11-16T09:00:00Z"
    assert await said(condition='events("order_completed").count() > 2') == "2026-11-02T09:00:00Z"
    cancelled = {"delay_duration": HOURS[1], "cancel_condition": looks.format(90)}
    assert await said(**cancelled) == "", "what is before the cause does not count"
    suite.profile.oldest = {"order_completed": suite.now - timedelta(days=3)}
    assert await said() == "2026-11-19T09:00:00Z"


async def test_while_profile_takes_its_time_there_are_heartbeats_until_the_caller_goes_away(
    suite: Any,
) -> None:
    suite.profile.stalls = True
    trigger = Trigger(name="t", event=ORDER, action=BARE)
    call = suite.triggers.TestTrigger(contract.TestTriggerRequest(trigger=trigger))
    beat = await call.read()
    assert (list(beat.occurrences), beat.passed_count) == ([], 0)
    suite.profile.stalls = False
    assert await found(suite, trigger=trigger, cursor=beat.cursor) == []
    reading = asyncio.create_task(call.read())
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await wait_until(lambda: suite.profile.stalled == 0)


async def test_a_caller_sees_of_people_what_its_role_allows(suite: Any) -> None:
    suite.registered.attributes += [
        AttributeType(name="city", type=AttributeType.TYPE_STRING),
        AttributeType(name="first_name", type=AttributeType.TYPE_STRING, personal=True),
    ]
    contact = person()
    history(suite, contact, order(suite, contact, 7, hours=1))
    name = Attribute(name="first_name", value_json=b'"Ada"')
    name.change_time.CopyFrom(order(suite, contact, 1, days=30).event_time)
    suite.profile.facts[contact].append(name)
    values = {"name": "profile.first_name", "city": "profile.city", "total": "event.total"}
    given = Trigger(
        name="t",
        event=ORDER,
        condition='profile.first_name == "Ada" && profile.city == "Izmir" && event.total > 1.0',
        key="profile.first_name",
        action=Action(send=SendAction(campaign_id="c", parameters=values)),
    )
    request = contract.TestTriggerRequest(trigger=given)
    async with channel(suite.target, "marketing") as opened:
        (one,) = [
            one
            async for answer in TriggerServiceStub(opened).TestTrigger(request)
            for one in answer.occurrences
        ]
    hidden = {"name": "***", "city": "Izmir", "total": "***"}
    assert orjson.loads(one.parameters_json) == hidden
    assert (one.key, one.occurrence_id) == ("***", "")
    root = one.explanation.root
    told = {clause.text: clause.value_json for clause in root.clauses}
    assert root.value_json == b'"***"'
    assert told == {
        'profile.first_name == "Ada"': b'"***"',
        'profile.city == "Izmir"': b"true",
        "event.total > 1.0": b'"***"',
    }
    (one,) = await found(suite, trigger=given)
    assert (one.key, orjson.loads(one.parameters_json)["name"]) == ("Ada", "Ada")
    async with channel(suite.target, "analytics") as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TriggerServiceStub(opened).TestTrigger(request).read()
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
