"""Which messages brought which orders. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from services.reports.model import Sale


class Order(NamedTuple):
    """An order that stands: completed and not cancelled."""

    time: int
    micros: int
    currency: str


class Touch(NamedTuple):
    """A message that reached a person. Of the same moment the larger id is the later."""

    time: int
    message_id: str


def attribute(
    orders: Iterable[Order], touches: Iterable[Touch], window_ms: int
) -> dict[str, tuple[Sale, ...]]:
    """The orders of one person by message: every message that reached the person within the window
    before an order has touched it, and the last of them has brought it."""
    found: dict[str, dict[str, list[int]]] = {}
    ordered = sorted(touches, reverse=True)
    for order in orders:
        last = True
        for time, message_id in ordered:
            if time > order.time:
                continue
            if time <= order.time - window_ms:
                break
            sold = found.setdefault(message_id, {}).setdefault(order.currency, [0, 0, 0, 0])
            if last:
                sold[0] += 1
                sold[1] += order.micros
                last = False
            sold[2] += 1
            sold[3] += order.micros
    return {
        message_id: tuple(Sale(currency, *sold) for currency, sold in sorted(by_currency.items()))
        for message_id, by_currency in found.items()
    }


def first(
    orders: Iterable[Order], touches: Iterable[Touch], window_ms: int
) -> dict[str, tuple[Sale, ...]]:
    """The orders of one person by the first touch within the window before each."""
    found: dict[str, dict[str, list[int]]] = {}
    ordered = sorted(touches)
    for order in orders:
        for time, touch_id in ordered:
            if order.time - window_ms < time <= order.time:
                sold = found.setdefault(touch_id, {}).setdefault(order.currency, [0, 0])
                sold[0] += 1
                sold[1] += order.micros
                break
    return {
        touch_id: tuple(Sale(currency, *sold, *sold) for currency, sold in sorted(by.items()))
        for touch_id, by in found.items()
    }
