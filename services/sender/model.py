"""What the sender knows: messages, templates, numbers, contacts, campaigns; its failures.

Times are ints, milliseconds since 1970 UTC; 0 is never.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct

from chassis.failures import AlreadyExists, Busy, Invalid, NotFound, Refused, Unavailable
from expressions import ExpressionError

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
    TRANSACTIONAL = 1
    BULK = 2


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
    home_id: str = ""
    """Whom it was meant for, where that contact is part of another's person now."""


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
    language: str = ""
    zone: str = "UTC"
    attributes: Mapping[str, Any] = {}
    """Attributes and, as `traits.<name>`, traits."""
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


class Binding(Struct, frozen=True):
    """Where the value of a variable comes from."""

    variable: str
    expression: str
    missing: str
    """`fallback`, `skip` or `fail`."""
    fallbacks: Mapping[str, str] = {}
    """By language, `*` for any other."""


class Variant(Struct, frozen=True):
    """One of the ways in which a campaign says what it says."""

    name: str
    template: str
    weight: float
    bindings: Sequence[Binding] = ()
    fallback_languages: Sequence[str] = ()


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


class Standing(Struct):
    """A campaign as it is stored: its definition and where it stands."""

    campaign_id: str
    name: str
    state: int
    state_reason: str
    version: int
    definition: bytes
    planned: bool
    plan_cursor: str
    recipients: int
    unresolved: int
    create_time: int
    update_time: int
    start_time: int
    launch_time: int
    end_time: int


class Occurrence(Struct, frozen=True):
    """A trigger that fired for a contact and names a campaign."""

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


class AccountChange(Struct, frozen=True):
    """What Meta said of a template or number. `time` decides: what is older changes nothing."""

    event_id: str
    time: int
    waba_id: str
    template_id: str = ""
    state: str = ""
    state_reason: str = ""
    state_detail: str = ""
    category: str = ""
    category_time: int = 0
    """When the new category begins to hold; 0: it holds."""
    display_phone_number: str = ""
    messaging_limit: str = ""


class ContentInvalid(Invalid):
    """The content breaks a rule of Meta's."""


class ParametersInvalid(Invalid):
    """The parameters do not fit the template."""


class ExpressionInvalid(Invalid):
    """An expression does not parse or check."""

    def __init__(self, field: str, error: ExpressionError) -> None:
        super().__init__(f"{field}: {error}", field=field, **error.facts)


class MessageNotFound(NotFound):
    """No such message."""


class CampaignNotFound(NotFound):
    """No such campaign."""


class TemplateNotFound(NotFound):
    """No such template."""


class NumberNotFound(NotFound):
    """No such business number."""


class ContactNotFound(NotFound):
    """Profile knows no such contact."""


class ContactErased(Refused):
    """The person was erased."""


class CampaignState(Refused):
    """The campaign's state does not allow it."""


class TemplateState(Refused):
    """The template cannot be sent as it stands."""


class NumberUnusable(Refused):
    """No business number can send this."""


class PlatformRefused(Refused):
    """Meta refused."""


class TemplateExists(AlreadyExists):
    """Meta has a template of this name and language."""


class NumberExists(AlreadyExists):
    """The number is registered with other settings."""


class PlatformBusy(Busy):
    """Meta's limit on management calls."""


class PlatformUnavailable(Unavailable):
    """Meta did not answer."""


class SegmentNotFound(NotFound):
    """Segment knows no such segment."""


class ServiceUnavailable(Unavailable):
    """Another service did not answer."""
