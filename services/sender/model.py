"""What the sender knows: messages, templates, numbers, contacts, campaigns.

Times are ints, milliseconds since 1970 UTC; 0 is never.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct

from expressions import Timeline
from services.sender.formats import Format

DAY_MS: Final = 86_400_000
NEVER: Final = 1 << 62
"""A due time that does not come by itself: somebody has to change it."""
UNCONFIRMED: Final = "unconfirmed"
"""Why a message failed whose call ended unclear and of which no status came in time."""


class State(IntEnum):
    """Where a message stands; the numbers are those of the contract's `Message.State`."""

    PLANNED = 1
    HELD = 2
    ATTEMPTING = 3
    UNKNOWN = 4
    SENT = 5
    DELIVERED = 6
    READ = 7
    PLAYED = 8
    FAILED = 9
    SUPPRESSED = 10
    HELD_OUT = 11
    CANCELLED = 12


class Lane(IntEnum):
    """Which messages go first when a limiter makes them wait."""

    REPLY = 0
    """Answers to people, and authentication."""
    TRANSACTIONAL = 1
    BULK = 2


def lane_of(category: str) -> Lane:
    """Where templates of a category stand."""
    lanes = {"authentication": Lane.REPLY, "marketing": Lane.BULK}
    return lanes.get(category, Lane.TRANSACTIONAL)


class Circuit(IntEnum):
    """The circuit breaker of a number; the numbers are those of the contract's
    `BusinessNumber.Circuit`."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


class CampaignPhase(IntEnum):
    """Where a campaign stands; the numbers are those of the contract's `Campaign.State`."""

    DRAFT = 1
    SCHEDULED = 2
    PLANNING = 3
    RUNNING = 4
    PAUSED = 5
    COMPLETED = 6
    CANCELLED = 7
    STOPPED = 8


class Message(Struct):
    """One outbound message. The fields up to `traceparent` are frozen when it is planned."""

    message_id: str
    contact_id: str
    """The person it is for."""
    campaign_id: str
    occurrence_id: str
    phone_number_id: str
    template: str
    """Name of the template; empty for free-form content."""
    language: str
    variant: str
    propensity: float
    purpose: str
    """What consent counts it as; empty: the template's effective category."""
    context_wamid: str
    body: bytes
    """Meta's message object (`type` and what belongs to it) as JSON, without the recipient."""
    lane: int
    not_after: int
    plan_time: int
    received_time: int
    traceparent: str
    category: str
    market: str = ""
    state: int = State.PLANNED
    gate: str = ""
    reason: str = ""
    error_code: int = 0
    wamid: str = ""
    attempts: int = 0
    due_time: int = 0
    attempt_time: int = 0
    sent_time: int = 0
    delivered_time: int = 0
    read_time: int = 0
    played_time: int = 0
    failed_time: int = 0
    clicked_time: int = 0
    replied_time: int = 0
    implied: int = 0
    """Bits of `progress.Kind`: which of the times above were not told but follow from others."""
    pricing: bytes = b""
    """Meta's pricing object as the event contract's bytes; empty until it came."""
    cost_micros: int = 0
    """By the rate card, in millionths of `currency`: what it would cost until Meta says how it
    charges, 0 when it failed."""
    currency: str = ""
    """ISO 4217; empty without a rate card."""
    home_id: str = ""
    """Whom it was meant for, where that contact is part of another's person now."""
    claim: int = 0
    """Names whoever took it last: nobody else writes what came of the call."""
    trial: bool = False
    """A test send: caps and quiet hours do not hold for it, and nothing counts it."""


def single(contact_id: str, phone_number_id: str, body: bytes, now: int) -> Message:
    """A message to one person that no campaign and no occurrence asks for: our own words, planned
    for now, in the lane of replies. It has no id yet."""
    return Message(
        message_id="",
        contact_id=contact_id,
        campaign_id="",
        occurrence_id="",
        phone_number_id=phone_number_id,
        template="",
        language="",
        variant="",
        propensity=1.0,
        purpose="",
        context_wamid="",
        body=body,
        lane=Lane.REPLY,
        not_after=0,
        plan_time=now,
        received_time=now,
        traceparent="",
        category="service",
        due_time=now,
    )


class Happening(Struct):
    """Something that became of a message, to be published."""

    what: str
    """Name of the event's body in the contract: `message_sent`, `message_failed`, …"""
    message: Message
    time: int
    implied: bool = False
    kind: str = ""
    """Of a failure its class, of a click its kind, of a reply how it was matched."""
    target: str = ""
    """Of a click the payload or link, of a reply its wamid."""
    traceparent: str = ""
    received_time: int = 0
    """Of the event that told it; 0: the message's own."""


