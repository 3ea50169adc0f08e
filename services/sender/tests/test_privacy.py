"""One person's right to see and to erase, through the whole service."""

import asyncio
import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.testing import tables_naming, tables_of_contacts, values_of_contact, wait_until
from merhaba.event.v1 import (
    ContactErased,
    ContactMerged,
    Event,
    Identity,
    MessageReceived,
    PlatformError,
    Pricing,
)
from merhaba.profile.v1 import ErasureReceipt, ExportedRecord
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    ContactList,
    CreateCampaignRequest,
    Destination,
    EraseContactRequest,
    ExportContactRequest,
    FrequencyCap,
    Variant,
)
from services.sender.consumer import ContactConsumer, StatusConsumer
from services.sender.delivery.moves import Settled
from services.sender.delivery.outcome import RetryAt, Sent
from services.sender.model import Message, State
from services.sender.tests.test_people import event, heard, merged, now_ms, planned, split
from services.sender.tests.test_policy import update
from services.sender.tests.test_sending import reason_of, status, to, welcome

RECORDS_OF_ERASURE = {"erasures", "tombstones"}
"""Tables in which an erased contact's id stays: they say that it was erased."""


async def exported(ready: Any, contact: str, **more: Any) -> list[ExportedRecord]:
    request = ExportContactRequest(contact_id=contact, **more)
    return [r async for one in ready.privacy.ExportContact(request) for r in one.records]


async def erase(ready: Any, contact: str, request_id: str = "", **more: Any) -> ErasureReceipt:
    request = EraseContactRequest(
        request_id=request_id or fresh_id("r"), contact_id=contact, **more
    )
    return (await ready.privacy.EraseContact(request)).receipt


async def naming(ready: Any, *words: str) -> set[str]:
    await ready.effects.sweep(timedelta())
    return await tables_naming(ready.pool, *words)


def erased(contact: str) -> Event:
    return event(contact, now_ms(), contact_erased=ContactErased(request_id="r"))


def wrote(ready: Any, contact: str) -> Event:
    body = MessageReceived(wamid=fresh_id("wamid"), phone_number_id=ready.number_id)
    return event(contact, now_ms(), message_received=body)


async def named_in_a_campaign(ready: Any, *people: Destination) -> str:
    binding = Binding(variable="body.1", expression='"x"', missing=Binding.MISSING_SKIP)
    campaign = Campaign(
        name="Yaz",
        waba_id=ready.waba_id,
        audience=Audience(contacts=ContactList(contacts=people)),
        variants=[Variant(name="a", template_name="welcome", weight=1, bindings=[binding])],
    )
    request = CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign)
    campaign_id: str = (await ready.campaign.CreateCampaign(request)).campaign.campaign_id
    return campaign_id


async def sent(ready: Any, contact: str, name: str) -> Message:
    """A message that left."""
    message_id = (await ready.messages.SendMessage(to(contact, welcome(name)))).message.ref

    async def left() -> bool:
        row = await ready.outbox.get("message_id", message_id.message_id)
        return bool(row.wamid) and row.state >= State.SENT

    async with ready.sending():
        await wait_until(left)
    return await ready.outbox.get("message_id", message_id.message_id)


async def of_id(ready: Any, message_id: str) -> Message:
    found = await ready.outbox.get("message_id", message_id)
    assert found is not None
    return found


