"""What Meta's refusals and warnings do to others than the message: number, template, campaign,
person, pace. On real Postgres, Redis and simulator."""

from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.testing import wait_until
from merhaba.event.v1 import (
    Event,
    PlatformError,
    StatusReceived,
    TemplateQualityChanged,
    TemplateStatusChanged,
)
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    Content,
    CreateCampaignRequest,
    Destination,
    GetCampaignRequest,
    LaunchCampaignRequest,
    SegmentAudience,
    SendMessageRequest,
    TemplateMessage,
    TemplateParameter,
    Variant,
)
from services.sender.consumer import AccountConsumer, StatusConsumer
from services.sender.model import Message, State


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


async def launched(ready: Any, count: int) -> str:
    """A campaign of the template `welcome` to so many people."""
    segment_id = fresh_id("seg")
    ready.segment.members[segment_id] = [ready.profile.add(f"9055588{n:05}") for n in range(count)]
    binding = Binding(
        variable="body.1",
        expression="profile.first_name",
        missing=Binding.MISSING_FALLBACK,
        fallbacks={"*": "dostum"},
    )
    variant = Variant(name="a", template_name="welcome", weight=1, bindings=[binding])
    campaign = Campaign(
        name="Yaz",
        waba_id=ready.waba_id,
        audience=Audience(segment=SegmentAudience(segment_id=segment_id)),
        variants=[variant],
    )
    created = await ready.campaign.CreateCampaign(
        CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign)
    )
    campaign_id: str = created.campaign.campaign_id
    await ready.campaign.LaunchCampaign(
        LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    )
    return campaign_id


async def standing(ready: Any, campaign_id: str) -> tuple[str, str]:
    got = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    return Campaign.State.Name(got.campaign.state), got.campaign.state_reason


async def becomes(ready: Any, campaign_id: str, state: str, reason: str) -> None:
    async def so() -> bool:
        return await standing(ready, campaign_id) == (f"STATE_{state}", reason)

    await wait_until(so)


async def template_of(ready: Any) -> Any:
    (found,) = await ready.shelf.named(ready.waba_id, "welcome", "tr")
    return found


async def account(ready: Any, **body: Any) -> None:
    """What Meta says of the account."""
    event = Event(event_id=fresh_id("e"), **body)
    event.event_time.FromMilliseconds(now_ms())
    consumer = AccountConsumer(ready.shelf, ready.number_store)
    await consumer.handle([event.SerializeToString()])


