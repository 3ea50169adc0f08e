"""What a message adds to the sums, by all that messages are counted by. Pure.

A sum holds the messages of a quarter of an hour and one combination of dimensions, a cube. What a
change of a message means for the sums is what it adds after less what it added before.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from services.reports.funnel import outcome
from services.reports.model import Context, Counts, MessageFact, Progress

QUARTER: Final = 900_000
"""All zones differ by whole quarters of an hour."""
COUNTS: Final = Counts._fields

BLOCKED: Final = frozenset({131050})
WITHHELD: Final = frozenset({131049, 130472})
_SOLD: Final = COUNTS.index("converted")
_OWN_PRICING: Final = 3
_COSTING: Final = frozenset({"sent", "delivered", "read"})


class Cube(NamedTuple):
    """A combination of what messages are counted by."""

    segment_id: str = ""
    campaign_id: str = ""
    trigger_id: str = ""
    journey_id: str = ""
    journey_step: str = ""
    template: str = ""
    variant: str = ""
    language: str = ""
    market: str = ""
    phone_number_id: str = ""
    stage: str = ""
    zone: str = ""
    category: str = ""
    device: str = ""
    gate: str = ""
    error_code: str = ""
    pricing_type: str = ""
    currency: str = ""

    @property
    def cube_id(self) -> int:
        """The same on every replica: 64 bits that follow from the combination."""
        return _cube_id(self)


@lru_cache(maxsize=16_384)
def _cube_id(cube: Cube) -> int:
    digest = hashlib.blake2b("\x1f".join(cube).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


Sums = dict[tuple[int, Cube], list[int]]
"""By quarter of an hour (epoch milliseconds) and cube, in the order of COUNTS."""


class Part(NamedTuple):
    """What one message adds to the sums, and what follows from it for its row."""

    counted_time: int | None
    reached_time: int | None
    response_ms: int | None
    """From delivery to the person's answer."""
    progress: Progress
    converted: bool
    """It was the last to reach a person before an order."""
    cube: Cube
    """What it is counted by, but for the segments of its contact."""
    sums: Sums


def part(fact: MessageFact, context: Context) -> Part:
    """What a message adds; nothing before it is known when it counts."""
    times, reached = fact.times, fact.reached_time
    far = Progress(
        "sent" in times,
        reached is not None,
        "read" in times,
        "clicked" in times,
        "replied" in times,
        "failed" in times,
        "unknown" in times,
        "suppressed" in times,
        "held_out" in times,
    )
    became = outcome(far)
    code = fact.failure[1] if became == "failed" and fact.failure else 0
    costs = became in _COSTING
    priced = fact.cost if costs else None
    own = Cube(
        "",
        fact.campaign_id,
        context.trigger_id,
        context.journey_id,
        context.journey_step,
        fact.template,
        fact.variant,
        fact.language,
        fact.market,
        fact.phone_number_id,
        context.stage,
        context.zone,
        fact.category[1] if fact.category else "",
        fact.device[1] if fact.device else context.device,
        fact.gate[1] if became == "suppressed" and fact.gate else "",
        str(code) if became == "failed" else "",
        fact.pricing[1] if fact.pricing else "",
        priced[2] if priced and priced[1] else "",
    )
    time = fact.counted_time
    if time is None:
        return Part(None, reached, None, far, False, own, {})
    bucket = time - time % QUARTER
    delivered, replied = times.get("delivered", times.get("read")), times.get("replied")
    response = None
    if delivered is not None and replied is not None and replied >= delivered:
        response = replied - delivered
    counts = [
        1,
        int(far.sent or far.reached),
        int(far.reached),
        int(far.read),
        int(far.replied),
        int(far.clicked),
        int(context.opted_out),
        int(code in BLOCKED),
        int(became == "failed"),
        int(code in WITHHELD),
        int(became == "suppressed"),
        int(became == "held_out"),
        int(became == "unknown"),
        int(became == "pending"),
        int(became == "failed" or far.sent or far.reached),
        int(fact.pricing is not None and fact.pricing[2]),
        int(costs and (priced is None or priced[0] < _OWN_PRICING)),
        priced[1] if priced else 0,
        int(any(sale.conversions for sale in context.sales)),
        0,
        0,
        int(bool(context.sales)),
        0,
        0,
    ]
    sums: Sums = {(bucket, own): counts}
    for sale in context.sales:
        sold = own if sale.currency == own.currency else own._replace(currency=sale.currency)
        added = sums.setdefault((bucket, sold), [0] * len(COUNTS))
        added[_SOLD + 1] += sale.conversions
        added[_SOLD + 2] += sale.revenue_micros
        added[_SOLD + 4] += sale.touches
        added[_SOLD + 5] += sale.touched_revenue_micros
    if context.segments:
        together = list(sums.items())
        for segment in context.segments:
            for (_, counted), added in together:
                within = Cube(segment, fact.campaign_id, currency=counted.currency)
                sums[bucket, within] = added
    return Part(time, reached, response, far, bool(counts[_SOLD]), own, sums)


def changes(before: Iterable[Sums], after: Iterable[Sums]) -> Sums:
    """What has to be added to the sums; what stays as it is is left out."""
    total: Sums = {}
    for sign, many in ((-1, before), (1, after)):
        for sums in many:
            for key, counts in sums.items():
                known = total.get(key)
                if known is None:
                    total[key] = [sign * count for count in counts]
                else:
                    for place, count in enumerate(counts):
                        if count:
                            known[place] += sign * count
    return {key: counts for key, counts in total.items() if any(counts)}
