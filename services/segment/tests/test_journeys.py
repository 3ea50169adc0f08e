"""Journeys through the service: made, changed, gone through, looked at."""

import json
from datetime import timedelta
from uuid import uuid4
from xml.etree import ElementTree

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_status import rpc_status

from chassis.ids import fresh_id
from merhaba.event.v1 import ContactMerged, ContactSplit, Event, RestrictionChanged, StageChanged
from merhaba.profile.v1 import ErrorReason
from merhaba.segment.v1 import (
    Action,
    ArchiveJourneyRequest,
    ArchiveSegmentRequest,
    BranchCase,
    BranchStep,
    CreateJourneyRequest,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    ExitInstancesRequest,
    GetInstanceRequest,
    GetJourneyPictureRequest,
    GetJourneyRequest,
    GetStageMapRequest,
    Journey,
    JourneyInstance,
    ListInstancesRequest,
    ListJourneysRequest,
    Migration,
    PauseJourneyRequest,
    ResumeJourneyRequest,
    Segment,
    SendAction,
    SetAction,
    SplitArm,
    SplitStep,
    StartAction,
    StartInstancesRequest,
    Step,
    Trigger,
    UpdateJourneyRequest,
    WaitStep,
    WaitUntilStep,
)


def hours(count: float) -> Duration:
    return Duration(seconds=int(count * 3600))


def wait(step_id: str, following: str = "", **body) -> Step:
    return Step(step_id=step_id, next_step_id=following, wait=WaitStep(**body))


def send(step_id: str, following: str = "", campaign: str = "cmp_1", **parameters) -> Step:
    action = Action(send=SendAction(campaign_id=campaign, parameters=parameters))
    return Step(step_id=step_id, next_step_id=following, action=action)


def person() -> str:
    return str(uuid4())


async def refused(call) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


