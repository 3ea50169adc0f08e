"""Gates that ask whether this is the moment for this person. Pure."""

from collections.abc import Iterable
from typing import Final

from services.sender.draws import share
from services.sender.gates.asked import Asked, GateVerdict, Verdict, person_ids
from services.sender.model import NEVER
from services.sender.rules.caps import room
from services.sender.rules.hours import first_loud
from services.sender.rules.policy import MARKETING, Policy

OPEN_COMPLAINT: Final = "traits.open_complaint"
GLOBAL_CONTROL: Final = "global_control"
_COMPLAINT_RECHECK_MS: Final = 3_600_000  # it is told when a complaint is closed


def complaint(asked: Asked) -> GateVerdict:
    """Nobody is waiting for us to put something right."""
    name = "complaint"
    if asked.contact is None or asked.purpose not in asked.of.policy.complaint_paused_purposes:
        return GateVerdict(name, Verdict.SKIPPED)
    is_open = bool(asked.contact.attributes.get(OPEN_COMPLAINT))
    values = {OPEN_COMPLAINT: is_open}
    if not is_open:
        return GateVerdict(name, Verdict.PASS, values=values)
    look_time = asked.now + _COMPLAINT_RECHECK_MS
    return GateVerdict(name, Verdict.WAIT, "complaint_open", values, NEVER, look_time)


def saturation(asked: Asked) -> GateVerdict:
    """Meta did not lately withhold a message as one too many."""
    name, last = "saturation", asked.of.saturation_time
    if asked.category != MARKETING:
        return GateVerdict(name, Verdict.SKIPPED)
    values = {"saturation.last_time": last}
    next_time = last + asked.of.policy.saturation_ms
    if not last or next_time <= asked.now:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.WAIT, "saturated", values, next_time)


def frequency_cap(asked: Asked) -> GateVerdict:
    """Every window of time has room for one more."""
    name, now, purpose = "frequency_cap", asked.now, asked.purpose
    caps = [cap for cap in asked.of.policy.frequency_caps if cap.covers(purpose)]
    if not caps or asked.message.trial:
        return GateVerdict(name, Verdict.SKIPPED)
    rooms = [room(cap, asked.of.counted, now) for cap in caps]
    values = {
        cap.name: {"used": one.used, "limit": cap.limit}
        for cap, one in zip(caps, rooms, strict=True)
    }
    free_time = max(one.free_time for one in rooms)
    if free_time <= now:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.WAIT, "cap_reached", values, free_time)


def quiet_hours(asked: Asked) -> GateVerdict:
    """The clock on the person's wall allows it."""
    name, hours = "quiet_hours", asked.quiet_hours
    if not hours:
        return GateVerdict(name, Verdict.SKIPPED)
    zone = asked.zone
    values = {"zone": zone.key, "market": asked.market, "now_time": asked.now}
    loud = first_loud(asked.now, zone, hours)
    if loud == asked.now:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.WAIT, "quiet", values, loud)


def global_control(asked: Asked) -> GateVerdict:
    """The person is not of those who get no marketing, so that its worth is known.

    Asked when the message would otherwise go, so that those who got it and those who did not are
    alike. A person of several ids belongs to the group if any id does: merging takes nobody out.
    """
    policy, drawing = asked.of.policy, not asked.of.ignores_control and not asked.message.trial
    if not drawing or asked.contact is None or not _is_drawn(policy, asked.purpose, asked.category):
        return GateVerdict(GLOBAL_CONTROL, Verdict.SKIPPED)
    draw = _draw(policy, person_ids(asked.contact))
    values = {"draw": round(draw, 6), "share": policy.global_control_share}
    if draw >= policy.global_control_share:
        return GateVerdict(GLOBAL_CONTROL, Verdict.PASS, values=values)
    return GateVerdict(GLOBAL_CONTROL, Verdict.REFUSE, GLOBAL_CONTROL, values)


def controlled(policy: Policy, purpose: str, category: str, ids: Iterable[str]) -> bool:
    """Whether somebody, of all these ids, belongs to the group that gets no marketing."""
    drawn = _is_drawn(policy, purpose, category)
    return drawn and _draw(policy, ids) < policy.global_control_share


def _is_drawn(policy: Policy, purpose: str, category: str) -> bool:
    """A marketing template is marketing whatever it is sent for."""
    return policy.global_control_share > 0 and MARKETING in {purpose, category}


def _draw(policy: Policy, ids: Iterable[str]) -> float:
    return min(share(GLOBAL_CONTROL, policy.global_control_salt, one) for one in ids)
