"""What sending tells those who watch over it: verdicts, waits, cost."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from chassis import names
from chassis.telemetry import counter, histogram
from services.sender.delivery.moves import Decided
from services.sender.model import Lane, Message

_MICROS: Final = 1_000_000

_verdicts = counter("merhaba.sender.gate.verdicts")
_waits = histogram("merhaba.sender.limiter.wait")
_cost = counter("merhaba.sender.cost")

LANES: Final = {lane: {names.LANE: lane.name.lower()} for lane in Lane}
"""How lanes are called."""


def judged(decided: Iterable[Decided]) -> None:
    """Gates have decided: the one that did not let a message pass, or none of them."""
    found = Counter(
        (one.verdict.gate, one.verdict.verdict.name.lower()) if one.verdict else ("none", "pass")
        for one in decided
    )
    for (gate, verdict), n in found.items():
        _verdicts.add(n, {names.GATE: gate, names.VERDICT: verdict})


def waited(message: Message, wait_ms: int) -> None:
    """A message that the gates let pass waited for its number's turn."""
    _waits.record(wait_ms / 1000, LANES[Lane(message.lane)])


def reckoned(costs: Iterable[tuple[Message, int]]) -> None:
    """Messages cost so many millionths more than was thought before."""
    found: Counter[tuple[str, str]] = Counter()
    for message, micros in costs:
        found[message.currency, message.category] += max(micros, 0)
    for (currency, category), micros in found.items():
        if micros:
            _cost.add(micros / _MICROS, {names.CURRENCY: currency, names.CATEGORY: category})
