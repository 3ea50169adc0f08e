"""What everybody knows in the end: the simulator's ledger, the raw archive, and each service."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from chassis.times import stamped
from expressions.oracle import Happening, Oracle, Person
from merhaba.ingest.v1 import GetWebhookRequest, ListDeadLettersRequest, ListWebhooksRequest
from merhaba.profile.v1 import Erasure, GetErasureRequest, StreamHistoryRequest
from merhaba.reports.v1 import CampaignReport, GetCampaignReportRequest
from merhaba.segment.v1 import ListMembersRequest
from merhaba.sender.v1 import ListRecipientsRequest, Recipient
from services.ingest.fields import event_id
from services.segment.vocabulary import registry
from tests.chaos.shop import Did, Shop, until_answered

_AT_ONCE = 16
_PAGE = 1_000
_SOON = timedelta(seconds=2)
_STANDSTILL_S = 30.0
_NAMES = ("order_completed", "product_viewed", "message_received")


@dataclass(frozen=True)
class Members:
    """Who is in a segment, and who belongs there by the oracle just before and just after."""

    said: frozenset[str]
    before: frozenset[str]
    after: frozenset[str]

    @property
    def strangers(self) -> frozenset[str]:
        """Who is in it, and does not belong there."""
        return self.said - (self.before | self.after)

    @property
    def missing(self) -> frozenset[str]:
        """Who belongs there, and is not in it."""
        return (self.before & self.after) - self.said


@dataclass
class Evidence:
    """All of it. People are contact ids, never phones."""

    tracked: dict[str, str] = field(default_factory=dict)
    """Contact by event id, of what the tracking door accepted."""
    written: dict[str, str] = field(default_factory=dict)
    """Contact by event id, of user messages whose webhook was answered 200."""
    archived: set[str] = field(default_factory=set)
    """Event ids of what is in the raw archive."""
    told: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By our message id: statuses in the raw archive."""
    history: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often (contact, event id) is in profile's history."""
    dead: set[str] = field(default_factory=set)
    """Event ids in the dead letters."""
    ledger: list[dict[str, Any]] = field(default_factory=list)
    """What the simulator accepted in this run, of our campaigns."""
    marketing: set[str] = field(default_factory=set)
    """Campaigns of which nobody may get a second message."""
    audiences: dict[str, Counter[str]] = field(default_factory=dict)
    """By campaign: how many messages each contact is to have an outcome of."""
    recipients: dict[str, list[Recipient]] = field(default_factory=dict)
    reports: dict[str, CampaignReport] = field(default_factory=dict)
    members: dict[str, Members] = field(default_factory=dict)
    erased: dict[str, str] = field(default_factory=dict)
    """By contact: what is still there of one who was erased; empty: nothing."""
    being_erased: int = 0
    """Of them, those whom not every service has erased yet: whose process died in the middle of it
    waits until its lease ends."""


async def gather(shop: Shop) -> Evidence:
    """Ask everybody."""
    found = Evidence()
    of = shop.contacts
    staying = {*shop.people}
    found.tracked = {d.event_id: of[d.phone] for d in shop.tracked if d.phone in staying}
    found.written = {d.event_id: of[d.phone] for d in shop.written if d.phone in staying}
    written = await _archive(shop, found)
    found.history = await until_answered(lambda: _history(shop))
    found.dead = {letter async for letter in _dead_letters(shop)}
    found.marketing = {shop.offer}
    found.audiences = {
        shop.offer: Counter(of[phone] for phone in shop.people),
        shop.thanks: Counter(
            of[d.phone]
            for d in shop.tracked
            if d.name == "order_completed" and d.time > shop.begun - timedelta(minutes=30)
        ),
    }
    for campaign_id in found.audiences:
        found.recipients[campaign_id] = [one async for one in _recipients(shop, campaign_id)]
        asked = GetCampaignReportRequest(campaign_id=campaign_id)
        answer = await until_answered(
            lambda asked=asked: shop.services.reports.GetCampaignReport(asked)  # type: ignore[misc]
        )
        found.reports[campaign_id] = answer.report
    found.ledger = await ledger(shop)
    found.members = await _members(shop, written)
    found.erased = {
        of[phone]: await until_answered(lambda phone=phone: _left(shop, phone))  # type: ignore[misc]
        for phone in shop.leaving
    }
    found.being_erased = sum([not await _done(shop, phone) for phone in shop.leaving])
    return found


