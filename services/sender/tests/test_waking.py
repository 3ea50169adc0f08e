"""Whatever a message waits for, it goes on when that is over. On real Postgres."""

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from chassis.ids import fresh_id
from chassis.times import timestamp
from merhaba.event.v1 import Pricing
from merhaba.sender.v1 import Campaign, SendingPolicy, UpdatePolicyRequest
from services.sender.consumer import StatusConsumer
from services.sender.delivery.outcome import Refused, Sent
from services.sender.model import DAY_MS, CampaignPhase, Message, State
from services.sender.rulebook import recall
from services.sender.rules.policy import FrequencyCap
from services.sender.tests.test_caps import (
    PLACES,
    allowed,
    capped,
    claim,
    ended,
    now_ms,
    planned,
    store,
)
from services.sender.tests.test_costs import PRICE, upload
from services.sender.tests.test_sending import status


async def campaign(ready: Any, budget: int) -> str:
    """One that runs, with so much to spend (millionths of a dollar)."""
    campaign_id = fresh_id("camp")
    await ready.pool.execute(
        "INSERT INTO campaigns (campaign_id, name, state, definition, create_time, update_time,"
        " budget_micros, budget_currency) VALUES ($1, '', $2, $3, 1, 1, $4, 'USD')",
        *(campaign_id, int(CampaignPhase.RUNNING), Campaign().SerializeToString(), budget),
    )
    return campaign_id


async def gates(ready: Any, later_ms: int = 0) -> list[str]:
    """Where those stand that are due, or will be so much later."""
    found, _ = await ready.outbox.claim(ready.number_id, PLACES, now_ms() + later_ms, allowed)
    return sorted(one.message.gate for one in found)


