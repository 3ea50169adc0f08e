"""The ledger: what happened is folded into facts, and reports are read from them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import msgspec

from chassis.clock import Clock
from services.reports.freshness import Freshness
from services.reports.funnel import Tally, tallies, tally
from services.reports.model import (
    ABANDONED_STATES,
    Activity,
    CampaignFact,
    CampaignNotFound,
    CampaignState,
    Group,
    Kind,
    Kinship,
    Membership,
    MessageFact,
    OrderFact,
    Period,
    Said,
    Sales,
    SegmentFact,
    SegmentState,
    Withdrawal,
    day_of,
)

SAMPLED_EVERY: Final = timedelta(seconds=1)
_MINUTE: Final = 60_000
_HOUR: Final = 3_600_000
_GROWTH: Final = {
    "contact_created": 1,
    "contact_split": 1,
    "contact_merged": -1,
    "contact_erased": -1,
}
_CAMPAIGNS: Final = 50


class Facts(msgspec.Struct):
    """What a batch of events says, each thing once."""

    messages: dict[str, MessageFact] = {}
    campaigns: dict[str, CampaignFact] = {}
    orders: dict[tuple[str, str], OrderFact] = {}
    memberships: dict[tuple[str, str], Membership] = {}
    segments: dict[str, SegmentFact] = {}
    withdrawals: set[tuple[str, int]] = set()
    people: dict[str, tuple[tuple[int, bool], str]] = {}
    """Contact → who it is part of, and since when."""
    activity: Counter[tuple[Kind, str, int]] = msgspec.field(default_factory=Counter)
    """Events by kind, name and minute (epoch milliseconds)."""
    moves: Counter[tuple[str, int, bool]] = msgspec.field(default_factory=Counter)
    """Segment, hour (epoch milliseconds), whether entered or left."""

    def contacts(self) -> set[str]:
        """Of whom they tell."""
        return {
            *(one.contact_id for one in self.messages.values() if one.contact_id),
            *(contact for contact, _ in self.orders),
            *(contact for _, contact in self.memberships),
            *(contact for contact, _ in self.withdrawals),
            *self.people,
            *(person for _, person in self.people.values()),
        }

    def leave_out(self, erased: Collection[str]) -> None:
        """Tell no longer of those who were erased: their messages are nobody's."""
        if not erased:
            return
        for one in self.messages.values():
            if one.contact_id in erased:
                one.contact_id = one.occurrence_id = ""
        self.orders = {key: o for key, o in self.orders.items() if key[0] not in erased}
        self.memberships = {key: m for key, m in self.memberships.items() if key[1] not in erased}
        self.withdrawals = {one for one in self.withdrawals if one[0] not in erased}
        self.people = {
            contact: said
            for contact, said in self.people.items()
            if contact not in erased and said[1] not in erased
        }


def fold(said: Iterable[Said]) -> Facts:
    """Merge what events say; each event must be given once, for the counters."""
    facts = Facts()
    for one in said:
        facts.activity[one.kind, one.name, one.time - one.time % _MINUTE] += 1
        match one.fact:
            case MessageFact(message_id=key) as fact:
                if (known := facts.messages.setdefault(key, fact)) is not fact:
                    known.merge(fact)
            case Membership(segment_id=segment, contact_id=contact) as move:
                held = facts.memberships.setdefault((segment, contact), move)
                if held is not move:
                    held.merge(move)
                facts.moves[
                    segment, one.time - one.time % _HOUR, one.name == "segment_entered"
                ] += 1
            case OrderFact(contact_id=contact, order_id=order_id) as order:
                if (placed := facts.orders.setdefault((contact, order_id), order)) is not order:
                    placed.merge(order)
            case CampaignFact(campaign_id=key) as campaign:
                if (told := facts.campaigns.setdefault(key, campaign)) is not campaign:
                    told.merge(campaign)
            case SegmentFact(segment_id=key) as changed:
                if (named := facts.segments.setdefault(key, changed)) is not changed:
                    named.merge(changed)
            case Withdrawal(contact_id=contact, time=time):
                facts.withdrawals.add((contact, time))
            case Kinship(person_id=person, contact_ids=contacts, change=change):
                for contact in contacts:
                    said_now = (change, person)
                    facts.people[contact] = max(facts.people.get(contact, said_now), said_now)
    return facts


