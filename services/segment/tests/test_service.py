"""What a caller and a consumer of signals see."""

import asyncio
from datetime import timedelta
from time import monotonic
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.app import tasks
from chassis.clock import SystemClock
from chassis.failures import Unavailable
from chassis.testing import wait_until
from merhaba.event.v1 import ContactMerged, ContactSplit, Event
from merhaba.profile.v1 import Attribute
from merhaba.segment.v1 import (
    Action,
    ArchiveSegmentRequest,
    ArchiveTriggerRequest,
    Backfill,
    CheckExpressionRequest,
    CheckMembershipRequest,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    ExplainMembershipRequest,
    GetBackfillRequest,
    GetOccurrenceRequest,
    GetSegmentRequest,
    ListMembersRequest,
    ListOccurrencesRequest,
    ListSegmentsRequest,
    Occurrence,
    PauseTriggerRequest,
    ResumeTriggerRequest,
    Segment,
    SegmentCause,
    SendAction,
    StreamMembersRequest,
    Trigger,
    UpdateSegmentRequest,
)
from services.segment.engine.model import Past
from services.segment.jobs.timers import Timers

ACTIVE = 'events("product_viewed").within("24h").exists()'
HOURS = [Duration(seconds=3600 * n) for n in range(5)]
SEND = Action(send=SendAction(campaign_id="cmp_1", parameters={"total": "event.total"}))


def person() -> str:
    """A contact nobody knows."""
    return str(uuid4())


def stamp_of(suite):
    """The present instant."""
    return suite.tracked(person(), "x").event_time


def merged(suite, stays: str, goes: str) -> Event:
    return Event(
        event_id=f"merge/{goes}",
        event_time=stamp_of(suite),
        contact_id=stays,
        contact_merged=ContactMerged(absorbed_contact_id=goes, member_contact_ids=[goes]),
    )


async def make(suite, name: str, expression: str) -> Segment:
    request = CreateSegmentRequest(segment=Segment(name=name, expression=expression))
    return (await suite.segments.CreateSegment(request)).segment


async def start(suite, name: str = "t", paused: bool = False, **fields) -> Trigger:
    fields.setdefault("action", SEND)
    request = CreateTriggerRequest(trigger=Trigger(name=name, **fields), paused=paused)
    return (await suite.triggers.CreateTrigger(request)).trigger


async def is_member(suite, contact: str, segment: Segment) -> bool:
    request = CheckMembershipRequest(contact_ids=[contact], segment_ids=[segment.segment_id])
    return (await suite.segments.CheckMembership(request)).memberships[0].member


async def refused(call) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(caught.value).details[0].Unpack(info)
    return caught.value.code(), info.reason, dict(info.metadata)


async def test_somebody_enters_with_an_event_and_leaves_at_the_very_second(suite) -> None:
    segment = await make(suite, "active", ACTIVE)
    assert segment.state == Segment.STATE_ACTIVE
    contact = person()
    view = suite.tracked(contact, "product_viewed")
    await suite.hear(view)
    await suite.hear(view)
    assert await is_member(suite, contact, segment)
    await suite.pass_time(hours=23, minutes=59)
    assert await suite.said(contact) == ["segment_entered"]
    await suite.pass_time(minutes=10)
    assert not await is_member(suite, contact, segment)
    entered, left = await suite.signals(contact)
    assert entered.segment_entered.cause_event_id == view.event_id
    assert entered.event_time == view.event_time
    assert left.segment_left.cause_event_id == ""
    assert left.event_time.seconds == view.event_time.seconds + 86_400
    listed = await suite.segments.ListMembers(ListMembersRequest(segment_id=segment.segment_id))
    assert not listed.members


async def test_a_boundary_that_passed_before_an_event_was_processed_is_told_first(suite) -> None:
    await make(suite, "active", ACTIVE)
    contact = person()
    await suite.hear(suite.tracked(contact, "product_viewed"))
    await suite.clock.advance(timedelta(hours=30))
    await suite.hear(suite.tracked(contact, "product_viewed", ago=timedelta(hours=1)))
    times = [e.event_time.seconds for e in await suite.signals(contact)]
    assert await suite.said(contact) == ["segment_entered", "segment_left", "segment_entered"]
    assert [t - times[0] for t in times] == [0, 86_400, 29 * 3600]


