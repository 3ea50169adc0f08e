"""Traits of what a person is about to buy and has bought: the cart, and the last order."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.tallies import Latest, hold, hold_each
from services.profile.person.traits.affinity import identified, products
from services.profile.person.traits.money import MICROS
from services.profile.person.traits.trait import Sort, Trait, itself

_SNAPSHOTS: Final = frozenset({"cart_updated", "cart_viewed", "checkout_started"})
"""They tell all of the cart, if they list anything."""
_STATES: Final = {
    "order_completed": "placed",
    "order_updated": "updated",
    "order_shipped": "shipped",
    "order_delivered": "delivered",
    "order_cancelled": "cancelled",
    "order_refunded": "refunded",
    "order_returned": "returned",
}
_CART_EVENTS: Final = _SNAPSHOTS | {"product_added", "product_removed", "order_completed"}
_ORDER_EVENTS: Final = frozenset(_STATES)
_DEAREST: Final = 1e12
_MOST_PIECES: Final = 1_000_000


def _cart(document: Document, happening: Happening) -> None:
    """Take in what a happening says of the cart."""
    tallies, name, properties = document.tallies, happening.name, happening.properties
    now = happening.latest()
    if name == "order_completed":
        hold(tallies, "cart_emptied", now)
        return
    if name in _SNAPSHOTS:
        total = _number(properties, ("total", "value", "revenue"))
        hold(tallies, "cart", happening.latest(None if total is None else round(total * MICROS)))
        if not isinstance(properties.get("products"), list):
            return
        hold(tallies, "cart_emptied", now)
    items: dict[str, list[int]] = {}
    for product in products(properties):
        if product_id := identified(product):
            pieces = 0 if name == "product_removed" else _pieces(product)
            price = _number(product, ("price",)) or 0.0
            before = items.get(product_id, [0, 0])
            items[product_id] = [before[0] + pieces, round(price * MICROS)]
    hold_each(tallies, "cart", {item: happening.latest(said) for item, said in items.items()})


def _order(document: Document, happening: Happening) -> None:
    """Take in what a happening says of an order."""
    order_id = happening.properties.get("order_id")
    if not isinstance(order_id, str | int) or order_id == "":
        return
    if happening.name == "order_completed":
        hold(document.tallies, "order", happening.latest(str(order_id)))
    state = happening.latest(_STATES[happening.name])
    hold_each(document.tallies, "orders", {str(order_id): state})


def _pieces(product: Any) -> int:
    number = _number(product, ("quantity",))
    return 1 if number is None else min(int(number), _MOST_PIECES)


def _number(properties: Any, names: tuple[str, ...]) -> float | None:
    """The first of the properties that is a number one can count with."""
    for name in names:
        try:
            number = float(properties[name])
        except (KeyError, TypeError, ValueError):
            continue
        if isfinite(number) and 0 <= number <= _DEAREST:
            return number
    return None


class _Cart(NamedTuple):
    """The cart since it was last emptied, or told as a whole."""

    known: bool
    """Whether anything was ever said of one."""
    items: Mapping[str, Latest]
    told: Latest | None
    """What was last said of all of it, unless that listed nothing."""


_NO_CART: Final = _Cart(False, {}, None)


def _cart_of(document: Document) -> _Cart:
    latest, held = document.tallies.latest, document.tallies.newest.get("cart", {})
    emptied, told = latest.get("cart_emptied"), latest.get("cart")
    if emptied is None and told is None and not held:
        return _NO_CART
    items = {
        item: one
        for item, one in held.items()
        if one.value[0] and (emptied is None or one.order >= emptied.order)
    }
    if told is not None and emptied is not None:
        listed = told.order == emptied.order
        if told.order < emptied.order or (listed and not items):
            told = None
    return _Cart(True, items, told)


def _updated(cart: _Cart) -> int | None:
    times = [one.time for one in cart.items.values()]
    if cart.told is not None and cart.told.value != 0:
        times.append(cart.told.time)
    return max(times, default=None)


def _open(cart: _Cart) -> bool | None:
    return _updated(cart) is not None if cart.known else None


def _count(cart: _Cart) -> int | None:
    return sum(one.value[0] for one in cart.items.values()) or None


def _value(cart: _Cart) -> float | None:
    """What was told of the whole, which knows discounts, unless an item changed since."""
    told, items = cart.told, cart.items.values()
    if told is not None and told.value and all(one.order <= told.order for one in items):
        return float(told.value / MICROS)
    return float(sum(one.value[0] * one.value[1] for one in items) / MICROS) or None


def _listed(cart: _Cart) -> list[str] | None:
    return sorted(cart.items) or None


def _last_order(document: Document) -> str | None:
    latest = document.tallies.latest.get("order")
    return None if latest is None else latest.value


def _last_state(document: Document) -> str | None:
    order_id = _last_order(document)
    state = document.tallies.newest.get("orders", {}).get(order_id or "")
    return None if state is None else state.value


_CART_TRAITS: Final = (
    Trait[_Cart](
        "cart_open", ValueType.BOOLEAN, "Whether something lies in the cart", _CART_EVENTS, _open
    ),
    Trait[_Cart]("cart_item_count", ValueType.INTEGER, "Pieces in the cart", _CART_EVENTS, _count),
    Trait[_Cart]("cart_value", ValueType.NUMBER, "Worth of the cart", _CART_EVENTS, _value),
    Trait[_Cart](
        "cart_items", ValueType.STRING_LIST, "Products in the cart", _CART_EVENTS, _listed
    ),
    Trait[_Cart](
        "cart_update_time",
        ValueType.TIMESTAMP,
        "When the open cart last changed; what is long ago is an abandoned cart",
        _CART_EVENTS,
        _updated,
    ),
)
_ORDER_TRAITS: Final = (
    Trait[Document](
        "last_order_id", ValueType.STRING, "The newest order", _ORDER_EVENTS, _last_order
    ),
    Trait[Document](
        "last_order_state",
        ValueType.STRING,
        "placed, updated, shipped, delivered, cancelled, refunded or returned",
        _ORDER_EVENTS,
        _last_state,
    ),
)

CART: Final = Sort(_CART_EVENTS, _cart, _cart_of, _CART_TRAITS)
ORDERS: Final = Sort(_ORDER_EVENTS, _order, itself, _ORDER_TRAITS)
