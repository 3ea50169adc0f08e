"""Bodies of the control API."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from simulator.people.habits import Segment
from simulator.people.person import Behaviour, IdentityMode
from simulator.refusals import Refused
from simulator.rules import Rate
from simulator.templates.definition import Category, Status
from simulator.world.quality import Score

Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Digits = Annotated[str, Meta(pattern=r"^\d{1,32}$")]


class Webhook(Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    verify: bool = True
    """Whether the address must first pass Meta's GET verification."""


class PackingGiven(Struct, frozen=True, forbid_unknown_fields=True):
    most: Annotated[int, Meta(ge=1, le=1000)] = 20
    """Updates in one POST."""
    linger_ms: Annotated[float, Meta(ge=0, le=60_000)] = 5.0
    """Real milliseconds that the first waits for company."""


class NumberGiven(Struct, frozen=True, forbid_unknown_fields=True):
    phone_number_id: Digits
    waba_id: Digits
    display_phone_number: str
    throughput: Annotated[float, Meta(gt=0)] = 80.0


class NumberChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is not given stays."""

    throughput: Annotated[float, Meta(gt=0)] | None = None
    """Told as THROUGHPUT_UPGRADE if it is higher."""
    quality: Literal["GREEN", "YELLOW", "RED"] | None = None
    """Told as FLAGGED or UNFLAGGED when it becomes RED, or is RED no more."""
    refuse_code: int | None = None
    """Every send is refused with this code from now on; 0: no more."""


class PortfolioChange(Struct, frozen=True, forbid_unknown_fields=True):
    messaging_limit: Literal[0, 250, 2_000, 10_000, 100_000]
    """People reached outside a window in 24 hours; 0: no limit."""


class PersonGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """Behaviour overrides replace all earlier ones as soon as one is given; `silent` false alone
    brings back what the seed gave."""

    wa_id: str
    bsuid: str | None = None
    name: str | None = None
    identity_mode: IdentityMode | None = None
    locale: str | None = None
    segment: Segment | None = None
    reads: Rate | None = None
    replies: Rate | None = None
    clicks: Rate | None = None
    stops: Rate | None = None
    blocks: Rate | None = None
    answers: Rate | None = None
    fail_code: int | None = None
    silent: bool | None = None
    offline: bool | None = None
    on_whatsapp: bool | None = None

    def behaviour(self) -> Behaviour | None:
        """None if nothing of it was given."""
        given = {name: getattr(self, name) for name in Behaviour._fields}
        known = {name: value for name, value in given.items() if value is not None}
        return Behaviour(**known) if known else None


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """`message` is any inbound message as Meta shows it, {type, <type>, context?}."""

    phone_number_id: str
    text: Text | None = None
    message: dict[str, Any] | None = None
    wa_id: str | None = None
    """Who says it; only in the bulk call."""

    def as_message(self) -> dict[str, Any]:
        if (self.text is None) == (self.message is None):
            raise Refused(100, "exactly one of text and message is required")
        if self.message is None:
            return {"type": "text", "text": {"body": self.text}}
        if not isinstance(self.message.get("type"), str):
            raise Refused(100, "message.type is required")
        return self.message


class Preference(Struct, frozen=True, forbid_unknown_fields=True):
    phone_number_id: str
    value: Literal["stop", "resume"]


class Complaint(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody blocks a number, and reports it if `report`."""

    phone_number_id: str
    template_id: str | None = None
    """Whose message it is about."""
    report: bool = False


class TemplateGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """What Meta decides about a template: any of the three."""

    status: Status | None = None
    reason: str = "NONE"
    category: Category | None = None
    category_in_s: Annotated[float, Meta(ge=0)] = 0.0
    """Simulated seconds from the announcement of the new category to its holding; 0: it holds at
    once, unannounced."""
    quality: Score | None = None


class Notice(Struct, frozen=True, forbid_unknown_fields=True):
    """Any change as Meta would tell it, such as account_update."""

    waba_id: Digits
    field: Text
    value: dict[str, Any]


class Drain(Struct, frozen=True, forbid_unknown_fields=True):
    timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    hurry: bool = False
    """People do at once, in the same order, what they would have done later."""
