"""Campaigns: each person of the audience once, none forgotten, whatever goes wrong."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import grpc
import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.app import tasks
from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.streams import Consumer, Record
from chassis.testing import wait_until
from chassis.transient import transient
from merhaba.event.v1 import (
    Event,
    Identity,
    JourneyStepReached,
    StatusReceived,
    TriggerFired,
)
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    CancelCampaignRequest,
    ContactList,
    CreateCampaignRequest,
    Destination,
    GetCampaignRequest,
    LaunchCampaignRequest,
    ListCampaignsRequest,
    ListRecipientsRequest,
    PauseCampaignRequest,
    ResumeCampaignRequest,
    Schedule,
    SegmentAudience,
    TriggeredAudience,
    Variant,
    WatchCampaignRequest,
)
from services.sender.consumer import SignalConsumer, StatusConsumer
from services.sender.delivery.dispatch import Dispatcher, Limits
from services.sender.model import State
from services.sender.throttle import RedisThrottle


def name_or_friend() -> Binding:
    return Binding(
        variable="body.1",
        expression="profile.first_name",
        missing=Binding.MISSING_FALLBACK,
        fallbacks={"*": "dostum"},
    )


async def people(ready: Any, count: int, prefix: str = "9055500") -> list[str]:
    return [
        ready.profile.add(f"{prefix}{n:05}", **({"first_name": f"Ad{n}"} if n % 2 else {}))
        for n in range(count)
    ]


def segment(ready: Any, members: list[str]) -> Audience:
    segment_id = fresh_id("seg")
    ready.segment.members[segment_id] = members
    return Audience(segment=SegmentAudience(segment_id=segment_id))


async def drafted(ready: Any, audience: Audience, **more: Any) -> str:
    variants = more.pop(
        "variants",
        [Variant(name="a", template_name="welcome", weight=1, bindings=[name_or_friend()])],
    )
    campaign = Campaign(
        name="Yaz", waba_id=ready.waba_id, audience=audience, variants=variants, **more
    )
    created = await ready.campaign.CreateCampaign(
        CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign)
    )
    assert created.campaign.state == Campaign.STATE_DRAFT
    campaign_id: str = created.campaign.campaign_id
    return campaign_id


async def launched(ready: Any, audience: Audience, **more: Any) -> str:
    campaign_id = await drafted(ready, audience, **more)
    request = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    await ready.campaign.LaunchCampaign(request)
    await ready.campaign.LaunchCampaign(request)
    return campaign_id


async def state_of(ready: Any, campaign_id: str) -> int:
    got = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    state: int = got.campaign.state
    return state


async def completed(ready: Any, campaign_id: str) -> None:
    async def done() -> bool:
        return await state_of(ready, campaign_id) == Campaign.STATE_COMPLETED

    await wait_until(done)


async def test_everybody_in_the_segment_gets_their_own_message_once(ready: Any) -> None:
    members = await people(ready, 45)
    members.append(fresh_id("gone"))
    shy = ready.profile.add("905550099999", marketing=False)
    campaign_id = await launched(ready, segment(ready, [*members, shy, *members[:5]]))
    async with ready.sending():
        await completed(ready, campaign_id)
    entries = await ready.ledger()
    assert len(entries) == len({e["to"] for e in entries}) == 45
    got = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    assert got.progress.recipients == 46
    assert dict(got.progress.states) == {"sent": 45, "suppressed": 1}
    assert dict(got.progress.suppressed_gates) == {"consent": 1}
    rows = {r.contact_id: r for r in await ready.rows(campaign_id=campaign_id)}
    said = {
        msgspec.json.decode(rows[m].body)["template"]["components"][0]["parameters"][0]["text"]
        for m in members[:4]
    }
    assert said == {"dostum", "Ad1", "Ad3"}
    changes = [
        e.campaign_changed.state for e in await ready.events() if e.HasField("campaign_changed")
    ]
    assert Counter(changes) == Counter(["planning", "running", "completed"])


async def test_variants_hold_out_and_progress_add_up(ready: Any) -> None:
    variants = [
        Variant(name=n, template_name="welcome", weight=1, bindings=[name_or_friend()])
        for n in ("a", "b")
    ]
    campaign_id = await launched(
        ready, segment(ready, await people(ready, 60)), variants=variants, hold_out_share=0.3
    )
    async with ready.sending():
        watched = [
            w.progress
            async for w in ready.campaign.WatchCampaign(
                WatchCampaignRequest(campaign_id=campaign_id)
            )
        ]
    last = watched[-1]
    assert last.state == Campaign.STATE_COMPLETED
    assert sum(last.states.values()) == last.recipients == 60
    assert last.states["held_out"] > 5
    by_variant = {v.variant: v.recipients for v in last.variants}
    assert by_variant["a"] + by_variant["b"] + last.states["held_out"] == 60
    assert min(by_variant.values()) > 5
    sent = [e.message_sent.message for e in await ready.events() if e.HasField("message_sent")]
    assert {m.propensity for m in sent} == {0.5}
    held = [e for e in await ready.events() if e.HasField("message_held_out")]
    assert len(held) == last.states["held_out"]


async def test_a_tracked_link_stands_in_the_button_of_each(ready: Any) -> None:
    link = Binding(
        variable="button.0",
        expression='"https://shop.example/bag"',
        missing=Binding.MISSING_SKIP,
    )
    variant = Variant(name="a", template_name="order", weight=1, bindings=[name_or_friend(), link])
    members = await people(ready, 3)
    campaign_id = await launched(
        ready,
        Audience(contacts=ContactList(contacts=[Destination(contact_id=m) for m in members])),
        variants=[variant],
    )
    async with ready.sending():
        await completed(ready, campaign_id)
    tokens = {
        msgspec.json.decode(r.body)["template"]["components"][1]["parameters"][0]["text"]
        for r in await ready.rows(campaign_id=campaign_id)
    }
    assert len(tokens) == 3
    assert all(token.startswith("l_") for token in tokens)


async def test_nothing_leaves_after_a_pause_and_everybody_is_served_after_the_resumption(
    ready: Any,
) -> None:
    await ready.paced(50.0)
    campaign_id = await launched(ready, segment(ready, await people(ready, 60)))
    async with ready.sending():

        async def some() -> bool:
            return len(await ready.ledger()) >= 5

        await wait_until(some)
        await ready.campaign.PauseCampaign(PauseCampaignRequest(campaign_id=campaign_id))

        async def still() -> bool:
            found = await ready.states(campaign_id)
            return not found.get(State.ATTEMPTING)

        await wait_until(still)
        left = len(await ready.ledger())
        await asyncio.sleep(0.5)
        assert len(await ready.ledger()) == left < 60
        await ready.campaign.ResumeCampaign(ResumeCampaignRequest(campaign_id=campaign_id))
        await completed(ready, campaign_id)
    assert len(await ready.ledger()) == 60


async def test_whoever_waits_when_a_campaign_is_cancelled_ends_as_cancelled(ready: Any) -> None:
    await ready.paced(20.0)
    campaign_id = await launched(ready, segment(ready, await people(ready, 50)))
    async with ready.sending():

        async def some() -> bool:
            return len(await ready.ledger()) >= 3

        await wait_until(some)
        await ready.campaign.CancelCampaign(
            CancelCampaignRequest(campaign_id=campaign_id, reason="mistake")
        )

        async def over() -> bool:
            return set(await ready.states(campaign_id)) <= {State.SENT, State.CANCELLED}

        await wait_until(over)
    found = await ready.states(campaign_id)
    assert found[State.SENT] == len(await ready.ledger())
    assert found[State.CANCELLED] > 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ready.campaign.ResumeCampaign(ResumeCampaignRequest(campaign_id=campaign_id))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    listed = await ready.campaign.ListRecipients(
        ListRecipientsRequest(campaign_id=campaign_id, gate="campaign", page_size=5)
    )
    assert {r.reason for r in listed.recipients} == {"cancelled"}


def fired(campaign_id: str, contact_id: str, occurrence_id: str, **parameters: Any) -> bytes:
    now = Timestamp()
    now.GetCurrentTime()
    return Event(
        event_id=fresh_id("e"),
        event_time=now,
        received_time=now,
        contact_id=contact_id,
        trigger_fired=TriggerFired(
            trigger_id="trg_1",
            occurrence_id=occurrence_id,
            campaign_id=campaign_id,
            parameters_json=msgspec.json.encode(parameters),
        ),
    ).SerializeToString()


async def test_a_trigger_that_is_told_twice_sends_once(ready: Any) -> None:
    binding = Binding(
        variable="body.1", expression="parameters.product", missing=Binding.MISSING_SKIP
    )
    campaign_id = await launched(
        ready,
        Audience(triggered=TriggeredAudience(trigger_ids=["trg_1"])),
        variants=[Variant(name="a", template_name="welcome", weight=1, bindings=[binding])],
    )
    who = ready.profile.add("905550100001")
    occurrence = fresh_id("occ")
    first = fired(campaign_id, who, occurrence, product="Çanta")
    other = Event.FromString(first)
    other.event_id = fresh_id("e")
    foreign = Event.FromString(first)
    foreign.event_id, foreign.trigger_fired.trigger_id = fresh_id("e"), "trg_2"
    foreign.trigger_fired.occurrence_id = fresh_id("occ")
    consumer = Consumer(
        ready.log, "sender.signal", ["signal"], SignalConsumer(ready.planner).handle
    )
    async with ready.sending(consumer.run):
        for event in (first, first, other.SerializeToString(), foreign.SerializeToString()):
            await ready.log.append([Record("signal", who, event)])
        await ready.settled(campaign_id, 1)
        await ready.log.append(
            [Record("signal", who, fired(campaign_id, who, fresh_id("occ"), product="Atkı"))]
        )
        await ready.settled(campaign_id, 2)
    assert len(await ready.ledger()) == 2
    assert await state_of(ready, campaign_id) == Campaign.STATE_RUNNING


def step_done(campaign_id: str, contact_id: str, visit_id: str, journey_id: str) -> bytes:
    now = Timestamp()
    now.GetCurrentTime()
    return Event(
        event_id=visit_id,
        event_time=now,
        received_time=now,
        contact_id=contact_id,
        journey_step_reached=JourneyStepReached(
            journey_id=journey_id,
            instance_id="ins_1",
            step_id="hello",
            state="done",
            campaign_id=campaign_id,
            parameters_json=b'{"product":"x"}',
        ),
    ).SerializeToString()


async def test_each_step_of_a_journey_sends_once(ready: Any) -> None:
    only = TriggeredAudience(journey_ids=["jny_1"])
    campaign_id = await launched(ready, Audience(triggered=only))
    who = ready.profile.add("905550100003")
    first, again = fresh_id("vis"), fresh_id("vis")
    steps = [
        step_done(campaign_id, who, first, "jny_1"),
        step_done(campaign_id, who, first, "jny_1"),
        step_done(campaign_id, who, again, "jny_1"),
        step_done(campaign_id, who, fresh_id("vis"), "jny_2"),
        step_done("", who, fresh_id("vis"), "jny_1"),
        fired(campaign_id, who, fresh_id("occ")),
    ]
    for one in steps:
        await SignalConsumer(ready.planner).handle([one])
    async with ready.sending():
        await ready.settled(campaign_id, 2)
    rows = await ready.rows(campaign_id=campaign_id)
    assert sorted(row.occurrence_id for row in rows) == sorted([first, again])


async def test_a_late_trigger_sends_nothing(ready: Any) -> None:
    campaign_id = await launched(ready, Audience(triggered=TriggeredAudience()))
    who = ready.profile.add("905550100002")
    event = Event.FromString(fired(campaign_id, who, fresh_id("occ")))
    event.trigger_fired.not_after_time.FromSeconds(1_000)
    await SignalConsumer(ready.planner).handle([event.SerializeToString()])
    async with ready.sending():
        await ready.settled(campaign_id, 1)
    (row,) = await ready.rows(campaign_id=campaign_id)
    assert (row.state, row.gate) == (State.SUPPRESSED, "deadline")


async def test_a_campaign_that_cannot_be_planned_pauses_with_the_reason(ready: Any) -> None:
    unknown = segment(ready, [])
    strict = Binding(variable="body.1", expression="profile.nickname", missing=Binding.MISSING_FAIL)
    variants = [Variant(name="a", template_name="welcome", weight=1, bindings=[strict])]
    nowhere = await launched(ready, unknown)
    del ready.segment.members[unknown.segment.segment_id]
    nameless = await launched(ready, segment(ready, await people(ready, 2)), variants=variants)
    async with ready.sending():

        async def paused() -> bool:
            states = {await state_of(ready, c) for c in (nowhere, nameless)}
            return states == {Campaign.STATE_PAUSED}

        await wait_until(paused)
    got = {
        c.campaign_id: c.state_reason
        for c in (await ready.campaign.ListCampaigns(ListCampaignsRequest())).campaigns
    }
    assert got[nowhere] == "segment_not_found"
    assert got[nameless] == "variable_missing_body.1"
    assert await ready.ledger() == []


async def test_a_scheduled_campaign_starts_at_its_time(ready: Any) -> None:
    campaign_id = await drafted(ready, segment(ready, await people(ready, 2)))
    start = Timestamp(seconds=milliseconds_of(SystemClock().now()) // 1000 + 2)
    await ready.campaign.LaunchCampaign(
        LaunchCampaignRequest(
            request_id=str(uuid4()),
            campaign_id=campaign_id,
            schedule=Schedule(start_time=start),
        )
    )
    assert await state_of(ready, campaign_id) == Campaign.STATE_SCHEDULED
    async with ready.sending():
        await completed(ready, campaign_id)
    assert min(e["accepted"] for e in await ready.ledger()) >= start.seconds


async def test_drafts_that_can_never_be_sent_are_refused_with_what_is_wrong(ready: Any) -> None:
    audience = Audience(triggered=TriggeredAudience())
    bad = {
        "PARAMETERS_INVALID": [Variant(name="a", template_name="welcome", weight=1)],
        "TEMPLATE_NOT_FOUND": [Variant(name="a", template_name="nothing", weight=1)],
        "EXPRESSION_INVALID": [
            Variant(
                name="a",
                template_name="welcome",
                weight=1,
                bindings=[Binding(variable="body.1", expression="1 +", missing=2)],
            )
        ],
        "FIELD_INVALID": [Variant(name="a", template_name="welcome")],
    }
    for reason, variants in bad.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drafted(ready, audience, variants=variants)
        trailers = dict(caught.value.trailing_metadata() or ())
        assert reason.encode() in trailers["grpc-status-details-bin"], reason


def replica(ready: Any, limits: Limits) -> Dispatcher:
    return Dispatcher(
        ready.outbox,
        ready.neighbours,
        ready.dispatcher._platform,
        RedisThrottle(ready.log),
        SystemClock(),
        lambda: 0.5,
        limits,
        transient,
    )


async def statuses_of(ready: Any) -> list[bytes]:
    """Every accepted message's `sent`, as its webhook would bring it."""
    events = []
    for entry in await ready.ledger():
        told = StatusReceived(
            wamid=entry["wamid"], status="sent", callback_data=entry["callback_data"]
        )
        event = Event(
            event_id=f"{entry['wamid']}/sent",
            event_time=Timestamp(seconds=int(entry["accepted"])),
            identities=[Identity(kind=Identity.KIND_WA_ID, value=entry["to"])],
            status_received=told,
        )
        events.append(event.SerializeToString())
    return events


