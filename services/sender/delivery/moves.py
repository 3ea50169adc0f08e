"""How a message moves: to its turn, by the outcome of its call, by the deadline. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from services.sender import gates
from services.sender.delivery.outcome import (
    Halted,
    Outcome,
    Refused,
    RetryAt,
    Returned,
    Sent,
    Unclear,
)
from services.sender.delivery.progress import Fact, Kind, learn
from services.sender.gates import Asked, Candidate, GateVerdict, Verdict
from services.sender.gates.now import GLOBAL_CONTROL
from services.sender.model import (
    UNCONFIRMED,
    Address,
    CampaignPhase,
    Contact,
    Happening,
    Message,
    State,
)
from services.sender.rules.caps import Counted
from services.sender.rules.policy import MARKETING, SERVICE

_MOST_REPEATS: Final = 3
_SOON_MS: Final = 1_000


class Decided(NamedTuple):
    """What became of a claimed message: attempting when there is an address."""

    message: Message
    address: Address | None
    verdict: GateVerdict | None
    """The gate that does not let it pass."""
    verdicts: Sequence[GateVerdict] = ()


class Settled(NamedTuple):
    """A call that ended, and what it means."""

    message: Message
    """As it was called."""
    outcome: Outcome
    time: int
    traceparent: str = ""


def permit(candidate: Candidate, contact: Contact | None, now: int, lease_ms: int) -> Decided:
    """Ask the gates and move the message: attempting, held, held out, suppressed or cancelled.

    One that goes takes its room under the caps and in the budget, before the next one is asked.
    """
    message = candidate.message
    asked = Asked(now, contact, candidate)
    verdicts, stop, due_time = gates.decide(asked)
    if candidate.template is not None:
        message.category = asked.category
    if stop is None:
        address = asked.address
        assert address is not None  # the address gate passed
        message.state, message.gate, message.reason = State.ATTEMPTING, "", ""
        message.error_code = 0  # of an earlier attempt
        message.attempts += 1
        message.attempt_time, message.due_time = now, now + lease_ms
        message.market = address.market
        message.not_after = asked.not_after  # here, where the call waits for its slot; not stored
        candidate.counted.append(Counted(asked.purpose, now))
        if cost := candidate.tariff.estimate(message.category, address.market):
            message.cost_micros, message.currency = cost.micros, cost.currency
            if candidate.budget is not None:
                candidate.budget.micros -= cost.micros
        return Decided(message, address, None, verdicts)
    message.gate, message.reason = stop.gate, stop.reason
    if stop.verdict == Verdict.WAIT:
        message.state, message.due_time = State.HELD, due_time
    elif candidate.phase == CampaignPhase.CANCELLED:
        message.state = State.CANCELLED
    elif stop.gate == GLOBAL_CONTROL:
        message.state = State.HELD_OUT
    else:
        message.state = State.SUPPRESSED
    return Decided(message, None, stop, verdicts)


def settle(message: Message, done: Settled, unknown_ms: int) -> list[Happening]:
    """Move a message by the outcome of its call; returns what is to be published.

    A status may have come first: then only what a status says counts. Or its lease may have ended
    while the outcome waited to be written, and somebody else may have taken it since.
    """
    outcome, now = done.outcome, done.time
    if isinstance(outcome, Sent):
        message.wamid = message.wamid or outcome.wamid
        happenings = learn(message, [Fact(Kind.SENT, now, outcome.wamid)])
        for happening in happenings:
            happening.traceparent = done.traceparent
        return happenings
    taken_again = message.claim != done.message.claim
    if message.state not in {State.ATTEMPTING, State.UNKNOWN} or taken_again:
        return []
    match outcome:
        case RetryAt(time, why):
            message.state, message.reason, message.due_time = State.PLANNED, why, time
            return []
        case Returned(time, why):
            message.state, message.reason, message.due_time = State.PLANNED, why, time
            message.attempts -= 1
            return []
        case Halted(kind, code):
            message.state, message.reason, message.due_time = State.PLANNED, kind, now
            message.error_code = code
            return []
        case Refused(kind, code):
            return learn(message, [Fact(Kind.FAILED, now, error_code=code, error_kind=kind)])
        case Unclear(why):
            return doubt(message, why, now, unknown_ms)


def doubt(message: Message, why: str, now: int, unknown_ms: int) -> list[Happening]:
    """Park a message of which nobody knows whether it was accepted."""
    if message.state != State.ATTEMPTING:
        return []
    message.state, message.reason, message.due_time = State.UNKNOWN, why, now + unknown_ms
    return [Happening("message_unknown", message, now)]


def give_up(message: Message, now: int, *, repeat: bool) -> list[Happening]:
    """No status came in time: count the message as failed, or, with `repeat`, send it again a few
    times. Marketing is never repeated."""
    if repeat and message.category != MARKETING and message.attempts <= _MOST_REPEATS:
        message.state, message.reason, message.due_time = State.PLANNED, "repeated", now
        return []
    return learn(message, [Fact(Kind.FAILED, now, error_kind=UNCONFIRMED)])


def too_late(message: Message, now: int) -> list[Happening]:
    """Its last moment passed while it waited."""
    message.state, message.gate, message.reason = State.SUPPRESSED, "deadline", "too_late"
    return [Happening("message_suppressed", message, now)]


def hold(candidate: Candidate, one: Decided, verdict: GateVerdict, *, tell: bool) -> Decided:
    """A limiter makes a message wait that the gates let pass, and what it took under the caps and
    in the budget is there again; with `tell` that is news."""
    message = one.message
    purpose = message.purpose or message.category or SERVICE
    candidate.counted.remove(Counted(purpose, message.attempt_time))
    if candidate.budget is not None:
        candidate.budget.micros += message.cost_micros
    message.state, message.gate, message.reason = State.HELD, verdict.gate, verdict.reason
    message.due_time = verdict.next_time
    message.attempts -= 1
    message.cost_micros = 0
    return one._replace(
        address=None, verdict=verdict if tell else None, verdicts=[*one.verdicts, verdict]
    )


def ask_soon(candidates: Sequence[Candidate], held: Sequence[Candidate], now: int) -> None:
    """What was stopped for want of what `held` gave back again is asked once more in a moment."""
    people = {one.message.contact_id for one in held}
    budgets = {id(one.budget) for one in held if one.budget is not None}
    for one in candidates:
        message = one.message
        if message.state == State.HELD and (
            (message.gate == "budget" and id(one.budget) in budgets)
            or (message.gate == "frequency_cap" and message.contact_id in people)
        ):
            message.due_time = min(message.due_time, now + _SOON_MS)
