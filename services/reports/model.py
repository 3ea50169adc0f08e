"""Facts: what is known of a message, an order, a membership, a campaign. Pure.

Every event is a small fact. Facts of the same thing are merged, and merging is commutative,
associative and idempotent: whatever comes late, twice or in another order leads to the same fact.
Times are milliseconds since 1970 UTC.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeVar, get_args
from zoneinfo import ZoneInfo

import msgspec

from chassis.failures import Invalid, NotFound

Step = Literal[
    "planned",
    "held",
    "suppressed",
    "held_out",
    "sent",
    "delivered",
    "read",
    "clicked",
    "replied",
    "failed",
    "unknown",
]
STEPS: Final[tuple[Step, ...]] = get_args(Step)
CAMPAIGN_STATES: Final = ("planning", "running", "paused", "completed", "cancelled", "stopped")
ENDED_STATES: Final = ("completed", "cancelled", "stopped")
ABANDONED_STATES: Final = ("cancelled", "stopped")

_REACHED: Final[tuple[Step, ...]] = ("delivered", "read", "clicked", "replied")
_COUNTED: Final[tuple[tuple[Step, ...], ...]] = (
    ("sent", *_REACHED),
    ("planned",),
    ("held", "suppressed", "held_out", "failed", "unknown"),
)

C = TypeVar("C", int, tuple[int, str], tuple[int, int], tuple[int, int, str], tuple[int, str, bool])


class QueryTooLarge(Invalid):
    """The answer would be too large."""


class CampaignNotFound(NotFound):
    """No event of this campaign was seen."""


class MessageFact(msgspec.Struct):
    """What is known of one message."""

    message_id: str
    contact_id: str = ""
    campaign_id: str = ""
    occurrence_id: str = ""
    template: str = ""
    language: str = ""
    variant: str = ""
    phone_number_id: str = ""
    market: str = ""
    times: dict[Step, int] = {}
    """The earliest moment of each thing that happened to it."""
    gate: tuple[int, str] | None = None
    """When it was first suppressed, and by which gate."""
    failure: tuple[int, int] | None = None
    """When it first failed, and Meta's code."""
    category: tuple[int, str] | None = None
    """When the category was last said, and what it was."""
    cost: tuple[int, int, str] | None = None
    """How sure it is (3 and 4: Meta's own pricing), micros, currency."""
    pricing: tuple[int, str, bool] | None = None
    """How late it was said, Meta's `pricing.type`, whether it bills the message."""
    device: tuple[int, str] | None = None
    """When it was last clicked, and on what."""
    propensity: float = 0.0
    control: str = ""
    """Of those held out: `hold_out` or `global_control`."""
    goals: "tuple[tuple[str, tuple[Sale, ...]], ...]" = ()
    """What it brought besides orders, by definition of success; told by other events."""

    @property
    def reached_time(self) -> int | None:
        """When it reached the person, by status or as reads, clicks and answers imply."""
        return self._first(_REACHED)

    @property
    def counted_time(self) -> int | None:
        """When it counts: when it was sent, or planned if it never was."""
        for steps in _COUNTED:
            if (time := self._first(steps)) is not None:
                return time
        return None

    def _first(self, steps: tuple[Step, ...]) -> int | None:
        times = self.times
        found = [times[step] for step in steps if step in times]
        return min(found) if found else None

    def merge(self, other: "MessageFact") -> None:
        """Learn what `other` knows of the same message."""
        self.contact_id = max(self.contact_id, other.contact_id)
        self.campaign_id = max(self.campaign_id, other.campaign_id)
        self.occurrence_id = max(self.occurrence_id, other.occurrence_id)
        self.template = max(self.template, other.template)
        self.language = max(self.language, other.language)
        self.variant = max(self.variant, other.variant)
        self.phone_number_id = max(self.phone_number_id, other.phone_number_id)
        self.market = max(self.market, other.market)
        for step, time in other.times.items():
            self.times[step] = min(time, self.times.get(step, time))
        self.gate = _least(self.gate, other.gate)
        self.failure = _least(self.failure, other.failure)
        self.category = _greatest(self.category, other.category)
        self.cost = _greatest(self.cost, other.cost)
        self.pricing = _greatest(self.pricing, other.pricing)
        self.device = _greatest(self.device, other.device)
        self.propensity = max(self.propensity, other.propensity)
        self.control = max(self.control, other.control)


class Sale(NamedTuple):
    """Orders in one currency after a message, within the window of attribution."""

    currency: str
    conversions: int
    """Of which it was the last message before."""
    revenue_micros: int
    touches: int
    """Of which it was one of the messages before."""
    touched_revenue_micros: int