async def reason(call) -> tuple[str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = rpc_status.from_call(raised.value)
    from google.rpc.error_details_pb2 import ErrorInfo

    info = ErrorInfo()
    status.details[0].Unpack(info)
    return info.reason, dict(info.metadata)


async def create(suite, *steps: Step, **fields) -> Journey:
    journey = Journey(name=fields.pop("name", fresh_id("j")[:20]), steps=steps, **fields)
    request = CreateJourneyRequest(journey=journey)
    return (await suite.journeys.CreateJourney(request)).journey


async def start(suite, journey: Journey, *contacts: str, **parameters) -> list[JourneyInstance]:
    await suite.hear(*(suite.created(one) for one in contacts))
    request = StartInstancesRequest(
        request_id=str(uuid4()),
        journey_id=journey.journey_id,
        contact_ids=contacts,
        parameters_json=json.dumps(parameters).encode(),
    )
    return list((await suite.journeys.StartInstances(request)).instances)


async def look(suite, instance: JourneyInstance) -> JourneyInstance:
    request = GetInstanceRequest(instance_id=instance.instance_id)
    return (await suite.journeys.GetInstance(request)).instance


async def sent(suite, contact: str) -> list[tuple[str, str, bytes]]:
    return [
        (
            e.journey_step_reached.step_id,
            e.journey_step_reached.campaign_id,
            e.journey_step_reached.parameters_json,
        )
        for e in await suite.signals(contact)
        if e.journey_step_reached.campaign_id
    ]


async def test_steps_are_done_one_after_the_other_each_at_its_time(suite) -> None:
    who = person()
    journey = await create(
        suite,
        wait("first", "hello", duration=hours(2)),
        send("hello", "second", cart="parameters.cart"),
        wait("second", "bye", duration=hours(1)),
        send("bye"),
    )
    [instance] = await start(suite, journey, who, cart="c1")
    assert instance.state == JourneyInstance.STATE_WAITING
    assert instance.step_id == "first"
    assert instance.due_time.ToDatetime() == (suite.now + timedelta(hours=2)).replace(tzinfo=None)
    assert [v.step_id for v in (await look(suite, instance)).visits] == ["first"]
    await suite.pass_time(hours=1)
    assert await sent(suite, who) == []
    await suite.pass_time(hours=1)
    assert await sent(suite, who) == [("hello", "cmp_1", b'{"cart":"c1"}')]
    await suite.pass_time(hours=5)
    found = await look(suite, instance)
    assert found.state == JourneyInstance.STATE_COMPLETED
    assert [v.step_id for v in found.visits] == ["first", "hello", "second", "bye"]
    assert [v.outcome for v in found.visits] == ["done"] * 4
    assert json.loads(found.parameters_json) == {"cart": "c1"}
    states = [
        e.journey_step_reached.state
        for e in await suite.signals(who)
        if e.HasField("journey_step_reached")
    ]
    assert states == ["started", "waiting", "done", "waiting", "done", "completed"]


async def test_whoever_does_what_is_waited_for_goes_on_and_others_time_out(suite) -> None:
    buyer, other = person(), person()
    until = WaitUntilStep(
        expression='events("order_completed").exists()',
        timeout_duration=hours(3),
        timeout_step_id="remind",
    )
    journey = await create(
        suite,
        Step(step_id="until", next_step_id="thanks", wait_until=until),
        send("thanks", campaign="cmp_thanks"),
        send("remind", campaign="cmp_remind"),
    )
    # An order from before does not count.
    await suite.hear(suite.tracked(buyer, "order_completed", ago=timedelta(minutes=5)))
    one, two = await start(suite, journey, buyer, other)
    await suite.pass_time(hours=1)
    assert await sent(suite, buyer) == []
    await suite.hear(suite.tracked(buyer, "order_completed"))
    assert [s[0] for s in await sent(suite, buyer)] == ["thanks"]
    await suite.pass_time(hours=2)
    assert [s[0] for s in await sent(suite, other)] == ["remind"]
    assert (await look(suite, one)).visits[0].outcome == "held"
    assert (await look(suite, two)).visits[0].outcome == "timeout"


async def test_a_goal_and_an_exit_condition_end_it(suite) -> None:
    buyer, leaver = person(), person()
    journey = await create(
        suite,
        wait("long", duration=hours(48)),
        goal='events("order_completed").exists()',
        exit_condition='profile.city == "ankara"',
    )
    one, two = await start(suite, journey, buyer, leaver)
    await suite.pass_time(minutes=1)
    await suite.hear(suite.tracked(buyer, "order_completed"))
    await suite.hear(suite.tracked(leaver, "page_left", changes=[("city", '"ankara"')]))
    assert (await look(suite, one)).state == JourneyInstance.STATE_GOAL_REACHED
    assert (await look(suite, two)).state == JourneyInstance.STATE_EXITED


async def test_one_instance_per_key_and_again_only_as_allowed(suite) -> None:
    who = person()
    journey = await create(
        suite,
        wait("long", duration=hours(1)),
        key="parameters.cart",
        restart_duration=hours(2),
    )
    [one] = await start(suite, journey, who, cart="a")
    [same] = await start(suite, journey, who, cart="a")
    [other] = await start(suite, journey, who, cart="b")
    assert same.instance_id == one.instance_id
    assert other.instance_id != one.instance_id
    await suite.pass_time(hours=2)
    [ended] = await start(suite, journey, who, cart="a")
    assert ended.instance_id == one.instance_id
    assert ended.state == JourneyInstance.STATE_COMPLETED
    await suite.pass_time(hours=1)
    [again] = await start(suite, journey, who, cart="a")
    assert again.instance_id != one.instance_id
    assert again.state == JourneyInstance.STATE_WAITING


async def test_a_repeated_request_starts_nobody_again(suite) -> None:
    who = person()
    journey = await create(suite, send("hello"), restart_duration=Duration())
    await suite.hear(suite.created(who))
    request = StartInstancesRequest(
        request_id="once", journey_id=journey.journey_id, contact_ids=[who]
    )
    first = await suite.journeys.StartInstances(request)
    assert await suite.journeys.StartInstances(request) == first
    await suite.pool.execute("DELETE FROM requests")  # a crash before the answer was kept
    assert await suite.journeys.StartInstances(request) == first
    assert len(await sent(suite, who)) == 1


async def test_triggers_start_journeys_and_journeys_start_others(suite) -> None:
    who = person()
    second = await create(suite, send("hello", campaign="cmp_2", cart="parameters.cart"))
    action = Action(
        start=StartAction(journey_id=second.journey_id, parameters={"cart": "parameters.cart"})
    )
    first = await create(suite, Step(step_id="go", action=action), key="parameters.cart")
    trigger = Trigger(
        name="t",
        event=EventCause(name="cart_updated"),
        action=Action(
            start=StartAction(journey_id=first.journey_id, parameters={"cart": "event.cart_id"})
        ),
    )
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=trigger))
    event = suite.tracked(who, "cart_updated", '{"cart_id":"c9"}')
    await suite.hear(event)
    await suite.hear(event)
    assert await sent(suite, who) == [("hello", "cmp_2", b'{"cart":"c9"}')]
    archive = ArchiveJourneyRequest(journey_id=second.journey_id)
    code, facts = await reason(suite.journeys.ArchiveJourney(archive))
    assert (code, facts["users"]) == ("JOURNEY_IN_USE", first.name)
    code, facts = await reason(
        suite.journeys.ArchiveJourney(ArchiveJourneyRequest(journey_id=first.journey_id))
    )
    assert (code, facts["users"]) == ("JOURNEY_IN_USE", "t")