class Address(Struct, frozen=True):
    """One WhatsApp account of a person: digits of E.164, or Meta's user id."""

    wa_id: str = ""
    bsuid: str = ""
    market: str = ""
    phone_number_id: str = ""
    last_message_time: int = 0


class Contact(Struct, frozen=True):
    """A person as profile tells it."""

    contact_id: str
    restricted: bool = False
    addresses: Sequence[Address] = ()
    consents: Mapping[str, str] = {}
    """By purpose: `granted`, `withdrawn`, `expired` or `none`."""
    consent_times: Mapping[str, int] = {}
    """By purpose, when it was said."""
    language: str = ""
    zone: str = ""
    """IANA name; empty when nobody knows."""
    attributes: Mapping[str, Any] = {}
    """Attributes and, as `traits.<name>`, traits."""
    timelines: Mapping[str, Timeline] = {}
    """What they did, by the name of the event; only what was asked for."""
    segments: Collection[str] = frozenset()
    """Names of segments they are in, of those that were asked for."""
    absorbed: Sequence[str] = ()
    """Other ids of the person, under which messages may have been planned."""


class Kinship(Struct, frozen=True):
    """Contacts turned out to be one person, or not to be."""

    event_id: str
    contact_id: str
    """The one that stands for the others now."""
    member_ids: Sequence[str]
    """The others; of a contact that was parted, with its own id."""
    time: int
    """When that was found out (ms)."""
    merged: bool
    from_id: str = ""
    """The person that a contact was parted from."""
    traceparent: str = ""


class Departure(Struct, frozen=True):
    """A person was erased."""

    contact_id: str
    traceparent: str = ""


class Relief(Struct, frozen=True):
    """No complaint of a person is open any more."""

    contact_id: str
    time: int
    traceparent: str = ""


class Understood(Struct, frozen=True):
    """A keyword that changed what a person agrees to, and of which they are to hear."""

    event_id: str
    contact_id: str
    granted: bool
    phone_number_id: str
    """Our number that they wrote to."""
    time: int
    received_time: int
    traceparent: str = ""


class Template(Struct):
    """One template in one language."""

    template_id: str
    waba_id: str
    name: str
    language: str
    category: str
    effective_category: str
    announced_category: str
    announced_time: int
    state: str
    state_reason: str
    state_detail: str
    named: bool
    components: bytes
    """Meta's `components` array as JSON."""
    create_time: int
    update_time: int
    components_time: int = 0
    """Since when they are as they are, as far as anybody knows."""
    quality: str = ""
    """`GREEN`, `YELLOW`, `RED` or `UNKNOWN`; empty: Meta did not say."""
    quality_time: int = 0
    ttl_s: int = 0
    """How long Meta tries to deliver (s); 0: as long as Meta does by itself."""
    sub_category: str = ""
    link_tracking_disabled: bool = False
    library_name: str = ""
    """Of the template of Meta's library that it was made from."""
    opt_outs: Sequence[str] = ()
    """Quick replies that end marketing, as bindings name them: `button.1`, `card.0.button.1`."""
    sync_time: int = 0
    """When Meta was last asked about it."""
    version: int = 1

    def category_at(self, now: int) -> str:
        """What Meta says it is at a moment, lower case."""
        announced = self.announced_category and self.announced_time <= now
        return (self.announced_category if announced else self.effective_category).lower()


class Number(Struct):
    """A business number."""

    phone_number_id: str
    waba_id: str
    portfolio_id: str
    display_phone_number: str
    verified_name: str
    throughput_level: str
    throughput: float
    """Messages a second that the sender keeps to."""
    messaging_limit: str
    quality_rating: str
    paused: bool
    state_reason: str
    create_time: int
    update_time: int
    sync_time: int
    """When Meta was last asked about it."""
    country_code: str = ""
    credential_name: str = "default"
    """Names the access token that its calls carry."""
    throughput_limit: float = 0
    """What `throughput` is not to exceed; 0: what Meta's level allows."""
    reply_share: float | None = None
    """Share of the limit kept for replies; None: the policy's."""
    marketing_endpoint: bool = False
    """Marketing templates go through the marketing messages endpoint."""
    health: str = ""
    """`AVAILABLE`, `LIMITED` or `BLOCKED`, as Meta's health check says."""
    restriction: str = ""
    """What Meta lets it send no more: `business_initiated`, `all`, or empty."""
    restricted_until: int = 0
    """When that ends; NEVER by itself."""
    restriction_reason: str = ""
    version: int = 1

    def restricted(self, now: int) -> str:
        """What Meta lets it send no more at a moment."""
        return self.restriction if now < self.restricted_until else ""

    def sends(self, now: int) -> bool:
        """Whether nothing is known at a moment for which it would have to wait."""
        return not self.paused and not self.restricted(now) and self.quality_rating != "RED"

    @property
    def portfolio(self) -> str:
        """Whose messaging limit it shares; its account where nobody knows the portfolio."""
        return self.portfolio_id or self.waba_id

    @property
    def daily_limit(self) -> int | None:
        """People who may be reached outside a window in 24 h; None without limit, or unknown.

        Meta spells it `TIER_250`, `TIER_10K`, `TIER_UNLIMITED`, or as a number, of which -1 is no
        limit.
        """
        found = re.fullmatch(r"(?:TIER_)?(\d+)(K?)", self.messaging_limit)
        return int(found[1]) * (1_000 if found[2] else 1) if found else None


