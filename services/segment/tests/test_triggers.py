"""Triggers of every cause, as callers make, change and read them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from merhaba.event.v1 import ContactMerged, ContactSplit, Event
from merhaba.segment.v1 import (
    Action,
    ArchiveTriggerRequest,
    CatalogCause,
    CreateTriggerRequest,
    DateCause,
    EventCause,
    GetOccurrenceRequest,
    GetTriggerRequest,
    ListOccurrencesRequest,
    Occurrence,
    PlaceCause,
    ScheduleCause,
    SeasonCause,
    SegmentCause,
    SendAction,
    SetAction,
    StageCause,
    StartAction,
    Trigger,
    UpdateTriggerRequest,
    WeatherCause,
    WebhookAction,
)
from services.segment.engine import causing
from services.segment.tests.test_service import merged, person, refused, stamp_of, start

SEND = Action(send=SendAction(campaign_id="c"))
MINUTE = Duration(seconds=60)
HOUR = Duration(seconds=3600)
DAY = Duration(seconds=86_400)
SIGN_UP = EventCause(name="signed_up")


async def occurrences(suite: Any, **given: Any) -> list[Occurrence]:
    request = ListOccurrencesRequest(**given)
    return list((await suite.triggers.ListOccurrences(request)).occurrences)


async def states(suite: Any, contact: str) -> list[int]:
    """Oldest cause first."""
    return [one.state for one in reversed(await occurrences(suite, contact_id=contact))]


async def change(suite: Any, trigger: Trigger, *paths: str, **fields: Any) -> Trigger:
    given = Trigger(trigger_id=trigger.trigger_id, **fields)
    request = UpdateTriggerRequest(trigger=given, update_mask=FieldMask(paths=paths))
    return (await suite.triggers.UpdateTrigger(request)).trigger


async def all_reached(suite: Any) -> None:
    while await suite.backfills.work():
        pass


@pytest.fixture
async def morning(suite: Any) -> AsyncIterator[Any]:
    """The suite at eight in the morning, UTC, on the first of June."""
    await suite.clock.advance(datetime(2030, 6, 1, 8, tzinfo=UTC) - suite.now)
    yield suite


EVERYTHING: list[dict[str, Any]] = [
    {"event": SIGN_UP},
    {"stage": StageCause(previous_stage="lead", stage="customer")},
    {"schedule": ScheduleCause(cron="0 9 * * mon-fri", zone="Europe/Istanbul")},
    {
        "date": DateCause(
            attribute_name="birthday",
            day_offset=-3,
            time_of_day="10:30",
            leap_day=DateCause.LEAP_DAY_MARCH_1,
        )
    },
    {"season": SeasonCause(start_day="12-20", end_day="01-10", time_of_day="09:00")},
    {"place": PlaceCause(labels=["store"], leaving=True, margin_meters=70, max_accuracy_meters=90)},
    {
        "weather": WeatherCause(
            expression="weather().temperature_c >= 30.0", max_location_age_duration=DAY
        )
    },
    {
        "catalog": CatalogCause(
            change=CatalogCause.CHANGE_PRICE_DROP,
            catalog_id="shop",
            event_names=["product_viewed"],
            within_duration=DAY,
            min_drop=0.25,
        )
    },
]


async def test_a_trigger_of_every_cause_is_read_as_it_was_made(suite: Any) -> None:
    for number, cause in enumerate(EVERYTHING):
        given = Trigger(
            name=f"t{number}",
            display_name="T",
            description="d",
            condition='profile.city == "izmir"',
            delay_duration=HOUR,
            cancel_condition='events("order_completed").exists()',
            key="profile.city",
            period_duration=DAY,
            max_per_period=3,
            not_after_duration=MINUTE,
            action=SEND,
            **cause,
        )
        request = CreateTriggerRequest(trigger=given, paused=True)
        made = (await suite.triggers.CreateTrigger(request)).trigger
        read = (
            await suite.triggers.GetTrigger(GetTriggerRequest(trigger_id=made.trigger_id))
        ).trigger
        assert read == made
        assert (made.version, made.state) == (1, Trigger.STATE_PAUSED)
        for field in ("trigger_id", "version", "state", "etag", "create_time", "update_time"):
            read.ClearField(field)
        assert read == given


async def test_a_trigger_of_every_action_is_read_as_it_was_made(suite: Any) -> None:
    for number, action in enumerate(
        (
            Action(webhook=WebhookAction(url="https://x.example/hook", secret_name="crm")),
            Action(set=SetAction(attribute_name="city", expression="'izmir'")),
        )
    ):
        made = await start(suite, f"t{number}", event=SIGN_UP, action=action)
        assert made.action == action


WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("FIELD_INVALID", "trigger.cause", {}),
    ("FIELD_INVALID", "trigger.event.name", {"event": EventCause()}),
    ("FIELD_INVALID", "trigger.event.name", {"event": EventCause(name="signd_up")}),
    ("FIELD_INVALID", "trigger.segment.segment_id", {"segment": SegmentCause()}),
    (
        "REFERENCE_NOT_FOUND",
        "trigger.segment.segment_id",
        {"segment": SegmentCause(segment_id="nope")},
    ),
    ("FIELD_INVALID", "trigger.schedule.cron", {"schedule": ScheduleCause(cron="61 * * * *")}),
    ("FIELD_INVALID", "trigger.schedule.cron", {"schedule": ScheduleCause(cron="0 9 * *")}),
    ("FIELD_INVALID", "trigger.schedule.cron", {"schedule": ScheduleCause(cron="0 0 30 2 *")}),
    (
        "FIELD_INVALID",
        "trigger.schedule.zone",
        {"schedule": ScheduleCause(cron="0 9 * * *", zone="Europe/Izmir")},
    ),
    (
        "REFERENCE_NOT_FOUND",
        "trigger.date.attribute_name",
        {"date": DateCause(attribute_name="wedding")},
    ),
    ("FIELD_INVALID", "trigger.date.attribute_name", {"date": DateCause(attribute_name="city")}),
    (
        "FIELD_INVALID",
        "trigger.date.time_of_day",
        {"date": DateCause(attribute_name="birthday", time_of_day="24:00")},
    ),
    (
        "FIELD_INVALID",
        "trigger.date.day_offset",
        {"date": DateCause(attribute_name="birthday", day_offset=400)},
    ),
    (
        "FIELD_INVALID",
        "trigger.season.end_day",
        {"season": SeasonCause(start_day="06-01", end_day="06-31")},
    ),
    ("FIELD_INVALID", "trigger.place", {"place": PlaceCause()}),
    ("REFERENCE_NOT_FOUND", "trigger.place.place_ids[0]", {"place": PlaceCause(place_ids=["p"])}),
    ("FIELD_INVALID", "trigger.weather.expression", {"weather": WeatherCause(expression="true")}),
    (
        "EXPRESSION_INVALID",
        "trigger.weather.expression",
        {"weather": WeatherCause(expression="weather().temperature_c")},
    ),
    ("FIELD_INVALID", "trigger.catalog.change", {"catalog": CatalogCause()}),
    (
        "FIELD_INVALID",
        "trigger.catalog.event_names[0]",
        {
            "catalog": CatalogCause(
                change=CatalogCause.CHANGE_BACK_IN_STOCK, event_names=["lookd_at"]
            )
        },
    ),
    ("EXPRESSION_INVALID", "trigger.condition", {"event": SIGN_UP, "condition": "profile.city"}),
    ("FIELD_INVALID", "trigger.cancel_condition", {"event": SIGN_UP, "cancel_condition": "true"}),
    ("FIELD_INVALID", "trigger.max_per_period", {"event": SIGN_UP, "max_per_period": 2}),
    (
        "FIELD_INVALID",
        "trigger.delay_duration",
        {"event": SIGN_UP, "delay_duration": Duration(seconds=400 * 86_400)},
    ),
    ("FIELD_INVALID", "trigger.action", {"event": SIGN_UP, "action": Action()}),
]
ACTIONS: list[tuple[str, str, Action]] = [
    ("FIELD_INVALID", "send.campaign_id", Action(send=SendAction())),
    (
        "EXPRESSION_INVALID",
        "send.parameters[total]",
        Action(send=SendAction(campaign_id="c", parameters={"total": "event."})),
    ),
    (
        "FIELD_INVALID",
        "webhook.url",
        Action(webhook=WebhookAction(url="ftp://x.example/y", secret_name="crm")),
    ),
    (
        "FIELD_INVALID",
        "webhook.url",
        Action(webhook=WebhookAction(url="https://me:pass@x.example", secret_name="crm")),
    ),
    (
        "FIELD_INVALID",
        "webhook.secret_name",
        Action(webhook=WebhookAction(url="https://x.example", secret_name="none")),
    ),
    (
        "REFERENCE_NOT_FOUND",
        "set.attribute_name",
        Action(set=SetAction(attribute_name="nope", expression="1")),
    ),
    (
        "FIELD_INVALID",
        "set.attribute_name",
        Action(set=SetAction(attribute_name="traits.order_count", expression="1")),
    ),
    (
        "EXPRESSION_INVALID",
        "set.expression",
        Action(set=SetAction(attribute_name="city", expression="1")),
    ),
    (
        "REFERENCE_NOT_FOUND",
        "start.journey_id",
        Action(start=StartAction(journey_id="nope")),
    ),
]


async def test_what_is_wrong_is_told_with_its_field(suite: Any) -> None:
    for reason, field, fields in WRONG:
        found = await refused(start(suite, **{"action": SEND, **fields}))
        assert (found[1], found[2]["field"]) == (reason, field)
    for reason, field, action in ACTIONS:
        found = await refused(start(suite, event=SIGN_UP, action=action))
        assert (found[1], found[2]["field"]) == (reason, f"trigger.action.{field}")
    assert not await suite.pool.fetchval("SELECT count(*) FROM triggers")


async def test_a_timetable_fires_at_everybodys_own_nine_o_clock(morning: Any) -> None:
    suite, here, there = morning, person(), person()
    zone = [("zone", '"America/New_York"')]
    await suite.hear(suite.created(here), suite.created(there))
    await start(suite, schedule=ScheduleCause(cron="0 9 * * *"), action=SEND)
    await all_reached(suite)
    await suite.hear(suite.tracked(there, "x", changes=zone))
    await suite.pass_time(hours=2)
    (fired,) = await suite.signals(here)
    assert fired.event_time.ToDatetime(UTC) == datetime(2030, 6, 1, 9, tzinfo=UTC)
    assert await suite.said(there) == []
    await suite.pass_time(hours=4)
    (fired,) = await suite.signals(there)
    assert fired.event_time.ToDatetime(UTC) == datetime(2030, 6, 1, 13, tzinfo=UTC)
    assert fired.trigger_fired.cause_event_id == ""
    await suite.pass_time(days=2)
    assert len(await suite.signals(here)) == 3


async def test_who_moves_to_another_zone_gets_nothing_twice(morning: Any) -> None:
    suite, contact = morning, person()
    await suite.hear(suite.created(contact))
    await start(suite, schedule=ScheduleCause(cron="0 9 * * *"), action=SEND)
    await all_reached(suite)
    await suite.pass_time(hours=2)
    await suite.hear(suite.tracked(contact, "x", changes=[("zone", '"America/New_York"')]))
    await suite.pass_time(hours=20)
    assert len(await suite.signals(contact)) == 1
    await suite.pass_time(hours=12)
    assert len(await suite.signals(contact)) == 2


async def test_a_birthday_fires_once_a_year_also_for_who_is_known_from_before(morning: Any) -> None:
    suite, contact = morning, person()
    birthday = [("birthday", '"1990-06-02"')]
    past = suite.tracked(contact, "x", changes=birthday)
    await start(suite, date=DateCause(attribute_name="birthday", time_of_day="10:00"), action=SEND)
    await suite.hear(past)
    await suite.pass_time(days=1, hours=3)
    assert len(await suite.signals(contact)) == 1
    await suite.hear(suite.tracked(contact, "x", changes=[("birthday", '"1990-06-03"')]))
    await suite.pass_time(days=2)
    assert len(await suite.signals(contact)) == 1, "that year had its day"
    await suite.pass_time(days=365)
    assert len(await suite.signals(contact)) == 2


async def test_a_season_fires_when_it_begins_or_when_the_condition_comes_to_hold(
    morning: Any,
) -> None:
    suite, ready, later, never = morning, person(), person(), person()
    gold = [("plan", '"gold"')]
    await suite.hear(suite.tracked(ready, "x", changes=gold), suite.created(later))
    await start(
        suite,
        season=SeasonCause(start_day="06-10", end_day="06-12", time_of_day="09:00"),
        condition='profile.plan == "gold"',
        action=SEND,
    )
    suite.profile.facts = {}
    await suite.hear(suite.tracked(ready, "x", changes=gold), suite.created(never))
    await suite.pass_time(days=9, hours=2)
    (fired,) = await suite.signals(ready)
    assert fired.event_time.ToDatetime(UTC) == datetime(2030, 6, 10, 9, tzinfo=UTC)
    await suite.hear(suite.tracked(later, "x", changes=gold))
    await suite.hear(suite.tracked(ready, "x", changes=[("plan", '"free"')]))
    await suite.hear(suite.tracked(ready, "x", changes=gold))
    await suite.pass_time(days=5)
    await suite.hear(suite.tracked(never, "x", changes=gold))
    assert [len(await suite.signals(one)) for one in (ready, later, never)] == [1, 1, 0]
    await suite.pass_time(days=365)
    assert [len(await suite.signals(one)) for one in (ready, later, never)] == [2, 2, 1]


async def test_no_more_than_so_many_in_a_period_and_one_per_key(suite: Any) -> None:
    await start(suite, event=SIGN_UP, action=SEND, period_duration=HOUR, max_per_period=2)
    contact = person()
    for _ in range(3):
        await suite.hear(suite.tracked(contact, "signed_up"))
        await suite.pass_time(minutes=10)
    fired, limited = Occurrence.STATE_FIRED, Occurrence.STATE_LIMITED
    assert await states(suite, contact) == [fired, fired, limited]
    await suite.pass_time(minutes=31)
    await suite.hear(suite.tracked(contact, "signed_up"))
    assert await states(suite, contact) == [fired, fired, limited, fired]
    assert len(await suite.signals(contact)) == 3


async def test_a_key_has_its_one_occurrence_through_merges_and_splits(suite: Any) -> None:
    await start(suite, event=EventCause(name="order_completed"), key="event.order_id", action=SEND)
    stays, goes = person(), person()

    async def order(contact: str, order_id: str) -> None:
        told = f'{{"order_id": "{order_id}"}}'
        await suite.hear(suite.tracked(contact, "order_completed", told))
        await suite.pass_time(seconds=1)

    async def fired() -> int:
        return len([k for c in (stays, goes) for k in await suite.said(c) if k == "trigger_fired"])

    await order(goes, "o1")
    merge = ContactMerged(absorbed_contact_id=goes, member_contact_ids=[goes])
    time = stamp_of(suite)
    await suite.hear(Event(event_id="m", event_time=time, contact_id=stays, contact_merged=merge))
    await order(stays, "o1")
    await order(stays, "o2")
    assert await fired() == 2
    parting = ContactSplit(from_contact_id=stays, member_contact_ids=[goes])
    time = stamp_of(suite)
    await suite.hear(Event(event_id="s", event_time=time, contact_id=goes, contact_split=parting))
    while await suite.rebuilds.work():
        pass
    for contact in (stays, goes):
        for one in ("o1", "o2"):
            await order(contact, one)
    assert await fired() == 2
    await order(goes, "o3")
    assert await fired() == 3


async def test_a_key_that_comes_late_under_an_absorbed_id_has_had_its_occurrence(
    suite: Any,
) -> None:
    await start(suite, event=EventCause(name="order_completed"), key="event.order_id", action=SEND)
    stays, goes = person(), person()
    ordered = [suite.tracked(goes, "order_completed", '{"order_id": "o1"}') for _ in range(2)]
    await suite.hear(ordered[0], merged(suite, stays, goes))
    await suite.hear(ordered[1])  # it was said before the merge, on another shard
    suite.profile.survivors[goes] = stays
    await suite.pass_time(minutes=2)
    while await suite.rebuilds.work():
        pass
    await suite.hear(suite.tracked(stays, "order_completed", '{"order_id": "o1"}'))
    said = await suite.said(goes) + await suite.said(stays)
    assert said == ["trigger_fired"]


async def test_what_waits_late_under_an_absorbed_id_is_cancelled_by_who_stays(suite: Any) -> None:
    cart = {"event": EventCause(name="cart_updated"), "delay_duration": HOUR}
    await start(suite, action=SEND, cancel_condition='events("order_completed").exists()', **cart)
    stays, goes = person(), person()
    await suite.hear(suite.tracked(goes, "x"), merged(suite, stays, goes))
    await suite.hear(suite.tracked(goes, "cart_updated"))
    suite.profile.survivors[goes] = stays
    await suite.pass_time(minutes=2)
    while await suite.rebuilds.work():
        pass
    await suite.hear(suite.tracked(stays, "order_completed"))
    await suite.pass_time(hours=2)
    assert await states(suite, stays) == [Occurrence.STATE_CANCELLED]
    assert await suite.said(stays) == []


async def test_more_than_can_be_watched_do_not_wait(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causing, "MOST_WAITING", 2)
    cart = {"event": EventCause(name="cart_updated"), "delay_duration": HOUR}
    await start(suite, action=SEND, cancel_condition='events("order_completed").exists()', **cart)
    who = person()
    for _ in range(3):
        await suite.hear(suite.tracked(who, "cart_updated"))
    assert sorted(await states(suite, who)) == sorted(
        [Occurrence.STATE_WAITING] * 2 + [Occurrence.STATE_LIMITED]
    )
    await suite.pass_time(hours=2)
    await suite.hear(suite.tracked(who, "cart_updated"))
    assert (await states(suite, who)).count(Occurrence.STATE_WAITING) == 1, "there is room again"


async def test_what_fell_due_while_nobody_looked_fires_unless_it_is_too_late(morning: Any) -> None:
    suite, contact = morning, person()
    await suite.hear(suite.created(contact))
    await start(suite, "patient", schedule=ScheduleCause(cron="0 9 * * *"), action=SEND)
    strict = await start(
        suite,
        "strict",
        schedule=ScheduleCause(cron="30 9 * * *"),
        not_after_duration=HOUR,
        action=SEND,
    )
    waits = await start(suite, "waits", event=SIGN_UP, delay_duration=HOUR, action=SEND)
    await all_reached(suite)
    sign_up = suite.tracked(contact, "signed_up")
    await suite.clock.advance(timedelta(hours=5))
    await suite.hear(sign_up)  # it waited in the log, as long
    await suite.pass_time(seconds=1)
    assert len(await suite.signals(contact)) == 2
    (missed,) = await occurrences(suite, trigger_id=strict.trigger_id)
    assert missed.state == Occurrence.STATE_MISSED
    (fired,) = await occurrences(suite, trigger_id=waits.trigger_id)
    assert fired.due_time.seconds == sign_up.event_time.seconds + 3600


async def test_an_import_of_history_fires_nothing(suite: Any) -> None:
    await start(suite, event=SIGN_UP, action=SEND)
    old = suite.tracked(person(), "signed_up", ago=timedelta(days=3))
    old.received_time.CopyFrom(stamp_of(suite))
    await suite.hear(old)
    assert await suite.said(old.contact_id) == []


async def test_an_edit_counts_from_now_on_and_what_waits_keeps_its_version(suite: Any) -> None:
    trigger = await start(
        suite,
        event=SIGN_UP,
        delay_duration=HOUR,
        cancel_condition='events("signed_in").exists()',
        action=SEND,
    )
    early, gone, late = person(), person(), person()
    await suite.hear(suite.tracked(early, "signed_up"), suite.tracked(gone, "signed_up"))
    other = Action(send=SendAction(campaign_id="other"))
    changed = await change(
        suite, trigger, "action", "cancel_condition", "display_name", action=other, display_name="D"
    )
    assert (changed.version, changed.display_name, changed.cancel_condition) == (2, "D", "")
    assert changed.delay_duration == HOUR
    await suite.hear(suite.tracked(early, "signed_up"), suite.tracked(late, "signed_up"))
    await suite.pass_time(seconds=1)
    await suite.hear(suite.tracked(gone, "signed_in"), suite.tracked(late, "signed_in"))
    await suite.pass_time(hours=1)
    said = [s.trigger_fired.campaign_id for s in await suite.signals(early)]
    assert sorted(said) == ["c", "other"]
    assert await suite.said(gone) == []
    assert [s.trigger_fired.campaign_id for s in await suite.signals(late)] == ["other"]
    first = await suite.triggers.GetTrigger(
        GetTriggerRequest(trigger_id=trigger.trigger_id, version=1)
    )
    assert (first.trigger.version, first.trigger.action) == (1, SEND)
    assert first.trigger.etag == changed.etag
    unknown = GetTriggerRequest(trigger_id=trigger.trigger_id, version=3)
    assert (await refused(suite.triggers.GetTrigger(unknown)))[1] == "TRIGGER_NOT_FOUND"


async def test_an_edited_timetable_loses_nobody_and_gives_nobody_twice(morning: Any) -> None:
    suite, contact, other = morning, person(), person()
    await suite.hear(suite.created(contact), suite.created(other))
    trigger = await start(suite, schedule=ScheduleCause(cron="0 9 * * *"), action=SEND)
    await all_reached(suite)
    await suite.pass_time(hours=1, minutes=30)
    await change(suite, trigger, "schedule", schedule=ScheduleCause(cron="0,45 9,10 * * *"))
    await suite.clock.advance(timedelta(minutes=25))
    await all_reached(suite)  # only now, and what was meanwhile is not lost
    await suite.pass_time(minutes=1)
    for one in (contact, other):
        times = [s.event_time.ToDatetime(UTC) for s in await suite.signals(one)]
        assert [(t.hour, t.minute) for t in times] == [(9, 0), (9, 45)]
    await change(suite, trigger, "display_name", display_name="still the same")
    await suite.pass_time(hours=1)
    assert len(await suite.signals(contact)) == 4


async def test_an_edit_is_checked_and_a_repeat_or_a_stale_reader_changes_nothing(
    suite: Any,
) -> None:
    trigger = await start(suite, event=SIGN_UP, action=SEND)
    wrong = change(suite, trigger, "condition", condition="profile.city")
    assert (await refused(wrong))[2]["field"] == "trigger.condition"
    named = change(suite, trigger, "name", name="other")
    assert (await refused(named))[2]["field"] == "update_mask"
    given = Trigger(trigger_id=trigger.trigger_id, condition="true", etag=trigger.etag)
    request = UpdateTriggerRequest(request_id="u1", trigger=given)
    checked = await suite.triggers.UpdateTrigger(
        UpdateTriggerRequest(trigger=given, validate_only=True)
    )
    assert (checked.trigger.version, checked.trigger.condition) == (2, "true")
    first = await suite.triggers.UpdateTrigger(request)
    assert await suite.triggers.UpdateTrigger(request) == first
    assert first.trigger.version == 2
    stale = UpdateTriggerRequest(trigger=given)
    assert (await refused(suite.triggers.UpdateTrigger(stale)))[1] == "ETAG_MISMATCH"
    await suite.triggers.ArchiveTrigger(ArchiveTriggerRequest(trigger_id=trigger.trigger_id))
    ended = change(suite, trigger, "condition", condition="false")
    assert (await refused(ended))[1] == "TRIGGER_ARCHIVED"


async def test_an_occurrence_says_why_it_is_so(suite: Any) -> None:
    trigger = await start(
        suite,
        event=EventCause(name="order_completed"),
        condition='event.total > 10.0 && profile.city == "izmir"',
        delay_duration=HOUR,
        cancel_condition='profile.city == "urfa"',
        action=SEND,
    )
    contact = person()
    city = suite.tracked(contact, "x", changes=[("city", '"izmir"')])
    order = suite.tracked(contact, "order_completed", '{"total": 50}')
    await suite.hear(city, order)
    await suite.pass_time(minutes=5)
    await suite.hear(suite.tracked(contact, "x", changes=[("city", '"urfa"')]))
    await suite.hear(suite.tracked(contact, "x", changes=[("city", '"izmir"')]))
    (found,) = await occurrences(suite, trigger_id=trigger.trigger_id)
    assert found.state == Occurrence.STATE_CANCELLED
    assert found.end_time.seconds == order.event_time.seconds + 300
    assert "cancel condition" in found.reason
    request = GetOccurrenceRequest(occurrence_id=found.occurrence_id)
    told = (await suite.triggers.GetOccurrence(request)).occurrence.explanation
    assert [c.value_json for c in told.root.clauses] == [b"true", b"true"]
    assert told.evaluate_time == order.event_time
    await suite.pass_time(hours=2)
    assert await suite.said(contact) == []


async def test_occurrences_are_listed_by_trigger_by_contact_by_state_and_by_page(
    suite: Any,
) -> None:
    one = await start(suite, "one", event=SIGN_UP, action=SEND)
    two = await start(suite, "two", event=SIGN_UP, action=SEND, delay_duration=DAY)
    first, second = person(), person()
    for _ in range(3):
        await suite.hear(suite.tracked(first, "signed_up"), suite.tracked(second, "signed_up"))
        await suite.pass_time(seconds=10)
    assert len(await occurrences(suite, trigger_id=one.trigger_id)) == 6
    assert len(await occurrences(suite, contact_id=first)) == 6
    both = await occurrences(suite, contact_id=first, trigger_id=two.trigger_id)
    assert [o.state for o in both] == [Occurrence.STATE_WAITING] * 3
    fired = [Occurrence.STATE_FIRED]
    assert len(await occurrences(suite, contact_id=first, states=fired)) == 3
    request = ListOccurrencesRequest(trigger_id=two.trigger_id, page_size=4)
    page = await suite.triggers.ListOccurrences(request)
    request.page_token = page.next_page_token
    rest = await suite.triggers.ListOccurrences(request)
    found = [*page.occurrences, *rest.occurrences]
    assert len({o.occurrence_id for o in found}) == 6
    assert not rest.next_page_token
    times = [o.cause_time.ToMilliseconds() for o in found]
    assert times == sorted(times, reverse=True)
    assert (
        len(await occurrences(suite, trigger_id=two.trigger_id, start_time=times_at(found, 1))) == 2
    )


def times_at(found: list[Occurrence], index: int) -> Any:
    return found[index].cause_time