async def test_an_edit_leaves_people_on_their_version_and_a_migration_takes_them_along(
    suite,
) -> None:
    stays, goes = person(), person()
    journey = await create(
        suite,
        wait("a", "old", duration=hours(1)),
        send("old", campaign="cmp_old"),
        wait("b", "old", duration=hours(2)),
    )
    await start(suite, journey, stays)
    edited = Journey(
        journey_id=journey.journey_id,
        etag=journey.etag,
        steps=[wait("c", "new", duration=hours(5)), send("new", campaign="cmp_new")],
    )
    request = UpdateJourneyRequest(journey=edited)
    second = (await suite.journeys.UpdateJourney(request)).journey
    assert second.version == 2
    await suite.pass_time(hours=1)
    assert [s[1] for s in await sent(suite, stays)] == ["cmp_old"]
    [instance] = await start(suite, second, goes)
    assert instance.journey_version == 2
    third = Journey(
        journey_id=journey.journey_id,
        steps=[
            wait("start", "never", duration=hours(9)),
            send("never"),
            wait("moved", "newest", duration=hours(1)),
            send("newest", campaign="cmp_newest"),
        ],
    )
    answer = await suite.journeys.UpdateJourney(
        UpdateJourneyRequest(journey=third, migration=Migration(steps={"c": "moved"}))
    )
    assert (answer.journey.version, answer.migrating_count) == (3, 1)
    await suite.pass_time(hours=4)
    found = await look(suite, instance)
    assert (found.step_id, found.journey_version) == ("moved", 3)
    assert found.due_time == instance.due_time
    await suite.pass_time(hours=1)
    assert [s[1] for s in await sent(suite, goes)] == ["cmp_newest"]
    old = await suite.journeys.GetJourney(
        GetJourneyRequest(journey_id=journey.journey_id, version=1)
    )
    assert [s.step_id for s in old.journey.steps] == ["a", "old", "b"]


