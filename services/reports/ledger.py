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
    OF_PEOPLE,
    Activity,
    Arrival,
    CampaignFact,
    CampaignNotFound,
    CampaignState,
    Kind,
    Kinship,
    Letter,
    Line,
    Membership,
    MessageFact,
    OrderFact,
    Origin,
    Period,
    Said,
    SegmentFact,
    SegmentState,
    Trait,
    Withdrawal,
    day_of,
)
from services.reports.rollups import QUARTER

SAMPLED_EVERY: Final = timedelta(seconds=1)
_MINUTE: Final = 60_000
_HOUR: Final = 3_600_000
_BASE: Final = {
    "contact_created": ("contacts", 1),
    "contact_split": ("contacts", 1),
    "contact_merged": ("contacts", -1),
    "contact_erased": ("contacts", -1),
    "message_received": ("received", 1),
}
"""What each event adds to the base: how many contacts there are, how often people wrote."""
NO_MESSAGES: Final = 253_402_214_400_000
"""Later than any message counts (epoch ms): only the person is to be looked at again."""


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
    traits: set[Trait] = set()
    parted: set[str] = set()
    """Persons of whom somebody turned out to be no part."""
    origins: dict[str, Origin] = {}
    """By occurrence."""
    conversions: dict[tuple[str, str, str], OrderFact] = {}
    """By contact, definition and key."""
    letters: set[Letter] = set()
    arrivals: set[Arrival] = set()

    def contacts(self) -> set[str]:
        """Of whom they tell."""
        return {
            *(one.contact_id for one in self.messages.values() if one.contact_id),
            *(contact for contact, _ in self.orders),
            *(contact for contact, _, _ in self.conversions),
            *(contact for _, contact in self.memberships),
            *(contact for contact, _ in self.withdrawals),
            *self.people,
            *(person for _, person in self.people.values()),
            *(trait.contact_id for trait in self.traits),
            *(origin.contact_id for origin in self.origins.values()),
            *(letter.contact_id for letter in self.letters),
            *(arrival.contact_id for arrival in self.arrivals),
        }

    def base(self) -> dict[tuple[str, int], int]:
        """How many more contacts there are, and messages of people, by quarter of an hour."""
        more: Counter[tuple[str, int]] = Counter()
        for (kind, name, minute), count in self.activity.items():
            if kind == "contact" and name in _BASE:
                what, added = _BASE[name]
                more[what, minute - minute % QUARTER] += added * count
        return {what: added for what, added in more.items() if added}

    def leave_out(self, erased: Collection[str]) -> None:
        """Tell no longer of those who were erased: their messages are nobody's."""
        if not erased:
            return
        for one in self.messages.values():
            if one.contact_id in erased:
                one.contact_id = one.occurrence_id = ""
        self.orders = {key: o for key, o in self.orders.items() if key[0] not in erased}
        self.conversions = {k: o for k, o in self.conversions.items() if k[0] not in erased}
        self.memberships = {key: m for key, m in self.memberships.items() if key[1] not in erased}
        self.withdrawals = {one for one in self.withdrawals if one[0] not in erased}
        self.people = {
            contact: said
            for contact, said in self.people.items()
            if contact not in erased and said[1] not in erased
        }
        self.traits = {trait for trait in self.traits if trait.contact_id not in erased}
        self.origins = {i: o for i, o in self.origins.items() if o.contact_id not in erased}
        self.letters = {letter for letter in self.letters if letter.contact_id not in erased}
        self.arrivals = {one for one in self.arrivals if one.contact_id not in erased}

    def revised(self) -> dict[str, int]:
        """Contacts of whom something may count otherwise now, and of their messages those from when
        on (epoch ms)."""
        starts: dict[str, int] = {}
        for trait in self.traits:
            if trait.name in OF_PEOPLE:
                if trait.name == "consent":
                    starts.setdefault(trait.contact_id, NO_MESSAGES)
                continue
            starts[trait.contact_id] = min(trait.time, starts.get(trait.contact_id, trait.time))
        for arrival in self.arrivals:
            starts.setdefault(arrival.contact_id, NO_MESSAGES)
        for origin in self.origins.values():
            starts[origin.contact_id] = min(origin.time, starts.get(origin.contact_id, origin.time))
        # What a message brought may come long after it
        always = {
            *self.parted,
            *(contact for contact, _ in self.orders),
            *(contact for contact, _, _ in self.conversions),
            *(contact for contact, _ in self.withdrawals),
            *self.people,
            *(person for _, person in self.people.values()),
        }
        return {
            contact: time
            for contact, time in (starts | dict.fromkeys(always, 0)).items()
            if contact
        }


def fold(said: Iterable[Said]) -> Facts:
    """Merge what events say; each event must be given once, for the counters."""
    facts = Facts()
    for one in said:
        facts.activity[one.kind, one.name, one.time - one.time % _MINUTE] += 1
        facts.traits.update(one.traits)
        if one.origin is not None:
            facts.origins[one.origin.occurrence_id] = one.origin
        if one.letter is not None:
            facts.letters.add(one.letter)
        if one.arrival is not None:
            facts.arrivals.add(one.arrival)
        for definition, success in one.conversions:
            which = success.contact_id, definition, success.order_id
            if (counted := facts.conversions.setdefault(which, success)) is not success:
                counted.merge(success)
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
            case Kinship(person_id=person, contact_ids=contacts, change=change) as kinship:
                facts.parted.add(kinship.parted_from)
                for contact in contacts:
                    said_now = (change, person)
                    facts.people[contact] = max(facts.people.get(contact, said_now), said_now)
    return facts


