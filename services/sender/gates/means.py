"""Gates that ask for time, money and a number to send from. Pure."""

from typing import Any, Final

from services.sender.gates.asked import Asked, GateVerdict, Verdict
from services.sender.model import NEVER

_NUMBER_RECHECK_MS: Final = 6 * 3_600_000  # it is noticed when the number may send again
_ALL: Final = "all"
"""What a number may send no more; otherwise it may not begin conversations."""


def deadline(asked: Asked) -> GateVerdict:
    """Its last moment has not passed."""
    name, not_after = "deadline", asked.not_after
    if not not_after:
        return GateVerdict(name, Verdict.SKIPPED)
    values = {"not_after_time": not_after}
    if asked.now <= not_after:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.REFUSE, "too_late", values)


def budget(asked: Asked) -> GateVerdict:
    """The campaign has the money. Without a price nobody can say that it is enough."""
    name, left = "budget", asked.of.budget
    if left is None:
        return GateVerdict(name, Verdict.SKIPPED)
    cost = asked.of.tariff.estimate(asked.category, asked.market)
    values: dict[str, Any] = {"budget.left_micros": left.micros, "budget.currency": left.currency}
    if cost is None:
        values |= {"market": asked.market, "category": asked.category}
        return GateVerdict(name, Verdict.WAIT, "price_unknown", values, NEVER)
    values |= {"cost_micros": cost.micros, "cost.currency": cost.currency}
    if cost.currency != left.currency:
        return GateVerdict(name, Verdict.WAIT, "budget_currency", values, NEVER)
    if cost.micros <= left.micros:
        return GateVerdict(name, Verdict.PASS, values=values)
    return GateVerdict(name, Verdict.WAIT, "budget_spent", values, NEVER)


def number(asked: Asked) -> GateVerdict:
    """The business number may send, and people do not complain of it."""
    name, found = "number", asked.of.number
    if found is None:
        return GateVerdict(name, Verdict.SKIPPED)
    values: dict[str, Any] = {
        "number.quality": found.quality_rating,
        "number.paused": found.paused,
    }
    look_time = asked.now + _NUMBER_RECHECK_MS
    if found.paused:
        reason = found.state_reason or "paused"
        return GateVerdict(name, Verdict.WAIT, f"number_{reason}", values, NEVER, look_time)
    restricted = found.restricted(asked.now)
    if restricted == _ALL or (restricted and asked.message.template):
        values |= {"restriction": restricted, "restricted_until_time": found.restricted_until}
        next_time = found.restricted_until
        return GateVerdict(name, Verdict.WAIT, "restricted", values, next_time, look_time)
    red = found.quality_rating == "RED"
    if red and asked.purpose in asked.of.policy.red_quality_paused_purposes:
        return GateVerdict(name, Verdict.WAIT, "quality_red", values, NEVER, look_time)
    return GateVerdict(name, Verdict.PASS, values=values)
