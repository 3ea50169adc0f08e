"""What a message adds to the sums, by all that messages are counted by. Pure.

A sum holds the messages of a quarter of an hour and one combination of dimensions, a cube. What a
change of a message means for the sums is what it adds after less what it added before.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from operator import add, sub
from typing import Final, NamedTuple

from services.reports.funnel import outcome
from services.reports.model import (
    CLICKED,
    ORDERS,
    REACHED,
    READ,
    REPLIED,
    SENT,
    Context,
    Counts,
    MessageFact,
    Progress,
    Sale,
    Step,
)

QUARTER: Final = 900_000
"""All zones differ by whole quarters of an hour."""
COUNTS: Final = Counts._fields

BLOCKED: Final = frozenset({131050})
WITHHELD: Final = frozenset({131049, 130472})
_COST: Final = COUNTS.index("cost_micros")
_SOLD: Final = COUNTS.index("converted")
_FAR: Final = tuple(Progress.of(bits) for bits in range(1 << len(Progress._fields)))
_BECAME: Final = tuple(outcome(far) for far in _FAR)
_BITS: Final[dict[Step, int]] = {
    "sent": SENT,
    "delivered": REACHED,
    "read": READ | REACHED,
    "clicked": CLICKED | REACHED,
    "replied": REPLIED | REACHED,
    "failed": Progress(failed=True).bits,
    "unknown": Progress(unknown=True).bits,
    "suppressed": Progress(suppressed=True).bits,
    "held_out": Progress(held_out=True).bits,
}
"""What each thing that happened to a message says of how far it came."""
_OWN_PRICING: Final = 3
_NOTHING: Final = (0,) * len(COUNTS)
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

PLANNED_BY: Final = ("campaign_id", "template", "market", "phone_number_id", "category")
CUTS: Final[tuple[tuple[str, ...], ...]] = ((), PLANNED_BY, ("segment_id",))
"""By what sums are summed up besides time and currency: all messages, by what is planned of them,
and by segment, in each of which a message counts. A summary is that of the cut with its number."""


class Summary(NamedTuple):
    """Of what a summary is, in the order of its key."""

    cut: int
    bucket: int
    segment_id: str = ""
    campaign_id: str = ""
    template: str = ""
    market: str = ""
    phone_number_id: str = ""
    category: str = ""
    currency: str = ""


class Brought(NamedTuple):
    """What a message brought by one definition of success, in one currency."""

    conversion_id: str
    currency: str
    converted: bool
    """Once for all currencies, beside the message's own."""
    touched: bool
    """As `converted`."""
    conversions: int = 0
    revenue_micros: int = 0
    touches: int = 0
    touched_revenue_micros: int = 0


class Part(NamedTuple):
    """What one message adds to the sums, and what follows from it for its row."""

    counted_time: int | None
    reached_time: int | None
    response_ms: int | None
    """From delivery to the person's answer."""
    bits: int
    """How far it came, as of `Progress.bits`."""
    converted: bool
    """It was the last to reach a person before an order."""
    cube: Cube
    """What it is counted by, but for the segments of its contact."""
    sums: Sums
    brought: tuple[Brought, ...] = ()

    @property
    def progress(self) -> Progress:
        """How far it came."""
        return _FAR[self.bits]


def part(fact: MessageFact, context: Context) -> Part:
    """What a message adds; nothing before it is known when it counts."""
    times = fact.times
    bits = 0
    for step in times:
        bits |= _BITS.get(step, 0)
    became = _BECAME[bits]
    failed = became == "failed"
    code = fact.failure[1] if failed and fact.failure else 0
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
        str(code) if failed else "",
        fact.pricing[1] if fact.pricing else "",
        priced[2] if priced and priced[1] else "",
    )
    time, reached = fact.counted_time, fact.reached_time
    if time is None:
        return Part(None, reached, None, bits, False, own, {})
    bucket = time - time % QUARTER
    delivered, replied = times.get("delivered", times.get("read")), times.get("replied")
    response = None
    if delivered is not None and replied is not None and replied >= delivered:
        response = replied - delivered
    counts = list(
        _counts(
            bits,
            code,
            context.opted_out,
            fact.pricing is not None and fact.pricing[2],
            costs and (priced is None or priced[0] < _OWN_PRICING),
        )
    )
    if priced:
        counts[_COST] = priced[1]
    if context.sales:
        counts[_SOLD] = int(any(sale.conversions for sale in context.sales))
        counts[_SOLD + 3] = 1
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
    brought = _brought(fact, context, own.currency) if context.sales or fact.goals else ()
    return Part(time, reached, response, bits, bool(counts[_SOLD]), own, sums, brought)


def _brought(fact: MessageFact, context: Context, own: str) -> tuple[Brought, ...]:
    """`own`: the currency of what the message cost."""
    found: list[Brought] = []
    for conversion_id, sales in ((ORDERS, context.sales), *fact.goals):
        if not sales:
            continue
        converted = any(sale.conversions for sale in sales)
        by = {sale.currency: sale for sale in (Sale(own, 0, 0, 0, 0), *sales)}
        found += (
            Brought(conversion_id, one, one == own and converted, one == own, *sale[1:])
            for one, sale in by.items()
        )
    return tuple(found)


@lru_cache(maxsize=4_096)
def _counts(
    bits: int, code: int, opted_out: bool, billable: bool, unpriced: bool
) -> tuple[int, ...]:
    """What a message counts as, its cost and sales aside: few combinations, of all messages."""
    far, became = _FAR[bits], _BECAME[bits]
    failed, sent = became == "failed", far.sent or far.reached
    return (
        1,
        int(sent),
        int(far.reached),
        int(far.read),
        int(far.replied),
        int(far.clicked),
        int(opted_out),
        int(code in BLOCKED),
        int(failed),
        int(code in WITHHELD),
        int(became == "suppressed"),
        int(became == "held_out"),
        int(became == "unknown"),
        int(became == "pending"),
        int(failed or sent),
        int(billable),
        int(unpriced),
        *[0] * (len(COUNTS) - _COST),
    )


def changes(before: Iterable[Sums], after: Iterable[Sums]) -> Sums:
    """What has to be added to the sums; what stays as it is is left out."""
    total: Sums = {}
    for sums in after:
        for key, counts in sums.items():
            known = total.get(key)
            total[key] = counts if known is None else list(map(add, known, counts))
    for sums in before:
        for key, counts in sums.items():
            total[key] = list(map(sub, total.get(key, _NOTHING), counts))
    return {key: counts for key, counts in total.items() if any(counts)}


def summaries(sums: Sums) -> dict[Summary, list[int]]:
    """What changes of sums add up to by each cut."""
    found: dict[Summary, list[int]] = {}
    for (bucket, cube), counts in sums.items():
        for cut in _cuts(bucket, cube):
            known = found.get(cut)
            found[cut] = counts if known is None else list(map(add, known, counts))
    return {cut: counts for cut, counts in found.items() if any(counts)}


def _cuts(bucket: int, cube: Cube) -> tuple[Summary, ...]:
    if cube.segment_id:
        return (Summary(2, bucket, cube.segment_id, currency=cube.currency),)
    return (
        Summary(0, bucket, currency=cube.currency),
        Summary(
            *(1, bucket, "", cube.campaign_id, cube.template, cube.market),
            *(cube.phone_number_id, cube.category, cube.currency),
        ),
    )
