"""What the gates look at, and what each of them says. Pure."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from services.sender.model import Address, Contact, Message, Number, Template
from services.sender.rules.caps import Counted
from services.sender.rules.policy import SERVICE, Policy, QuietHours, zone_of
from services.sender.rules.rates import Tariff

_UTC = ZoneInfo("UTC")


class Verdict(StrEnum):
    """What one gate says."""

    PASS = "pass"  # noqa: S105 - no password
    WAIT = "wait"
    REFUSE = "refuse"
    SKIPPED = "skipped"


class GateVerdict(Struct, array_like=True):
    """What one gate says of one message, and why; `sentences` puts it in words. Stored with every
    message: without the names of its fields."""

    gate: str
    verdict: Verdict
    reason: str = ""
    values: dict[str, Any] = {}
    next_time: int = 0
    """With WAIT: when it would pass if nothing else changes; NEVER when nobody can say."""
    look_time: int = 0
    """With a `next_time` of NEVER: when to look again all the same; 0: only when told."""


class Budget(Struct):
    """What a campaign may still spend; the messages of one claim share it."""

    micros: int
    currency: str


class Candidate(Struct):
    """A due message with all that the gates ask about, but for the person."""

    message: Message
    phase: int | None = None
    """Of the message's campaign; None without one."""
    ignores_control: bool = False
    not_after: int = 0
    """Of the campaign; 0: never too late."""
    template: Template | None = None
    number: Number | None = None
    window_time: int = 0
    """When the person last wrote to the number the message goes from."""
    saturation_time: int = 0
    """When Meta last withheld a marketing message to this person (131049)."""
    opted_out_time: int = 0
    """When Meta last said that the person stopped offers (131050)."""
    unreachable_time: int = 0
    """When Meta last said that nothing can be delivered to the person (131026)."""
    policy: Policy = field(default_factory=Policy)
    counted: list[Counted] = field(default_factory=list)
    """What the contact was sent, as far back as any cap looks; the contact's messages share it."""
    budget: Budget | None = None
    tariff: Tariff = field(default_factory=Tariff)
    edition: int = 0
    """Of the rulebook that the policy and the tariff are from."""


class Asked:
    """A question to the gates: may this message go to this person at this moment? What most gates
    look at is found out once."""

    __slots__ = (
        *("now", "contact", "of", "message", "not_after", "category", "purpose", "address"),
        *("market", "quiet_hours"),
    )

    def __init__(self, now: int, contact: Contact | None, of: Candidate) -> None:
        self.now = now
        self.contact = contact
        self.of = of
        self.message: Message = of.message
        """The message in question."""
        self.not_after: int = _earlier(of.message.not_after, of.not_after)
        """The last moment at which it may go; 0: never too late."""
        self.category: str = (
            of.template.category_at(now) if of.template else of.message.category or SERVICE
        )
        """What the message counts as for Meta, now."""
        self.purpose: str = of.message.purpose or self.category
        """What consent, caps and quiet hours count it as."""
        self.address: Address | None = (
            address_of(contact, of.message.phone_number_id) if contact else None
        )
        """Where it would go."""
        self.market: str = self.address.market if self.address else ""
        """The country of the person's number."""
        self.quiet_hours: Sequence[QuietHours] = (
            ()
            if of.message.trial
            else [one for one in of.policy.quiet_hours if one.covers(self.purpose, self.market)]
        )
        """Those that the message keeps."""

    @property
    def zone(self) -> ZoneInfo:
        """The contact's own, or the policy's for whom nobody knows one."""
        told = self.contact.zone if self.contact else ""
        return zone_of(told) or zone_of(self.of.policy.default_zone) or _UTC


def _earlier(one: int, other: int) -> int:
    """The earlier of two moments, of which 0 is none."""
    return min(one, other) if one and other else one or other


def address_of(contact: Contact, phone_number_id: str) -> Address | None:
    """Where a message from this number goes: the account that wrote to it last, else the best."""
    reachable = [a for a in contact.addresses if a.wa_id or a.bsuid]
    if len(reachable) == 1:
        return reachable[0]
    wrote = [a for a in reachable if a.phone_number_id == phone_number_id]
    if wrote:
        return max(wrote, key=lambda address: address.last_message_time)
    return reachable[0] if reachable else None


def person_ids(contact: Contact) -> Iterator[str]:
    """Every id under which a person is known."""
    yield contact.contact_id
    yield from contact.absorbed