async def _archive(shop: Shop, found: Evidence) -> list[Did]:
    """Every webhook since the beginning; returns the messages of people in them."""
    gate = asyncio.Semaphore(_AT_ONCE)
    phone_of = {phone: phone for phone in shop.people}
    written: dict[str, Did] = {}

    async def read(webhook_id: str) -> None:
        async with gate:
            request = GetWebhookRequest(webhook_id=webhook_id)
            answer = await until_answered(lambda: shop.services.ingest.GetWebhook(request))
        found.archived.update(answer.event_ids)
        if answer.webhook.HasField("redact_time"):
            return  # somebody in it was erased, and it is no JSON any more
        for value in _values(json.loads(answer.body)):
            for message in value.get("messages", ()):
                if phone := phone_of.get(message["from"]):
                    time = datetime.fromtimestamp(int(message["timestamp"]), UTC)
                    did = Did(event_id(message["id"]), phone, "message_received", time)
                    written[did.event_id] = did
            for status in value.get("statuses", ()):
                if ours := status.get("biz_opaque_callback_data"):
                    found.told[ours].add(status["status"])

    request = ListWebhooksRequest(page_size=_PAGE, start_time=stamped(shop.begun))
    async with asyncio.TaskGroup() as tasks:
        while True:
            page = await until_answered(lambda: shop.services.ingest.ListWebhooks(request))
            for webhook in page.webhooks:
                tasks.create_task(read(webhook.webhook_id))
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    return list(written.values())


def _values(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [change["value"] for entry in body["entry"] for change in entry["changes"]]


async def _history(shop: Shop) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    contact_ids = [shop.contacts[phone] for phone in shop.people]
    request = StreamHistoryRequest(contact_ids=contact_ids, names=_NAMES)
    async for page in shop.services.profile.StreamHistory(request):
        for history in page.histories:
            found.update((history.contact_id, event.event_id) for event in history.events)
    return found


async def _dead_letters(shop: Shop) -> AsyncIterator[str]:
    request = ListDeadLettersRequest(page_size=_PAGE)
    while True:
        page = await until_answered(lambda: shop.services.ingest.ListDeadLetters(request))
        for letter in page.dead_letters:
            yield letter.event_id
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def _recipients(shop: Shop, campaign_id: str) -> AsyncIterator[Recipient]:
    request = ListRecipientsRequest(campaign_id=campaign_id, page_size=_PAGE)
    while True:
        page = await until_answered(lambda: shop.services.campaigns.ListRecipients(request))
        for one in page.recipients:
            yield one
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def ledger(shop: Shop) -> list[dict[str, Any]]:
    """What the simulator accepted since the run began, oldest first."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        async with shop.session.get(
            f"{shop.addresses.simulator_url}/control/ledger?after={after}&limit=10000",
            headers={"Authorization": f"Bearer {shop.addresses.control_token}"},
        ) as response:
            response.raise_for_status()
            page = await response.json()
        begun = shop.begun.timestamp()
        found += [entry for entry in page["entries"] if entry["accepted"] >= begun]
        if not page["entries"]:
            return found
        after = page["next"]


async def _members(shop: Shop, written: list[Did]) -> dict[str, Members]:
    did: dict[str, list[Happening]] = defaultdict(list)
    for one in [*shop.tracked, *written]:
        milliseconds = int(one.time.timestamp() * 1000)
        did[one.phone].append(Happening(one.name, milliseconds, one.properties))
    persons = {shop.contacts[p]: Person(happenings=tuple(did[p])) for p in shop.people}
    known = registry()

    def belonging(oracle: Oracle, moment: datetime) -> frozenset[str]:
        now = int(moment.timestamp() * 1000)
        return frozenset(c for c, one in persons.items() if oracle.evaluate(one, now) is True)

    found: dict[str, Members] = {}
    for name, rule in shop.rules.items():
        oracle = Oracle(rule, known)
        until = asyncio.get_running_loop().time() + _STANDSTILL_S
        while True:
            before = datetime.now(UTC) - _SOON
            said = await _said(shop, shop.segments[name])
            after = belonging(oracle, datetime.now(UTC))
            members = found[name] = Members(said, belonging(oracle, before), after)
            wrong = members.strangers or members.missing
            # A machine that stands still is no broken promise: whoever is late has some time
            if not wrong or asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(1)
    return found


async def _said(shop: Shop, segment_id: str) -> frozenset[str]:
    said: set[str] = set()
    request = ListMembersRequest(segment_id=segment_id, page_size=_PAGE)
    while True:
        page = await until_answered(lambda: shop.services.segments.ListMembers(request))
        said |= {member.contact_id for member in page.members}
        if not page.next_page_token:
            return frozenset(said)
        request.page_token = page.next_page_token


async def _done(shop: Shop, phone: str) -> bool:
    asked = GetErasureRequest(request_id=shop.erasures[phone])
    answer = await until_answered(lambda: shop.services.privacy.GetErasure(asked))
    return bool(answer.erasure.state == Erasure.STATE_ERASED)


async def _left(shop: Shop, phone: str) -> str:
    if await shop.known([phone]):
        return "whom the number belongs to is known again"
    request = StreamHistoryRequest(contact_ids=[shop.contacts[phone]])
    try:
        async for page in shop.services.profile.StreamHistory(request):
            if any(history.events for history in page.histories):
                return "there is a history"
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
    return ""