async def test_a_paused_journey_moves_nobody_and_resumed_it_skips_what_is_too_late(suite) -> None:
    who = person()
    late = send("late", "second", campaign="cmp_late")
    late.not_after_duration.CopyFrom(hours(1))
    journey = await create(
        suite,
        wait("a", "late", duration=hours(1)),
        late,
        send("second", "b", campaign="cmp_second"),
        wait("b", "c", duration=hours(1)),
        send("c", campaign="cmp_c"),
    )
    [instance] = await start(suite, journey, who)
    name = PauseJourneyRequest(journey_id=journey.journey_id)
    paused = (await suite.journeys.PauseJourney(name)).journey
    assert paused.state == Journey.STATE_PAUSED
    await suite.pass_time(hours=10)
    assert await sent(suite, who) == []
    begin = StartInstancesRequest(journey_id=journey.journey_id, contact_ids=[who])
    assert (await reason(suite.journeys.StartInstances(begin)))[0] == "JOURNEY_PAUSED"
    await suite.journeys.ResumeJourney(ResumeJourneyRequest(journey_id=journey.journey_id))
    await suite.pass_time(seconds=1)
    assert [s[1] for s in await sent(suite, who)] == ["cmp_second"]
    outcomes = [v.outcome for v in (await look(suite, instance)).visits]
    assert outcomes == ["done", "skipped", "done", ""]
    await suite.pass_time(minutes=58)
    assert len(await sent(suite, who)) == 1, "the wait began when the journey went on"
    await suite.pass_time(minutes=2)
    assert [s[1] for s in await sent(suite, who)] == ["cmp_second", "cmp_c"]


async def test_an_archived_journey_lets_everybody_go(suite) -> None:
    who = person()
    journey = await create(suite, wait("a", "b", duration=hours(1)), send("b"))
    [instance] = await start(suite, journey, who)
    answer = await suite.journeys.ArchiveJourney(
        ArchiveJourneyRequest(journey_id=journey.journey_id, etag=journey.etag)
    )
    assert answer.exited_count == 1
    await suite.pass_time(hours=2)
    assert await sent(suite, who) == []
    found = await look(suite, instance)
    assert (found.state, found.reason) == (
        JourneyInstance.STATE_EXITED,
        "the journey was archived",
    )
    listed = await suite.journeys.ListJourneys(ListJourneysRequest())
    assert not listed.journeys
    begin = StartInstancesRequest(journey_id=journey.journey_id, contact_ids=[who])
    assert (await reason(suite.journeys.StartInstances(begin)))[0] == "JOURNEY_ARCHIVED"


async def test_people_are_taken_out_and_listed(suite) -> None:
    people = [person() for _ in range(3)]
    journey = await create(suite, wait("a", duration=hours(1)))
    instances = await start(suite, journey, *people)
    taken = await suite.journeys.ExitInstances(
        ExitInstancesRequest(instance_ids=[instances[0].instance_id], reason="asked for it")
    )
    assert taken.instances[0].reason == "asked for it"
    unknown = ExitInstancesRequest(instance_ids=[instances[1].instance_id, "ins_nobody"])
    assert (await reason(suite.journeys.ExitInstances(unknown)))[0] == "INSTANCE_NOT_FOUND"
    waiting = ListInstancesRequest(
        journey_id=journey.journey_id, states=[JourneyInstance.STATE_WAITING], page_size=1
    )
    page = await suite.journeys.ListInstances(waiting)
    waiting.page_token = page.next_page_token
    rest = await suite.journeys.ListInstances(waiting)
    found = {one.instance_id for one in [*page.instances, *rest.instances]}
    assert found == {instances[1].instance_id, instances[2].instance_id}
    assert not rest.next_page_token
    own = await suite.journeys.ListInstances(ListInstancesRequest(contact_id=people[0]))
    assert [one.instance_id for one in own.instances] == [instances[0].instance_id]