class Where(NamedTuple):
    """Which messages to count; each filter is a column, its values, and whether to exclude them."""

    campaign_id: str = ""
    period: Period | None = None
    filters: tuple[tuple[str, tuple[str, ...], bool], ...] = ()


class CampaignFigures(NamedTuple):
    """What the store knows of one campaign, all at the same instant. Keys: variant, template."""

    state: CampaignState
    groups: list[Group]
    sales: list[Sales]
    opt_outs: dict[tuple[str, ...], int]


class Store(Protocol):
    """Keeps facts, and counts them."""

    async def write(
        self, event_ids: Sequence[str], facts: Callable[[Sequence[int]], Facts]
    ) -> None:
        """Fold what events say that were not seen before, given by position, once."""
        ...

    async def campaign(self, campaign_id: str, window: timedelta) -> CampaignFigures | None:
        """One campaign, or None when nothing was heard of it."""
        ...

    async def campaigns(self, most: int) -> tuple[list[CampaignState], list[Group]]:
        """The campaigns that changed last, and their messages by campaign."""
        ...

    async def days(self, where: Where) -> list[Group]:
        """Messages by the day in which they count (`2026-11-22`, in the period's zone)."""
        ...

    async def by_campaign(self, where: Where) -> list[Group]:
        """Messages by campaign."""
        ...

    async def people(self, where: Where) -> int:
        """Distinct contacts for whom a message was intended."""
        ...

    async def steps(self, where: Where, steps: Sequence[str], window: timedelta) -> list[int]:
        """Distinct contacts with a message that came through the first step, the first two, …"""
        ...

    async def campaign_states(self, campaign_ids: Sequence[str]) -> list[CampaignState]:
        """What is known of campaigns."""
        ...

    async def activity(self, since: datetime) -> list[Activity]:
        """What happened, minute by minute."""
        ...

    async def total(self, names: Sequence[str]) -> dict[str, int]:
        """How often something happened to contacts, ever."""
        ...

    async def segments(self, since: datetime) -> list[SegmentState]:
        """Every segment, with who came and went since; archived ones only if they have members."""
        ...


class VariantFigures(NamedTuple):
    """What came of one variant."""

    variant: str
    template: str
    tally: Tally
    sales: Sales
    opted_out: int


class CampaignReport(NamedTuple):
    """What came of a campaign; every recipient counted once."""

    state: CampaignState
    total: VariantFigures
    variants: list[VariantFigures]
    fold_time: datetime


class CampaignLine(NamedTuple):
    """One campaign among others."""

    state: CampaignState
    tally: Tally


class Overview(NamedTuple):
    """A period at a glance, beside the one before."""

    total: Tally
    people: int
    previous: Tally
    previous_people: int
    days: list[tuple[str, Tally]]
    campaigns: list[CampaignLine]
    fold_time: datetime


class Live(NamedTuple):
    """What happens now."""

    activity: list[Activity]
    today: Tally
    base: int
    """Contacts known: created, less merged and erased."""
    fold_time: datetime


