"""Preflight: what a launch would mean is what then happens; and it goes on where it was."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import paging
from chassis.ids import fresh_id
from chassis.times import timestamp
from merhaba.profile.v1 import Attribute, Consent
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Budget,
    FileAudience,
    FrequencyCap,
    LaunchCampaignRequest,
    Preflight,
    PreflightCampaignRequest,
    PreflightCampaignResponse,
    PreflightFinding,
    QuietHours,
    Schedule,
    TriggeredAudience,
    Variant,
)
from services.sender.campaigns.preflight.costs import estimates
from services.sender.campaigns.preflight.finishing import Tier, days_over, last
from services.sender.campaigns.preflight.sums import Lacking, Place, Sums, unpacked
from services.sender.campaigns.wire import campaign_of
from services.sender.gates.now import OPEN_COMPLAINT
from services.sender.model import State
from services.sender.rules.rates import Rate, RateCard, Tariff
from services.sender.tests.test_audiences import greeting, uploaded
from services.sender.tests.test_campaigns import drafted, name_or_friend, people, segment
from services.sender.tests.test_costs import upload
from services.sender.tests.test_policy import update as set_policy
from services.sender.tests.test_steering import now_ms, updated

HOUR = 3_600_000


async def preflight(ready: Any, campaign_id: str, **fields: Any) -> list[PreflightCampaignResponse]:
    request = PreflightCampaignRequest(campaign_id=campaign_id, **fields)
    return [one async for one in ready.campaign.PreflightCampaign(request)]


async def outcome(ready: Any, campaign_id: str, **fields: Any) -> Preflight:
    answers = await preflight(ready, campaign_id, **fields)
    assert answers[-1].complete
    assert answers[-1].checked_recipients == answers[-1].total_recipients
    found: Preflight = answers[-1].preflight
    return found


def kinds(found: Preflight) -> dict[str, int]:
    return {one.kind: one.severity for one in found.findings}


async def test_what_is_foreseen_is_what_happens(ready: Any) -> None:
    members = await people(ready, 60, "9055520")
    refused = [ready.profile.add(f"90555210{n:03}", marketing=False) for n in range(12)]
    nowhere = [ready.profile.add("", first_name="Ece") for _ in range(12)]
    gone = [fresh_id("gone") for _ in range(4)]
    for who in members[:5]:
        ready.profile.people[who].traits.append(Attribute(name=OPEN_COMPLAINT, value_json=b"true"))
    for who in members[5:20]:
        ready.profile.people[who].language.value = "de"
    expired = ready.profile.add("905552200001", marketing=False)
    ready.profile.people[expired].consents.append(
        Consent(purpose="marketing", state=Consent.STATE_EXPIRED)
    )
    strict = name_or_friend()
    strict.missing = Binding.MISSING_SKIP
    variants = [
        Variant(name="a", template_name="welcome", weight=3, bindings=[name_or_friend()]),
        Variant(name="b", template_name="welcome", weight=1, bindings=[strict]),
    ]
    everybody = [*members, *refused, *nowhere, *gone, expired]
    campaign_id = await drafted(
        ready, segment(ready, everybody), variants=variants, hold_out_share=0.2
    )
    found = await outcome(ready, campaign_id)
    assert found.recipients == len(everybody) - 4
    assert found.unresolved == 4
    assert found.reachable + found.held_out + sum(found.excluded_gates.values()) == found.recipients
    await ready.campaign.LaunchCampaign(
        LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    )
    async with ready.sending():
        await _sent(ready, campaign_id, found)
    rows = await ready.rows(campaign_id=campaign_id)
    assert sum(r.state == State.HELD_OUT for r in rows) == found.held_out
    excluded = Counter(r.gate for r in rows if r.state == State.SUPPRESSED)
    assert excluded == dict(found.excluded_gates)
    assert set(excluded) >= {"consent", "address", "template"}
    waiting = Counter(r.gate for r in rows if r.state == State.HELD)
    assert waiting == dict(found.delayed_gates)
    sent = [r for r in rows if r.state == State.SENT]
    assert len(sent) + sum(waiting.values()) == found.reachable
    going = [r for r in rows if r.state in {State.SENT, State.HELD}]
    assert Counter(r.variant for r in going) == {v.variant: v.recipients for v in found.variants}
    assert {v.variant: dict(v.languages) for v in found.variants} == {
        name: {"tr": count} for name, count in Counter(r.variant for r in going).items()
    }
    lacks = {(m.variant, m.variable): m for m in found.missing_variables}
    nameless = Counter(r.variant for r in rows if r.gate == "variables")
    assert lacks["b", "body.1"].skipped_recipients == nameless["b"]
    assert lacks["a", "body.1"].fallback_recipients > 0
    assert 0 < len(lacks["a", "body.1"].sample_contact_ids) <= 10


async def _sent(ready: Any, campaign_id: str, found: Preflight) -> None:
    while True:
        states = await ready.states(campaign_id)
        busy = states.get(State.PLANNED, 0) + states.get(State.ATTEMPTING, 0)
        if sum(states.values()) == found.recipients and not busy:
            return
        await asyncio.sleep(0.05)


async def test_money_tiers_and_time_are_told_before(ready: Any) -> None:
    await upload(ready)
    await ready.pool.execute(
        "UPDATE numbers SET messaging_limit = 'TIER_250', throughput = 10"
        " WHERE phone_number_id = $1",
        ready.number_id,
    )
    members = [ready.profile.add(f"90555230{n:04}", first_name="A") for n in range(600)]
    campaign_id = await drafted(
        ready, segment(ready, members), budget=Budget(amount_micros=1_000, currency_code="USD")
    )
    found = await outcome(ready, campaign_id)
    (market,) = found.markets
    assert (market.market, market.category, market.recipients) == ("TR", "marketing", 600)
    assert found.cost_micros == market.cost_micros > 0
    assert found.currency_code == market.currency_code == "USD"
    assert (found.tier_needed, found.tier_available) == (600, 250)
    # 250 today, 250 tomorrow, 100 the day after.
    assert found.finish_duration == Duration(seconds=2 * 24 * 3_600)
    warnings = {
        k for k, severity in kinds(found).items() if severity == PreflightFinding.SEVERITY_WARNING
    }
    assert warnings == {"tier_too_small", "budget_too_small"}
    await ready.pool.execute(
        "UPDATE numbers SET messaging_limit = '' WHERE phone_number_id = $1", ready.number_id
    )
    found = await outcome(ready, campaign_id)
    assert found.tier_available == -1
    assert 60 <= found.finish_duration.seconds <= 80  # 10 a second, a fifth kept for replies


async def test_hours_and_caps_put_off_and_deadlines_exclude(ready: Any) -> None:
    hour = now_ms() // HOUR % 24
    await set_policy(
        ready,
        quiet_hours=[
            QuietHours(purpose="marketing", start=f"{hour:02}:00", end=f"{(hour + 2) % 24:02}:00")
        ],
        frequency_caps=[
            FrequencyCap(purpose="marketing", limit=1, window_duration=Duration(seconds=6 * 3_600))
        ],
    )
    members = await people(ready, 10, "9055524")
    for who in members[:4]:
        ready.profile.people[who].zone.value = "Asia/Tokyo"  # another hour, which is not quiet
    campaign_id = await drafted(ready, segment(ready, members))
    found = await outcome(ready, campaign_id)
    assert found.reachable == 10
    assert dict(found.delayed_gates) == {"quiet_hours": 6}
    end = (now_ms() // HOUR + 2) * HOUR
    assert found.finish_duration.ToMilliseconds() == pytest.approx(end - now_ms(), abs=120_000)
    soon = Timestamp(seconds=now_ms() // 1000 + 60)
    await updated(ready, campaign_id, not_after_time=soon)
    found = await outcome(ready, campaign_id)
    assert found.reachable == 4
    assert dict(found.excluded_gates) == {"deadline": 6}
    later = Schedule(start_time=timestamp(end + HOUR))
    blocked = await outcome(ready, campaign_id, schedule=later)
    assert kinds(blocked)["deadline"] == PreflightFinding.SEVERITY_BLOCKER


async def test_who_was_sent_something_waits_and_a_control_group_gets_nothing(ready: Any) -> None:
    members = await people(ready, 60, "9055525")
    first = await drafted(ready, segment(ready, members[:6]))
    await ready.campaign.LaunchCampaign(
        LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=first)
    )
    async with ready.sending():
        await ready.settled(first, 6)
    await set_policy(
        ready,
        frequency_caps=[
            FrequencyCap(purpose="marketing", limit=1, window_duration=Duration(seconds=3_600))
        ],
        global_control_share=0.3,
    )
    campaign_id = await drafted(ready, segment(ready, members))
    found = await outcome(ready, campaign_id)
    controlled = found.excluded_gates["global_control"]
    assert 5 < controlled < 35
    assert 0 < found.delayed_gates["frequency_cap"] <= 6
    assert found.reachable == 60 - controlled
    again = await drafted(ready, segment(ready, members), ignores_global_control=True)
    assert (await outcome(ready, again)).reachable == 60


async def test_a_preflight_goes_on_with_its_cursor_and_nobody_counts_twice(ready: Any) -> None:
    for n in range(4_500):
        ready.profile.add(f"90555{n:07}")
    lines = [f"90555{n:07},x{n % 3}" for n in range(4_500)]
    data = "\n".join(["wa_id,greeting", *lines, *lines[:700], "nobody,x"]).encode()
    audience = Audience(file=FileAudience(file_id=await uploaded(ready, data)))
    campaign_id = await drafted(ready, audience, variants=[greeting()])
    whole = await outcome(ready, campaign_id)
    assert (whole.recipients, whole.unresolved) == (4_500, 1)
    part = await _some(ready, campaign_id, 2)
    assert 0 < part.checked_recipients < 5_201
    rest = await outcome(ready, campaign_id, cursor=part.cursor)
    assert (rest.recipients, rest.unresolved, rest.reachable) == (4_500, 1, whole.reachable)
    await updated(ready, campaign_id, name="other")
    stale = preflight(ready, campaign_id, cursor=part.cursor)
    assert (await ready.refusal(stale))[1] == "TOKEN_INVALID"


async def _some(ready: Any, campaign_id: str, pages: int) -> PreflightCampaignResponse:
    """What a preflight that is broken off after some pages has told."""
    preflights = ready.campaign_api._preflights
    request = PreflightCampaignRequest(campaign_id=campaign_id)
    campaign = campaign_of(await ready.campaigns.get(campaign_id))
    sums = Sums(campaign.version, now_ms())
    rules = await preflights._knowledge.rules()
    looking = preflights._looked(campaign, rules, now_ms(), sums)
    for _ in range(pages):
        await anext(looking)
    await looking.aclose()
    return PreflightCampaignResponse(
        cursor=paging.token(paging.query(request), [sums.packed()]),
        checked_recipients=sums.checked,
    )


async def test_campaigns_that_triggers_feed_are_judged_by_what_they_name(ready: Any) -> None:
    campaign_id = await drafted(ready, Audience(triggered=TriggeredAudience()))
    found = await outcome(ready, campaign_id)
    assert (found.recipients, list(found.findings)) == (0, [])


# --- alone ------------------------------------------------------------------------------------


def card(*rates: Rate) -> RateCard:
    return RateCard("c", "", "EUR", "n", 0, 0, 0, rates)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.integers(0, 90)), max_size=4, unique_by=lambda t: t[0]
    ),
    st.integers(0, 800),
    st.integers(0, 900),
)
def test_so_many_cost_as_much_as_one_after_the_other(
    tiers: list[tuple[int, int]], used: int, count: int
) -> None:
    rates = [Rate("TR", ["TR"], "utility", start, price) for start, price in [(0, 100), *tiers]]
    tariff = Tariff(card(*rates), "p", "1", 202611)
    counter = tariff.counter("utility", "TR")
    tariff.counted[counter] = used
    (found,) = estimates({Place("1", "TR", "utility"): count}, {"1": tariff}) or [None]
    one_by_one = 0
    assert tariff.counted[counter] == used  # nothing was reserved
    for _ in range(count):
        cost = tariff.estimate("utility", "TR")
        assert cost is not None
        one_by_one += cost.micros
        tariff.counted[counter] += 1
    assert found is not None
    assert (found.micros, found.recipients) == (one_by_one, count)


def test_the_last_leaves_when_its_number_has_sent_the_others() -> None:
    minute = 60_000
    due = {"1": {0: 600, 100: 60}, "2": {0: 10}}
    assert last(due, {"1": 1.0, "2": 1.0}, 0) == 100 * minute + 60_000
    assert last({"1": {0: 12_000, 100: 60}}, {"1": 1.0}, 0) == 12_060_000
    assert last({}, {}, 5) == 5


@pytest.mark.parametrize(
    ("needed", "tier", "days"),
    [
        (5, Tier(None, 0), 0),
        (250, Tier(250, 250), 0),
        (251, Tier(250, 250), 1),
        (800, Tier(250, 50), 3),
    ],
)
def test_whoever_is_beyond_the_limit_waits_for_the_days_after(
    needed: int, tier: Tier, days: int
) -> None:
    assert days_over(needed, tier) == days


def test_sums_go_through_a_cursor_and_nonsense_does_not() -> None:
    sums = Sums(3, 5)
    sums.reaches(Place("1", "TR", "marketing"), ("a", "tr"), 90_000, opening=True)
    sums.lacking(Lacking("a", "body.1"), "fallback", "c1")
    again = unpacked(sums.packed())
    assert again == sums
    assert again is not None
    assert again.minutes == {"1": {1: 1}}
    for nonsense in ("", "x", "é", msgspec.json.encode([1]).decode()):
        assert unpacked(nonsense) is None
