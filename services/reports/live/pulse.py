"""What a transaction counted anew: each thing that happened to a message once. Pure."""

from collections import Counter
from typing import Final, Literal, get_args

import msgspec

from services.reports.model import Context, MessageFact, Progress

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
_NOTHING: Final = Progress()


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

    def message(self, fact: MessageFact, before: Progress | None, after: Progress) -> None:
        """What a message has come to; `before`: None when nothing was known of it."""
        if before == after:
            return
        old, times, reached = before or _NOTHING, fact.times, fact.reached_time
        if before is None and (time := fact.counted_time) is not None:
            self.add("planned", fact.campaign_id, times.get("planned", time))
        if reached is not None and not old.reached:
            self.add("delivered", fact.campaign_id, reached)
        sent = times.get("sent", reached)
        if sent is not None and not (old.sent or old.reached):
            self.add("sent", fact.campaign_id, sent)
        for what in ("read", "clicked", "replied", "failed", "unknown", "suppressed", "held_out"):
            if getattr(after, what) and not getattr(old, what):
                self.add(what, fact.campaign_id, times[what])

    def context(self, fact: MessageFact, before: Context, after: Context) -> None:
        """What else came of a message."""
        if more := after.opted_out - before.opted_out:
            self.add("opted_out", fact.campaign_id, None, more)
        if more := _conversions(after) - _conversions(before):
            self.add("converted", fact.campaign_id, None, more)


def _conversions(context: Context) -> int:
    return sum(sale.conversions for sale in context.sales)