async def test_segments_use_segments_and_a_cycle_is_refused_with_its_path(suite) -> None:
    active = await make(suite, "active", ACTIVE)
    vip = await make(suite, "vip", 'segment("active") && profile.city == "izmir"')
    contact = person()
    await suite.hear(suite.tracked(contact, "product_viewed", changes=[("city", '"izmir"')]))
    assert await is_member(suite, contact, vip)
    await suite.pass_time(hours=25)
    assert not await is_member(suite, contact, vip)
    change = Segment(segment_id=active.segment_id, expression='segment("vip")')
    code, reason, facts = await refused(
        suite.segments.UpdateSegment(UpdateSegmentRequest(segment=change))
    )
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SEGMENT_CYCLE")
    assert facts["path"] == "active,vip,active"
    code, reason, facts = await refused(
        suite.segments.ArchiveSegment(ArchiveSegmentRequest(segment_id=active.segment_id))
    )
    assert (reason, facts["users"]) == ("SEGMENT_IN_USE", "vip")


async def test_wrong_expressions_say_where_and_what_was_meant(suite) -> None:
    code, reason, facts = await refused(make(suite, "x", 'events("order_complete").exists()'))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "EXPRESSION_INVALID")
    assert facts["field"] == "segment.expression"
    assert (facts["line"], facts["offset"]) == ("1", "7")
    assert "order_completed" in facts["suggestion"]
    assert (facts["column"], facts["length"]) == ("8", "16")
    assert facts["expected"] == "the name of an event"
    assert facts["problem"].startswith("unknown event `order_complete`")
    _, reason, facts = await refused(make(suite, "x", "profile.age + 1"))
    assert (reason, facts["field"]) == ("EXPRESSION_INVALID", "segment.expression")
    checked = await suite.segments.CheckExpression(
        CheckExpressionRequest(expression='segment("nobody")')
    )
    assert checked.problems[0].column == 9
    checked = await suite.segments.CheckExpression(
        CheckExpressionRequest(expression='events("plant_watered").within("2h").count() > 1')
    )
    assert not checked.problems
    assert list(checked.analysis.event_names) == ["plant_watered"]
    assert checked.analysis.history_duration.seconds == 7200


async def test_names_are_unique_and_a_repeated_request_makes_one_segment(suite) -> None:
    request = CreateSegmentRequest(
        request_id="r-1", segment=Segment(name="active", expression=ACTIVE)
    )
    first = await suite.segments.CreateSegment(request)
    assert (await suite.segments.CreateSegment(request)).segment == first.segment
    request.segment.name = "other"
    assert (await refused(suite.segments.CreateSegment(request)))[1] == "REQUEST_ID_REUSED"
    assert (await refused(make(suite, "active", ACTIVE)))[1] == "NAME_TAKEN"
    assert (await refused(make(suite, "Not a name", ACTIVE)))[1] == "FIELD_INVALID"
    page = await suite.segments.ListSegments(ListSegmentsRequest(page_size=1))
    assert [s.name for s in page.segments] == ["active"]
    assert not page.next_page_token


async def test_why_somebody_is_a_member_can_be_read(suite) -> None:
    segment = await make(suite, "active", f'{ACTIVE} && profile.city == "izmir"')
    contact = person()
    await suite.hear(suite.tracked(contact, "product_viewed", changes=[("city", '"van"')]))
    request = ExplainMembershipRequest(contact_id=contact, segment_id=segment.segment_id)
    told = await suite.segments.ExplainMembership(request)
    assert not told.membership.member
    assert [c.value_json for c in told.explanation.root.clauses] == [b"true", b"false"]
    assert told.explanation.root.clauses[0].cause.event_time == stamp_of(suite)
    request.contact_id = person()
    assert (await refused(suite.segments.ExplainMembership(request)))[1] == "CONTACT_NOT_FOUND"