ORDERS: Final = "order_completed"
"""The definition of success that is built in: what figures count where no other is asked for."""
Anchor = Literal["delivered", "read", "clicked"]


class Goal(NamedTuple):
    """How what a definition counts is attributed."""

    window_ms: int
    anchor: Anchor = "delivered"
    """What the person has to have done with a message, and when the window begins."""


class Context(NamedTuple):
    """Where a message came from, who its contact was when it counts, and what came of it, by other
    events."""

    trigger_id: str = ""
    journey_id: str = ""
    journey_step: str = ""
    stage: str = ""
    zone: str = ""
    device: str = ""
    segments: tuple[str, ...] = ()
    opted_out: bool = False
    """Consent to marketing was withdrawn within 24 h of delivery."""
    sales: tuple[Sale, ...] = ()


class Trait(NamedTuple):
    """Something said of a contact that holds until something else is said."""

    contact_id: str
    name: str
    """`stage`, `zone`, `device`, or `segment:<id>`; `created` and `consent`, which say nothing of
    messages."""
    time: int
    value: str
    """Of a segment `1` or nothing."""


class Origin(NamedTuple):
    """What starts a message: a trigger that fired, or a step of a journey."""

    occurrence_id: str
    contact_id: str
    time: int
    trigger_id: str
    journey_id: str
    journey_step: str
    cause_event_id: str = ""
    """The event that made the trigger fire; empty when time did."""


class Letter(NamedTuple):
    """A message that is none of those we sent: of the person, or of the business by other means."""

    contact_id: str
    letter_id: str
    time: int
    phone_number_id: str
    ours: bool


class Arrival(NamedTuple):
    """A person came by a click-to-WhatsApp ad."""

    contact_id: str
    letter_id: str
    time: int
    ad_id: str
    phone_number_id: str
    headline: str
    """Of the ad."""


class CampaignFact(msgspec.Struct):
    """What was last said of a campaign."""

    campaign_id: str
    latest: tuple[int, int, str, str, int]
    """Time, rank of the state, state, name, recipients of the audience."""
    launch: int | None = None
    """When it first ran."""

    def merge(self, other: "CampaignFact") -> None:
        """Learn what `other` knows of the same campaign."""
        self.latest = max(self.latest, other.latest)
        self.launch = _least(self.launch, other.launch)


class OrderFact(msgspec.Struct):
    """An order of a contact; a cancellation alone is one that was never completed here."""

    contact_id: str
    order_id: str
    completed: int | None = None
    value: tuple[int, int, str] | None = None
    """When it was last said, micros, currency."""
    cancelled: int | None = None

    def merge(self, other: "OrderFact") -> None:
        """Learn what `other` knows of the same order."""
        self.completed = _least(self.completed, other.completed)
        self.value = _greatest(self.value, other.value)
        self.cancelled = _least(self.cancelled, other.cancelled)


class Membership(msgspec.Struct):
    """Whether a contact belongs to a segment, by what was last said."""

    segment_id: str
    contact_id: str
    change: tuple[int, int, bool]
    """Time, version of the rule, member."""

    def merge(self, other: "Membership") -> None:
        """Learn what `other` knows of the same contact and segment."""
        self.change = max(self.change, other.change)


class SegmentFact(msgspec.Struct):
    """What was last said of a segment."""

    segment_id: str
    latest: tuple[int, int, str, str, str]
    """Time, version of the rule, state, name, display name."""

    def merge(self, other: "SegmentFact") -> None:
        """Learn what `other` knows of the same segment."""
        self.latest = max(self.latest, other.latest)


class Withdrawal(msgspec.Struct, frozen=True):
    """A contact withdrew the consent to marketing."""

    contact_id: str
    time: int


class Kinship(msgspec.Struct, frozen=True):
    """Contacts turned out to be one person, or one of them to be none of another's."""

    person_id: str
    """The one that stands for them now."""
    contact_ids: tuple[str, ...]
    change: tuple[int, bool]
    """When that was found out, and whether it was a merge: of the same moment merges are last."""
    parted_from: str = ""
    """Of whom they turned out to be no part."""


Fact = MessageFact | CampaignFact | OrderFact | Membership | SegmentFact | Withdrawal | Kinship
Kind = Literal["message", "contact", "signal", "tracked", "foreign"]
"""What an event counts as: `tracked` are the business's own, `foreign` is about messages of other
senders on the same number."""


