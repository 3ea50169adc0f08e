"""What is known of a person in any service is shown to them, and none of it outlives their erasure.

Unlikely words are planted through every door, each a fact about one person.
"""

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from redis.asyncio import Redis

from chassis.ids import fresh_id
from chassis.testing import wait_until
from chassis.times import stamped
from cli.doors import text_message
from cli.play import definitions, story
from merhaba.event.v1 import AttributeChange, ConsentChanged, Identity
from merhaba.ingest.v1 import ReplayWebhooksRequest
from merhaba.profile.v1 import (
    ContactAttributes,
    ContactRef,
    EraseContactRequest,
    Erasure,
    GetErasureRequest,
    ListEventsRequest,
    RecordConsentRequest,
    ResolveContactRequest,
    SetAttributesRequest,
)
from merhaba.segment.v1 import (
    CheckMembershipRequest,
    CreateSegmentRequest,
    Segment,
)
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    ContactList,
    CreateCampaignRequest,
    Destination,
    LaunchCampaignRequest,
    ListMessagesRequest,
    Message,
    Variant,
)
from tests.e2e.command import merhaba
from tests.e2e.holdings import in_files, in_postgres, in_redis
from tests.e2e.people import introduction, order, phones

SERVICES = {"profile", "ingest", "segment", "sender", "reports"}
OLD = timedelta(minutes=5)


