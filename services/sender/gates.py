"""The reasons why a message may not go now, asked in order. Pure."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from services.sender.model import (
    DAY_MS,
    NEVER,
    Address,
    CampaignPhase,
    Contact,
    Message,
    Template,
)

_TEMPLATE_RECHECK_MS: Final = 300_000
_MERGE_RECHECK_MS: Final = 1_000
_COMES_BACK: Final = frozenset({"PENDING", "PAUSED", "IN_APPEAL"})
_MARKETING: Final = "marketing"
_SERVICE: Final = "service"
_CAMPAIGN_SENDS: Final = frozenset({CampaignPhase.PLANNING, CampaignPhase.RUNNING})


class Verdict(StrEnum):
    """What one gate says."""

    PASS = "pass"  # noqa: S105 - no password
    WAIT = "wait"
    REFUSE = "refuse"
    SKIPPED = "skipped"


class GateVerdict(Struct):
    """What one gate says of one message, and why."""

    gate: str
    verdict: Verdict
    reason: str = ""
    explanation: str = ""
    values: dict[str, Any] = {}
    next_time: int = 0
    """With WAIT: when it would pass if nothing else changes; NEVER when somebody must act."""


class Asked(Struct):
    """Everything the gates look at."""

    now: int
    message: Message
    phase: int | None
    """Of the message's campaign; None without one."""
    template: Template | None
    contact: Contact | None
    window_time: int
    """When the person last wrote to the number the message goes from."""
    saturation_time: int
    """When Meta last withheld a marketing message to this person (131049)."""

    @property
    def category(self) -> str:
        """What the message counts as, now."""
        if self.template is None:
            return self.message.category or _SERVICE
        return self.template.category_at(self.now)

    @property
    def purpose(self) -> str:
        """What consent counts it as."""
        return self.message.purpose or self.category


def address_of(contact: Contact, phone_number_id: str) -> Address | None:
    """Where a message from this number goes: the account that wrote to it, else the best."""
    reachable = [a for a in contact.addresses if a.wa_id or a.bsuid]
    for address in reachable:
        if address.phone_number_id == phone_number_id:
            return address
    return reachable[0] if reachable else None


def _campaign(asked: Asked) -> GateVerdict:
    name = "campaign"
    if asked.phase is None:
        return GateVerdict(name, Verdict.SKIPPED)
    phase = CampaignPhase(asked.phase)
    values = {"campaign.state": phase.name.lower()}
    if phase in _CAMPAIGN_SENDS:
        return GateVerdict(name, Verdict.PASS, values=values)
    if phase == CampaignPhase.PAUSED:
        why = "The campaign is paused; resume it."
        return GateVerdict(name, Verdict.WAIT, "paused", why, values, NEVER)
    reason = "cancelled" if phase == CampaignPhase.CANCELLED else phase.name.lower()
    return GateVerdict(name, Verdict.REFUSE, reason, "The campaign does not send.", values)


def _template(asked: Asked) -> GateVerdict:
    name = "template"
    message, template = asked.message, asked.template
    if not message.template:
        return GateVerdict(name, Verdict.SKIPPED)
    if template is None:
        why = f"{message.template} is not known in {message.language}; sync the templates."
        return GateVerdict(name, Verdict.REFUSE, "template_unknown", why)
    values = {"template.state": template.state, "template.category": asked.category}
    if template.state == "APPROVED":
        return GateVerdict(name, Verdict.PASS, values=values)
    reason = f"template_{template.state.lower()}"
    if template.state in _COMES_BACK:
        next_time = asked.now + _TEMPLATE_RECHECK_MS
        why = "Meta does not let it be sent now; it may come back by itself."
        return GateVerdict(name, Verdict.WAIT, reason, why, values, next_time)
    return GateVerdict(name, Verdict.REFUSE, reason, "Meta does not let it be sent.", values)