async def test_a_merge_goes_on_with_the_older_and_a_split_gives_back(suite) -> None:
    older, younger, third = person(), person(), person()
    journey = await create(suite, wait("a", "b", duration=hours(5)), send("b"))
    [first] = await start(suite, journey, older)
    await suite.pass_time(hours=1)
    [second] = await start(suite, journey, younger)
    other = await create(suite, wait("x", "y", duration=hours(9)), send("y", campaign="cmp_y"))
    [third_instance] = await start(suite, other, younger)
    merged = _about(suite, older, contact_merged=ContactMerged(absorbed_contact_id=younger))
    await suite.hear(merged)
    assert (await look(suite, first)).state == JourneyInstance.STATE_WAITING
    gone = await look(suite, second)
    assert (gone.contact_id, gone.state) == (older, JourneyInstance.STATE_EXITED)
    assert (await look(suite, third_instance)).contact_id == older
    parted = ContactSplit(from_contact_id=older, member_contact_ids=[younger, third])
    await suite.hear(_about(suite, younger, contact_split=parted))
    assert (await look(suite, third_instance)).contact_id == younger
    await suite.pass_time(hours=10)
    assert [s[1] for s in await sent(suite, older)] == ["cmp_1"]
    assert [s[1] for s in await sent(suite, younger)] == ["cmp_y"]


async def test_who_starts_late_under_an_absorbed_id_goes_on_as_who_stays(suite) -> None:
    stays, goes = person(), person()
    journey = await create(suite, wait("a", "b", duration=hours(5)), send("b"))
    merged = _about(suite, stays, contact_merged=ContactMerged(absorbed_contact_id=goes))
    await suite.hear(suite.created(goes), merged)
    [instance] = await start(suite, journey, goes)  # it was asked for before the merge
    suite.profile.survivors[goes] = stays
    await suite.pass_time(minutes=2)
    while await suite.rebuilds.work():
        pass
    assert (await look(suite, instance)).contact_id == stays
    await suite.pass_time(hours=5)
    assert len(await sent(suite, stays)) == 1


async def test_whose_data_may_not_be_used_is_taken_out(suite) -> None:
    who = person()
    journey = await create(suite, wait("a", "b", duration=hours(5)), send("b"))
    [instance] = await start(suite, journey, who)
    await suite.hear(_about(suite, who, restriction_changed=RestrictionChanged(restricted=True)))
    found = await look(suite, instance)
    assert found.state == JourneyInstance.STATE_EXITED
    assert "restricted" in found.reason
    await suite.pass_time(hours=6)
    assert await sent(suite, who) == []


async def test_a_split_divides_as_its_weights_say_and_always_the_same(suite) -> None:
    people = [person() for _ in range(60)]
    arms = [
        SplitArm(name="a", weight=3, step_id="a"),
        SplitArm(name="b", weight=1, step_id="b"),
    ]
    steps = (
        Step(step_id="split", split=SplitStep(arms=arms)),
        send("a", campaign="cmp_a"),
        send("b", campaign="cmp_b"),
    )
    journey = await create(suite, *steps, restart_duration=Duration())
    await start(suite, journey, *people)
    # The order of arms does not matter, in a later version either.
    swapped = Journey(
        journey_id=journey.journey_id,
        steps=[Step(step_id="split", split=SplitStep(arms=arms[::-1])), *steps[1:]],
    )
    await suite.journeys.UpdateJourney(UpdateJourneyRequest(journey=swapped))
    await start(suite, journey, *people)
    came = [[s[1] for s in await sent(suite, one)] for one in people]
    assert all(one[0] == one[1] for one in came)
    assert 30 <= sum(one[0] == "cmp_a" for one in came) <= 57


