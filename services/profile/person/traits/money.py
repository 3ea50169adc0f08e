"""Traits of what a person spends, in the one currency of the business."""

from collections.abc import Callable
from typing import Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.traits.trait import Sort, Trait, itself

MICROS: Final = 1_000_000

MONEY: Final[dict[str, tuple[str, str]]] = {
    "order_completed": ("order_total", "Money spent on orders"),
    "order_cancelled": ("cancelled_total", "Money of orders that were cancelled"),
    "order_refunded": ("refund_total", "Money paid back"),
}
"""Event → the trait that sums its amount."""


def fold(document: Document, happening: Happening) -> None:
    """Sum up the money of an order."""
    if happening.amount:
        trait = MONEY[happening.name][0]
        document.counts[trait] = document.counts.get(trait, 0) + happening.amount


def _of_sum(trait: str) -> Callable[[Document], float | None]:
    def read(document: Document) -> float | None:
        micros = document.counts.get(trait)
        return None if micros is None else micros / MICROS

    return read


def _average(document: Document) -> float | None:
    orders = document.counts.get("order_count", 0)
    return round(document.counts.get("order_total", 0) / orders / MICROS, 6) if orders else None


def _net(document: Document) -> float | None:
    sums = [document.counts.get(trait) for trait, _ in MONEY.values()]
    if not any(sums):
        return None
    spent, cancelled, refunded = (micros or 0 for micros in sums)
    return (spent - cancelled - refunded) / MICROS


_EVENTS: Final = frozenset(MONEY)

_TRAITS: Final[tuple[Trait[Document], ...]] = (
    *(
        Trait(trait, ValueType.NUMBER, description, frozenset({event}), _of_sum(trait))
        for event, (trait, description) in MONEY.items()
    ),
    Trait(
        "average_order_value",
        ValueType.NUMBER,
        "Money spent by order",
        frozenset({"order_completed"}),
        _average,
    ),
    Trait(
        "net_total",
        ValueType.NUMBER,
        "Money spent, without what was cancelled or paid back",
        _EVENTS,
        _net,
    ),
)

SORT: Final = Sort(_EVENTS, fold, itself, _TRAITS)
