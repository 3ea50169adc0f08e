"""What each measure is made of. Pure.

`docs/measures.md` is written from this table, and says the same to people.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from merhaba.reports.v1 import Attribution, Measure
from services.reports.model import Counts

Column = Literal[
    "planned",
    "sent",
    "delivered",
    "read",
    "replied",
    "clicked",
    "opted_out",
    "blocked",
    "failed",
    "withheld",
    "suppressed",
    "held_out",
    "unknown",
    "pending",
    "cancelled",
    "decided",
    "billable",
    "unpriced",
    "cost_micros",
    "converted",
    "conversions",
    "revenue_micros",
    "touched",
    "touches",
    "touched_revenue_micros",
    "recipients",
    "reached",
    "engagements",
    "response",
    "received",
    "contacts",
    "contact_growth",
    "consented",
    "consent_growth",
    "our_response",
    "answered",
    "arrivals",
    "in_all",
    "one_in",
]
"""Of the sums of messages; `PEOPLE` are found in the facts, `BASE` in what is known of contacts,
`ADS` in how people came.
`one_in`: people were counted from one contact in so many. `in_all`: conversions beside a cost,
whatever currency they were paid in."""

PEOPLE: Final[frozenset[Column]] = frozenset({"recipients", "reached", "engagements", "response"})
ADS: Final[frozenset[Column]] = frozenset({"arrivals"})
SALES: Final[frozenset[Column]] = frozenset(
    {
        *("converted", "conversions", "revenue_micros"),
        *("touched", "touches", "touched_revenue_micros"),
    }
)
"""What a definition of success decides."""
BASE: Final[Mapping[Column, frozenset[str]]] = {
    "received": frozenset({"send_hour", "send_weekday"}),
    "contacts": frozenset(),
    "contact_growth": frozenset(),
    "consented": frozenset(),
    "consent_growth": frozenset(),
    "our_response": frozenset({"send_hour", "send_weekday", "phone_number_id"}),
    "answered": frozenset({"send_hour", "send_weekday", "phone_number_id"}),
}
"""By what each can be told: messages of people by when they were received."""
_MICROS: Final = 1_000_000
_WEEK_S: Final = 7 * 86_400


class Made(NamedTuple):
    """What a measure is made of."""

    kind: Literal["count", "rate", "money", "unit_cost", "return", "frequency", "median"]
    """`count`: a sum. `rate`: a part of a whole. `money`: a sum in a currency. `unit_cost`: money
    by a count. `return`: money by money. `frequency`: per person and week. `median`: seconds, of
    how many."""
    part: Column
    whole: Column | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The sums that are needed."""
        return (self.part,) if self.whole is None else (self.part, self.whole)

    @property
    def in_currency(self) -> bool:
        """Amounts of different currencies never share a row."""
        return self.kind in ("money", "unit_cost", "return")