class Where(NamedTuple):
    """Which messages to count. A filter: a column of `cubes`, values, whether to exclude them."""

    period: Period | None = None
    filters: tuple[tuple[str, tuple[str, ...], bool], ...] = ()


class Store(Protocol):
    """Keeps facts, and counts them."""

    async def write(
        self, event_ids: Sequence[str], facts: Callable[[Sequence[int]], Facts]
    ) -> None:
        """Fold what events say that were not seen before, given by position, once."""
        ...

    async def campaign(
        self, campaign_id: str, conversion_id: str = ""
    ) -> tuple[CampaignState, list[Line]] | None:
        """One campaign by variant and template, all at the same instant, or None when nothing was
        heard of it. `conversion_id`: what counts as a conversion; empty: orders."""
        ...

    async def lines(self, where: Where, by: Sequence[str]) -> list[Line]:
        """What messages add up to, by columns of cubes."""
        ...

    async def steps(self, where: Where, steps: Sequence[str], conversion_id: str = "") -> list[int]:
        """Distinct contacts with a message that came through the first step, the first two, …
        `conversion_id`: as of `campaign`."""
        ...

    async def activity(self, since: datetime) -> list[Activity]:
        """What happened, minute by minute."""
        ...

    async def base(self) -> int:
        """How many contacts there are: created, less merged and erased."""
        ...

    async def segments(self, since: datetime) -> list[SegmentState]:
        """Every segment, with who came and went since; archived ones only if they have members."""
        ...


class VariantFigures(NamedTuple):
    """What came of one variant."""

    variant: str
    template: str
    tally: Tally


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


class Live(NamedTuple):
    """What happens now."""

    activity: list[Activity]
    today: Tally
    base: int
    """Contacts known: created, less merged and erased."""
    fold_time: datetime


class Ledger:
    """Folds what happened into facts, and says what came of it."""

    def __init__(self, store: Store, freshness: Freshness, clock: Clock, zone: str) -> None:
        """`zone`: where today is told."""
        self._store = store
        self._freshness = freshness
        self._clock = clock
        self.zone = zone

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

    async def campaign(
        self, campaign_id: str, any_touch: bool = False, conversion_id: str = ""
    ) -> CampaignReport:
        """What came of one campaign. `any_touch`: every message before a conversion brought it, not
        the last alone. `conversion_id`: what counts as one; empty: orders. Raises
        `CampaignNotFound`."""
        fold_time = self.fold_time()
        found = await self._store.campaign(campaign_id, conversion_id)
        if found is None:
            raise CampaignNotFound(
                "no event of this campaign was seen; look at the id, or wait until it is planned",
                campaign_id=campaign_id,
            )
        state, lines = found
        if any_touch:
            lines = [_by_any_touch(line) for line in lines]
        abandoned = state.state in ABANDONED_STATES
        variants = [
            VariantFigures(key[0], key[1], counted)
            for key, counted in sorted(tallies(lines, abandoned).items())
        ]
        total = VariantFigures("", "", tally(lines, abandoned))
        return CampaignReport(state, total, variants, fold_time)

    async def lines_of(
        self, states: Sequence[CampaignState]
    ) -> tuple[list[CampaignLine], datetime]:
        """What came of campaigns, in their order, and how fresh that is."""
        fold_time = self.fold_time()
        ids = tuple(state.campaign_id for state in states)
        where = Where(filters=(("campaign_id", ids, False),))
        return _lines(states, await self._store.lines(where, ["campaign_id"])), fold_time

    async def funnel(
        self, where: Where, steps: Sequence[str], conversion_id: str = ""
    ) -> tuple[list[int], datetime]:
        """Distinct contacts who came through each step and all before it. `conversion_id`: what
        counts as a conversion; empty: orders."""
        fold_time = self.fold_time()
        return await self._store.steps(where, steps, conversion_id), fold_time

    async def live(self, since: timedelta) -> Live:
        """What happened lately, what came of today's messages, how many contacts there are."""
        fold_time, now = self.fold_time(), self._clock.now()
        return Live(
            await self._store.activity(now - since),
            tally(await self._store.lines(Where(period=day_of(now, self.zone)), [])),
            await self._store.base(),
            fold_time,
        )

    async def segments(self, since: timedelta) -> tuple[list[SegmentState], datetime]:
        """Every segment with its members now, and who came and went lately."""
        fold_time = self.fold_time()
        return await self._store.segments(self._clock.now() - since), fold_time


def _by_any_touch(line: Line) -> Line:
    counts = line.counts
    return line._replace(
        counts=counts._replace(
            converted=counts.touched,
            conversions=counts.touches,
            revenue_micros=counts.touched_revenue_micros,
        )
    )


def _lines(states: Sequence[CampaignState], lines: Iterable[Line]) -> list[CampaignLine]:
    by_campaign: dict[str, list[Line]] = {}
    for line in lines:
        by_campaign.setdefault(line.key[0], []).append(line)
    return [
        CampaignLine(
            state,
            tally(by_campaign.get(state.campaign_id, []), state.state in ABANDONED_STATES),
        )
        for state in states
    ]