async def test_every_table_of_contacts_is_told_and_erased(ready: Any) -> None:
    number, word = "905551119901", fresh_id("word")
    day = Duration(seconds=86_400)
    await update(
        ready, frequency_caps=[FrequencyCap(purpose="marketing", limit=9, window_duration=day)]
    )
    anne, also, bob = ready.profile.add(number), fresh_id("also"), ready.profile.add("905551119902")
    message = await sent(ready, anne, word)
    other = await sent(ready, bob, "Bob")
    known = [Identity(kind=Identity.KIND_WA_ID, value=number)]
    campaign_id = await named_in_a_campaign(
        ready,
        Destination(contact_id=anne),
        Destination(identity=Identity(kind=Identity.KIND_WA_ID, value="+90 (555) 111 99 01")),
        Destination(contact_id=bob),
    )
    for who in (anne, bob):
        await heard(ready, wrote(ready, who))
        await ready.pool.execute("INSERT INTO saturations VALUES ($1, 1)", who)
    await heard(ready, merged(anne, also), split(anne, also), merged(bob, fresh_id("more")))
    await heard(ready, merged(anne, also, time=now_ms() + 1), split(bob, bob))

    told = await exported(ready, anne, identities=known)
    text = b"\n".join(one.record_json for one in told)
    tables = await tables_of_contacts(ready.pool)
    for table in tables:
        for value in await values_of_contact(ready.pool, table, anne):
            assert value in text, (table, value)
    assert word.encode() in text
    assert bob.encode() not in text
    assert {one.dataset for one in told} == {
        *("message", "window", "saturation", "person", "campaign")
    }
    (said,) = [json.loads(r.record_json) for r in told if r.dataset == "campaign"]
    assert (said["campaign_id"], len(said["named"])) == (campaign_id, 2)

    message, other = await of_id(ready, message.message_id), await of_id(ready, other.message_id)
    receipt = await erase(ready, anne, identities=known)
    assert dict(receipt.records) == {
        **{"message": 1, "window": 1, "saturation": 1, "person": 2, "campaign": 2}
    }
    assert await exported(ready, anne, identities=known) == []
    everything = (anne, also, word, message.wamid, number, "111 99 01")
    assert await naming(ready, *everything) == RECORDS_OF_ERASURE
    names = [key async for key in ready.log.redis.scan_iter()]
    assert not any(one.encode() in name for name in names for one in (anne, number))
    after = await of_id(ready, message.message_id)
    for field in ("state", "sent_time", "pricing", "variant", "template", "market", "category"):
        assert getattr(after, field) == getattr(message, field)
    assert await of_id(ready, other.message_id) == other
    for table in tables:
        assert await values_of_contact(ready.pool, table, bob)
    left = (await ready.campaigns.get(campaign_id)).definition
    people = Campaign.FromString(left).audience.contacts.contacts
    assert len(people) == 3, "planning goes on by how many it has passed"
    assert people[2].contact_id == bob


async def test_what_waits_for_an_erased_person_is_called_off_and_counted(ready: Any) -> None:
    campaign_id, (anne, bob) = await planned(ready, 2)
    assert (await erase(ready, anne)).records["message"] == 1
    async with ready.sending():
        await ready.settled(campaign_id, 2)
    assert len(await ready.ledger()) == 1
    off, other = sorted(await ready.rows(campaign_id=campaign_id), key=lambda m: m.contact_id)
    assert (off.contact_id, State(off.state), off.gate, off.reason) == (
        *("", State.CANCELLED),
        *("person", "erased"),
    )
    assert other.contact_id == bob
    (told,) = [
        e for e in await ready.events() if e.message_suppressed.message.message_id == off.message_id
    ]
    assert (told.contact_id, told.message_suppressed.reason) == ("", "erased")


async def test_what_becomes_of_an_erased_persons_message_counts_as_nobodys(ready: Any) -> None:
    anne = ready.profile.add("905551119903")
    reply = await ready.messages.SendMessage(to(anne))
    message_id = reply.message.ref.message_id
    called = await erase_while_attempting(ready, anne, message_id)
    done = Sent("wamid.secret")
    await ready.outbox.settle([Settled(called, done, now_ms())])
    assert (await of_id(ready, message_id)).state == State.SENT
    price = Pricing(billable=True, category="marketing")
    seconds = now_ms() // 1000
    delivered = status(reply.message, "delivered", seconds, wamid="wamid.secret", pricing=price)
    read = status(reply.message, "read", seconds + 1, wamid="wamid.secret")
    saturated = status(
        *(reply.message, "failed", seconds + 2), wamid="wamid.secret",
        errors=[PlatformError(code=131049)],
    )  # fmt: skip
    await StatusConsumer(ready.outbox).handle([delivered, read, saturated])
    row = await of_id(ready, message_id)
    assert (State(row.state), row.contact_id, row.wamid) == (State.READ, "", "")
    assert Pricing.FromString(row.pricing).billable
    found = [e for e in await ready.events() if e.message_read.message.message_id == message_id]
    assert [e.contact_id for e in found] == [""]
    assert await naming(ready, anne, "wamid.secret") == RECORDS_OF_ERASURE
    assert not await ready.pool.fetchval("SELECT count(*) FROM saturations WHERE contact_id = ''")


async def erase_while_attempting(ready: Any, contact: str, message_id: str) -> Message:
    """Returns the message as it was called."""
    await ready.pool.execute(
        "UPDATE messages SET state = 3, attempts = 1 WHERE message_id = $1", message_id
    )
    called: Message = await of_id(ready, message_id)
    await erase(ready, contact)
    assert (await of_id(ready, message_id)).state == State.ATTEMPTING
    return called


