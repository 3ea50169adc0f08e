"""Preflight: what launching a campaign now would mean, found by looking at everybody once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from chassis import paging
from chassis.clock import Clock, milliseconds_of
from chassis.failures import TokenInvalid
from chassis.ids import fingerprint
from chassis.privacy import beating
from merhaba.sender.v1 import PreflightCampaignRequest, PreflightCampaignResponse
from services.sender.campaigns.ahead import ahead
from services.sender.campaigns.audiences import Audiences
from services.sender.campaigns.checks import best_span
from services.sender.campaigns.findings import Finding
from services.sender.campaigns.people import Members, Person, batches
from services.sender.campaigns.preflight.judging import Judge, Known
from services.sender.campaigns.preflight.known import Knowledge
from services.sender.campaigns.preflight.result import Ground, result
from services.sender.campaigns.preflight.sums import Sums, unpacked
from services.sender.campaigns.store import CampaignStore
from services.sender.campaigns.wire import campaign_of
from services.sender.delivery.pace import Pace
from services.sender.model import Campaign, Contact, Number
from services.sender.rulebook import Rules
from services.sender.wire import at

_BATCH: Final = 2_000
_PAGES: Final = 4
_BREATH: Final = 200  # people looked at before others of this process have their turn
_TELL_EVERY: Final = timedelta(seconds=1)
_HEARTBEAT: Final = timedelta(seconds=4)

Find = Callable[[Campaign, int], Awaitable[Sequence[Finding]]]


class People(Protocol):
    """Profile, as preflight needs it."""

    async def reach(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]: ...


class Limiters(Protocol):
    """The limiters, as preflight needs them."""

    async def pace(self, number: Number) -> Pace: ...


class _Page(NamedTuple):
    """A part of an audience, and what is known of them."""

    members: Members
    contacts: Mapping[str, Contact]
    known: Known


class Preflights:
    """Computes what launches would mean."""

    def __init__(
        self,
        campaigns: CampaignStore,
        audiences: Audiences,
        people: People,
        knowledge: Knowledge,
        limiters: Limiters,
        find: Find,
        clock: Clock,
    ) -> None:
        """`find` tells what stands in the way of a launch at a moment."""
        self._campaigns = campaigns
        self._audiences = audiences
        self._people = people
        self._knowledge = knowledge
        self._limiters = limiters
        self._find = find
        self._clock = clock

    async def run(
        self, request: PreflightCampaignRequest
    ) -> AsyncIterator[PreflightCampaignResponse]:
        """What is known so far, now and then, and in the end the whole. Raises CampaignNotFound,
        SegmentNotFound, FileNotFound, FileState, FieldInvalid, TokenInvalid."""
        query = paging.query(request)
        campaign = campaign_of(await self._campaigns.get(request.campaign_id))
        sums = self._begin(request, query, campaign)
        start = max(at(request.schedule, "start_time"), sums.asked_time)
        campaign.start_time = start
        campaign.best_time_ms = best_span(request.schedule, campaign)
        rules = await self._knowledge.rules()
        ground = await self._ground(campaign, rules, start)

        def told(*, complete: bool = False) -> PreflightCampaignResponse:
            return PreflightCampaignResponse(
                cursor=paging.token(query, [sums.packed()]),
                checked_recipients=sums.checked,
                total_recipients=sums.checked if complete else max(sums.total, sums.checked),
                preflight=result(sums, ground, complete=complete),
                complete=complete,
            )

        said = self._clock.now()
        if not campaign.triggered:
            async with aclosing(self._looked(campaign, rules, start, sums)) as looking:
                async for beat in beating(looking, _HEARTBEAT):
                    if beat is None or self._clock.now() - said >= _TELL_EVERY:
                        said = self._clock.now()
                        yield told()
        yield told(complete=True)

    def _begin(self, request: PreflightCampaignRequest, query: bytes, campaign: Campaign) -> Sums:
        """The sums of a cursor, or new ones. Those of what the campaign was before are void."""
        if place := paging.place(request.cursor, query, [str], "cursor"):
            found = unpacked(place[0])
            if found is None or found.version != campaign.version:
                raise TokenInvalid("cursor")
            return found
        return Sums(campaign.version, milliseconds_of(self._clock.now()))

    async def _ground(self, campaign: Campaign, rules: Rules, start: int) -> Ground:
        _, numbers = await self._campaigns.materials(campaign)
        for one in numbers:
            if one.reply_share is None:
                one.reply_share = rules.policy.reply_share
        reached = {one.portfolio: await self._limiters.pace(one) for one in numbers}
        return Ground(
            campaign,
            numbers,
            await self._knowledge.tariffs(numbers, rules, start),
            {portfolio: pace.daily_recipients for portfolio, pace in reached.items()},
            await self._knowledge.spent(campaign.campaign_id),
            start,
            await self._find(campaign, start),
        )

    async def _looked(
        self, campaign: Campaign, rules: Rules, start: int, sums: Sums
    ) -> AsyncGenerator[bool, None]:
        """Look at everybody from the cursor on, part by part."""
        templates, numbers = await self._campaigns.materials(campaign)
        if not numbers:
            return
        judge = Judge(campaign, templates, numbers, rules.policy, start)
        sums.total = sums.total or await self._audiences.size(campaign)
        once = _Once(campaign)
        await self._again(campaign, sums, once)

        async def meet(members: Members) -> _Page:
            ids = list(dict.fromkeys(one.contact_id for one in members.people))
            if not ids:
                return _Page(members, {}, Known({}, {}))
            contacts, known = await asyncio.gather(
                self._people.reach(ids, judge.needs), self._knowledge.of(ids, rules, start)
            )
            # People who are not any more what the audience calls them
            others = {one.contact_id for one in contacts.values()}.difference(ids)
            if others:
                more = await self._knowledge.of(sorted(others), rules, start)
                known = Known({**known.noted, **more.noted}, {**known.sent, **more.sent})
            return _Page(members, contacts, known)

        here = replace(campaign, plan_cursor=sums.cursor)
        found = batches(self._audiences.members(here), _BATCH, _BATCH)
        async with aclosing(found), aclosing(ahead(found, meet, _PAGES)) as pages:
            async for page in pages:
                members, contacts, known = page
                people = [
                    (person, contact)
                    for person in members.people
                    if (contact := contacts.get(person.contact_id)) and once.new(person, contact)
                ]
                for first in range(0, len(people), _BREATH):
                    judge.look(people[first : first + _BREATH], known, sums)
                    await asyncio.sleep(0)
                strangers = sum(one.contact_id not in contacts for one in members.people)
                sums.unresolved += members.unresolved + strangers
                sums.checked += len(members.people) + members.unresolved
                sums.cursor, sums.total = members.cursor, members.total or sums.total
                yield True

    async def _again(self, campaign: Campaign, sums: Sums, once: "_Once") -> None:
        """Who was looked at before the cursor, where anybody may be named twice."""
        if campaign.segment_id or not sums.cursor:
            return
        async for members in self._audiences.members(replace(campaign, plan_cursor="")):
            for person in members.people:
                once.saw(person.contact_id)
            if int(members.cursor) >= int(sums.cursor):
                return


class _Once:
    """Who was looked at. A segment names each contact once, so of its members only those have to
    be remembered who may come again under another id; of a list or file, everybody, in 8 bytes."""

    def __init__(self, campaign: Campaign) -> None:
        self._all = not campaign.segment_id
        self._seen: set[int] = set()

    def new(self, person: Person, contact: Contact) -> bool:
        """Whether somebody was not looked at before."""
        if not self._all and not contact.absorbed and person.contact_id == contact.contact_id:
            return True
        before = len(self._seen)
        self.saw(contact.contact_id)
        return len(self._seen) > before

    def saw(self, contact_id: str) -> None:
        """Somebody was looked at."""
        self._seen.add(fingerprint(contact_id).int & 0xFFFFFFFFFFFFFFFF)