def _address(asked: Asked) -> GateVerdict:
    name = "address"
    if asked.contact is None:
        return GateVerdict(name, Verdict.REFUSE, "contact_unknown", "Profile knows no such person.")
    if address_of(asked.contact, asked.message.phone_number_id) is None:
        why = "No WhatsApp account of this person is known."
        return GateVerdict(name, Verdict.REFUSE, "no_address", why)
    return GateVerdict(name, Verdict.PASS)


def _person(asked: Asked) -> GateVerdict:
    name = "person"
    if asked.contact is None or asked.contact.contact_id == asked.message.contact_id:
        return GateVerdict(name, Verdict.PASS)
    why = "The person is known by another id now; whether they had this message is looked up."
    return GateVerdict(name, Verdict.WAIT, "merged", why, {}, asked.now + _MERGE_RECHECK_MS)


def _consent(asked: Asked) -> GateVerdict:
    name, purpose = "consent", asked.purpose
    if asked.contact is None:
        return GateVerdict(name, Verdict.SKIPPED)
    state = asked.contact.consents.get(purpose, "none")
    values = {f"consent.{purpose}": state, "restricted": asked.contact.restricted}
    if asked.contact.restricted:
        why = "Processing of this person's data is restricted."
        return GateVerdict(name, Verdict.REFUSE, "restricted", why, values)
    if state == "granted" or (state == "none" and purpose != _MARKETING):
        return GateVerdict(name, Verdict.PASS, values=values)
    reason = "not_granted" if state == "none" else state
    why = f"The person has not agreed to {purpose} messages."
    return GateVerdict(name, Verdict.REFUSE, reason, why, values)


def _window(asked: Asked) -> GateVerdict:
    name, last = "window", asked.window_time
    if asked.message.template or asked.category != _SERVICE:
        return GateVerdict(name, Verdict.SKIPPED)
    values = {"window.last_message_time": last}
    if last and asked.now < last + DAY_MS:
        return GateVerdict(name, Verdict.PASS, values=values)
    why = "More than 24 hours since the person last wrote to this number: send a template."
    return GateVerdict(name, Verdict.REFUSE, "window_closed", why, values)


def _saturation(asked: Asked) -> GateVerdict:
    name = "saturation"
    if asked.category != _MARKETING:
        return GateVerdict(name, Verdict.SKIPPED)
    values = {"saturation.last_time": asked.saturation_time}
    next_time = asked.saturation_time + DAY_MS
    if not asked.saturation_time or next_time <= asked.now:
        return GateVerdict(name, Verdict.PASS, values=values)
    why = "Meta withheld a marketing message to this person less than 24 hours ago."
    return GateVerdict(name, Verdict.WAIT, "saturated", why, values, next_time)


def _deadline(asked: Asked) -> GateVerdict:
    name, not_after = "deadline", asked.message.not_after
    if not not_after:
        return GateVerdict(name, Verdict.SKIPPED)
    values = {"not_after_time": not_after}
    if asked.now <= not_after:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.REFUSE, "too_late", "Its last moment has passed.", values)


GATES: Final[tuple[Callable[[Asked], GateVerdict], ...]] = (
    _campaign,
    _template,
    _address,
    _person,
    _consent,
    _window,
    _saturation,
    _deadline,
)


def ask(asked: Asked) -> list[GateVerdict]:
    """Every gate's verdict, in order."""
    return [gate(asked) for gate in GATES]


def decide(asked: Asked) -> GateVerdict | None:
    """The first gate that does not let the message pass; None when all do.

    A gate that waits beyond the message's last moment refuses.
    """
    for gate in GATES:
        verdict = gate(asked)
        if verdict.verdict == Verdict.REFUSE:
            return verdict
        if verdict.verdict == Verdict.WAIT:
            late = asked.message.not_after and verdict.next_time > asked.message.not_after
            return _deadline_missed(verdict) if late and verdict.next_time != NEVER else verdict
    return None


def _deadline_missed(verdict: GateVerdict) -> GateVerdict:
    why = f"It would have to wait for `{verdict.gate}` until after its last moment."
    return GateVerdict("deadline", Verdict.REFUSE, "too_late", why, verdict.values)
