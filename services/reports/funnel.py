"""How messages add up: one outcome for each, and how many came at least so far. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from services.reports.model import Line, Progress
from services.reports.statistics import rate_interval

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


def outcome(progress: Progress) -> Outcome:
    """The one outcome of a message.

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
    return "pending"


# The ranks of `outcome`, as bits: it is told by its own one and by those that would outweigh it.
_RANKS: Final[tuple[tuple[Outcome, str], ...]] = (
    ("read", "read"),
    ("delivered", "reached"),
    ("failed", "failed"),
    ("sent", "sent"),
    ("unknown", "unknown"),
    ("suppressed", "suppressed"),
    ("held_out", "held_out"),
)


def told_by(became: Outcome) -> tuple[int, int]:
    """Which bits of `Progress.bits` tell an outcome, and how these bits stand then."""
    looked_at = 0
    for name, field in _RANKS:
        own = 1 << Progress._fields.index(field)
        looked_at |= own
        if name == became:
            return looked_at, own
    return looked_at, 0


class Rate(NamedTuple):
    """A share with its 95 % interval (Wilson's), and what it is a share of."""

    value: float
    lower: float
    upper: float
    of: int


def rate(part: int, whole: int) -> Rate | None:
    """`part` of `whole`; None of nothing."""
    found = rate_interval(part, whole) if whole > 0 else None
    return None if found is None else Rate(*found, whole)


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
    opted_out: int = 0
    """After which consent to marketing was withdrawn within 24 h of delivery."""
    converted: int = 0
    """That brought an order: were the last that reached the person before it."""
    orders: int = 0
    revenues: Counter[str] = msgspec.field(default_factory=Counter)
    """Micros by currency, of these orders."""

    def add(self, line: Line, abandoned: bool = False) -> None:
        """Count messages. `abandoned`: their campaign was cancelled or stopped."""
        sums = line.counts
        self.recipients += sums.planned
        self.sent += sums.sent
        self.delivered += sums.delivered
        self.read += sums.read
        self.clicked += sums.clicked
        self.replied += sums.replied
        self.unpriced += sums.unpriced
        self.opted_out += sums.opted_out
        self.converted += sums.converted
        self.orders += sums.conversions
        became: tuple[tuple[Outcome, int], ...] = (
            ("read", sums.read),
            ("delivered", sums.delivered - sums.read),
            ("failed", sums.failed),
            ("sent", sums.decided - sums.failed - sums.delivered),
            ("unknown", sums.unknown),
            ("suppressed", sums.suppressed),
            ("held_out", sums.held_out),
            ("cancelled" if abandoned else "pending", sums.pending),
        )
        for name, count in became:
            if count:
                self.outcomes[name] += count
        if sums.suppressed:
            self.gates[line.gate] += sums.suppressed
        if sums.failed:
            self.codes[int(line.error_code)] += sums.failed
        if sums.cost_micros:
            self.costs[line.currency] += sums.cost_micros
        if sums.revenue_micros:
            self.revenues[line.currency] += sums.revenue_micros


def tally(lines: Iterable[Line], abandoned: bool = False) -> Tally:
    """Count messages together."""
    total = Tally()
    for line in lines:
        total.add(line, abandoned)
    return total


def tallies(lines: Iterable[Line], abandoned: bool = False) -> dict[tuple[str, ...], Tally]:
    """Count messages by their key."""
    found: dict[tuple[str, ...], Tally] = {}
    for line in lines:
        found.setdefault(line.key, Tally()).add(line, abandoned)
    return found