async def test_a_call_that_is_to_be_repeated_is_not_when_the_person_was_erased(ready: Any) -> None:
    anne = ready.profile.add("905551119904")
    message_id = (await ready.messages.SendMessage(to(anne))).message.ref.message_id
    called = await erase_while_attempting(ready, anne, message_id)
    again = RetryAt(now_ms(), "throttled")
    await ready.outbox.settle([Settled(called, again, now_ms())])
    assert (await of_id(ready, message_id)).state == State.CANCELLED
    assert "message_suppressed" in await ready.told(message_id)


async def test_an_erasure_is_heard_of_without_a_call_and_nothing_late_undoes_it(
    ready: Any,
) -> None:
    anne, bob = ready.profile.add("905551119905"), ready.profile.add("905551119906")
    message = await sent(ready, anne, "Anne")
    await heard(ready, wrote(ready, anne), erased(anne), wrote(ready, anne))
    await heard(ready, merged(bob, anne), split(anne, bob), wrote(ready, anne))
    await heard(ready, merged(anne, bob))
    assert await naming(ready, anne, message.wamid) == {"tombstones"}
    assert await exported(ready, anne) == []
    refused, reason = await reason_of(ready.messages.SendMessage(to(anne)))
    assert (refused, reason) == ("FAILED_PRECONDITION", "CONTACT_ERASED")
    await heard(ready, wrote(ready, bob))
    assert await ready.outbox.last_number(bob) == ready.number_id


async def test_planning_that_has_begun_makes_no_message_for_who_was_erased(ready: Any) -> None:
    _, (anne, bob) = await planned(ready, 2)
    await heard(ready, erased(anne))
    again = [
        Message(**{f: getattr(m, f) for f in m.__struct_fields__} | {"message_id": fresh_id("m")})
        for m in (await ready.rows(contact_id=bob))
    ]
    again[0].contact_id = anne
    await ready.planner._desk.occur([fresh_id("e")], again, {})
    assert await ready.rows(contact_id=anne) == []


async def test_an_erasure_of_nobody_is_refused(ready: Any) -> None:
    with pytest.raises(FieldInvalid):
        await heard(ready, erased(""))


async def test_all_ids_of_a_person_are_erased_together(ready: Any) -> None:
    _, (anne, also, another) = await planned(ready, 3)
    await heard(ready, merged(anne, also))
    assert (await erase(ready, anne, member_contact_ids=[another])).records["message"] == 3
    for one in (anne, also, another):
        await heard(ready, wrote(ready, one))
    assert await naming(ready, anne, also, another) == RECORDS_OF_ERASURE


async def test_who_writes_at_the_moment_of_the_erasure_leaves_nothing(ready: Any) -> None:
    consumer = ContactConsumer(ready.outbox, ready.people, ready.erase)
    for _ in range(20):
        anne = fresh_id("contact")
        raw = [wrote(ready, anne).SerializeToString() for _ in range(3)]
        body = ContactMerged(absorbed_contact_id=anne, member_contact_ids=[anne])
        merge = event(fresh_id("contact"), now_ms(), contact_merged=body)
        await asyncio.gather(
            *(consumer.handle([one]) for one in raw),
            consumer.handle([merge.SerializeToString()]),
            erase(ready, anne),
        )
        assert await exported(ready, anne) == []


async def test_a_repeat_erases_what_came_since_and_gives_the_first_receipt(ready: Any) -> None:
    anne, request_id = fresh_id("contact"), fresh_id("r")
    await heard(ready, wrote(ready, anne))
    first = await erase(ready, anne, request_id)
    await ready.pool.execute("INSERT INTO saturations VALUES ($1, 1)", anne)
    assert await erase(ready, anne, request_id) == first
    assert await exported(ready, anne) == []
    digest, first.sha256 = first.sha256, ""
    assert digest == hashlib.sha256(first.SerializeToString(deterministic=True)).hexdigest()
    assert (first.service, first.contact_id) == ("sender", anne)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await erase(ready, fresh_id("another"), request_id)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await erase(ready, "", request_id)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_export_goes_on_behind_its_cursor(ready: Any) -> None:
    _, (anne, _) = await planned(ready, 2)
    await ready.pool.execute(
        "INSERT INTO windows SELECT $1, 'n' || n, 1 FROM generate_series(1, 500) AS n", anne
    )
    request = ExportContactRequest(contact_id=anne)
    everything = await exported(ready, anne)
    assert len(everything) == 501
    async for page in ready.privacy.ExportContact(request):
        rest = await exported(ready, anne, cursor=page.cursor)
        assert list(page.records) + rest == everything
