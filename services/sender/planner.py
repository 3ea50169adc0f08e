"""Turning audiences and triggers into messages, and keeping campaigns moving to their end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Busy, Failure, Unavailable
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
from services.sender.personal import Draft, Writer, finish

_BATCH: Final = 1_000
_LEASE_MS: Final = 10_000  # renewed with every batch; after a crash another goes on so soon


class Members(NamedTuple):
    """A part of an audience: who, and where to go on after them."""

    contact_ids: Sequence[str]
    cursor: str


class LinkWish(NamedTuple):
    """A tracked link to be made."""

    url: str
    message_id: str
    campaign_id: str
    contact_id: str


Others = Mapping[str, Sequence[str]]
"""Message id → ids it had for other ids of the person; if one is known the person has had it."""


class Desk(Protocol):
    """Campaigns and their messages, as planning needs them."""

    async def lease(self, now: int, until: int) -> Campaign | None:
        """Take a campaign that is to be planned and that nobody else plans."""
        ...

    async def materials(self, campaign: Campaign) -> tuple[Sequence[Template], Sequence[Number]]:
        """The templates its variants name, and the numbers it may go from."""
        ...

    async def plan(
        self,
        campaign: Campaign,
        messages: Sequence[Message],
        others: Others,
        cursor: str,
        unresolved: int,
        until: int,
    ) -> bool:
        """Store the new ones of these messages and the cursor. False: it is no longer planning."""
        ...

    async def planned(self, campaign_id: str, now: int) -> None:
        """The whole audience has its messages."""
        ...

    async def halt(self, campaign_id: str, reason: str, now: int) -> None:
        """Pause a campaign by itself, with the reason."""
        ...

    async def triggered(self, campaign_ids: Sequence[str]) -> Mapping[str, Campaign]:
        """Those of the campaigns that take occurrences now."""
        ...

    async def occur(
        self, event_ids: Sequence[str], messages: Sequence[Message | None], others: Others
    ) -> None:
        """Store the message of each event not seen before."""
        ...

    async def advance(self, now: int) -> int:
        """Move messages of resumed and cancelled campaigns, and close what is done."""
        ...


class People(Protocol):
    """Other services, as planning needs them."""

    def members(self, campaign: Campaign) -> AsyncIterator[Members]:
        """The audience from the campaign's cursor on."""
        ...

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]:
        """Contacts with addresses, language and these attributes."""
        ...

    async def links(self, wishes: Sequence[LinkWish]) -> Sequence[str]:
        """The tokens of tracked links, in order."""
        ...


class Planner:
    """Plans campaigns in the background and triggers as they come."""

    def __init__(
        self,
        desk: Desk,
        people: People,
        clock: Clock,
        wake: Callable[[], None],
        passing: Callable[[BaseException], bool],
        warn: Callable[[str, BaseException], None],
    ) -> None:
        """`wake` tells dispatch that something is due."""
        self._desk = desk
        self._people = people
        self._clock = clock
        self._wake = wake
        self._passing = passing
        self._warn = warn
        self._called = asyncio.Event()

    def call(self) -> None:
        """A campaign changed: look at once."""
        self._called.set()

    async def run(self) -> None:
        """Plan and keep campaigns, until cancelled."""
        while True:
            self._called.clear()
            moved = 0
            try:
                moved = await self.step()
            except Exception as error:
                if not self._passing(error):
                    raise
                self._warn("planning waits", error)
            if not moved:
                try:
                    async with asyncio.timeout(1):
                        await self._called.wait()
                except TimeoutError:
                    continue

    async def step(self) -> int:
        """Plan one campaign, if one waits, and keep the others; returns what was done."""
        now = self._now()
        moved = await self._desk.advance(now)
        if moved:
            self._wake()
        campaign = await self._desk.lease(now, now + _LEASE_MS)
        if campaign is None:
            return moved
        try:
            await self._plan(campaign)
        except Failure as failure:
            if isinstance(failure, Unavailable | Busy):
                raise
            # One campaign that cannot be planned must not keep the others from it.
            await self._desk.halt(campaign.campaign_id, failure.reason.lower(), self._now())
        return moved + 1

    async def _plan(self, campaign: Campaign) -> None:
        writer = await self._writer(campaign)
        waiting: list[str] = []
        cursor = campaign.plan_cursor
        async for members in self._people.members(campaign):
            waiting += members.contact_ids
            cursor = members.cursor
            if len(waiting) >= _BATCH:
                if not await self._write(writer, waiting, cursor):
                    return
                waiting = []
        if await self._write(writer, waiting, cursor):
            await self._desk.planned(campaign.campaign_id, self._now())

    async def _writer(self, campaign: Campaign) -> Writer:
        templates, numbers = await self._desk.materials(campaign)
        return Writer(campaign, templates, lines_of(numbers, self._now()))

    async def _write(self, writer: Writer, contact_ids: Sequence[str], cursor: str) -> bool:
        people = await self._people.read(contact_ids, sorted(writer.attributes))
        now = self._now()
        drafts = [writer.write(people[one], now) for one in contact_ids if one in people]
        failed = next((draft.failed for draft in drafts if draft.failed), "")
        if failed:
            campaign_id = writer.campaign.campaign_id
            await self._desk.halt(campaign_id, f"variable_missing_{failed}", now)
            return False
        messages = await self._finish(drafts)
        unresolved = len(contact_ids) - len(drafts)
        going_on = await self._desk.plan(
            writer.campaign, messages, _others(drafts), cursor, unresolved, now + _LEASE_MS
        )
        self._wake()
        return going_on

    async def _finish(self, drafts: Sequence[Draft]) -> list[Message]:
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
        return [finish(draft, tokens.get(draft.message.message_id, {})) for draft in drafts]

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
                others |= _others(drafts.values())
                finished = await self._finish(list(drafts.values()))
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
        writer = await self._writer(campaign)
        ids = list({o.contact_id for o in occurrences})
        people = await self._people.read(ids, sorted(writer.attributes))
        now = self._now()
        return {
            o.event_id: writer.write(people[o.contact_id], now, o, o.traceparent)
            for o in occurrences
            if o.contact_id in people
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