class Ledger:
    """Folds what happened into facts, and says what came of it."""

    def __init__(
        self, store: Store, freshness: Freshness, clock: Clock, zone: str, window: timedelta
    ) -> None:
        """`zone`: where today is told. `window`: how long after delivery an order is attributed."""
        self._store = store
        self._freshness = freshness
        self._clock = clock
        self.zone = zone
        self._window = window

    def now(self) -> datetime:
        """The present instant."""
        return self._clock.now()

    def fold_time(self) -> datetime:
        """Everything accepted before this is counted."""
        return self._freshness.fold_time(self._clock.now(), SAMPLED_EVERY)

    async def record(self, topic: str, said: Sequence[Said], accepted_ms: int) -> None:
        """Fold events of a topic, each once. `accepted_ms`: when the oldest was accepted.

        The same event stands on several topics, so it is known by topic and id.
        """
        await self._store.write(
            [f"{topic}/{one.event_id}" for one in said],
            lambda fresh: fold(said[position] for position in fresh),
        )
        self._freshness.folded(topic, accepted_ms)

    async def campaign(self, campaign_id: str) -> CampaignReport:
        """What came of one campaign. Raises `CampaignNotFound`."""
        fold_time = self.fold_time()
        figures = await self._store.campaign(campaign_id, self._window)
        if figures is None:
            raise CampaignNotFound(
                "no event of this campaign was seen; look at the id, or wait until it is planned",
                campaign_id=campaign_id,
            )
        abandoned = figures.state.state in ABANDONED_STATES
        sales = {s.key: s for s in figures.sales}
        variants = [
            VariantFigures(
                key[0],
                key[1],
                counted,
                sales.get(key, Sales(key, 0, 0, {})),
                figures.opt_outs.get(key, 0),
            )
            for key, counted in sorted(tallies(figures.groups, abandoned).items())
        ]
        revenues: Counter[str] = Counter()
        for one in figures.sales:
            revenues.update(one.revenues)
        together = Sales(
            (),
            sum(s.converted for s in figures.sales),
            sum(s.orders for s in figures.sales),
            revenues,
        )
        total = VariantFigures(
            "", "", tally(figures.groups, abandoned), together, sum(figures.opt_outs.values())
        )
        return CampaignReport(figures.state, total, variants, fold_time)

    async def campaigns(self) -> tuple[list[CampaignLine], datetime]:
        """The campaigns that changed last, newest first, and how fresh that is."""
        fold_time = self.fold_time()
        states, groups = await self._store.campaigns(_CAMPAIGNS)
        return _lines(states, groups), fold_time

    async def overview(self, where: Where, period: Period) -> Overview:
        """A period at a glance."""
        fold_time = self.fold_time()
        now = where._replace(period=period)
        before = where._replace(period=period.before())
        groups = await self._store.days(now)
        campaigns = sorted(
            tallies(await self._store.by_campaign(now)).items(), key=lambda c: (-c[1].sent, c[0])
        )[:10]
        states = {
            s.campaign_id: s
            for s in await self._store.campaign_states([k[0] for k, _ in campaigns])
        }
        return Overview(
            tally(groups),
            await self._store.people(now),
            tally(await self._store.days(before)),
            await self._store.people(before),
            [(key[0], counted) for key, counted in sorted(tallies(groups).items())],
            [CampaignLine(states.get(k[0], CampaignState(k[0])), t) for k, t in campaigns if k[0]],
            fold_time,
        )

    async def funnel(self, where: Where, steps: Sequence[str]) -> tuple[list[int], datetime]:
        """Distinct contacts who came through each step and all before it."""
        fold_time = self.fold_time()
        return await self._store.steps(where, steps, self._window), fold_time

    async def live(self, since: timedelta) -> Live:
        """What happened lately, what came of today's messages, how many contacts there are."""
        fold_time, now = self.fold_time(), self._clock.now()
        growth = await self._store.total(list(_GROWTH))
        return Live(
            await self._store.activity(now - since),
            tally(await self._store.days(Where(period=day_of(now, self.zone)))),
            sum(_GROWTH[name] * count for name, count in growth.items()),
            fold_time,
        )

    async def segments(self, since: timedelta) -> tuple[list[SegmentState], datetime]:
        """Every segment with its members now, and who came and went lately."""
        fold_time = self.fold_time()
        return await self._store.segments(self._clock.now() - since), fold_time


def _lines(states: Sequence[CampaignState], groups: Sequence[Group]) -> list[CampaignLine]:
    by_campaign: dict[str, list[Group]] = {}
    for group in groups:
        by_campaign.setdefault(group.key[0], []).append(group)
    return [
        CampaignLine(
            state,
            tally(by_campaign.get(state.campaign_id, []), state.state in ABANDONED_STATES),
        )
        for state in states
    ]