async def test_a_new_segment_finds_its_members_in_profiles_history(suite) -> None:
    contacts = sorted(person() for _ in range(5))
    await suite.hear(*(suite.created(c) for c in contacts[:3]))
    for contact in contacts[1:]:
        suite.profile.events[contact] = [
            suite.tracked(contact, "order_completed", f'{{"total": {n}}}', timedelta(days=9 - n))
            for n in range(1, 6)
        ]
    suite.profile.away = True
    rule = 'events("order_completed").within("30d").sum(e, e.total) >= 15.0'
    segment = await make(suite, "buyers", rule)
    assert segment.state == Segment.STATE_BACKFILLING
    check = CheckMembershipRequest(contact_ids=contacts, segment_ids=[segment.segment_id])
    assert (await refused(suite.segments.CheckMembership(check)))[1] == "BACKFILL_RUNNING"
    assert not await suite.backfills.work()
    # Live updates go on meanwhile; what comes live and in the history counts once.
    live = suite.profile.events[contacts[1]][-1]
    await suite.hear(live)
    suite.profile.away = False
    await suite.clock.advance(timedelta(seconds=2))
    assert await suite.backfills.work()
    assert not await suite.backfills.work()
    found = await suite.segments.CheckMembership(check)
    assert [m.member for m in found.memberships] == [False, True, True, True, True]
    assert [e.segment_entered.backfilled for e in await suite.signals(contacts[4])] == [True]
    done = await suite.segments.GetBackfill(GetBackfillRequest(backfill_id=segment.backfill_id))
    assert done.backfill.state == Backfill.STATE_COMPLETED
    assert (done.backfill.passed_count, done.backfill.member_count) == (5, 4)
    streamed = [
        r
        async for r in suite.segments.StreamMembers(
            StreamMembersRequest(segment_id=segment.segment_id)
        )
    ]
    assert [m.contact_id for r in streamed for m in r.members] == contacts[1:]
    got = await suite.segments.GetSegment(GetSegmentRequest(segment_id=segment.segment_id))
    assert (got.segment.state, got.segment.member_count) == (Segment.STATE_ACTIVE, 4)


async def test_after_an_edit_only_those_who_differ_enter_or_leave(suite) -> None:
    segment = await make(suite, "rich", 'events("order_completed").sum(e, e.total) > 10.0')
    poor, rich = person(), person()
    for contact, total in ((poor, 20), (rich, 200)):
        order = suite.tracked(contact, "order_completed", f'{{"total": {total}}}')
        suite.profile.events[contact] = [order]
        await suite.hear(order)
    change = Segment(
        segment_id=segment.segment_id,
        expression='events("order_completed").sum(e, e.total) > 100.0',
        etag=segment.etag,
    )
    changed = await suite.segments.UpdateSegment(UpdateSegmentRequest(segment=change))
    assert (changed.segment.version, changed.segment.live_version) == (2, 1)
    again = suite.segments.UpdateSegment(UpdateSegmentRequest(segment=change))
    assert (await refused(again))[1] == "ETAG_MISMATCH"
    assert await is_member(suite, poor, segment)
    assert await suite.backfills.work()
    assert not await is_member(suite, poor, segment)
    assert await is_member(suite, rich, segment)
    assert await suite.said(rich) == ["segment_entered"]
    assert await suite.said(poor) == ["segment_entered", "segment_left"]
    assert (await suite.signals(poor))[1].segment_left.segment_version == 2


async def test_every_change_of_a_segment_is_told_once_in_the_order_of_its_times(suite) -> None:
    draft = Segment(name="named", display_name="Çok alan", description="d", expression=ACTIVE)
    create = CreateSegmentRequest(request_id="r", segment=draft, validate_only=True)
    await suite.segments.CreateSegment(create)
    create.validate_only = False
    made = (await suite.segments.CreateSegment(create)).segment
    await suite.segments.CreateSegment(create)
    assert len(await suite.changes(made.segment_id)) == 1
    await suite.hear(suite.created(person()))

    async def update(validate_only: bool = False, **fields: str) -> None:
        given = Segment(segment_id=made.segment_id, **fields)
        request = UpdateSegmentRequest(segment=given, validate_only=validate_only)
        await suite.segments.UpdateSegment(request)

    await update(validate_only=True, display_name="Nobody's")
    await update(display_name="Sık alan")
    await update(expression='events("signed_in").exists()')
    assert await suite.backfills.work()
    for _ in range(2):
        await suite.segments.ArchiveSegment(ArchiveSegmentRequest(segment_id=made.segment_id))
    told = await suite.changes(made.segment_id)
    found = [e.segment_changed for e in told]
    assert [(c.display_name, c.version, c.state) for c in found] == [
        ("Çok alan", 1, "active"),
        ("Sık alan", 1, "active"),
        ("Sık alan", 2, "backfilling"),
        ("Sık alan", 2, "active"),
        ("Sık alan", 2, "archived"),
    ]
    assert {(c.name, c.description) for c in found} == {("named", "d")}
    # The clock stands still here, and yet each is later than the one before.
    times = [e.event_time.ToMilliseconds() for e in told]
    assert sorted(set(times)) == times
    assert len({e.event_id for e in told}) == len(told)
    assert not any(e.contact_id for e in told)
    got = await suite.segments.GetSegment(GetSegmentRequest(segment_id=made.segment_id))
    assert got.segment.update_time == told[-1].event_time