class Binding(Struct, frozen=True):
    """Where the value of a variable comes from."""

    variable: str
    expression: str
    missing: str
    """`fallback`, `skip` or `fail`."""
    fallbacks: Mapping[str, str] = {}
    """By language, `*` for any other."""
    format: Format | None = None


class Variant(Struct, frozen=True):
    """One of the ways in which a campaign says what it says."""

    name: str
    template: str
    weight: float
    bindings: Sequence[Binding] = ()
    fallback_languages: Sequence[str] = ()


class AudienceFile(Struct, frozen=True):
    """A file that names the people of a campaign."""

    file_id: str
    identity_scope: str = ""
    """Of identities that are somebody's only there."""
    country_code: str = ""
    """Of phone numbers that are written without one; empty refuses them."""


class Campaign(Struct):
    """A campaign as planning and the gates need it."""

    campaign_id: str
    name: str
    phase: int
    waba_id: str
    purpose: str
    not_after: int
    not_after_duration: int
    hold_out_share: float
    variants: Sequence[Variant]
    phone_number_ids: Sequence[str]
    segment_id: str = ""
    people: Sequence[bytes] = ()
    """People named one by one, each as the bytes of a `merhaba.profile.v1.ContactRef`."""
    triggered: bool = False
    trigger_ids: Sequence[str] = ()
    plan_cursor: str = ""
    planner: str = ""
    """Whoever plans it now."""
    journey_ids: Sequence[str] = ()
    """With the triggers: only these bring people to it; anything does when none are named."""
    version: int = 0
    """Grows with every change, of its definition and of where it stands."""
    segment_version: int = 0
    """The only one that is meant; 0: whichever is in force."""
    file: AudienceFile | None = None
    filter: str = ""
    """An expression: only those for whom it is true; empty for all."""
    start_time: int = 0
    best_time_ms: int = 0
    """Each contact's best time within so long of the start; 0: at once."""
    ignores_control: bool = False
    ignores_marketing_endpoint: bool = False
    budget_micros: int = 0
    budget_currency: str = ""
    """Empty without a budget."""


class Standing(Struct):
    """A campaign as it is stored: its definition and where it stands."""

    campaign_id: str
    name: str
    state: int
    state_reason: str
    version: int
    definition: bytes
    planned: bool
    """Whether its whole audience has been turned into messages."""
    recipients: int
    """How many they were then."""
    create_time: int
    update_time: int
    start_time: int
    launch_time: int
    end_time: int
    best_time_ms: int = 0
    create_digest: str = ""
    """Of what it was created with."""
    launch_request: str = ""
    """Names the call that launched it."""


class Occurrence(Struct, frozen=True):
    """A trigger that fired for a contact, or a step of a journey, that names a campaign."""

    event_id: str
    contact_id: str
    campaign_id: str
    occurrence_id: str
    trigger_id: str
    parameters: Mapping[str, Any]
    time: int
    not_after: int
    received_time: int
    traceparent: str
    journey_id: str = ""
    """Instead of the trigger."""


class AccountChange(Struct, frozen=True):
    """What Meta said of a template. `time` decides: what is older changes nothing."""

    event_id: str
    time: int
    waba_id: str
    template_id: str
    state: str = ""
    state_reason: str = ""
    state_detail: str = ""
    category: str = ""
    category_time: int = 0
    """When the new category begins to hold; 0: it holds."""
    quality: str = ""
    """`GREEN`, `YELLOW`, `RED` or `UNKNOWN`."""
    components: bool = False
    """Somebody edited it: Meta is to be asked how it is now."""
