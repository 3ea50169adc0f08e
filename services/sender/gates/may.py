"""Gates that ask whether a message may go at all. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from services.sender.gates.asked import Asked, GateVerdict, Verdict
from services.sender.gates.fits import unfit
from services.sender.model import DAY_MS, NEVER, CampaignPhase
from services.sender.rules.policy import MARKETING, SERVICE

_TEMPLATE_RECHECK_MS: Final = 300_000
_MERGE_RECHECK_MS: Final = 1_000
_LOST_MS: Final = 28 * DAY_MS
"""For so long nobody is offered anything of whom Meta says that nothing reaches them."""
_COMES_BACK: Final = frozenset({"PENDING", "PAUSED", "LOCKED", "IN_APPEAL"})
_PHASES: Final[Mapping[int, str]] = {phase: phase.name.lower() for phase in CampaignPhase}
_CAMPAIGN_SENDS: Final = frozenset({CampaignPhase.PLANNING, CampaignPhase.RUNNING})


def campaign(asked: Asked) -> GateVerdict:
    """It is running."""
    name = "campaign"
    if asked.of.phase is None:
        return GateVerdict(name, Verdict.SKIPPED)
    phase = asked.of.phase
    values = {"campaign.state": _PHASES[phase]}
    # One that its deadline stopped is too late, which the gate of that says.
    too_late = phase == CampaignPhase.STOPPED and 0 < asked.not_after < asked.now
    # Nobody waited any more but for one in doubt, which is sent again where the policy says so.
    again = phase == CampaignPhase.COMPLETED and asked.message.attempts > 0
    if phase in _CAMPAIGN_SENDS or too_late or again:
        return GateVerdict(name, Verdict.PASS, values=values)
    if phase == CampaignPhase.PAUSED:
        return GateVerdict(name, Verdict.WAIT, "paused", values, NEVER)
    return GateVerdict(name, Verdict.REFUSE, _PHASES[phase], values)


def template(asked: Asked) -> GateVerdict:
    """Meta lets it be sent."""
    name, found = "template", asked.of.template
    if not asked.message.template:
        return GateVerdict(name, Verdict.SKIPPED)
    if found is None:
        values = {"template": asked.message.template, "language": asked.message.language}
        return GateVerdict(name, Verdict.REFUSE, "template_unknown", values)
    values = {"template.state": found.state, "template.category": asked.category}
    if found.state == "APPROVED":
        if variable := unfit(asked.message, found):
            values |= {"variable": variable}
            return GateVerdict(name, Verdict.REFUSE, "template_edited", values)
        return GateVerdict(name, Verdict.PASS, values=values)
    reason = f"template_{found.state.lower()}"
    if found.state in _COMES_BACK:
        look_time = asked.now + _TEMPLATE_RECHECK_MS
        return GateVerdict(name, Verdict.WAIT, reason, values, NEVER, look_time)
    return GateVerdict(name, Verdict.REFUSE, reason, values)


def address(asked: Asked) -> GateVerdict:
    """There is a WhatsApp account to send it to."""
    name = "address"
    if asked.contact is None:
        return GateVerdict(name, Verdict.REFUSE, "contact_unknown")
    if asked.address is None:
        return GateVerdict(name, Verdict.REFUSE, "no_address")
    lost = asked.of.unreachable_time
    if not lost or asked.category != MARKETING:
        return GateVerdict(name, Verdict.PASS)
    heard = max(one.last_message_time for one in asked.contact.addresses)
    values = {"unreachable_time": lost, "last_message_time": heard}
    if heard > lost or asked.now >= lost + _LOST_MS:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.REFUSE, "unreachable", values)


def person(asked: Asked) -> GateVerdict:
    """It stands under the id that the person has now."""
    name = "person"
    if asked.contact is None or asked.contact.contact_id == asked.message.contact_id:
        return GateVerdict(name, Verdict.PASS)
    return GateVerdict(name, Verdict.WAIT, "merged", {}, asked.now + _MERGE_RECHECK_MS)


def consent(asked: Asked) -> GateVerdict:
    """The person agreed, or has not objected where they need not agree."""
    name, purpose = "consent", asked.purpose
    if asked.contact is None:
        return GateVerdict(name, Verdict.SKIPPED)
    state = asked.contact.consents.get(purpose, "none")
    values: dict[str, Any] = {f"consent.{purpose}": state, "restricted": asked.contact.restricted}
    if asked.contact.restricted:
        return GateVerdict(name, Verdict.REFUSE, "restricted", values)
    stopped = asked.of.opted_out_time
    if MARKETING in {purpose, asked.category} and stopped:
        said = asked.contact.consent_times.get(MARKETING, 0)
        values |= {"opted_out_time": stopped, "consent_time": said}
        if said <= stopped:
            return GateVerdict(name, Verdict.REFUSE, "opted_out", values)
    # Whatever a marketing template is sent for, somebody has to have agreed to it
    if state == "granted" or (state == "none" and MARKETING not in {purpose, asked.category}):
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.REFUSE, "not_granted" if state == "none" else state, values)


def window(asked: Asked) -> GateVerdict:
    """Free-form words go only within a day of what the person last wrote."""
    name, last = "window", asked.of.window_time
    if asked.message.template or asked.category != SERVICE:
        return GateVerdict(name, Verdict.SKIPPED)
    values = {"window.last_message_time": last}
    if last and asked.now < last + DAY_MS:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.REFUSE, "window_closed", values)