M = Measure
_MADE: Final[dict[int, Made]] = {
    M.MEASURE_PLANNED: Made("count", "planned"),
    M.MEASURE_RECIPIENTS: Made("count", "recipients"),
    M.MEASURE_SENT: Made("count", "sent"),
    M.MEASURE_DELIVERED: Made("count", "delivered"),
    M.MEASURE_READ: Made("count", "read"),
    M.MEASURE_REPLIED: Made("count", "replied"),
    M.MEASURE_CLICKED: Made("count", "clicked"),
    M.MEASURE_CONVERTED: Made("count", "conversions"),
    M.MEASURE_REVENUE: Made("money", "revenue_micros"),
    M.MEASURE_OPTED_OUT: Made("count", "opted_out"),
    M.MEASURE_BLOCKED: Made("count", "blocked"),
    M.MEASURE_FAILED: Made("count", "failed"),
    M.MEASURE_WITHHELD: Made("count", "withheld"),
    M.MEASURE_SUPPRESSED: Made("count", "suppressed"),
    M.MEASURE_HELD_OUT: Made("count", "held_out"),
    M.MEASURE_UNKNOWN: Made("count", "unknown"),
    M.MEASURE_PENDING: Made("count", "pending"),
    M.MEASURE_CANCELLED: Made("count", "cancelled"),
    M.MEASURE_DELIVERY_RATE: Made("rate", "delivered", "sent"),
    M.MEASURE_READ_RATE: Made("rate", "read", "delivered"),
    M.MEASURE_REPLY_RATE: Made("rate", "replied", "delivered"),
    M.MEASURE_CLICK_RATE: Made("rate", "clicked", "delivered"),
    M.MEASURE_CONVERSION_RATE: Made("rate", "converted", "delivered"),
    M.MEASURE_OPT_OUT_RATE: Made("rate", "opted_out", "delivered"),
    M.MEASURE_BLOCK_RATE: Made("rate", "blocked", "decided"),
    M.MEASURE_FAILURE_RATE: Made("rate", "failed", "decided"),
    M.MEASURE_WITHHELD_RATE: Made("rate", "withheld", "decided"),
    M.MEASURE_SUPPRESSION_RATE: Made("rate", "suppressed", "planned"),
    M.MEASURE_HELD_OUT_RATE: Made("rate", "held_out", "planned"),
    M.MEASURE_THEIR_RESPONSE_TIME: Made("median", "response", "replied"),
    M.MEASURE_OUR_RESPONSE_TIME: Made("median", "our_response", "answered"),
    M.MEASURE_ENGAGEMENT_FREQUENCY: Made("frequency", "engagements", "reached"),
    M.MEASURE_CONTACT_FREQUENCY: Made("frequency", "delivered", "reached"),
    M.MEASURE_COST: Made("money", "cost_micros"),
    M.MEASURE_COST_PER_DELIVERED: Made("unit_cost", "cost_micros", "delivered"),
    M.MEASURE_COST_PER_READ: Made("unit_cost", "cost_micros", "read"),
    M.MEASURE_COST_PER_REPLY: Made("unit_cost", "cost_micros", "replied"),
    M.MEASURE_COST_PER_CLICK: Made("unit_cost", "cost_micros", "clicked"),
    M.MEASURE_COST_PER_CONVERSION: Made("unit_cost", "cost_micros", "conversions"),
    M.MEASURE_RETURN: Made("return", "revenue_micros", "cost_micros"),
    M.MEASURE_BILLABLE: Made("count", "billable"),
    M.MEASURE_RECEIVED: Made("count", "received"),
    M.MEASURE_CONTACTS: Made("count", "contacts"),
    M.MEASURE_CONTACT_GROWTH: Made("count", "contact_growth"),
    M.MEASURE_CONSENTED: Made("count", "consented"),
    M.MEASURE_CONSENT_GROWTH: Made("count", "consent_growth"),
}
_OF_ADS: Final[dict[int, Made]] = {
    M.MEASURE_AD_ARRIVALS: Made("count", "arrivals"),
    M.MEASURE_CONVERTED: Made("count", "conversions"),
    M.MEASURE_REVENUE: Made("money", "revenue_micros"),
    M.MEASURE_CONVERSION_RATE: Made("rate", "converted", "arrivals"),
}
_ANY_TOUCH: Final[dict[Column, Column]] = {
    "converted": "touched",
    "conversions": "touches",
    "revenue_micros": "touched_revenue_micros",
}
_FOUND: Final[frozenset[str]] = PEOPLE | {*BASE} | ADS | {"cancelled", "one_in", "in_all"}
assert set(Column.__args__) - _FOUND <= set(Counts._fields)  # type: ignore[attr-defined]  # what a Literal has at run time


def made(measure: int, attribution: int) -> Made | None:
    """What a measure is made of; None for those that cannot be told so."""
    if attribution == Attribution.ATTRIBUTION_FIRST_TOUCH_AD:
        return _OF_ADS.get(measure)
    found = _MADE.get(measure)
    if found is None or attribution != Attribution.ATTRIBUTION_ANY_TOUCH:
        return found
    whole = None if found.whole is None else _ANY_TOUCH.get(found.whole, found.whole)
    return Made(found.kind, _ANY_TOUCH.get(found.part, found.part), whole)


def value(made: Made, sums: dict[Column, float], seconds: float) -> tuple[float | None, int]:
    """A measure and what it rests on; `seconds`: how long the stretch is."""
    part = sums.get(made.part, 0)
    if made.kind == "count":
        return part, int(part)
    if made.kind == "money":
        return part / _MICROS, 0
    assert made.whole is not None
    whole = sums.get(made.whole, 0)
    if made.kind == "unit_cost" and made.whole in SALES:
        whole = sums.get("in_all", whole)
    if made.kind == "median":
        return (part / 1000, int(whole)) if made.part in sums else (None, 0)
    if not whole:
        return None, 0
    if made.kind == "unit_cost":
        return part / _MICROS / whole, int(whole)
    if made.kind == "frequency":
        return part / whole / (seconds / _WEEK_S), int(whole)
    return part / whole, int(whole) if made.kind == "rate" else 0