class Planted:
    """Words that stand for facts, each said once."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def __call__(self, what: str) -> str:
        return self.words.setdefault(what, f"zq{what[:4]}{secrets.token_hex(6)}")


def whatsapp(phone: str) -> Identity:
    return Identity(kind="KIND_WA_ID", value=phone)


async def contact_of(services: Any, phone: str) -> str:
    try:
        answer = await services.profile.ResolveContact(
            ResolveContactRequest(identities=[whatsapp(phone)])
        )
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return ""
    return answer.contact_id


def webhook(phone: str, word: str, wamid: str, when: datetime, **more: Any) -> dict[str, Any]:
    body = text_message(wamid, phone, definitions.NUMBER, definitions.WABA, word, when)
    value = body["entry"][0]["changes"][0]["value"]
    value["messages"][0] |= more
    return body


async def offer_to(services: Any, contact_id: str) -> None:
    """A campaign to one person, whose message says personal words."""
    first = Binding(
        variable="body.1", expression="profile.first_name", missing=Binding.MISSING_FAIL
    )
    link = Binding(
        variable="button.1",
        expression=f'"{definitions.SHOP}?" + profile.first_name',
        missing=Binding.MISSING_FAIL,
    )
    made = await services.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id=fresh_id("r"),
            campaign=Campaign(
                name=f"Rights {secrets.token_hex(4)}",
                waba_id=definitions.WABA,
                phone_number_ids=[definitions.NUMBER],
                audience=Audience(
                    contacts=ContactList(contacts=[Destination(contact_id=contact_id)])
                ),
                variants=[
                    Variant(
                        name="only",
                        template_name=definitions.OFFER,
                        fallback_languages=[definitions.LANGUAGE],
                        weight=1,
                        bindings=[first, link],
                    )
                ],
            ),
        )
    )
    await services.campaigns.LaunchCampaign(
        LaunchCampaignRequest(request_id=fresh_id("r"), campaign_id=made.campaign.campaign_id)
    )


async def messages(services: Any, contact_id: str) -> list[Message]:
    answer = await services.messages.ListMessages(ListMessagesRequest(contact_id=contact_id))
    return list(answer.messages)


async def everything(addresses: Any) -> AsyncIterator[tuple[str, bytes]]:
    folder = Path(addresses.data)
    master_key = json.loads((folder / "secrets.json").read_text())["master_key"]
    async for found in in_postgres(addresses.database_url, master_key):
        yield found
    async for found in in_redis(addresses.redis_url):
        yield found
    for found in in_files(folder):
        yield found


async def where_is(addresses: Any, words: dict[str, str]) -> dict[str, set[str]]:
    """Where any of the words stands."""
    found: dict[str, set[str]] = {}
    wanted = {what: word.encode() for what, word in words.items()}
    async for place, raw in everything(addresses):
        for what, word in wanted.items():
            if word in raw:
                found.setdefault(what, set()).add(place)
    return found


async def rewritten(addresses: Any) -> None:
    """Redis writes its file anew."""
    redis: Any = Redis.from_url(addresses.redis_url)
    await redis.bgrewriteaof()

    async def done() -> bool:
        told = await redis.info("persistence")
        return not told["aof_rewrite_in_progress"] and not told["aof_rewrite_scheduled"]

    await wait_until(done, timeout_s=60)
    await redis.aclose()


async def test_what_is_known_of_a_person_is_shown_and_none_of_it_outlives_erasure(
    services, doors, session, addresses, tmp_path
):
    (phone, other) = phones(2)
    word, begun = Planted(), datetime.now(UTC)
    await definitions.number(services, addresses, session)
    await definitions.templates(services, addresses)
    segment = await services.segments.CreateSegment(
        CreateSegmentRequest(
            request_id=fresh_id("r"),
            segment=Segment(
                name=f"rights_{secrets.token_hex(4)}",
                expression='events("product_viewed").where(e, e.sku != "").within("24h").exists()',
            ),
        )
    )
    segment_id = segment.segment.segment_id

    # Tracking: who it is, what they did; one call that cannot be understood
    await doors.track([*introduction(phone), *introduction(other)])
    contact_id = ""

    async def known() -> bool:
        nonlocal contact_id
        contact_id = await contact_of(services, phone)
        return bool(contact_id) and bool(await contact_of(services, other))

    await wait_until(known, timeout_s=60)
    now = datetime.now(UTC).isoformat()
    bad = order(phone, f"bad-{phone}", 1)
    bad["properties"]["total"] = word("dead_letter")
    await doors.track(
        [
            {
                "type": "identify",
                "messageId": fresh_id("i"),
                "userId": phone,
                "anonymousId": word("browser"),
                "timestamp": now,
                "traits": {"first_name": word("name"), "email": f"{word('mail')}@example.com"},
            },
            {
                "type": "track",
                "messageId": fresh_id("t"),
                "userId": phone,
                "timestamp": now,
                "event": "Product Viewed",
                "properties": {"sku": word("sku"), "category": word("category")},
            },
            order(phone, word("order"), 80),
            bad,
        ]
    )

    # API
    ref = ContactRef(contact_id=contact_id)
    city = AttributeChange(name="city", value_json=json.dumps(word("attribute")).encode())
    await services.profile.SetAttributes(
        SetAttributesRequest(
            request_id=fresh_id("r"),
            contacts=[ContactAttributes(contact=ref, attributes=[city])],
        )
    )
    await services.privacy.RecordConsent(
        RecordConsentRequest(
            request_id=fresh_id("r"),
            contact=ref,
            change=ConsentChanged(purpose="profiling", granted=True, proof=word("proof")),
        )
    )

    # A file, of which one row is refused
    file = tmp_path / "people.csv"
    file.write_text(
        "phone,when,form,extra\n"
        f"+{phone},{now},{word('import')},\n"
        f"+{phone},no time,{word('reject')},\n"
    )
    columns = ("phone=identity.wa_id", "when=event_time", "form=consent.proof")
    imported = merhaba(
        *("import", str(file), "--kind", "consents"),
        *(one for column in columns for one in ("--column", column)),
        *("--set", "consent.purpose=sms", "--set", "consent.granted=yes"),
        *("--rejects", str(tmp_path / "rejects.csv")),
        data=Path(addresses.data),
    )
    assert imported.returncode == 3, imported.stderr

    # Messages both ways: an offer with personal words, an answer, a tap, a link opened
    first = webhook(phone, word("message"), f"wamid.{word('wamid')}", datetime.now(UTC) - OLD)
    names = first["entry"][0]["changes"][0]["value"]["contacts"]
    names[0]["profile"]["name"] = word("profile_name")
    neighbour = webhook(other, "Selam", f"wamid.{secrets.token_hex(6)}", datetime.now(UTC))
    await doors.webhook(first)
    await doors.webhook({**first, "entry": [*first["entry"], *neighbour["entry"]]})
    await offer_to(services, contact_id)

    async def sent() -> bool:
        found = await messages(services, contact_id)
        return any(one.ref.wamid for one in found if one.ref.campaign_id)

    await wait_until(sent, timeout_s=60)
    (offer,) = [one for one in await messages(services, contact_id) if one.ref.campaign_id]
    quoting = {"context": {"id": offer.ref.wamid}}
    await doors.webhook(
        webhook(phone, word("reply"), f"wamid.{word('re')}", datetime.now(UTC), **quoting)
    )
    button = {"type": "button", "button": {"payload": word("payload"), "text": word("tap")}}
    await doors.webhook(
        webhook(phone, "", f"wamid.{word('tw')}", datetime.now(UTC), **quoting, **button)
    )
    connection = await asyncpg.connect(addresses.database_url)
    body = await connection.fetchval(
        "SELECT body FROM sender.messages WHERE message_id = $1", offer.ref.message_id
    )
    await connection.close()
    assert word("name").encode() in body
    token = re.search(rb'"type":"text","text":"([^"]+)"}]}]', body.replace(b" ", b""))
    assert token, body
    async with session.get(
        f"{addresses.tracking_url}/l/{token[1].decode()}", allow_redirects=False
    ) as response:
        assert response.status == 302

    # Meta has nothing more to say of them, though they may be asleep at this hour
    drained = await story.control(session, addresses, "drain", {"timeout_s": 60, "hurry": True})
    assert drained["drained"], drained

    # ---- all of it is shown
    words = {**word.words, "phone": phone}
    out = tmp_path / "person.ndjson"
    shown: dict[str, set[str]] = {}

    async def complete() -> bool:
        told = await asyncio.to_thread(
            merhaba,
            *("export-contact", phone, "--out", str(out)),
            data=Path(addresses.data),
        )
        assert told.returncode == 0, told.stderr
        shown.clear()
        for line in out.read_text().splitlines():
            record = json.loads(line)
            for what, planted in words.items():
                if planted in line:
                    shown.setdefault(record["service"], set()).add(what)
        return set.union(set(), *shown.values()) == words.keys() and shown.keys() == SERVICES

    try:
        await wait_until(complete, timeout_s=90, every_s=1)
    except AssertionError:
        missing = words.keys() - set.union(set(), *shown.values())
        raise AssertionError(f"not shown: {missing}; by service: {shown}") from None

    # ---- none of it is left
    began = time.monotonic()
    request_id = fresh_id("era")
    await services.privacy.EraseContact(EraseContactRequest(request_id=request_id, contact=ref))
    here = time.monotonic() - began
    erased_at = datetime.now(UTC)
    asked = GetErasureRequest(request_id=request_id)
    erasure = Erasure()

    async def erased() -> bool:
        erasure.CopyFrom((await services.privacy.GetErasure(asked)).erasure)
        return erasure.state == Erasure.STATE_ERASED

    try:
        await wait_until(erased, timeout_s=90, every_s=0.2)
    except AssertionError:
        raise AssertionError(f"not erased: {erasure}") from None
    assert {receipt.service for receipt in erasure.receipts} == SERVICES
    assert here < 1
    await rewritten(addresses)
    assert await where_is(addresses, words) == {}
    assert await contact_of(services, other), "of a webhook that tells of others theirs stays"

    # ---- old news bring nobody back, new news somebody new
    async for _ in services.ingest.ReplayWebhooks(
        ReplayWebhooksRequest(
            start_time=stamped(begun - timedelta(seconds=5)), end_time=stamped(erased_at)
        )
    ):
        pass
    await doors.webhook(first)
    while datetime.now(UTC) < erased_at + timedelta(seconds=1.5):
        await asyncio.sleep(0.1)
    fence = f"wamid.{secrets.token_hex(6)}"
    await doors.webhook(webhook(other, "fence", fence, datetime.now(UTC)))
    other_id = await contact_of(services, other)

    async def fenced() -> bool:
        found = await services.profile.ListEvents(
            ListEventsRequest(contact_id=other_id, names=["message_received"])
        )
        return any(event.message_received.wamid == fence for event in found.events)

    await wait_until(fenced, timeout_s=60)
    assert await contact_of(services, phone) == ""

    await doors.webhook(
        webhook(phone, "I am new", f"wamid.{secrets.token_hex(6)}", datetime.now(UTC))
    )

    async def back() -> bool:
        return bool(await contact_of(services, phone))

    await wait_until(back, timeout_s=60)
    new_id = await contact_of(services, phone)
    assert new_id != contact_id
    events = await services.profile.ListEvents(ListEventsRequest(contact_id=new_id))
    received = [e.message_received.content.text for e in events.events]
    assert [text for text in received if text] == ["I am new"]
    membership = await services.segments.CheckMembership(
        CheckMembershipRequest(contact_ids=[new_id], segment_ids=[segment_id])
    )
    assert not membership.memberships[0].member