async def test_what_is_told_of_a_segment_is_kept_while_the_log_is_away(suite, monkeypatch) -> None:
    async def away(_records) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(suite.log, "append", away)
        made = await make(suite, "patient", ACTIVE)
    assert await suite.changes(made.segment_id) == []
    assert await suite.effects.sweep(timedelta()) == 1
    (told,) = await suite.changes(made.segment_id)
    assert told.segment_changed.name == "patient"


async def test_an_undelayed_trigger_fires_once_with_its_parameters(suite) -> None:
    trigger = await start(
        suite, event=EventCause(name="order_completed"), condition="event.total > 10.0"
    )
    contact = person()
    small = suite.tracked(contact, "order_completed", '{"total": 5}')
    large = suite.tracked(contact, "order_completed", '{"total": 50}')
    await suite.hear(small, large, large)
    await suite.hear(large)
    (fired,) = await suite.signals(contact)
    assert fired.trigger_fired.campaign_id == "cmp_1"
    assert fired.trigger_fired.cause_event_id == large.event_id
    assert fired.trigger_fired.parameters_json == b'{"total":50.0}'
    request = ListOccurrencesRequest(trigger_id=trigger.trigger_id)
    (occurrence,) = (await suite.triggers.ListOccurrences(request)).occurrences
    assert occurrence.state == Occurrence.STATE_FIRED
    got = await suite.triggers.GetOccurrence(
        GetOccurrenceRequest(occurrence_id=fired.trigger_fired.occurrence_id)
    )
    assert got.occurrence.explanation.root.text == "event.total > 10.0"
    got.occurrence.ClearField("explanation")
    assert got.occurrence == occurrence


async def test_an_abandoned_cart_fires_after_its_delay_unless_ordered_once_per_cart(suite) -> None:
    await start(
        suite,
        event=EventCause(name="cart_updated"),
        delay_duration=HOURS[2],
        cancel_condition='events("order_completed").within("30m").exists()',
        key="event.cart_id",
        action=Action(send=SendAction(campaign_id="cmp_cart")),
    )
    left, ordered, before = person(), person(), person()
    await suite.hear(suite.tracked(before, "order_completed"))
    await suite.pass_time(minutes=1)
    for contact in (left, ordered, before):
        await suite.hear(suite.tracked(contact, "cart_updated", '{"cart_id": "c1"}'))
    await suite.pass_time(minutes=20)
    await suite.hear(suite.tracked(ordered, "order_completed"))
    await suite.hear(suite.tracked(left, "cart_updated", '{"cart_id": "c1"}'))
    await suite.pass_time(minutes=99)
    assert await suite.said(left) == []
    await suite.pass_time(minutes=61)
    (fired,) = await suite.signals(left)
    assert fired.trigger_fired.key == "c1"
    assert fired.received_time == fired.event_time
    assert await suite.said(ordered) == []
    assert await suite.said(before) == ["trigger_fired"]
    found = await suite.triggers.ListOccurrences(ListOccurrencesRequest(contact_id=ordered))
    assert found.occurrences[0].state == Occurrence.STATE_CANCELLED


async def test_entering_a_segment_fires_a_trigger_but_a_backfill_does_not(suite) -> None:
    segment = await make(suite, "active", ACTIVE)
    leaving = SegmentCause(segment_id=segment.segment_id, leaving=True)
    action = Action(send=SendAction(campaign_id="cmp_back"))
    await start(suite, segment=leaving, action=action)
    contact = person()
    await suite.hear(suite.tracked(contact, "product_viewed"))
    await suite.pass_time(hours=25)
    _, left, fired = await suite.signals(contact)
    assert fired.trigger_fired.cause_event_id == left.event_id
    assert fired.event_time == left.event_time
    archive = ArchiveSegmentRequest(segment_id=segment.segment_id)
    assert (await refused(suite.segments.ArchiveSegment(archive)))[1] == "SEGMENT_IN_USE"


