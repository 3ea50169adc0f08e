"""Contacts that turn out to be one person: nobody gets a campaign twice, whatever the order."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.testing import wait_until
from chassis.times import timestamp
from merhaba.event.v1 import (
    ContactMerged,
    ContactSplit,
    Event,
    MessageReceived,
)
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    CreateCampaignRequest,
    LaunchCampaignRequest,
    SegmentAudience,
    Variant,
)
from services.sender.consumer import ContactConsumer
from services.sender.model import State


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


def event(contact_id: str, time: int, **body: Any) -> Event:
    moment = timestamp(time)
    return Event(
        event_id=fresh_id("evt"),
        event_time=moment,
        received_time=moment,
        contact_id=contact_id,
        **body,
    )


def merged(stays: str, *absorbed: str, time: int = 0) -> Event:
    body = ContactMerged(absorbed_contact_id=absorbed[0], member_contact_ids=absorbed)
    return event(stays, time or now_ms(), contact_merged=body)


def split(contact_id: str, from_id: str, time: int = 0) -> Event:
    body = ContactSplit(from_contact_id=from_id, member_contact_ids=[contact_id])
    return event(contact_id, time or now_ms(), contact_split=body)


async def heard(ready: Any, *events: Event) -> None:
    consumer = ContactConsumer(ready.outbox, ready.people, ready.erase)
    await consumer.handle([one.SerializeToString() for one in events])


async def launched(ready: Any, members: Sequence[str]) -> str:
    segment_id = fresh_id("seg")
    ready.segment.members[segment_id] = list(members)
    binding = Binding(
        variable="body.1",
        expression="profile.first_name",
        missing=Binding.MISSING_FALLBACK,
        fallbacks={"*": "dostum"},
    )
    campaign = Campaign(
        name="Yaz",
        waba_id=ready.waba_id,
        audience=Audience(segment=SegmentAudience(segment_id=segment_id)),
        variants=[Variant(name="a", template_name="welcome", weight=1, bindings=[binding])],
    )
    created = await ready.campaign.CreateCampaign(
        CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign)
    )
    campaign_id: str = created.campaign.campaign_id
    await ready.campaign.LaunchCampaign(
        LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    )
    return campaign_id


async def states_of(ready: Any, campaign_id: str) -> dict[str, State]:
    """By the contact that messages stand under."""
    return {m.contact_id: State(m.state) for m in await ready.rows(campaign_id=campaign_id)}


async def planned(ready: Any, count: int) -> tuple[str, list[str]]:
    """A campaign whose messages wait, and their contacts."""
    who = [ready.profile.add(f"9055500{number:05}") for number in range(count)]
    campaign_id = await launched(ready, who)
    await ready.plan()
    return campaign_id, who


async def test_who_had_a_campaign_under_another_id_is_not_planned_again(ready: Any) -> None:
    stays, goes, other = (ready.profile.add(f"90555011000{n}") for n in range(3))
    campaign_id = await launched(ready, [goes, goes])
    await ready.plan()
    ready.profile.merge(stays, goes)
    campaign = await ready.campaigns.definition(campaign_id)
    await ready.pool.execute(
        "UPDATE campaigns SET state = 3, planned = false WHERE campaign_id = $1", campaign_id
    )
    await ready.pool.execute(
        "UPDATE plans SET cursor = '', lease = 0 WHERE campaign_id = $1", campaign_id
    )
    ready.segment.members[campaign.segment_id] = [goes, stays, other]
    await ready.plan()
    assert (await states_of(ready, campaign_id)).keys() == {goes, other}


async def test_of_two_waiting_messages_of_one_person_one_is_called_off(ready: Any) -> None:
    campaign_id, (stays, goes, other) = await planned(ready, 3)
    ready.profile.merge(stays, goes)
    await heard(ready, merged(stays, goes))
    async with ready.sending():
        await ready.settled(campaign_id, 3)
    assert len(await ready.ledger()) == 2
    rows = await ready.rows(campaign_id=campaign_id)
    assert sorted(m.contact_id for m in rows) == sorted([stays, stays, other])
    (off,) = [m for m in rows if m.state == State.SUPPRESSED]
    assert (off.gate, off.reason) == ("person", "merged")
    assert "message_suppressed" in await ready.told(off.message_id)


async def test_a_message_waits_until_a_merge_that_profile_knows_of_is_followed(
    ready: Any,
) -> None:
    campaign_id, (stays, goes) = await planned(ready, 2)
    ready.profile.merge(stays, goes)

    async def one_waits() -> bool:
        found = await states_of(ready, campaign_id)
        return found[stays] == State.SENT and found[goes] == State.HELD

    async with ready.sending():
        await wait_until(one_waits)
        await heard(ready, merged(stays, goes))
        await ready.settled(campaign_id, 2)
    assert len(await ready.ledger()) == 1


async def test_what_was_sent_to_an_absorbed_contact_is_answered_by_the_person(ready: Any) -> None:
    campaign_id, (goes,) = await planned(ready, 1)
    stays = ready.profile.add("905550119999")
    async with ready.sending():
        await ready.settled(campaign_id, 1)
    (row,) = await ready.rows(campaign_id=campaign_id)
    await heard(ready, merged(stays, goes))
    said = event(
        stays,
        row.sent_time + 1_000,
        message_received=MessageReceived(wamid=fresh_id("wamid"), phone_number_id=ready.number_id),
    )
    await heard(ready, said)
    (row,) = await ready.rows(campaign_id=campaign_id)
    assert row.replied_time
    replied = [e for e in await ready.events() if e.HasField("message_replied")]
    assert [e.contact_id for e in replied] == [goes], "so that a split gives it back"
    await heard(ready, split(goes, stays))
    (row,) = await ready.rows(campaign_id=campaign_id)
    assert row.contact_id == goes
    assert await ready.outbox.last_number(goes) == ready.number_id


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
async def test_any_order_of_merges_and_splits_leads_to_the_same_person(
    ready: Any, order: Sequence[int]
) -> None:
    campaign_id, (first, second, third) = await planned(ready, 3)
    at = now_ms()
    changes = [
        merged(second, third, time=at),
        merged(first, second, third, time=at + 1),
        split(third, first, time=at + 2),
        merged(second, third, time=at + 2),  # in the same moment: it changed hands
    ]
    for number in order:
        await heard(ready, changes[number])
    rows = await ready.pool.fetch(
        "SELECT coalesce(nullif(home_id, ''), contact_id), contact_id FROM messages"
        " WHERE campaign_id = $1",
        campaign_id,
    )
    assert dict(tuple(row) for row in rows) == {first: first, second: first, third: second}