async def test_what_is_wrong_is_told_with_its_place(suite) -> None:
    def problem(*steps: Step, **fields):
        journey = Journey(name="n", steps=steps, **fields)
        return reason(suite.journeys.CreateJourney(CreateJourneyRequest(journey=journey)))

    ok = wait("ok", duration=hours(1))
    bad_time = wait("bad", time_of_day="25:00")
    code, facts = await problem(ok, bad_time)
    assert (code, facts["field"]) == ("FIELD_INVALID", "journey.steps[1].wait.time_of_day")
    code, facts = await problem(wait("ok", "nowhere", duration=hours(1)))
    assert (code, facts["field"], facts["step_id"]) == (
        "UNKNOWN_STEP",
        "journey.steps[0].next_step_id",
        "nowhere",
    )
    code, facts = await problem(send("a", "b"), send("b", "a"))
    assert (code, facts["path"]) == ("STEP_CYCLE", "a,b,a")
    branch = BranchStep(cases=[BranchCase(expression="profile.citty == 'x'", step_id="")])
    code, facts = await problem(Step(step_id="x", branch=branch))
    assert code == "EXPRESSION_INVALID"
    assert facts["field"] == "journey.steps[0].branch.cases[0].expression"
    code, facts = await problem(ok, key="profile.city")
    assert (code, facts["field"]) == ("FIELD_INVALID", "journey.key")
    unknown = Action(start=StartAction(journey_id="jny_none"))
    code, facts = await problem(Step(step_id="x", action=unknown))
    assert (code, facts["field"]) == (
        "REFERENCE_NOT_FOUND",
        "journey.steps[0].action.start.journey_id",
    )
    made = await create(suite, ok, name="taken")
    assert (await reason(create(suite, ok, name="taken")))[0] == "NAME_TAKEN"
    stale = UpdateJourneyRequest(
        journey=Journey(journey_id=made.journey_id, etag="e0", description="x")
    )
    assert (await reason(suite.journeys.UpdateJourney(stale)))[0] == "ETAG_MISMATCH"
    nowhere = UpdateJourneyRequest(
        journey=Journey(journey_id=made.journey_id), migration=Migration(steps={"gone": "ok"})
    )
    code, facts = await reason(suite.journeys.UpdateJourney(nowhere))
    assert (code, facts["field"]) == ("UNKNOWN_STEP", "migration.steps[gone]")
    stranger = StartInstancesRequest(journey_id=made.journey_id, contact_ids=[person()])
    assert (await reason(suite.journeys.StartInstances(stranger)))[0] == "CONTACT_NOT_FOUND"
    dry = CreateJourneyRequest(journey=Journey(name="dry", steps=[ok]), validate_only=True)
    assert (await suite.journeys.CreateJourney(dry)).journey.name == "dry"
    listed = await suite.journeys.ListJourneys(ListJourneysRequest())
    assert [one.name for one in listed.journeys] == ["taken"]


async def test_a_segment_that_a_journey_uses_is_not_archived(suite) -> None:
    made = await suite.segments.CreateSegment(
        CreateSegmentRequest(segment=Segment(name="vip", expression='profile.city == "izmir"'))
    )
    until = WaitUntilStep(expression='segment("vip")')
    who = person()
    journey = await create(
        suite, Step(step_id="until", next_step_id="hi", wait_until=until), send("hi")
    )
    await start(suite, journey, who)
    archive = ArchiveSegmentRequest(segment_id=made.segment.segment_id)
    code, facts = await reason(suite.segments.ArchiveSegment(archive))
    assert (code, facts["users"]) == ("SEGMENT_IN_USE", journey.name)
    await suite.hear(suite.tracked(who, "page_left", changes=[("city", '"izmir"')]))
    assert [s[0] for s in await sent(suite, who)] == ["hi"]


async def test_the_picture_counts_people_and_is_only_a_picture(suite) -> None:
    people = [person() for _ in range(4)]
    until = WaitUntilStep(
        expression='events("order_completed").exists() && "<script>" != ""',
        timeout_duration=hours(1),
        timeout_step_id="remind",
    )
    journey = await create(
        suite,
        Step(step_id="until", next_step_id="", wait_until=until, display_name="</text><b>bold"),
        send("remind", "long"),
        wait("long", duration=hours(48)),
        display_name="<Sepet>",
    )
    await start(suite, journey, *people)
    await suite.pass_time(minutes=1)
    await suite.hear(suite.tracked(people[0], "order_completed"))
    await suite.pass_time(hours=1)
    for language, dark, word in (("en", False, "here now"), ("tr", True, "şu an burada")):
        request = GetJourneyPictureRequest(
            journey_id=journey.journey_id, language=language, dark=dark
        )
        answer = await suite.journeys.GetJourneyPicture(request)
        picture = ElementTree.fromstring(answer.svg)
        names = {element.tag.split("}")[1] for element in picture.iter()}
        assert names <= {
            *("svg", "title", "defs", "marker", "path", "rect", "text", "tspan", "g", "circle")
        }
        attributes = {name for element in picture.iter() for name in element.attrib}
        assert not {one for one in attributes if one.startswith("on") or "href" in one}
        told = "".join(picture.itertext())
        assert word in told
        assert "<Sepet>" in told
        assert "3" in list(picture.itertext()), "three went on by the time-out, and wait"
    wrong = GetJourneyPictureRequest(journey_id=journey.journey_id, language="xx")
    assert (await reason(suite.journeys.GetJourneyPicture(wrong)))[1]["field"] == "language"


