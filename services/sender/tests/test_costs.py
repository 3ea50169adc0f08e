"""Money: every message costs what the card says, and no campaign spends more than its budget."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from chassis.ids import fresh_id
from chassis.times import timestamp
from merhaba.event.v1 import AccountChanged, Event, Pricing
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Budget,
    Campaign,
    CreateCampaignRequest,
    GetCampaignRequest,
    GetRateCardRequest,
    LaunchCampaignRequest,
    ListRateCardsRequest,
    RateCard,
    SegmentAudience,
    UpdatePolicyRequest,
    UploadRateCardRequest,
    Variant,
)
from merhaba.sender.v1 import SendingPolicy as PolicyProto
from services.sender.consumer import AccountConsumer, StatusConsumer
from services.sender.delivery.outcome import Refused, Sent
from services.sender.model import State
from services.sender.rulebook.tiers import TierStore
from services.sender.rules.rates import Rate
from services.sender.rules.rates import RateCard as RateCardModel
from services.sender.rules.volumes import market_called
from services.sender.tests.test_caps import claim, ended, now_ms
from services.sender.tests.test_rates import CSV, HEAD
from services.sender.tests.test_sending import reason_of, status, to, welcome

PRICE = 10_900  # of a marketing message to TR


async def upload(ready: Any, csv: str = CSV, **fields: Any) -> RateCard:
    given = {"currency_code": "USD", "effective_time": timestamp(1), **fields}
    request_id = given.pop("request_id", str(uuid4()))
    answer = await ready.rate_cards.UploadRateCard(
        UploadRateCardRequest(request_id=request_id, rate_card=RateCard(**given), csv=csv.encode())
    )
    card: RateCard = answer.rate_card
    return card


async def sent(ready: Any, wa_id: str) -> Any:
    """A marketing message that Meta took, claimed by hand."""
    answer = await ready.messages.SendMessage(to(ready.profile.add(wa_id), welcome("Ayşe")))
    (one,) = await claim(ready)
    await ready.outbox.settle([ended(one, Sent(f"wamid.{fresh_id('w')}"))])
    return answer.message


async def told(ready: Any, message: Any, kind: str) -> Event:
    found: list[Event] = [e for e in await ready.events() if e.WhichOneof("body") == kind]
    mine = [e for e in found if getattr(e, kind).message.message_id == message.ref.message_id]
    (only,) = mine
    return only


async def delivered(ready: Any, message: Any, **pricing: Any) -> None:
    seconds = now_ms() // 1000
    price = Pricing(pricing_model="PMP", **pricing)
    await StatusConsumer(ready.outbox).handle(
        [status(message, "delivered", seconds, pricing=price)]
    )


async def test_cards_are_kept_by_date_and_never_changed(ready: Any) -> None:
    waba_id, request_id = fresh_id("waba"), str(uuid4())
    old = await upload(ready, waba_id=waba_id, request_id=request_id, name="Q1")
    assert await upload(ready, waba_id=waba_id, request_id=request_id, name="Q1") == old
    reused = upload(ready, waba_id=waba_id, request_id=request_id, name="Q2")
    assert await reason_of(reused) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    new = await upload(ready, waba_id=waba_id, effective_time=timestamp(now_ms() - 5_000))

    async def get(**asked: Any) -> str:
        found = await ready.rate_cards.GetRateCard(GetRateCardRequest(**asked))
        card_id: str = found.rate_card.rate_card_id
        assert len(found.rate_card.rates) == CSV.count("\n") - 1
        return card_id

    assert await get(rate_card_id=old.rate_card_id) == old.rate_card_id
    assert await get(waba_id=waba_id) == new.rate_card_id
    past = timestamp(now_ms() - 10_000)
    assert await get(waba_id=waba_id, effective_time=past) == old.rate_card_id
    page = await ready.rate_cards.ListRateCards(ListRateCardsRequest(waba_id=waba_id, page_size=1))
    assert [c.rate_card_id for c in page.rate_cards] == [new.rate_card_id]
    assert not page.rate_cards[0].rates
    rest = await ready.rate_cards.ListRateCards(
        ListRateCardsRequest(waba_id=waba_id, page_size=1, page_token=page.next_page_token)
    )
    assert [c.rate_card_id for c in rest.rate_cards] == [old.rate_card_id]
    unknown = ready.rate_cards.GetRateCard(GetRateCardRequest(rate_card_id="none"))
    assert await reason_of(unknown) == ("NOT_FOUND", "RATE_CARD_NOT_FOUND")


@pytest.mark.parametrize(
    ("csv", "fields", "reason"),
    [
        (CSV, {"currency_code": "dollar"}, "FIELD_INVALID"),
        (CSV, {"effective_time": None}, "FIELD_INVALID"),
        (CSV, {"free_service_messages": -1}, "FIELD_INVALID"),
        (HEAD + "TR,,marketing,0,much\n", {}, "RATE_CARD_INVALID"),
        ("", {}, "RATE_CARD_INVALID"),
    ],
)
async def test_a_card_that_cannot_be_meant_is_refused(
    ready: Any, csv: str, fields: Any, reason: str
) -> None:
    assert await reason_of(upload(ready, csv, **fields)) == ("INVALID_ARGUMENT", reason)


async def test_a_message_costs_an_estimate_until_meta_says_how_it_charges(ready: Any) -> None:
    await upload(ready)
    message = await sent(ready, "905550000001")
    event = await told(ready, message, "message_sent")
    assert (event.message_sent.cost_micros, event.message_sent.currency_code) == (PRICE, "USD")
    assert not event.message_sent.HasField("pricing")
    await delivered(ready, message, category="marketing", type="regular", billable=True)
    event = await told(ready, message, "message_delivered")
    assert (event.message_delivered.cost_micros, event.message_delivered.currency_code) == (
        *(PRICE, "USD"),
    )
    row = await ready.outbox.get("message_id", message.ref.message_id)
    assert (row.cost_micros, row.currency) == (PRICE, "USD")


async def test_what_meta_says_is_free_or_does_not_arrive_costs_nothing(ready: Any) -> None:
    await upload(ready)
    free = await sent(ready, "905550000002")
    await delivered(ready, free, category="marketing", type="free_entry_point")
    event = await told(ready, free, "message_delivered")
    assert (event.message_delivered.cost_micros, event.message_delivered.currency_code) == (
        *(0, "USD"),
    )
    lost = await sent(ready, "905550000003")
    failed = status(lost, "failed", now_ms() // 1000)
    await StatusConsumer(ready.outbox).handle([failed])
    row = await ready.outbox.get("message_id", lost.ref.message_id)
    assert (State(row.state), row.cost_micros) == (State.FAILED, 0)


async def test_charged_messages_count_to_the_tier_once_however_often_meta_says_so(
    ready: Any,
) -> None:
    tiers = HEAD + "TR,,utility,0,0.005\nTR,,utility,1,0.004\nTR,,marketing,0,0.01\n"
    await upload(ready, tiers)
    first, second = await sent(ready, "905550000004"), await sent(ready, "905550000005")
    for _ in range(2):
        await delivered(ready, first, category="utility", type="regular")
    await delivered(ready, second, category="utility", type="regular")
    costs = [
        (await ready.outbox.get("message_id", m.ref.message_id)).cost_micros
        for m in (first, second)
    ]
    assert costs == [5_000, 4_000]
    counted = await ready.pool.fetchval(
        "SELECT sum(messages) FROM volumes WHERE owner = $1", ready.waba_id
    )
    assert counted == 2


async def test_without_a_card_nothing_has_a_cost_and_all_is_sent(ready: Any) -> None:
    message = await sent(ready, "905550000006")
    await delivered(ready, message, category="marketing", type="regular", billable=True)
    event = await told(ready, message, "message_delivered")
    assert (event.message_delivered.cost_micros, event.message_delivered.currency_code) == (0, "")


async def launched(ready: Any, people: int, **fields: Any) -> str:
    segment_id = fresh_id("seg")
    ready.segment.members[segment_id] = [
        ready.profile.add(f"90555{number:07}") for number in range(people)
    ]
    binding = Binding(variable="body.1", expression='"x"', missing=Binding.MISSING_SKIP)
    campaign = Campaign(
        name="Yaz",
        waba_id=ready.waba_id,
        audience=Audience(segment=SegmentAudience(segment_id=segment_id)),
        variants=[Variant(name="a", template_name="welcome", weight=1, bindings=[binding])],
        **fields,
    )
    created = await ready.campaign.CreateCampaign(
        CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign)
    )
    campaign_id: str = created.campaign.campaign_id
    await ready.campaign.LaunchCampaign(
        LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    )
    await ready.plan()
    return campaign_id


async def test_a_campaign_stops_at_its_budget_and_goes_on_with_what_comes_back(ready: Any) -> None:
    await upload(ready)
    money = Budget(amount_micros=3 * PRICE + PRICE // 2, currency_code="USD")
    campaign_id = await launched(ready, 6, budget=money)
    decided = await claim(ready)
    going = [one for one in decided if one.address]
    assert len(going) == 3
    assert {(m.message.gate, m.message.reason) for m in decided if not m.address} == {
        ("budget", "budget_spent")
    }
    assert await claim(ready) == []
    await ready.outbox.settle([ended(going[0], Refused("recipient", 100))])
    again = await claim(ready)
    assert sorted(one.message.gate for one in again) == ["", "budget", "budget"]
    spent = await ready.pool.fetchval(
        "SELECT micros FROM spendings WHERE campaign_id = $1", campaign_id
    )
    assert spent == 3 * PRICE
    found = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    progress = found.progress
    assert (progress.cost_micros, progress.currency_code) == (3 * PRICE, "USD")
    assert progress.held_gates["budget"] == 2


async def test_the_control_group_is_told_of_and_others_get_the_message(ready: Any) -> None:
    await ready.policy.UpdatePolicy(
        UpdatePolicyRequest(policy=PolicyProto(global_control_share=0.5))
    )
    campaign_id = await launched(ready, 40)
    await claim(ready)
    await claim(ready)
    states = await ready.states(campaign_id)
    assert set(states) == {State.HELD_OUT, State.ATTEMPTING}
    assert 5 < states[State.HELD_OUT] < 35
    events = [e.message_held_out for e in await ready.events() if e.HasField("message_held_out")]
    mine = [e.group for e in events if e.message.campaign_id == campaign_id]
    assert mine == ["global_control"] * states[State.HELD_OUT]
    everybody = await launched(ready, 10, ignores_global_control=True)
    await claim(ready)
    assert set(await ready.states(everybody)) == {State.ATTEMPTING}


async def test_a_tier_that_meta_says_was_reached_prices_what_our_own_count_would_not(
    ready: Any,
) -> None:
    tiers = HEAD + "Turkey,TR,utility,0,0.005\nTurkey,TR,utility,100,0.004\n"
    await upload(ready, tiers + "Turkey,TR,marketing,0,0.01\n", waba_id=ready.waba_id)
    month = datetime.now(UTC).strftime("%Y-%m")
    said = {
        "volume_tier_info": {
            "tier_update_time": 1743451903,
            "pricing_category": "UTILITY",
            "tier": "101:50000000",
            "effective_month": month,
            "region": "TURKEY",
        }
    }
    consumer = AccountConsumer(ready.shelf, ready.number_store, TierStore(ready.effects))
    for event_id in (fresh_id("e"), fresh_id("e")):  # it may repeat
        event = Event(
            event_id=event_id,
            account_changed=AccountChanged(
                waba_id=ready.waba_id,
                field="account_update",
                change="VOLUME_BASED_PRICING_TIER_UPDATE",
                detail_json=msgspec.json.encode(said),
            ),
        )
        await consumer.handle([event.SerializeToString()])
    message = await sent(ready, "905550000009")
    await delivered(ready, message, category="utility", type="regular")
    row = await ready.outbox.get("message_id", message.ref.message_id)
    assert row.cost_micros == 4_000


def test_markets_are_known_by_their_names_on_the_card_or_those_of_their_countries() -> None:
    rates = [Rate("IN", [], "utility", 0, 1), Rate("Rest", ["KE", "NG"], "utility", 0, 1)]
    card = RateCardModel("r", "", "USD", "", 0, 1, 1, rates)
    named = {region: market_called(card, region) for region in ("India", "rest", "Kenya", "Peru")}
    assert named == {"India": "IN", "rest": "Rest", "Kenya": "Rest", "Peru": ""}
