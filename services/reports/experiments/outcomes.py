"""What came of each recipient of a campaign, added up by variant. Pure.

A recipient is a person on whose message Meta decided; what gates hold back is nobody's outcome. A
person counts once, with the variant, or the control, to which they were assigned first by what no
gate held back, and of its messages with the first on which Meta decided. What recipients did is
added up beside the propensity with which they were assigned, and beside what they did before.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from services.reports.attribution import Order
from services.reports.experiments.model import SALES, Goal, Harm
from services.reports.model import Context, MessageFact
from services.reports.rollups import BLOCKED, WITHHELD
from services.reports.statistics import Paired, Sums

_MILLION: Final = 1_000_000


class Recipient(NamedTuple):
    """A person of the campaign."""

    fact: MessageFact
    context: Context
    orders: Sequence[Order] = ()
    """Conversions of the person, ever."""
    history: float = 0.0
    """What the person did before the message, in whatever unit."""


class Line(msgspec.Struct):
    """Recipients of one variant, assigned with one probability: `y` what they did, `x` before."""

    n: int = 0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, y: float, x: float) -> None:
        """Count a recipient."""
        self.n += 1
        self.y += y
        self.yy += y * y
        self.x += x
        self.xx += x * x
        self.xy += x * y

    @property
    def sums(self) -> Sums:
        """Of the outcome."""
        return Sums(self.n, self.y, self.yy)

    @property
    def paired(self) -> Paired:
        """Of the outcome beside the history."""
        return Paired(self.n, self.y, self.yy, self.x, self.xx, self.xy)


class Gathered(msgspec.Struct):
    """What came of a campaign's recipients."""

    lines: dict[tuple[str, float], Line] = {}
    """By variant and propensity: those whose outcome is known for good."""
    assigned: dict[tuple[str, float], int] = {}
    """By variant and propensity: all of them."""
    harms: dict[Harm, dict[str, int]] = {}
    """How many recipients of each variant, of all of them."""
    waiting: int = 0
    """Recipients whose outcome is not known for good yet."""
    treated: Line = msgspec.field(default_factory=Line)
    """Everybody who was not held out, gates or not, where the goal is a conversion."""
    held: Line = msgspec.field(default_factory=Line)
    """Those who were held out."""

    currency: str = ""
    """Of revenue: that of most orders."""
    known_until: int = 0
    """Everything that happened before is counted (ms)."""

    @property
    def recipients(self) -> int:
        """All of them."""
        return sum(self.assigned.values())

    def everyone(self, variant: str) -> int:
        """All recipients of a variant."""
        return sum(n for (own, _), n in self.assigned.items() if own == variant)

    def variants(self) -> set[str]:
        """Variants that somebody got."""
        return {variant for variant, _ in self.assigned}


def gather(recipients: Iterable[Recipient], into: Gathered, goal: Goal, window_ms: int) -> None:
    """Add recipients."""
    for one in recipients:
        fact = one.fact
        start = fact.counted_time
        if start is None:
            continue
        over = start + window_ms <= into.known_until
        if goal in SALES and over:
            done = _sold(one.orders, goal, start, window_ms, into.currency)
            if fact.control == "hold_out":
                into.held.add(done, 0.0)
            elif not fact.control and fact.variant:
                into.treated.add(done, 0.0)
        if not fact.variant or fact.control or not _decided(fact):
            continue
        key = fact.variant, fact.propensity or 1.0
        into.assigned[key] = into.assigned.get(key, 0) + 1
        for harm in _harms(fact, one.context):
            by_variant = into.harms.setdefault(harm, {})
            by_variant[fact.variant] = by_variant.get(fact.variant, 0) + 1
        if not over:
            into.waiting += 1
            continue
        done = (
            _sold(one.orders, goal, start, window_ms, into.currency)
            if goal in SALES
            else _did(fact, goal, start, window_ms)
        )
        into.lines.setdefault(key, Line()).add(done, one.history)


def past(goal: Goal, before: int, facts: Iterable[MessageFact], orders: Iterable[Order]) -> float:
    """What a person did before a moment, of the kind that the goal is: of messages the share (one
    of each kind supposed, where nothing is known that is a half), of conversions how many."""
    if goal in SALES:
        return float(sum(order.time < before for order in orders))
    done, possible = 1.0, 2.0
    for fact in facts:
        reached = fact.reached_time
        if reached is not None and reached < before:
            possible += 1
            done += _did(fact, goal, reached, before - reached)
    return done / possible


def _did(fact: MessageFact, goal: Goal, start: int, window_ms: int) -> float:
    """What the person did with the message in time."""
    times = fact.times
    end = start + window_ms
    if goal == "delivery_rate":
        reached = fact.reached_time
        return float(reached is not None and reached < end)
    read, clicked, replied = (
        step in times and times[step] < end for step in ("read", "clicked", "replied")
    )
    if goal == "read_rate":
        return float(read)
    if goal == "click_rate":
        return float(clicked)
    if goal == "reply_rate":
        return float(replied)
    return float(read + clicked + replied)


def _sold(orders: Iterable[Order], goal: Goal, start: int, window_ms: int, currency: str) -> float:
    """What the person bought in time: whether, or for how much."""
    own = [order for order in orders if start <= order.time < start + window_ms]
    if goal == "conversion_rate":
        return float(bool(own))
    return sum(order.micros for order in own if order.currency == currency) / _MILLION


def _decided(fact: MessageFact) -> bool:
    return "sent" in fact.times or "failed" in fact.times or fact.reached_time is not None


def _harms(fact: MessageFact, context: Context) -> Iterable[Harm]:
    if context.opted_out:
        yield "opt_out_rate"
    if fact.reached_time is None and fact.failure is not None:
        yield "failure_rate"
        if fact.failure[1] in BLOCKED:
            yield "block_rate"
        if fact.failure[1] in WITHHELD:
            yield "withheld_rate"