async def test_the_stage_map_counts_each_move_once_and_a_merge_moves_nobody_twice(suite) -> None:
    anne, bob, carl = person(), person(), person()

    def enters(who: str) -> Event:
        return suite.tracked(who, "page_left", changes=[("stage", '"awareness"')])

    def moves(who: str, before: str, after: str) -> list[Event]:
        changed = _about(suite, who, stage_changed=StageChanged(previous_stage=before, stage=after))
        return [suite.tracked(who, "order_completed", changes=[("stage", f'"{after}"')]), changed]

    await suite.hear(*map(enters, (anne, bob, carl)))
    events = moves(anne, "awareness", "purchase")
    await suite.hear(*events)
    await suite.hear(*events)
    await suite.pass_time(minutes=20)
    # Bob turns out to be Anne, who bought: so he stands where she stood.
    merged = _about(suite, bob, contact_merged=ContactMerged(absorbed_contact_id=anne))
    stood = _about(
        suite, bob, stage_changed=StageChanged(previous_stage="awareness", stage="purchase")
    )
    await suite.hear(merged, stood)
    answer = await suite.journeys.GetStageMap(GetStageMapRequest(zone="Europe/Istanbul"))
    counts = {one.stage: one.contact_count for one in answer.stage_map.counts}
    assert counts == {"awareness": 1, "purchase": 1}
    flows = {(f.previous_stage, f.stage): (f.day, f.contact_count) for f in answer.stage_map.flows}
    day = (suite.now + timedelta(hours=3)).date().isoformat()
    assert flows == {("", "awareness"): (day, 3), ("awareness", "purchase"): (day, 1)}
    wrong = GetStageMapRequest(zone="Mars/Olympus")
    assert (await reason(suite.journeys.GetStageMap(wrong)))[1]["field"] == "zone"


async def test_what_a_step_does_outside_is_done_behind_it_and_a_failure_is_told(suite) -> None:
    action = Action(set=SetAction(attribute_name="city", expression="parameters.city"))
    journey = await create(suite, Step(step_id="set", action=action))
    suite.profile.refused = {1: ErrorReason.ERROR_REASON_CONTACT_NOT_FOUND}
    instances = await start(suite, journey, person(), person(), city="izmir")
    assert {one.state for one in instances} == {JourneyInstance.STATE_COMPLETED}
    pause = PauseJourneyRequest(journey_id=journey.journey_id)
    await suite.journeys.PauseJourney(pause)
    assert await suite.deeds.work() == 0
    await suite.journeys.ResumeJourney(ResumeJourneyRequest(journey_id=journey.journey_id))
    assert await suite.deeds.work() == 2
    outcomes = [(await look(suite, one)).visits[0].outcome for one in instances]
    assert sorted(one == "done" for one in outcomes) == [False, True]
    assert await suite.pool.fetchval("SELECT count(*) FROM deeds") == 0


def _about(suite, who: str, **body) -> Event:
    time = suite.created(who).event_time
    return Event(
        event_id=fresh_id("evt"), event_time=time, received_time=time, contact_id=who, **body
    )