class TestUnderFaults:
    @pytest.fixture
    def call_timeout_s(self) -> float:
        return 0.5

    @pytest.fixture
    def running_limits(self) -> Limits:
        return Limits(concurrency=60, lease_ms=60_000, call_ms=10_000)

    @pytest.fixture
    def unknown_ms(self) -> int:
        return 1_500

    async def test_no_person_is_sent_a_message_twice_and_none_is_without_an_outcome(
        self, ready: Any
    ) -> None:
        await ready.faults(
            timeout_after_accept=0.05,
            drop_after_accept=0.1,
            error_5xx_after_accept=0.1,
            error_5xx=0.1,
            throttle=0.05,
            timeout_hold_s=1,
        )
        campaign_id = await launched(ready, segment(ready, await people(ready, 120)))
        second = replica(ready, ready.limits)
        async with ready.sending(second.run):
            await ready.settled(campaign_id, 120, 30)
            assert [e for e in await ready.events() if e.HasField("message_unknown")]
            await StatusConsumer(ready.outbox).handle(await statuses_of(ready))

            async def decided() -> bool:
                return set(await ready.states(campaign_id)) <= {State.SENT, State.FAILED}

            await wait_until(decided)
        entries = [e["callback_data"] for e in await ready.ledger()]
        assert len(entries) == len(set(entries))
        rows = await ready.rows(campaign_id=campaign_id)
        sent = {r.message_id for r in rows if r.state == State.SENT}
        assert sent == set(entries)
        assert {r.reason for r in rows if r.state == State.FAILED} <= {"unconfirmed"}
        duplicates = await ready.control("GET", "ledger/duplicates", None)
        assert duplicates["by_callback_data"] == 0

    async def test_a_process_that_dies_between_attempt_and_outcome_never_sends_again(
        self, ready: Any
    ) -> None:
        campaign_id = await launched(ready, segment(ready, await people(ready, 20)))
        await ready.faults(latency_ms=60_000)
        dying = replica(ready, Limits(concurrency=60, lease_ms=2_000, call_ms=0))
        running = asyncio.create_task(dying.run())
        async with tasks(ready.planning):

            async def attempting() -> bool:
                found = await ready.states(campaign_id)
                doubted = found.get(State.UNKNOWN, 0)  # calls that timed out by now
                stuck = found.get(State.ATTEMPTING, 0) + doubted
                return stuck == 20 and len(dying._calls) + doubted >= 20

            await wait_until(attempting)
        for call in dying._calls:
            call.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ready.faults()
        async with ready.sending():

            async def given_up() -> bool:
                return set(await ready.states(campaign_id)) == {State.FAILED}

            await wait_until(given_up)
        rows = await ready.rows(campaign_id=campaign_id)
        assert {(r.attempts, r.reason) for r in rows} == {(1, "unconfirmed")}
        assert await ready.ledger() == []
        unknown = [e for e in await ready.events() if e.HasField("message_unknown")]
        assert len(unknown) == 20

    async def test_a_platform_that_is_away_makes_messages_wait(self, ready: Any) -> None:
        posts = ready.graph._calls
        port, posts._port = posts._port, 9
        campaign_id = await launched(ready, segment(ready, await people(ready, 5)))
        async with ready.sending():

            async def tried() -> bool:
                rows = await ready.rows(campaign_id=campaign_id)
                return len(rows) == 5 and all(r.attempts for r in rows)

            await wait_until(tried)
            rows = await ready.rows(campaign_id=campaign_id)
            assert {r.state for r in rows} <= {State.PLANNED, State.ATTEMPTING}
            posts._port = port
            await completed(ready, campaign_id)
        assert len(await ready.ledger()) == 5
