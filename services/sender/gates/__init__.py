"""The reasons why a message may not go now, asked in order. Pure."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from services.sender.gates import may, means, now
from services.sender.gates.asked import (
    Asked,
    Budget,
    Candidate,
    GateVerdict,
    Verdict,
    address_of,
)
from services.sender.model import NEVER
from services.sender.rules.hours import first_loud

__all__ = [
    "GATES",
    "Asked",
    "Budget",
    "Candidate",
    "Decision",
    "GateVerdict",
    "Verdict",
    "address_of",
    "ask",
    "decide",
    "next_eligible",
]

GATES: Final[tuple[Callable[[Asked], GateVerdict], ...]] = (
    may.campaign,
    may.template,
    may.address,
    may.person,
    may.consent,
    may.window,
    now.complaint,
    now.saturation,
    now.frequency_cap,
    now.quiet_hours,
    now.global_control,
    means.deadline,
    means.budget,
    means.number,
)
_STOPS: Final = frozenset({Verdict.WAIT, Verdict.REFUSE})


class Decision(NamedTuple):
    """What the gates make of a message."""

    verdicts: Sequence[GateVerdict]
    """In order; to the one that refuses, if one does."""
    stop: GateVerdict | None
    """The first that does not let it pass; None when all do."""
    due_time: int
    """With a WAIT: when to ask again; NEVER: when told."""


def ask(asked: Asked) -> list[GateVerdict]:
    """Every gate's verdict, in order."""
    return [gate(asked) for gate in GATES]


def decide(asked: Asked) -> Decision:
    """What becomes of the message.

    A gate that waits beyond the message's last moment refuses. Waits are waited out together: a
    message is asked again when all of them have passed, caps and quiet hours joined.
    """
    verdicts: list[GateVerdict] = []
    for gate in GATES:
        verdict = gate(asked)
        verdicts.append(verdict)
        if verdict.verdict == Verdict.REFUSE:
            break
    stops = [one for one in verdicts if one.verdict in _STOPS]
    if not stops or stops[0].verdict == Verdict.REFUSE or stops[-1].gate == "deadline":
        return Decision(verdicts, stops[-1] if stops else None, 0)
    not_after, certain = asked.not_after, _passed(asked, verdicts, NEVER)
    if not_after and not_after < certain < NEVER:
        late = GateVerdict("deadline", Verdict.REFUSE, "too_late", {"waits_for": stops[0].gate})
        return Decision([*verdicts, late], late, 0)
    due_time = _passed(asked, verdicts, 0)
    if not_after and due_time < NEVER:
        due_time = min(due_time, not_after + 1)
    return Decision(verdicts, stops[0], due_time)


def next_eligible(asked: Asked, verdicts: Sequence[GateVerdict]) -> int:
    """The earliest moment at which all of these verdicts would pass, if nothing else changes;
    NEVER when there is none."""
    if any(one.verdict == Verdict.REFUSE for one in verdicts):
        return NEVER
    passed, not_after = _passed(asked, verdicts, NEVER), asked.not_after
    return NEVER if not_after and passed > not_after else passed


def _passed(asked: Asked, verdicts: Sequence[GateVerdict], unknown: int) -> int:
    """When all waits are over. Other gates than quiet hours, once passed, stay passed: so it is the
    first loud moment after them. `unknown` stands for the time of a gate that cannot tell it; 0 for
    when it is to be looked at again."""
    moment = asked.now
    for one in verdicts:
        if one.verdict == Verdict.WAIT and one.gate != "quiet_hours":
            known = one.next_time < NEVER
            moment = max(moment, one.next_time if known else unknown or one.look_time or NEVER)
    return first_loud(moment, asked.zone, asked.quiet_hours) if moment < NEVER else NEVER
