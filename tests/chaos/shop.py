"""A shop in the middle of its day: people who look, buy, write and leave, told late, twice and out
of order."""

import asyncio
import itertools
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import aiohttp
import grpc
from google.protobuf.duration_pb2 import Duration

from chassis.ids import fresh_id
from cli.clients import Clients
from cli.doors import Doors, text_message
from cli.play import definitions, story
from cli.stack import Addresses
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    ContactRef,
    EraseContactRequest,
)
from merhaba.segment.v1 import (
    Action,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    Segment,
    SendAction,
    Trigger,
)
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    CreateCampaignRequest,
    LaunchCampaignRequest,
    SegmentAudience,
    TriggeredAudience,
    Variant,
)
from services.ingest.fields import event_id
from tests.chaos.mischief import ALWAYS

T = TypeVar("T")
WRITE_KEY = "shop"
"""The name of the key that tracking comes with; ids of tracked events begin with it."""
UNWILLING = 8
"""Every so manieth person agreed to nothing."""
ERASED = 4
_TWICE = 0.15
_AT_ONCE = 40
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_PATIENCE_S = 120.0
_OLD = timedelta(hours=2)


async def until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """The answer of whoever comes up; what is asked may be asked twice."""
    until = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in _PASSING or asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.3)


@dataclass(frozen=True)
class Did:
    """What a person did, as the shop knows it."""

    event_id: str
    phone: str
    name: str
    time: datetime
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass
class Shop:
    """Its people and what was accepted of what they did."""

    services: Clients
    doors: Doors
    session: aiohttp.ClientSession
    addresses: Addresses
    chance: random.Random
    people: list[str] = field(default_factory=list)
    """Phones of those who stay; every `UNWILLING`th agreed to nothing."""
    leaving: list[str] = field(default_factory=list)
    """Phones of those who are erased meanwhile. They are in no campaign."""
    mark: str = field(default_factory=lambda: secrets.token_hex(4))
    """In the names of everything that is this run's own."""
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    tracked: list[Did] = field(default_factory=list)
    """Answered 200 by the tracking door."""
    written: list[Did] = field(default_factory=list)
    """User messages whose webhook was answered 200."""
    erasures: dict[str, str] = field(default_factory=dict)
    """Request id of the erasure by phone."""
    contacts: dict[str, str] = field(default_factory=dict)
    """Contact id by phone."""
    segments: dict[str, str] = field(default_factory=dict)
    """Segment id by name."""
    offer: str = ""
    """Campaign to everybody of `people`."""
    thanks: str = ""
    """Campaign of a message for each order that is not old."""
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _posting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    @property
    def rules(self) -> dict[str, str]:
        """Conditions of its segments, by name."""
        own = f'events("order_completed").where(e, e.currency == "{self.mark}")'
        return {
            f"audience_{self.mark}": f'events("product_viewed").where(e, e.category == "'
            f'{self.mark}").exists()',
            f"spent_{self.mark}": f'{own}.within("1h").sum(e, e.total) >= 60.0',
            f"lately_{self.mark}": f'{own}.within("15s").exists()',
            f"often_{self.mark}": f"{own}.count() >= 3",
            f"wrote_{self.mark}": 'events("message_received").count() >= 2 && '
            f'!{own}.within("1h").exists()',
        }

    async def open(self, people: int) -> None:
        """Set everything up: numbers, templates, rules, people."""
        start = secrets.randbelow(90_000_000)
        phones = [f"4478{(start + n) % 10**8:08d}" for n in range(people + ERASED)]
        self.people, self.leaving = phones[:people], phones[people:]
        await definitions.number(self.services, self.addresses, self.session, throughput=30)
        await definitions.templates(self.services, self.addresses)
        quiet = {"replies": 0, "clicks": 0, "stops": 0, "blocks": 0, "identity_mode": "phone"}
        await self.control("people", [{"wa_id": phone, **quiet} for phone in phones])
        await self.control("faults", ALWAYS)
        for name, rule in self.rules.items():
            wanted = CreateSegmentRequest(
                request_id=fresh_id("r"), segment=Segment(name=name, expression=rule)
            )
            made = await until_answered(
                lambda wanted=wanted: self.services.segments.CreateSegment(wanted)  # type: ignore[misc]
            )
            self.segments[name] = made.segment.segment_id
        self.thanks = await self._campaign(
            "Thanks", Audience(triggered=TriggeredAudience()), definitions.thanks("only")
        )
        await self._trigger()
        items = [item for number, phone in enumerate(phones) for item in self._meet(number, phone)]
        for first in range(0, len(items), 200):
            await self.doors.track(items[first : first + 200])
        await story.until_processed(self.services, 120, lambda _: None)
        self.contacts = await self.known(phones)
        assert len({*self.contacts.values()}) == len(phones), "everybody is somebody of their own"

    async def known(self, phones: Sequence[str]) -> dict[str, str]:
        """Contact id of each phone that is anybody's."""
        found: dict[str, str] = {}
        for first in range(0, len(phones), 200):
            some = phones[first : first + 200]
            refs = [
                ContactRef(identity=Identity(kind=Identity.KIND_WA_ID, value=one)) for one in some
            ]
            request = BatchGetContactsRequest(contacts=refs)
            answer = await until_answered(
                lambda request=request: self.services.profile.BatchGetContacts(request)  # type: ignore[misc]
            )
            found |= {
                phone: result.contact.contact_id
                for phone, result in zip(some, answer.results, strict=True)
                if result.contact.contact_id
            }
        return found

    async def launch(self) -> None:
        """The offer, to everybody."""
        text = '"Lanterns are back."'
        bindings = [
            Binding(variable="body.1", expression=text, missing=Binding.MISSING_SKIP),
            Binding(
                variable="button.1",
                expression=f'"{definitions.SHOP}"',
                missing=Binding.MISSING_SKIP,
            ),
        ]
        audience = self.segments[f"audience_{self.mark}"]
        self.offer = await self._campaign(
            "Offer",
            Audience(segment=SegmentAudience(segment_id=audience)),
            Variant(
                name="only",
                template_name=definitions.OFFER,
                fallback_languages=[definitions.LANGUAGE],
                weight=1,
                bindings=bindings,
            ),
        )

    async def trade(self, seconds: float) -> None:
        """So many seconds of its day; returns when everything was accepted."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        leaving = [(seconds * (n + 1) / (ERASED + 2), p) for n, p in enumerate(self.leaving)]
        async with asyncio.TaskGroup() as tasks:
            for at, phone in leaving:
                tasks.create_task(self._leave(begun + at, phone))
            while (passed := clock() - begun) < seconds:
                # Who leaves says nothing in the moments before: it would be news after it
                staying = self.people + [p for at, p in leaving if passed < at - 3]
                await self._posting.acquire()
                # Some do far more than others
                phone = staying[int(len(staying) * self.chance.random() ** 1.3)]
                does = self._write if self.chance.random() < 0.35 else self._act
                tasks.create_task(does(phone))
                await asyncio.sleep(self.chance.uniform(0.01, 0.07))

    async def control(self, what: str, body: object) -> Any:
        """Tell the simulator something."""
        return await story.control(self.session, self.addresses, what, body)

    # --- people -------------------------------------------------------------------------------

    def _meet(self, number: int, phone: str) -> list[dict[str, Any]]:
        now = datetime.now(UTC) - timedelta(minutes=10)
        traits = {"phone": f"+{phone}", "country": "GB"}
        items = [self._item(phone, now, {"type": "identify", "traits": traits})]
        if number % UNWILLING:
            proof = {"purpose": "marketing", "text_version": "1", "channel": "web_form"}
            items.append(self._event(phone, now, "Consent Granted", {**proof, "proof": "form"}))
        category = self.mark if phone in self.people else "other"
        items.append(self._event(phone, now, "Product Viewed", {"sku": "1", "category": category}))
        viewed = {"sku": "1", "category": category}
        self.tracked.append(self._did(items[-1], phone, "product_viewed", now, viewed))
        return items

    def _item(self, phone: str, time: datetime, what: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        said = {"messageId": f"{self.mark}:{number}", "timestamp": time.isoformat()}
        return {"userId": phone, **said, **what}

    def _event(
        self, phone: str, time: datetime, name: str, properties: dict[str, Any]
    ) -> dict[str, Any]:
        return self._item(phone, time, {"type": "track", "event": name, "properties": properties})

    @staticmethod
    def _did(
        item: dict[str, Any], phone: str, name: str, time: datetime, properties: dict[str, Any]
    ) -> Did:
        return Did(event_id("track", WRITE_KEY, item["messageId"]), phone, name, time, properties)

    async def _act(self, phone: str) -> None:
        """Look at something or order something; it may be told hours later, and twice."""
        try:
            late = self.chance.choice((timedelta(0), timedelta(0), timedelta(seconds=8), _OLD))
            time = datetime.now(UTC) - late
            if phone in self.leaving or self.chance.random() < 0.5:
                viewed = {"sku": str(self.chance.randrange(9)), "category": "other"}
                item = self._event(phone, time, "Product Viewed", viewed)
                did = self._did(item, phone, "product_viewed", time, viewed)
            else:
                total = float(self.chance.randrange(10, 60))
                ordered = {
                    "order_id": f"{self.mark}-{next(self._numbers)}",
                    "total": total,
                    "currency": self.mark,
                }
                item = self._event(phone, time, "Order Completed", ordered)
                did = self._did(item, phone, "order_completed", time, ordered)
            await self.doors.track([item])
            self.tracked.append(did)
            if self.chance.random() < _TWICE:
                await asyncio.sleep(self.chance.uniform(0, 2))
                await self.doors.track([item])
        finally:
            self._posting.release()

    async def _write(self, phone: str) -> None:
        """Write to the shop; Meta may tell it twice."""
        try:
            time = datetime.now(UTC).replace(microsecond=0) - timedelta(
                seconds=self.chance.choice((0, 0, 5))
            )
            wamid = f"wamid.{self.mark}{next(self._numbers)}"
            number, account = definitions.NUMBER, definitions.WABA
            body = text_message(wamid, phone, number, account, "Merhaba!", time)
            await self.doors.webhook(body)
            self.written.append(Did(event_id(wamid), phone, "message_received", time))
            if self.chance.random() < _TWICE:
                await asyncio.sleep(self.chance.uniform(0, 2))
                await self.doors.webhook(body)
        finally:
            self._posting.release()

    async def _leave(self, at: float, phone: str) -> None:
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        self.erasures[phone] = fresh_id("era")
        request = EraseContactRequest(
            request_id=self.erasures[phone], contact=ContactRef(contact_id=self.contacts[phone])
        )
        await until_answered(lambda: self.services.privacy.EraseContact(request))

    # --- what it has set up -------------------------------------------------------------------

    async def _campaign(self, name: str, audience: Audience, variant: Variant) -> str:
        draft = CreateCampaignRequest(
            request_id=fresh_id("r"),
            campaign=Campaign(
                name=f"{name} {self.mark}",
                waba_id=definitions.WABA,
                phone_number_ids=[definitions.NUMBER],
                audience=audience,
                variants=[variant],
            ),
        )
        made = await until_answered(lambda: self.services.campaigns.CreateCampaign(draft))
        campaign_id = made.campaign.campaign_id
        launch = LaunchCampaignRequest(request_id=fresh_id("r"), campaign_id=campaign_id)
        await until_answered(lambda: self.services.campaigns.LaunchCampaign(launch))
        return campaign_id

    async def _trigger(self) -> None:
        wanted = CreateTriggerRequest(
            request_id=fresh_id("r"),
            trigger=Trigger(
                name=f"thanks_{self.mark}",
                event=EventCause(name="order_completed"),
                condition=f'event.currency == "{self.mark}"',
                key="event.order_id",
                not_after_duration=Duration(seconds=3600),
                action=Action(send=SendAction(campaign_id=self.thanks)),
            ),
        )
        await until_answered(lambda: self.services.triggers.CreateTrigger(wanted))