async def test_a_paused_trigger_waits_and_too_late_is_missed(suite) -> None:
    trigger = await start(
        suite,
        event=EventCause(name="signed_up"),
        not_after_duration=HOURS[1],
        paused=True,
        action=Action(send=SendAction(campaign_id="c")),
    )
    early, late, history = person(), person(), person()
    await suite.hear(suite.tracked(early, "signed_up"))
    await suite.pass_time(minutes=90)
    await suite.hear(suite.tracked(late, "signed_up"))
    await suite.hear(suite.tracked(history, "signed_up", ago=timedelta(hours=2)))
    await suite.triggers.ResumeTrigger(ResumeTriggerRequest(trigger_id=trigger.trigger_id))
    await suite.pass_time(seconds=1)
    assert await suite.said(late) == ["trigger_fired"]
    assert await suite.said(early) == []
    assert await suite.said(history) == []
    await suite.triggers.PauseTrigger(PauseTriggerRequest(trigger_id=trigger.trigger_id))
    await suite.hear(suite.tracked(history, "signed_up"))
    ended = await suite.triggers.ArchiveTrigger(
        ArchiveTriggerRequest(trigger_id=trigger.trigger_id)
    )
    assert (ended.cancelled_count, ended.trigger.state) == (1, Trigger.STATE_ARCHIVED)


async def test_a_merged_contact_lives_on_in_the_one_that_stays(suite) -> None:
    segment = await make(suite, "keen", 'events("product_viewed").within("24h").count() >= 2')
    stays, goes = person(), person()
    await suite.hear(suite.tracked(stays, "product_viewed"), suite.tracked(goes, "product_viewed"))
    merge = merged(suite, stays, goes)
    await suite.hear(merge)
    assert await is_member(suite, stays, segment)
    assert (await suite.signals(stays))[0].segment_entered.cause_event_id == merge.event_id
    assert not await suite.pool.fetchval(
        "SELECT count(*) FROM contact_states WHERE contact_id = $1", goes
    )


async def test_contacts_that_are_parted_belong_where_their_own_past_puts_them(suite) -> None:
    keen = await make(suite, "keen", 'events("product_viewed").within("24h").count() >= 2')
    local = await make(suite, "local", 'profile.city == "Izmir"')
    stays, goes = person(), person()
    own = [suite.tracked(stays, "product_viewed"), suite.tracked(goes, "product_viewed")]
    city = suite.tracked(goes, "x", changes=[("city", '"Izmir"')])
    trigger = SegmentCause(segment_id=keen.segment_id)
    plain = Action(send=SendAction(campaign_id="c"))
    leaving = SegmentCause(segment_id=keen.segment_id, leaving=True)
    await start(suite, segment=trigger, action=plain)
    await start(suite, "left", segment=leaving, action=plain)
    await suite.hear(*own, city)
    await suite.hear(merged(suite, stays, goes))
    assert await is_member(suite, stays, keen)
    assert await is_member(suite, stays, local)

    suite.profile.events |= {stays: [own[0]], goes: [own[1], city]}
    fact = Attribute(name="city", value_json=b'"Izmir"', change_time=city.event_time)
    suite.profile.facts[goes] = [fact]
    split = Event(
        event_id=f"split/{goes}",
        event_time=stamp_of(suite),
        contact_id=goes,
        contact_split=ContactSplit(from_contact_id=stays, member_contact_ids=[goes]),
    )
    late = suite.tracked(goes, "product_viewed")
    await suite.hear(split)
    assert await suite.rebuilds.work() == 2
    assert not await is_member(suite, stays, keen)
    assert not await is_member(suite, stays, local)
    assert await is_member(suite, goes, local)
    assert not await is_member(suite, goes, keen)
    assert [s.segment_left.backfilled for s in await suite.signals(stays)][-2:] == [True, True]
    fired = [kind for kind in await suite.said(stays) if kind == "trigger_fired"]
    assert len(fired) == 1, "nothing happened to anybody when they were parted"
    await suite.hear(late)
    assert await is_member(suite, goes, keen)
    assert await suite.rebuilds.work() == 0


