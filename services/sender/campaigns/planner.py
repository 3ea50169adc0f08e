"""Turning audiences and triggers into messages.

An audience comes in pages, of which several are under way; each is stored with its messages and the
place behind it in one transaction, in order. So whoever goes on after a crash begins where the last
one was stored, and memory holds a few pages however many people there are.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from enum import Enum
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Busy, Failure, Unavailable
from services.sender.campaigns.ahead import ahead
from services.sender.campaigns.assignment import Given, first
from services.sender.campaigns.findings import unsendable
from services.sender.campaigns.people import Members, batches
from services.sender.campaigns.sieve import Sieve
from services.sender.campaigns.writer import Draft, Writer, finish
from services.sender.failures import NumberUnusable, PreflightFailed
from services.sender.model import (
    Campaign,
    Contact,
    Happening,
    Message,
    Number,
    Occurrence,
    State,
    Template,
)
from services.sender.numbers.allocation import lines_of
from services.sender.rules.policy import Policy

_FIRST: Final = 200  # so that the first of them leave at once
_BATCH: Final = 1_000
_PAGES: Final = 4  # under way
_BREATH: Final = 100  # messages written before others of this process have their turn
_LEASE_MS: Final = 10_000  # renewed with every batch; after a crash another goes on so soon


class LinkWish(NamedTuple):
    """A tracked link to be made."""

    url: str
    message_id: str
    campaign_id: str
    contact_id: str


Others = Mapping[str, Sequence[str]]
"""Message id → ids it had for other ids of the person; if one is known the person has had it."""


class Planned(Enum):
    """What became of a page."""

    STORED = 1
    CHANGED = 2
    """Nothing was stored: the campaign is not what it was when the page was written."""
    ENDED = 3
    """Nothing was stored: it is no longer planning, or somebody else plans it."""


class Desk(Protocol):
    """Campaigns and their messages, as planning needs them."""

    async def lease(self, now: int, until: int) -> Campaign | None:
        """Take a campaign that is to be planned and that nobody else plans."""
        ...

    async def definition(self, campaign_id: str) -> Campaign:
        """A campaign as it is now."""
        ...

    async def materials(self, campaign: Campaign) -> tuple[Sequence[Template], Sequence[Number]]:
        """The templates its variants name, and the numbers it may go from."""
        ...

    async def policy(self) -> Policy:
        """What the business allows itself."""
        ...

    async def plan(
        self,
        campaign: Campaign,
        messages: Sequence[Message],
        others: Others,
        cursor: str,
        unresolved: int,
        until: int,
    ) -> Planned:
        """Store the new ones of these messages with the cursor, if the campaign is as it was."""
        ...

    async def planned(self, campaign_id: str, now: int) -> None:
        """The whole audience has its messages."""
        ...

    async def halt(self, campaign: Campaign, reason: str, now: int) -> None:
        """Pause a campaign by itself, with the reason."""
        ...

    async def triggered(self, campaign_ids: Sequence[str]) -> Mapping[str, Campaign]:
        """Those of the campaigns that take occurrences now."""
        ...

    async def given(self, campaign_id: str, contact_ids: Sequence[str]) -> Mapping[str, Given]:
        """What these ids got of a campaign first, where they got anything."""
        ...

    async def occur(
        self, event_ids: Sequence[str], messages: Sequence[Message | None], others: Others
    ) -> None:
        """Store the message of each event not seen before."""
        ...


class Audience(Protocol):
    """Whom campaigns are for."""

    async def check(self, campaign: Campaign) -> None:
        """Whether an audience of which nobody was read yet is still what is meant."""
        ...

    def members(self, campaign: Campaign) -> AsyncIterator[Members]:
        """The audience from the campaign's cursor on."""
        ...


class People(Protocol):
    """Other services, as planning needs them."""

    async def reach(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]:
        """Contacts by the id asked for, without their addresses, with these attributes."""
        ...

    async def links(self, wishes: Sequence[LinkWish]) -> Sequence[str]:
        """The tokens of tracked links, in order."""
        ...


class _Page(NamedTuple):
    """A part of an audience, and what is known of them."""

    members: Members
    contacts: Mapping[str, Contact]


