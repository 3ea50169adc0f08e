"""How messages add up: one outcome for each, and how many came at least so far. Pure."""

from collections import Counter
from collections.abc import Iterable
from math import sqrt
from typing import Final, Literal, NamedTuple

import msgspec

from services.reports.model import Group, Progress

Outcome = Literal[
    "read",
    "delivered",
    "failed",
    "sent",
    "unknown",
    "suppressed",
    "held_out",
    "cancelled",
    "pending",
]
_COSTING: Final = ("sent", "delivered", "read")
_Z95: Final = 1.959964  # standard normal quantile of 0.975


def outcome(progress: Progress, abandoned: bool = False) -> Outcome:
    """The one outcome of a message. `abandoned`: its campaign was cancelled or stopped.

    What a person did outweighs what Meta said, and Meta outweighs what we thought: a status never
    goes back, and what may have been sent is not called suppressed.
    """
    if progress.read:
        return "read"
    if progress.reached:
        return "delivered"
    if progress.failed:
        return "failed"
    if progress.sent:
        return "sent"
    if progress.unknown:
        return "unknown"
    if progress.suppressed:
        return "suppressed"
    if progress.held_out:
        return "held_out"
    return "cancelled" if abandoned else "pending"


class Rate(NamedTuple):
    """A share with its 95 % interval (Wilson's), and what it is a share of."""

    value: float
    lower: float
    upper: float
    of: int


def rate(part: int, whole: int) -> Rate | None:
    """`part` of `whole`; None of nothing."""
    if whole <= 0:
        return None
    share, square = part / whole, _Z95 * _Z95
    centre = (share + square / (2 * whole)) / (1 + square / whole)
    spread = (
        _Z95
        * sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
        / (1 + square / whole)
    )
    # Rounding must not put the share outside its own interval
    lower, upper = min(centre - spread, share), max(centre + spread, share)
    return Rate(share, max(lower, 0.0), min(upper, 1.0), whole)


class Tally(msgspec.Struct):
    """A number of messages, counted each once (`outcomes`) and by how far they came."""

    recipients: int = 0
    outcomes: Counter[Outcome] = msgspec.field(default_factory=Counter)
    """Disjoint: they add up to `recipients`."""
    gates: Counter[str] = msgspec.field(default_factory=Counter)
    """Of those suppressed."""
    codes: Counter[int] = msgspec.field(default_factory=Counter)
    """Of those failed."""
    sent: int = 0
    """Accepted by Meta, whatever became of them."""
    delivered: int = 0
    read: int = 0
    clicked: int = 0
    replied: int = 0
    costs: Counter[str] = msgspec.field(default_factory=Counter)
    """Micros by currency, of what was sent and did not fail."""
    unpriced: int = 0
    """Sent messages whose cost is not Meta's own pricing yet."""

    def add(self, group: Group, abandoned: bool = False) -> None:
        """Count a group of messages."""
        progress, count = group.progress, group.messages
        became = outcome(progress, abandoned)
        self.recipients += count
        self.outcomes[became] += count
        if became == "suppressed":
            self.gates[group.gate] += count
        if became == "failed":
            self.codes[group.code] += count
        self.sent += count * (progress.sent or progress.reached)
        self.delivered += count * progress.reached
        self.read += count * progress.read
        self.clicked += count * progress.clicked
        self.replied += count * progress.replied
        if became in _COSTING:
            if group.cost_micros:
                self.costs[group.currency] += group.cost_micros
            self.unpriced += count - group.priced


def tally(groups: Iterable[Group], abandoned: bool = False) -> Tally:
    """Count groups of messages together."""
    total = Tally()
    for group in groups:
        total.add(group, abandoned)
    return total


def tallies(groups: Iterable[Group], abandoned: bool = False) -> dict[tuple[str, ...], Tally]:
    """Count groups of messages by their key."""
    found: dict[tuple[str, ...], Tally] = {}
    for group in groups:
        found.setdefault(group.key, Tally()).add(group, abandoned)
    return found