async def charged(ready: Any, message: Message, kind: str, word: str = "delivered") -> None:
    price = Pricing(pricing_model="PMP", category="marketing", type=kind)
    proto = type("Sent", (), {"ref": message})
    await StatusConsumer(ready.outbox).handle(
        [status(proto, word, now_ms() // 1000, pricing=price)]
    )


async def test_what_waits_for_money_goes_on_when_meta_charges_less_than_was_reserved(
    ready: Any,
) -> None:
    await upload(ready)
    of = {"campaign_id": await campaign(ready, PRICE)}
    first, second = (planned(ready, fresh_id("c"), due_time=n, **of) for n in (1, 2))
    await store(ready, first, second)
    going, held = await claim(ready)
    assert (going.message.gate, held.message.gate) == ("", "budget")
    await ready.outbox.settle([ended(going, Sent("wamid.free"))])
    assert await gates(ready) == []
    await charged(ready, first, "free_entry_point")
    assert await gates(ready, 2_000) == [""]


async def test_what_waits_for_a_price_goes_on_when_a_card_comes(ready: Any) -> None:
    of = {"campaign_id": await campaign(ready, 10**9)}
    await store(ready, planned(ready, fresh_id("c"), **of))
    (held,) = await claim(ready)
    assert held.message.reason == "price_unknown"
    await upload(ready)
    while await recall(ready.pool, now_ms()):
        pass
    assert await gates(ready) == [""]


async def test_what_waits_for_a_price_goes_on_when_an_announced_card_begins(ready: Any) -> None:
    begins = now_ms() + 60_000
    await upload(ready, effective_time=timestamp(begins), waba_id=ready.waba_id)
    await store(ready, planned(ready, fresh_id("c"), campaign_id=await campaign(ready, 10**9)))
    (held,) = await claim(ready)
    assert held.message.reason == "price_unknown"
    while await recall(ready.pool, begins - 1):
        pass
    assert await gates(ready, 59_000) == []
    while await recall(ready.pool, begins):
        pass
    assert await gates(ready, 60_000) == [""]


async def test_room_under_a_cap_is_noticed_also_by_what_is_held_for_another_reason_first(
    ready: Any,
) -> None:
    await capped(ready, FrequencyCap("marketing", 1, 7 * DAY_MS))
    who = fresh_id("contact")
    first, second = planned(ready, who, due_time=1), planned(ready, who, due_time=2)
    await store(ready, first)
    (going,) = await claim(ready)
    await ready.pool.execute(
        "INSERT INTO saturations (contact_id, last_time) VALUES ($1, $2)", who, now_ms()
    )
    await store(ready, second)
    (held,) = await claim(ready)
    assert held.message.gate == "saturation"
    assert held.message.due_time > now_ms() + 6 * DAY_MS, "the cap is waited out with it"
    await ready.outbox.settle([ended(going, Refused("recipient", 100))])
    (held,) = await claim(ready)
    assert held.message.due_time < now_ms() + 2 * DAY_MS


async def test_a_policy_that_changes_is_noticed_also_by_what_is_held_for_another_reason_first(
    ready: Any,
) -> None:
    await capped(ready, FrequencyCap("marketing", 1, 7 * DAY_MS))
    who = fresh_id("contact")
    await store(ready, planned(ready, who))
    await claim(ready)
    await ready.pool.execute(
        "UPDATE templates SET state = 'PAUSED' WHERE waba_id = $1", ready.waba_id
    )
    await store(ready, planned(ready, who))
    (held,) = await claim(ready)
    assert held.message.gate == "template"
    assert held.message.due_time > now_ms() + 6 * DAY_MS, "the cap is waited out with it"
    await ready.policy.UpdatePolicy(
        UpdatePolicyRequest(policy=SendingPolicy(), update_mask=FieldMask(paths=["frequency_caps"]))
    )
    while await recall(ready.pool, now_ms()):
        pass
    (held,) = await claim(ready)
    assert held.message.due_time < now_ms() + DAY_MS


async def spent(ready: Any, campaign_id: str) -> int:
    found: int = await ready.pool.fetchval(
        "SELECT micros FROM spendings WHERE campaign_id = $1", campaign_id
    )
    return found


async def test_what_failed_and_arrived_after_all_is_paid_and_counted_once(ready: Any) -> None:
    await upload(ready)
    campaign_id = await campaign(ready, 10 * PRICE)
    message = planned(ready, fresh_id("c"), campaign_id=campaign_id, category="utility")
    await store(ready, message)
    (going,) = await claim(ready)
    await ready.outbox.settle([ended(going, Sent("wamid.both"))])

    async def stands(word: str, category: str = "utility") -> tuple[int, int]:
        price = Pricing(pricing_model="PMP", category=category, type="regular")
        said = status(type("Sent", (), {"ref": message}), word, now_ms() // 1000, pricing=price)
        await StatusConsumer(ready.outbox).handle([said])
        counted = await ready.pool.fetchval(
            "SELECT coalesce(sum(messages), 0) FROM volumes WHERE owner = $1", ready.waba_id
        )
        return await spent(ready, campaign_id), int(counted)

    paid, counted = await stands("sent")
    assert paid > 0
    assert counted == 1
    assert await stands("failed") == (0, 0), "what is not delivered is not charged"
    assert await stands("delivered") == (paid, 1)
    row = await ready.outbox.get("message_id", message.message_id)
    assert (State(row.state), row.cost_micros) == (State.DELIVERED, paid)


async def test_what_waits_for_a_number_goes_on_as_soon_as_the_number_may_send_again(
    ready: Any,
) -> None:
    async def quality(rating: str) -> list[str]:
        await ready.pool.execute(
            "UPDATE numbers SET quality_rating = $2 WHERE phone_number_id = $1",
            *(ready.number_id, rating),
        )
        numbers = [n for n in await ready.outbox.numbers() if n.sends(now_ms())]
        await ready.outbox.reopen([n.phone_number_id for n in numbers], now_ms())
        return await gates(ready)

    await store(ready, planned(ready, fresh_id("c")))
    assert await quality("RED") == ["number"]
    assert await quality("RED") == []
    assert await quality("GREEN") == [""]