class Planner:
    """Plans campaigns step by step, and triggers as they come."""

    def __init__(
        self,
        desk: Desk,
        audience: Audience,
        people: People,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`wake` tells dispatch that something is due."""
        self._desk = desk
        self._audience = audience
        self._people = people
        self._clock = clock
        self._wake = wake

    async def step(self) -> bool:
        """Plan one campaign, if one waits; returns whether one did."""
        now = self._now()
        campaign = await self._desk.lease(now, now + _LEASE_MS)
        if campaign is None:
            return False
        try:
            await self._plan(campaign)
        except Failure as failure:
            if isinstance(failure, Unavailable | Busy):
                raise
            # One campaign that cannot be planned must not keep the others from it.
            why = failure.facts.get("problem", "") if isinstance(failure, PreflightFailed) else ""
            reason = why or failure.reason.lower()
            await self._desk.halt(campaign, reason, self._now())
        return True

    async def _plan(self, campaign: Campaign) -> None:
        await self._audience.check(campaign)
        writer, sieve = await self._writer(campaign), Sieve(campaign.filter)
        wanted = sorted(writer.needs | sieve.attributes)

        async def meet(members: Members) -> _Page:
            ids = list(dict.fromkeys(one.contact_id for one in members.people))
            return _Page(members, await self._people.reach(ids, wanted) if ids else {})

        found = batches(self._audience.members(campaign), _FIRST, _BATCH)
        async with aclosing(found), aclosing(ahead(found, meet, _PAGES)) as pages:
            async for page in pages:
                while (planned := await self._write(writer, sieve, page)) == Planned.CHANGED:
                    writer = await self._again(writer.campaign)
                if planned == Planned.ENDED:
                    return
        await self._desk.planned(campaign.campaign_id, self._now())

    async def _again(self, campaign: Campaign) -> Writer:
        """A writer for what the campaign has become; what contacts are asked for never changes."""
        now = await self._desk.definition(campaign.campaign_id)
        now.planner = campaign.planner
        return await self._writer(now)

    async def _writer(self, campaign: Campaign) -> Writer:
        templates, numbers = await self._desk.materials(campaign)
        if not campaign.triggered and (problem := unsendable(campaign, templates)):
            raise PreflightFailed(
                "a template cannot be sent in any language",
                campaign_id=campaign.campaign_id,
                problem=problem,
                count="1",
            )
        if not numbers:
            raise NumberUnusable(
                "no business number of the campaign is registered any more",
                waba_id=campaign.waba_id,
                problem="none",
            )
        lines = lines_of(numbers, self._now())
        return Writer(campaign, templates, lines, await self._desk.policy())

    async def _write(self, writer: Writer, sieve: Sieve, page: _Page) -> Planned:
        members, contacts = page
        now, campaign = self._now(), writer.campaign
        drafts: dict[str, Draft] = {}
        unresolved = members.unresolved
        for turn, person in enumerate(members.people):
            if turn % _BREATH == 0:
                await asyncio.sleep(0)
            contact = contacts.get(person.contact_id)
            if contact is None:
                unresolved += 1
            elif contact.contact_id not in drafts and sieve.passes(contact, now):
                drafts[contact.contact_id] = writer.write(contact, now, row=person.row)
        if await self._failed(campaign, drafts.values()):
            return Planned.ENDED
        messages = await self._finish(campaign, list(drafts.values()))
        planned = await self._desk.plan(
            campaign,
            messages,
            _others(drafts.values()),
            members.cursor,
            unresolved,
            now + _LEASE_MS,
        )
        self._wake()
        return planned

    async def _failed(self, campaign: Campaign, drafts: Iterable[Draft]) -> bool:
        """Pause a campaign that lacks a value without which its binding lets nobody be written
        to; returns whether it does."""
        failed = next((draft.failed for draft in drafts if draft.failed), "")
        if failed:
            reason = f"variable_missing_{failed}"
            await self._desk.halt(campaign, reason, self._now())
        return bool(failed)

    async def _finish(self, campaign: Campaign, drafts: Sequence[Draft]) -> list[Message]:
        wishes = [
            (draft, variable, url) for draft in drafts for variable, url in draft.links.items()
        ]
        tokens: dict[str, dict[str, str]] = {}
        for start in range(0, len(wishes), _BATCH):
            part = wishes[start : start + _BATCH]
            made = await self._people.links(
                [
                    LinkWish(url, d.message.message_id, d.message.campaign_id, d.message.contact_id)
                    for d, _, url in part
                ]
            )
            for (draft, variable, _), token in zip(part, made, strict=True):
                tokens.setdefault(draft.message.message_id, {})[variable] = token
        return [
            finish(campaign, draft, tokens.get(draft.message.message_id, {})) for draft in drafts
        ]

    async def occur(self, occurrences: Sequence[Occurrence]) -> None:
        """Make the message of each occurrence; the same occurrence again makes nothing."""
        campaigns = await self._desk.triggered(list({o.campaign_id for o in occurrences}))
        messages: dict[str, Message] = {}
        others: dict[str, Sequence[str]] = {}
        for campaign_id, campaign in campaigns.items():
            mine = [o for o in occurrences if o.campaign_id == campaign_id]
            if campaign.trigger_ids or campaign.journey_ids:
                mine = [
                    o
                    for o in mine
                    if o.trigger_id in campaign.trigger_ids or o.journey_id in campaign.journey_ids
                ]
            if mine:
                drafts = await self._occur(campaign, mine)
                await self._failed(campaign, drafts.values())
                others |= _others(drafts.values())
                finished = await self._finish(campaign, list(drafts.values()))
                messages |= dict(zip(drafts, finished, strict=True))
        await self._desk.occur(
            [o.event_id for o in occurrences],
            [messages.get(o.event_id) for o in occurrences],
            others,
        )
        self._wake()

    async def _occur(
        self, campaign: Campaign, occurrences: Sequence[Occurrence]
    ) -> dict[str, Draft]:
        writer, sieve = await self._writer(campaign), Sieve(campaign.filter)
        ids = list({o.contact_id for o in occurrences})
        people = await self._people.reach(ids, sorted(writer.needs | sieve.attributes))
        everybody = {i for who in people.values() for i in (who.contact_id, *who.absorbed)}
        given = await self._desk.given(campaign.campaign_id, sorted(everybody))
        now = self._now()
        return {
            o.event_id: writer.write(
                who, now, o, given=first(given, (who.contact_id, *who.absorbed))
            )
            for o in occurrences
            if (who := people.get(o.contact_id)) is not None and sieve.passes(who, now)
        }

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())


def _others(drafts: Iterable[Draft]) -> Others:
    return {draft.message.message_id: draft.others for draft in drafts if draft.others}


def first_of(message: Message) -> list[Happening]:
    """What a message that was just stored is to publish."""
    at = message.plan_time
    match message.state:
        case State.HELD_OUT:
            return [Happening("message_held_out", message, at)]
        case State.SUPPRESSED:
            return [
                Happening("message_planned", message, at),
                Happening("message_suppressed", message, at),
            ]
        case _:
            return [Happening("message_planned", message, at)]