class Said(msgspec.Struct):
    """One event: what it counts as, and the fact it tells, where it tells one."""

    event_id: str
    kind: Kind
    name: str
    time: int
    fact: Fact | None = None
    traits: tuple[Trait, ...] = ()
    origin: Origin | None = None
    letter: Letter | None = None
    conversions: Sequence[tuple[str, OrderFact]] = ()
    """What it counts as besides, by the definitions of success."""
    arrival: Arrival | None = None


class Period(NamedTuple):
    """A stretch of time, the end excluded, with the zone in which its days are told."""

    start: datetime
    end: datetime
    zone: str

    def days(self) -> tuple[datetime, datetime]:
        """From when until when it is whole days of its zone; both its end where there is none."""
        zone = ZoneInfo(self.zone)
        first, last = (_midnight(moment, zone) for moment in (self.start, self.end))
        if first < self.start:
            first = _midnight(first + timedelta(hours=36), zone)
        return (first, last) if first < last else (self.end, self.end)

    def before(self) -> "Period":
        """The stretch of the same length before."""
        return Period(self.start - (self.end - self.start), self.start, self.zone)


class Activity(NamedTuple):
    """How often something happened in one minute."""

    kind: Kind
    name: str
    minute: datetime
    events: int


class Progress(NamedTuple):
    """How far a message came: what happened to it, so far as is known."""

    sent: bool = False
    reached: bool = False
    """Delivered by status, or seen, tapped or answered, which implies it."""
    read: bool = False
    clicked: bool = False
    replied: bool = False
    failed: bool = False
    unknown: bool = False
    suppressed: bool = False
    held_out: bool = False

    @property
    def bits(self) -> int:
        """As one number, the first of them the lowest bit."""
        return sum(so << place for place, so in enumerate(self))

    @classmethod
    def of(cls, bits: int) -> "Progress":
        """What a number tells."""
        return cls(*(bool(bits >> place & 1) for place in range(len(cls._fields))))


READ, REACHED, SENT, CLICKED, REPLIED = (
    1 << Progress._fields.index(name) for name in ("read", "reached", "sent", "clicked", "replied")
)
"""Bits of `Progress.bits`, as the facts store them."""


class Counts(NamedTuple):
    """What messages add up to. All count messages but for conversions, touches and money."""

    planned: int
    """Intended: every other count of messages is part of this."""
    sent: int
    """Accepted by Meta, whatever became of them, or known to have reached somebody."""
    delivered: int
    """That reached the person: by status, or implied by a read, answer or tap."""
    read: int
    replied: int
    clicked: int
    opted_out: int
    """After which consent to marketing was withdrawn within 24 h of delivery."""
    blocked: int
    """Refused because the person stopped the business's marketing (131050)."""
    failed: int
    withheld: int
    """Failed because Meta sends nobody too many (131049) or tries something (130472)."""
    suppressed: int
    held_out: int
    unknown: int
    pending: int
    decided: int
    """On which Meta decided: accepted or refused."""
    billable: int
    unpriced: int
    """Sent, of which Meta has not yet told its pricing."""
    cost_micros: int
    """Of what was sent and did not fail."""
    converted: int
    """That brought an order, by last touch."""
    conversions: int
    revenue_micros: int
    touched: int
    """That touched an order."""
    touches: int
    touched_revenue_micros: int


class Line(NamedTuple):
    """Messages of the same key, and what they add up to; of different gates, codes and currencies
    there are different lines."""

    key: tuple[str, ...]
    gate: str
    error_code: str
    currency: str
    counts: Counts


class CampaignState(NamedTuple):
    """A campaign as its events tell it; empty where no event told."""

    campaign_id: str
    name: str = ""
    state: str = ""
    audience: int = 0
    change_time: datetime | None = None
    launch_time: datetime | None = None


OF_PEOPLE: Final = frozenset({"created", "consent"})
"""Traits by which people are counted, not messages."""


class SegmentState(NamedTuple):
    """A segment's members now, and who came and went."""

    segment_id: str
    members: int
    entered: int
    left: int
    name: str = ""
    """What people call it; empty where no event told."""


def _midnight(moment: datetime, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return local.astimezone(UTC)


def day_of(now: datetime, zone: str) -> Period:
    """Today, in a zone: from midnight until `now`."""
    midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(midnight, now + timedelta(microseconds=1), zone)


def _least(a: C | None, b: C | None) -> C | None:
    return b if a is None else a if b is None else min(a, b)


def _greatest(a: C | None, b: C | None) -> C | None:
    return b if a is None else a if b is None else max(a, b)
