"""What a transaction counted anew: each thing that happened to a message once. Pure."""

from collections import Counter
from typing import Final, Literal, get_args

import msgspec

from services.reports.model import REACHED, SENT, Context, MessageFact, Progress

What = Literal[
    "planned",
    "sent",
    "delivered",
    "read",
    "clicked",
    "replied",
    "failed",
    "unknown",
    "suppressed",
    "held_out",
    "opted_out",
    "converted",
    "received",
]
WHATS: Final[tuple[What, ...]] = get_args(What)
_SENT: Final = SENT | REACHED
"""What reached somebody was sent."""
_Plain = Literal["read", "clicked", "replied", "failed", "unknown", "suppressed", "held_out"]
_TOLD: Final[tuple[list[_Plain], ...]] = tuple(
    [what for what in get_args(_Plain) if getattr(Progress.of(bits), what)]
    for bits in range(1 << len(Progress._fields))
)
"""Of bits of progress, what they say but for having been sent and delivered."""


class Pulse(msgspec.Struct):
    """What happened, by campaign, and in which stretch of time."""

    counts: Counter[tuple[What, str]] = msgspec.field(default_factory=Counter)
    first: int | None = None
    """Epoch milliseconds."""
    last: int | None = None

    def add(self, what: What, campaign_id: str, time: int | None, count: int = 1) -> None:
        """That something happened; less than 0 takes back what turned out to be nothing."""
        self.counts[what, campaign_id] += count
        if time is None:
            return
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)

    def message(self, fact: MessageFact, before: int | None, after: int) -> None:
        """What a message has come to (bits of progress); `before`: None when nothing was known of
        it."""
        if before == after:
            return
        old, times = before or 0, fact.times
        new = after & ~old
        if before is None and (time := fact.counted_time) is not None:
            self.add("planned", fact.campaign_id, times.get("planned", time))
        if new & REACHED:
            self.add("delivered", fact.campaign_id, fact.reached_time)
        if new & _SENT and not old & _SENT:
            self.add("sent", fact.campaign_id, times.get("sent", fact.reached_time))
        for what in _TOLD[new]:
            self.add(what, fact.campaign_id, times[what])

    def context(self, fact: MessageFact, before: Context, after: Context) -> None:
        """What else came of a message."""
        if more := after.opted_out - before.opted_out:
            self.add("opted_out", fact.campaign_id, None, more)
        if more := _conversions(after) - _conversions(before):
            self.add("converted", fact.campaign_id, None, more)


def _conversions(context: Context) -> int:
    return sum(sale.conversions for sale in context.sales)