async def test_a_state_that_changed_while_its_past_was_read_is_made_anew_once_more(suite) -> None:
    await make(suite, "keen", 'events("product_viewed").within("24h").count() >= 2')
    one, other = person(), person()
    await suite.hear(suite.tracked(one, "product_viewed"))
    split = Event(
        event_id=f"split/{one}",
        event_time=stamp_of(suite),
        contact_id=one,
        contact_split=ContactSplit(from_contact_id=other, member_contact_ids=[one]),
    )
    await suite.hear(split)
    before = (await suite.rebuilds._store.rebuilds(suite.membership.now, 9))[one]
    await suite.hear(suite.tracked(one, "product_viewed"))
    assert not await suite.membership.rebuild(one, before, Past(one))
    assert await suite.rebuilds.work() == 2


async def test_what_comes_late_of_an_absorbed_contact_counts_for_the_one_that_stays(suite) -> None:
    keen = await make(suite, "keen", 'events("product_viewed").within("24h").count() >= 2')
    stays, goes = person(), person()
    first, late = (suite.tracked(one, "product_viewed") for one in (stays, goes))
    await suite.hear(first, suite.tracked(goes, "x"), merged(suite, stays, goes))
    await suite.hear(late)  # it was said before the merge, on another shard
    assert not await is_member(suite, stays, keen)
    suite.profile.events[stays] = [first, late]
    suite.profile.survivors[goes] = stays
    await suite.pass_time(minutes=2)
    assert await suite.rebuilds.work() == 1
    assert await is_member(suite, stays, keen)
    assert not await suite.pool.fetchval(
        "SELECT count(*) FROM contact_states WHERE contact_id = $1", goes
    )


async def test_one_unreadable_event_says_so(suite) -> None:
    for broken in (b"\xff\xff", Event(contact_id=person()).SerializeToString()):
        with pytest.raises(Exception, match=r"no merhaba\.event|missing"):
            await suite.intake.handle([broken])


async def test_a_timeout_is_seen_within_a_second_without_any_event(suite) -> None:
    membership = suite.membership
    membership._clock = SystemClock()
    await make(suite, "recent", 'events("signed_in").within("2s").exists()')
    contact = person()
    async with tasks(Timers(membership).run):
        event = suite.tracked(contact, "signed_in")
        event.event_time.FromDatetime(membership._clock.now())
        await suite.hear(event)
        due = event.event_time.ToDatetime() + timedelta(seconds=2)

        async def left() -> bool:
            return "segment_left" in await suite.said(contact)

        await wait_until(left)
        late = membership._clock.now().replace(tzinfo=None) - due
    assert timedelta() <= late < timedelta(seconds=1)


async def test_what_falls_due_one_by_one_is_handled_together(suite, monkeypatch) -> None:
    membership = suite.membership
    membership._clock = SystemClock()
    await make(suite, "recent", 'events("signed_in").within("2s").exists()')
    contacts = [person() for _ in range(30)]
    events = [suite.tracked(one, "signed_in") for one in contacts]
    for number, event in enumerate(reversed(events)):  # so they fall due 20 ms apart
        at = membership._clock.now() - timedelta(milliseconds=20 * number)
        event.event_time.FromDatetime(at)
    batches: list[int] = []
    pass_time = membership.pass_time

    async def counted() -> int:
        handled = await pass_time()
        batches.extend([handled] if handled else [])
        return handled

    monkeypatch.setattr(membership, "pass_time", counted)
    await suite.hear(*events)
    began = monotonic()

    async def nothing_due() -> bool:
        return await membership.look_ahead() is None

    async with tasks(Timers(membership).run):
        await wait_until(nothing_due, timeout_s=60)
    assert len(batches) <= (monotonic() - began) / 0.1 + 2, "ten a second at most"


async def test_two_replicas_at_once_say_everything_once(suite) -> None:
    await make(suite, "keen", 'events("product_viewed").within("24h").count() >= 3')
    contacts = [person() for _ in range(20)]
    events = [suite.tracked(c, "product_viewed") for c in contacts for _ in range(3)]
    await asyncio.gather(*(suite.hear(*events[n % 7 :: 3]) for n in range(9)), suite.hear(*events))
    for contact in contacts:
        assert await suite.said(contact) == ["segment_entered"]
