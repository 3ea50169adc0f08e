"""Facts: what is known of a message, an order, a membership, a campaign. Pure.

Every event is a small fact. Facts of the same thing are merged, and merging is commutative,
associative and idempotent: whatever comes late, twice or in another order leads to the same fact.
Times are milliseconds since 1970 UTC.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeVar, get_args
from zoneinfo import ZoneInfo

import msgspec

from chassis.failures import Invalid, NotFound

Step = Literal[
    "planned",
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

C = TypeVar("C", int, tuple[int, str], tuple[int, int], tuple[int, int, str])


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


class Period(NamedTuple):
    """A stretch of time, the end excluded, with the zone in which its days are told."""

    start: datetime
    end: datetime
    zone: str

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


class Group(NamedTuple):
    """Messages of the same key that came equally far, for the same reasons."""

    key: tuple[str, ...]
    progress: Progress
    gate: str
    code: int
    currency: str
    cost_micros: int
    priced: int
    """How many of them have Meta's own pricing."""
    messages: int


class Sales(NamedTuple):
    """Orders attributed to the messages of one key."""

    key: tuple[str, ...]
    converted: int
    """Messages that brought an order."""
    orders: int
    revenues: Mapping[str, int]
    """Micros by currency."""


class CampaignState(NamedTuple):
    """A campaign as its events tell it; empty where no event told."""

    campaign_id: str
    name: str = ""
    state: str = ""
    audience: int = 0
    change_time: datetime | None = None
    launch_time: datetime | None = None


class SegmentState(NamedTuple):
    """A segment's members now, and who came and went."""

    segment_id: str
    members: int
    entered: int
    left: int
    name: str = ""
    """What people call it; empty where no event told."""


def day_of(now: datetime, zone: str) -> Period:
    """Today, in a zone: from midnight until `now`."""
    midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(midnight, now + timedelta(microseconds=1), zone)


def _least(a: C | None, b: C | None) -> C | None:
    return b if a is None else a if b is None else min(a, b)


def _greatest(a: C | None, b: C | None) -> C | None:
    return b if a is None else a if b is None else max(a, b)
