"""Steering: what may change when, weights while it runs, ends in time, best times, test sends."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.testing import wait_until
from merhaba.profile.v1 import Attribute
from merhaba.sender.v1 import (
    Audience,
    Budget,
    Campaign,
    CancelCampaignRequest,
    Destination,
    FrequencyCap,
    GetCampaignRequest,
    LaunchCampaignRequest,
    ListCampaignsRequest,
    ListRecipientsRequest,
    PauseCampaignRequest,
    ResumeCampaignRequest,
    Schedule,
    SegmentAudience,
    SetVariantWeightsRequest,
    TriggeredAudience,
    UpdateCampaignRequest,
    Variant,
    WatchCampaignRequest,
)
from merhaba.sender.v1 import TestSendCampaignRequest as TrialRequest
from services.sender.consumer import SignalConsumer
from services.sender.model import DAY_MS, State
from services.sender.tests.test_campaigns import (
    completed,
    drafted,
    fired,
    launched,
    name_or_friend,
    people,
    segment,
    state_of,
)
from services.sender.tests.test_policy import update as set_policy

HOUR = 3_600_000


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


def variants(*weights: float) -> list[Variant]:
    return [
        Variant(name=f"v{n}", template_name="welcome", weight=w, bindings=[name_or_friend()])
        for n, w in enumerate(weights)
    ]


async def updated(ready: Any, campaign_id: str, *paths: str, **fields: Any) -> Campaign:
    request = UpdateCampaignRequest(
        campaign=Campaign(campaign_id=campaign_id, **fields), update_mask=FieldMask(paths=paths)
    )
    return (await ready.campaign.UpdateCampaign(request)).campaign


async def weighed(ready: Any, campaign_id: str, request_id: str, **weights: float) -> Campaign:
    request = SetVariantWeightsRequest(
        request_id=request_id, campaign_id=campaign_id, weights=weights
    )
    return (await ready.campaign.SetVariantWeights(request)).campaign


# --- editing ----------------------------------------------------------------------------------


async def test_a_draft_changes_by_its_mask_and_only_if_it_is_what_was_read(ready: Any) -> None:
    campaign_id = await drafted(ready, segment(ready, []), hold_out_share=0.2)
    changed = await updated(ready, campaign_id, name="Kış")
    assert (changed.name, changed.hold_out_share, changed.etag) == ("Kış", 0.2, "2")
    cleared = await updated(ready, campaign_id, "hold_out_share", "variants", variants=variants(2))
    assert (cleared.hold_out_share, len(cleared.variants)) == (0.0, 1)
    assert cleared.variants[0].weight == 2
    stale = updated(ready, campaign_id, name="x", etag="1")
    assert await ready.refusal(stale) == ("ABORTED", "ETAG_MISMATCH")
    for path in ("state", "nothing", "variants.0"):
        refused = updated(ready, campaign_id, path, name="x")
        assert await ready.refusal(refused) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    empty = updated(ready, campaign_id, "variants")
    assert await ready.refusal(empty) == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_after_the_launch_only_what_harms_nobody_may_change(ready: Any) -> None:
    campaign_id = await launched(ready, segment(ready, []), variants=variants(1, 1))
    end = Timestamp(seconds=now_ms() // 1000 + 3_600)
    budget = Budget(amount_micros=5, currency_code="EUR")
    changed = await updated(ready, campaign_id, name="n", not_after_time=end, budget=budget)
    assert (changed.name, changed.not_after_time, changed.budget) == ("n", end, budget)
    heavier = await updated(ready, campaign_id, "variants", variants=variants(1, 9))
    assert [one.weight for one in heavier.variants] == [1, 9]
    for field, value in (
        ("variants", variants(1)),
        ("hold_out_share", 0.5),
        ("audience", Audience(segment=SegmentAudience(segment_id="x"))),
    ):
        status, reason, facts = await ready.refused(
            updated(ready, campaign_id, field, **{field: value})
        )
        assert (status, reason) in {
            ("FAILED_PRECONDITION", "FIELD_FROZEN"),
            ("NOT_FOUND", "SEGMENT_NOT_FOUND"),
        }
        assert facts.get("field", f"campaign.{field}") == f"campaign.{field}"
    await ready.campaign.CancelCampaign(CancelCampaignRequest(campaign_id=campaign_id))
    assert await ready.refusal(updated(ready, campaign_id, name="x")) == (
        "FAILED_PRECONDITION",
        "CAMPAIGN_STATE",
    )


async def test_a_campaign_is_launched_once_for_each_request(ready: Any) -> None:
    campaign_id = await drafted(ready, segment(ready, []))
    request = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    await ready.campaign.LaunchCampaign(request)
    await ready.campaign.CancelCampaign(CancelCampaignRequest(campaign_id=campaign_id))
    again = await ready.campaign.LaunchCampaign(request)
    assert again.campaign.state == Campaign.STATE_CANCELLED
    other = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    assert await ready.refusal(ready.campaign.LaunchCampaign(other)) == (
        "FAILED_PRECONDITION",
        "CAMPAIGN_STATE",
    )


async def test_what_stands_in_the_way_refuses_the_launch(ready: Any) -> None:
    past = Timestamp(seconds=now_ms() // 1000 - 60)
    late = await drafted(ready, segment(ready, []), not_after_time=past)
    dear = await drafted(
        ready, segment(ready, []), budget=Budget(amount_micros=1, currency_code="EUR")
    )
    other = segment(ready, [])
    other.segment.segment_version = 7
    old = await drafted(ready, other)
    for campaign_id, problem in (
        (late, "deadline"),
        (dear, "price_unknown"),
        (old, "segment_version"),
    ):
        request = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
        status, reason, facts = await ready.refused(ready.campaign.LaunchCampaign(request))
        assert (status, reason) == ("FAILED_PRECONDITION", "PREFLIGHT_FAILED")
        assert (facts["problem"], facts["count"]) == (problem, "1")
    paused = await drafted(ready, segment(ready, []))
    await ready.pool.execute(
        "UPDATE templates SET state = 'PAUSED' WHERE waba_id = $1 AND name = 'welcome'",
        ready.waba_id,
    )
    request = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=paused)
    assert await ready.refusal(ready.campaign.LaunchCampaign(request)) == (
        "FAILED_PRECONDITION",
        "TEMPLATE_STATE",
    )


# --- weights ----------------------------------------------------------------------------------


async def test_weights_count_for_those_planned_from_then_on_and_once_for_each_request(
    ready: Any,
) -> None:
    campaign_id = await drafted(ready, segment(ready, []), variants=variants(1, 1))
    first, second = str(uuid4()), str(uuid4())
    assert [v.weight for v in (await weighed(ready, campaign_id, first, v0=3)).variants] == [3, 1]
    await weighed(ready, campaign_id, second, v0=0, v1=5)
    again = await weighed(ready, campaign_id, first, v0=3)
    assert [v.weight for v in again.variants] == [0, 5]
    for refused, reason in (
        (weighed(ready, campaign_id, first, v0=4), "REQUEST_ID_REUSED"),
        (weighed(ready, campaign_id, str(uuid4()), v1=0), "FIELD_INVALID"),
        (weighed(ready, campaign_id, str(uuid4()), v1=-1), "FIELD_INVALID"),
        (weighed(ready, campaign_id, str(uuid4()), v0=1e308, v1=1e308), "FIELD_INVALID"),
        (weighed(ready, campaign_id, str(uuid4()), x=1), "VARIANT_NOT_FOUND"),
    ):
        assert (await ready.refusal(refused))[1] == reason


async def test_which_request_changed_weights_is_forgotten_when_nobody_repeats_it_any_more(
    ready: Any,
) -> None:
    campaign_id = await drafted(ready, segment(ready, []), variants=variants(1, 1))
    old, young = str(uuid4()), str(uuid4())
    for request in (old, young):
        await weighed(ready, campaign_id, request, v0=3)
    await ready.pool.execute(
        "UPDATE weight_requests SET create_time = create_time - $2 WHERE request_id = $1",
        *(old, 3 * DAY_MS),
    )
    while await ready.keeper.forget_requests():
        pass
    kept = await ready.pool.fetch(
        "SELECT request_id FROM weight_requests WHERE campaign_id = $1", campaign_id
    )
    assert [row[0] for row in kept] == [young]


async def test_a_contact_keeps_its_variant_while_a_bandit_moves_the_weights(ready: Any) -> None:
    campaign_id = await launched(
        ready, Audience(triggered=TriggeredAudience()), variants=variants(1, 1)
    )
    early = await people(ready, 20, "9055510")
    for who in early:
        event = fired(campaign_id, who, fresh_id("occ"))
        await SignalConsumer(ready.planner).handle([event])
    before = {r.contact_id: r.variant for r in await ready.rows(campaign_id=campaign_id)}
    assert set(before.values()) == {"v0", "v1"}
    await weighed(ready, campaign_id, str(uuid4()), v0=0, v1=1)
    # One of those who had v0 turns out to be part of somebody else, who was not asked before.
    loser = next(who for who, variant in before.items() if variant == "v0")
    stays = ready.profile.add("905551099999")
    ready.profile.merge(stays, loser)
    late = await people(ready, 20, "9055511")
    for who in [*early, *late]:
        event = fired(campaign_id, who, fresh_id("occ"))
        await SignalConsumer(ready.planner).handle([event])
    rows = await ready.rows(campaign_id=campaign_id)
    given = {(r.contact_id, r.variant, r.propensity) for r in rows}
    assert {v for c, v, _ in given if c in late} == {"v1"}
    assert {p for c, _, p in given if c in late} == {1.0}
    for who, variant in before.items():
        held = stays if who == loser else who
        assert {(v, p) for c, v, p in given if c == held} == {(variant, 0.5)}
    events = [
        e.message_planned.message for e in await ready.events() if e.HasField("message_planned")
    ]
    assert Counter(m.propensity for m in events if m.campaign_id == campaign_id)[1.0] == 20


async def test_weights_set_while_the_audience_is_planned_hold_for_what_is_planned_later(
    ready: Any,
) -> None:
    campaign_id = await launched(
        ready, segment(ready, await people(ready, 30)), variants=variants(1, 0)
    )
    campaign = await ready.planner._desk.lease(now_ms(), now_ms() + 10_000)
    await weighed(ready, campaign_id, str(uuid4()), v0=0, v1=1)
    await ready.planner._plan(campaign)
    found = Counter(r.variant for r in await ready.rows(campaign_id=campaign_id))
    assert found == {"v1": 30}


# --- in time ----------------------------------------------------------------------------------


async def test_a_campaign_past_its_deadline_stops_and_whoever_waits_is_told(ready: Any) -> None:
    await ready.paced(4.0)
    members = await people(ready, 40)
    end = Timestamp()
    end.FromMilliseconds(now_ms() + 2_500)
    campaign_id = await launched(ready, segment(ready, members), not_after_time=end)
    async with ready.sending():

        async def stopped() -> bool:
            states = await ready.states(campaign_id)
            over = await state_of(ready, campaign_id) == Campaign.STATE_STOPPED
            return over and set(states) <= {State.SENT, State.SUPPRESSED}

        await wait_until(stopped, 20)
    rows = await ready.rows(campaign_id=campaign_id)
    late = [r for r in rows if r.state == State.SUPPRESSED]
    assert {(r.gate, r.reason) for r in late} == {("deadline", "too_late")}
    assert late
    assert len(late) + len(await ready.ledger()) == 40
    assert max(e["accepted"] for e in await ready.ledger()) <= end.seconds + 2


async def test_a_later_deadline_and_a_larger_budget_let_go_on_who_waits(ready: Any) -> None:
    end = Timestamp(seconds=now_ms() // 1000 + 3_600)
    campaign_id = await launched(ready, segment(ready, await people(ready, 5)), not_after_time=end)
    await ready.plan()
    assert {r.not_after for r in await ready.rows(campaign_id=campaign_id)} == {0}
    await ready.campaign.PauseCampaign(PauseCampaignRequest(campaign_id=campaign_id))
    soon = Timestamp()
    soon.FromMilliseconds(now_ms() - 1)
    await updated(ready, campaign_id, not_after_time=soon)
    await ready.plan()
    assert await state_of(ready, campaign_id) == Campaign.STATE_STOPPED


async def test_each_contact_gets_it_at_their_own_best_time(ready: Any) -> None:
    members = await people(ready, 4, "9055512")
    now = now_ms()
    for turn, who in enumerate(members):
        hours = {"mon": 1} if turn == 3 else _around_the_clock(turn)
        ready.profile.people[who].traits.append(
            Attribute(name="traits.activity_by_hour", value_json=msgspec.json.encode(hours))
        )
    campaign_id = await drafted(ready, segment(ready, members))
    within = Duration(seconds=24 * 3_600)
    bad = LaunchCampaignRequest(
        request_id=str(uuid4()),
        campaign_id=campaign_id,
        schedule=Schedule(best_time_duration=Duration(seconds=5)),
    )
    assert (await ready.refusal(ready.campaign.LaunchCampaign(bad)))[1] == "FIELD_INVALID"
    launch = LaunchCampaignRequest(
        request_id=str(uuid4()),
        campaign_id=campaign_id,
        schedule=Schedule(best_time_duration=within),
    )
    got = await ready.campaign.LaunchCampaign(launch)
    assert got.campaign.schedule.best_time_duration == within
    await ready.plan()
    rows = {r.contact_id: r for r in await ready.rows(campaign_id=campaign_id)}
    for turn, who in enumerate(members[:3]):
        hour = rows[who].due_time // HOUR % 24
        assert hour == (now // HOUR + 3 * turn + 2) % 24
        assert now < rows[who].due_time <= now + 24 * HOUR
    assert rows[members[3]].due_time == pytest.approx(now, abs=60_000)


def _around_the_clock(turn: int) -> dict[str, int]:
    hour = (now_ms() // HOUR + 3 * turn + 2) % 24
    return {f"{day} {hour:02}": 3 for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


async def test_a_trigger_campaign_can_start_at_a_time_too(ready: Any) -> None:
    campaign_id = await drafted(ready, Audience(triggered=TriggeredAudience()))
    start = Timestamp()
    start.FromMilliseconds(now_ms() + 300)
    await ready.campaign.LaunchCampaign(
        LaunchCampaignRequest(
            request_id=str(uuid4()), campaign_id=campaign_id, schedule=Schedule(start_time=start)
        )
    )
    async with ready.sending():

        async def runs() -> bool:
            return await state_of(ready, campaign_id) == Campaign.STATE_RUNNING

        await wait_until(runs)
        await asyncio.sleep(0.3)
        assert await runs()


# --- pausing ----------------------------------------------------------------------------------


async def test_no_call_begins_after_a_pause_has_been_answered(ready: Any) -> None:
    await ready.paced(30.0)
    campaign_id = await launched(ready, segment(ready, await people(ready, 90)))
    async with ready.sending():
        for turn in range(3):

            async def more(turn: int = turn) -> bool:
                return len(await ready.ledger()) > 10 * turn

            await wait_until(more)
            await ready.campaign.PauseCampaign(PauseCampaignRequest(campaign_id=campaign_id))
            answered = len(await ready.ledger())
            await asyncio.sleep(0.7)
            assert len(await ready.ledger()) == answered < 90
            await ready.campaign.ResumeCampaign(ResumeCampaignRequest(campaign_id=campaign_id))
        await ready.paced(5_000.0)
        await completed(ready, campaign_id)
    assert len({e["to"] for e in await ready.ledger()}) == len(await ready.ledger()) == 90


# --- counting ---------------------------------------------------------------------------------


async def test_counts_are_what_the_rows_say_at_every_moment(ready: Any) -> None:
    await ready.paced(200.0)
    campaign_id = await launched(
        ready, segment(ready, await people(ready, 80)), variants=variants(1, 2), hold_out_share=0.2
    )
    async with ready.sending():
        for _ in range(20):
            async with (
                ready.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                rows = await connection.fetch(
                    "SELECT state, count(*) FROM messages WHERE campaign_id = $1 GROUP BY 1",
                    campaign_id,
                )
                told = await connection.fetch(
                    "SELECT state, sum(messages) FROM (SELECT campaign_id, state, messages"
                    " FROM tallies UNION ALL SELECT campaign_id, state, messages FROM"
                    " tally_changes) u WHERE campaign_id = $1 GROUP BY 1 HAVING sum(messages) <> 0",
                    campaign_id,
                )
            assert {r[0]: r[1] for r in rows} == {r[0]: r[1] for r in told}
            await asyncio.sleep(0.03)
        await completed(ready, campaign_id)
    await ready.pool.execute("UPDATE tally_changes SET change_time = 1")
    before = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    while await ready.keeper._counting.fold():
        pass
    assert not await ready.pool.fetchval("SELECT count(*) FROM tally_changes")
    after = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    assert before.progress.states == after.progress.states
    assert sum(after.progress.states.values()) == after.progress.recipients == 80


async def test_a_watch_ends_and_skips_what_was_seen(ready: Any) -> None:
    campaign_id = await launched(ready, segment(ready, await people(ready, 3)))
    async with ready.sending():
        request = WatchCampaignRequest(campaign_id=campaign_id)
        seen = [one async for one in ready.campaign.WatchCampaign(request)]
        again = WatchCampaignRequest(campaign_id=campaign_id, cursor=seen[-1].cursor)
        assert [one async for one in ready.campaign.WatchCampaign(again)] == []
    assert seen[-1].progress.state == Campaign.STATE_COMPLETED
    assert dict(seen[-1].progress.states) == {"sent": 3}


async def test_recipients_and_campaigns_are_listed_by_what_is_asked(ready: Any) -> None:
    campaign_id = await launched(ready, segment(ready, await people(ready, 7)))
    await ready.plan()
    page = await ready.campaign.ListRecipients(
        ListRecipientsRequest(campaign_id=campaign_id, variant="a", page_size=4)
    )
    rest = await ready.campaign.ListRecipients(
        ListRecipientsRequest(
            campaign_id=campaign_id, variant="a", page_size=4, page_token=page.next_page_token
        )
    )
    assert len({r.contact_id for r in (*page.recipients, *rest.recipients)}) == 7
    later = Timestamp(seconds=now_ms() // 1000 + 60)
    none = await ready.campaign.ListRecipients(
        ListRecipientsRequest(campaign_id=campaign_id, start_time=later)
    )
    assert not none.recipients
    for template, count in (("welcome", 1), ("order", 0)):
        found = await ready.campaign.ListCampaigns(
            ListCampaignsRequest(
                template_name=template, states=[Campaign.STATE_RUNNING], page_size=1_000
            )
        )
        mine = [one for one in found.campaigns if one.campaign_id == campaign_id]
        assert len(mine) == count


# --- test sends -------------------------------------------------------------------------------


async def test_a_test_send_reaches_testers_at_once_and_counts_nowhere(ready: Any) -> None:
    await set_policy(
        ready,
        frequency_caps=[
            FrequencyCap(purpose="marketing", limit=1, window_duration=Duration(seconds=3_600))
        ],
    )
    tester, sample = ready.profile.add("905551300001"), ready.profile.add("", first_name="Ece")
    shy = ready.profile.add("905551300002", marketing=False)
    campaign_id = await drafted(ready, segment(ready, []), hold_out_share=0.9)
    request = TrialRequest(
        request_id=str(uuid4()),
        campaign_id=campaign_id,
        variant="a",
        testers=[Destination(contact_id=tester), Destination(contact_id=shy)],
        sample_contact_id=sample,
    )
    async with ready.sending():
        for _ in range(2):
            sent = await ready.campaign.TestSendCampaign(request)
            assert [m.contact_id for m in sent.messages] == [tester, shy]
        other = TrialRequest()
        other.CopyFrom(request)
        other.request_id = str(uuid4())
        await ready.campaign.TestSendCampaign(other)

        async def done() -> bool:
            rows = [*await ready.rows(contact_id=tester), *await ready.rows(contact_id=shy)]
            return {r.state for r in rows} == {State.SENT, State.SUPPRESSED} and len(rows) == 4

        await wait_until(done)
        rows = await ready.rows(contact_id=tester)
        assert {(r.state, r.campaign_id, r.variant) for r in rows} == {(State.SENT, "", "")}
        assert b"Ece" in rows[0].body
        assert {r.gate for r in await ready.rows(contact_id=shy)} == {"consent"}
        # What was tried takes no room: the campaign's own message goes.
        real = await launched(ready, segment(ready, [tester]))
        await completed(ready, real)
    assert await ready.states(real) == {State.SENT: 1}
    told = [e.message_sent.message for e in await ready.events() if e.HasField("message_sent")]
    assert Counter(m.campaign_id for m in told) == {"": 2, real: 1}


async def test_a_test_send_that_would_leave_a_hole_is_refused(ready: Any) -> None:
    tester = ready.profile.add("905551300003")
    strict = name_or_friend()
    strict.missing = strict.MISSING_SKIP
    strict.fallbacks.clear()
    campaign_id = await drafted(
        ready,
        segment(ready, []),
        variants=[Variant(name="a", template_name="welcome", weight=1, bindings=[strict])],
    )

    async def tried(variant: str, *testers: str) -> Any:
        return await ready.campaign.TestSendCampaign(
            TrialRequest(
                request_id=str(uuid4()),
                campaign_id=campaign_id,
                variant=variant,
                testers=[Destination(contact_id=one) for one in testers],
            )
        )

    assert await ready.refusal(tried("a", tester)) == ("INVALID_ARGUMENT", "PARAMETERS_INVALID")
    assert (await ready.refusal(tried("b", tester)))[1] == "VARIANT_NOT_FOUND"
    assert (await ready.refusal(tried("a")))[1] == "FIELD_INVALID"
    assert (await ready.refusal(tried("a", fresh_id("nobody"))))[1] == "CONTACT_NOT_FOUND"