async def told(ready: Any, message: Message, code: int) -> None:
    """A status: it failed."""
    status = StatusReceived(
        wamid=message.wamid or fresh_id("wamid"),
        status="failed",
        callback_data=message.message_id,
        errors=[PlatformError(code=code)],
    )
    event = Event(
        event_id=fresh_id("e"),
        event_time=Timestamp(seconds=now_ms() // 1000),
        status_received=status,
    )
    await StatusConsumer(ready.outbox).handle([event.SerializeToString()])


async def intended(ready: Any, contact_id: str) -> Message:
    """A marketing message to a person, which waits."""
    body = [TemplateParameter(text="Ayşe")]
    template = TemplateMessage(name="welcome", language="tr", body=body)
    sent = await ready.messages.SendMessage(
        SendMessageRequest(
            request_id=str(uuid4()),
            destination=Destination(contact_id=contact_id),
            content=Content(template=template),
        )
    )
    found: Message = await ready.outbox.get("message_id", sent.message.ref.message_id)
    return found


async def test_a_template_that_meta_paused_pauses_its_campaigns_and_costs_no_message(
    ready: Any,
) -> None:
    template_id = (await template_of(ready)).template_id
    await ready.control("PUT", f"templates/{template_id}", {"status": "PAUSED"})
    campaign_id = await launched(ready, 20)
    async with ready.sending():
        await becomes(ready, campaign_id, "PAUSED", "template_paused")
    assert (await template_of(ready)).state == "PAUSED"
    assert set(await ready.states(campaign_id)) <= {State.PLANNED, State.HELD}
    changes = [e.campaign_changed for e in await ready.events() if e.HasField("campaign_changed")]
    assert (changes[-1].state, changes[-1].reason) == ("paused", "template_paused")
    assert await ready.ledger() == []


async def test_a_webhook_about_its_template_pauses_a_campaign_or_stops_it(ready: Any) -> None:
    template_id = (await template_of(ready)).template_id
    paused = await launched(ready, 0)
    of_template = {"waba_id": ready.waba_id, "template_id": template_id}
    await account(ready, template_status_changed=TemplateStatusChanged(
        **of_template, status="PAUSED"
    ))  # fmt: skip
    assert await standing(ready, paused) == ("STATE_PAUSED", "template_paused")
    await account(ready, template_status_changed=TemplateStatusChanged(
        **of_template, status="APPROVED"
    ))  # fmt: skip
    assert await standing(ready, paused) == ("STATE_PAUSED", "template_paused"), "people resume it"
    stopped = await launched(ready, 0)
    quality = TemplateQualityChanged(**of_template, score="YELLOW")
    await account(ready, template_quality_changed=quality)
    assert (await standing(ready, stopped))[0] == "STATE_PLANNING"
    quality.score = "RED"
    await account(ready, template_quality_changed=quality)
    assert await standing(ready, stopped) == ("STATE_STOPPED", "template_quality_red")


async def test_complaints_about_a_number_stop_the_campaign_and_pause_the_number(
    ready: Any,
) -> None:
    await ready.control("PUT", f"numbers/{ready.number_id}", {"refuse_code": 131048})
    campaign_id = await launched(ready, 20)
    async with ready.sending():
        await becomes(ready, campaign_id, "STOPPED", "quality_131048")
    rows = await ready.pool.fetch("SELECT paused, state_reason FROM numbers WHERE NOT paused")
    assert rows == []
    assert not set(await ready.states(campaign_id)) & {State.SENT, State.FAILED}


async def test_a_late_status_pauses_no_number_that_somebody_let_send_since(ready: Any) -> None:
    message = await intended(ready, ready.profile.add("905558899001"))
    await ready.pool.execute("UPDATE numbers SET update_time = $1", now_ms() + 60_000)
    await told(ready, message, 131042)
    assert await ready.pool.fetchval("SELECT count(*) FROM numbers WHERE NOT paused") == 1
    await ready.pool.execute("UPDATE numbers SET update_time = 1")
    other = await intended(ready, ready.profile.add("905558899002"))
    await told(ready, other, 131042)
    assert await ready.pool.fetchval("SELECT count(*) FROM numbers WHERE NOT paused") == 0


async def test_a_failure_that_is_told_again_has_no_effect_again(ready: Any) -> None:
    message = await intended(ready, ready.profile.add("905558899003"))
    number = message.phone_number_id
    for paused_then in (True, False):
        await ready.pool.execute(
            "UPDATE numbers SET paused = false, update_time = 1 WHERE phone_number_id = $1", number
        )
        await told(ready, message, 131042)
        paused = "SELECT paused FROM numbers WHERE phone_number_id = $1"
        assert await ready.pool.fetchval(paused, number) == paused_then
    assert (await ready.told(message.message_id)).count("message_failed") == 1


async def test_who_stopped_offers_at_meta_or_cannot_be_reached_gets_no_more_of_them(
    ready: Any,
) -> None:
    for n, (code, gate, reason) in enumerate(
        ((131050, "consent", "opted_out"), (131026, "address", "unreachable"))
    ):
        who = ready.profile.add(f"90555889910{n}")
        await told(ready, await intended(ready, who), code)
        again = await intended(ready, who)
        async with ready.sending():

            async def refused(message_id: str = again.message_id) -> bool:
                row = await ready.outbox.get("message_id", message_id)
                return bool(row.state == State.SUPPRESSED)

            await wait_until(refused)
        row = await ready.outbox.get("message_id", again.message_id)
        assert (row.gate, row.reason) == (gate, reason)


async def test_throttling_slows_the_number_and_fails_nothing(ready: Any) -> None:
    await ready.faults(throttle=0.3)
    campaign_id = await launched(ready, 60)
    async with ready.sending():
        await ready.settled(campaign_id, 60, 30)
        (number,) = await ready.outbox.numbers()
        pace = await ready.dispatcher._throttle.pace(number)
    assert pace.throughput < number.throughput
    assert await ready.states(campaign_id) == {State.SENT: 60}


async def test_a_status_that_came_before_the_answer_and_one_from_before_a_restart_find_their_row(
    ready: Any,
) -> None:
    early, late = [await intended(ready, ready.profile.add(f"90555889920{n}")) for n in range(2)]
    for message, state in ((early, State.ATTEMPTING), (late, State.UNKNOWN)):
        await ready.pool.execute(
            "UPDATE messages SET state = $2, attempts = 1 WHERE message_id = $1",
            *(message.message_id, int(state)),
        )
        status = StatusReceived(
            wamid=f"wamid.{message.message_id}", status="read", callback_data=message.message_id
        )
        event = Event(
            event_id=fresh_id("e"),
            event_time=Timestamp(seconds=now_ms() // 1000),
            status_received=status,
        )
        await StatusConsumer(ready.outbox).handle([event.SerializeToString()])
        row = await ready.outbox.get("message_id", message.message_id)
        assert (row.state, row.wamid) == (State.READ, f"wamid.{message.message_id}")
        assert row.sent_time and row.delivered_time, "implied"
        events = sorted(await ready.told(message.message_id))
        assert events == ["message_delivered", "message_planned", "message_read", "message_sent"]
