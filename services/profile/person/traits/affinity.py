"""Traits of what a person likes: categories and products, by what they do with them.

An act counts by what it costs the person, and half as much after a month. A share is what part of
all such weight is the category's; it changes with what the person does, never by time alone.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.tallies import add, faded
from services.profile.person.traits.trait import DAY, Sort, Trait

HALF_LIFE: Final = 30 * DAY
_SHOWN: Final = 10
_MOST_PRODUCTS: Final = 100
_WEIGHTS: Final = {
    "product_viewed": 1,
    "product_clicked": 1,
    "product_shared": 2,
    "product_added_to_wishlist": 2,
    "product_added": 3,
    "order_completed": 8,
}
_EVENTS: Final = frozenset(_WEIGHTS)
_WEIGHT: Final = itemgetter(1)


def _weigh_categories(document: Document, happening: Happening) -> None:
    weight = _WEIGHTS[happening.name]
    for product in products(happening.properties):
        if category := product.get("category"):
            add(document.tallies, "categories", happening.time, str(category), weight)


def _weigh_products(document: Document, happening: Happening) -> None:
    weight = _WEIGHTS[happening.name]
    for product in products(happening.properties):
        if product_id := identified(product):
            add(document.tallies, "products", happening.time, product_id, weight)


def products(properties: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The products that an event is about: those it lists, or itself."""
    listed = properties.get("products")
    if isinstance(listed, list):
        return [one for one in listed[:_MOST_PRODUCTS] if isinstance(one, dict)]
    return [properties]


def identified(product: Mapping[str, Any]) -> str:
    """What tells a product from others; empty when nothing does."""
    for name in ("product_id", "sku"):
        if isinstance(value := product.get(name), str | int) and value != "":
            return str(value)
    return ""


def _ranked(sums: Mapping[str, float]) -> list[tuple[str, float]]:
    """What is liked best first; of the same weight in the order of their names."""
    ranked = sorted(sums.items())
    if len(ranked) > 1:
        ranked.sort(key=_WEIGHT, reverse=True)
    return ranked


def _shares(ranked: Sequence[tuple[str, float]]) -> dict[str, float] | None:
    if len(ranked) <= 1:
        return {key: 1.0 for key, _ in ranked} or None
    total = sum([weight for _, weight in ranked])
    return {key: round(weight / total, 4) for key, weight in ranked[:_SHOWN]}


def _top(sums: Mapping[str, float]) -> str | None:
    if len(sums) <= 1:
        return next(iter(sums), None)
    most = max(sums.values())
    return min([key for key, weight in sums.items() if weight == most])


CATEGORIES: Final = Sort[Sequence[tuple[str, float]]](
    _EVENTS,
    _weigh_categories,
    lambda document: _ranked(faded(document.tallies, "categories", HALF_LIFE)),
    (
        Trait(
            "category_affinity",
            ValueType.NUMBER_MAP,
            "The ten categories the person likes best → share, 0 to 1",
            _EVENTS,
            _shares,
        ),
        Trait(
            "top_category",
            ValueType.STRING,
            "The category the person likes best",
            _EVENTS,
            lambda ranked: ranked[0][0] if ranked else None,
        ),
    ),
)

# Shares of products change with every look at one, and whoever needs them asks: telling them each
# time would be the dearest part of an event.
PRODUCTS: Final = Sort[Mapping[str, float]](
    _EVENTS,
    _weigh_products,
    lambda document: faded(document.tallies, "products", HALF_LIFE),
    (
        Trait(
            "product_affinity",
            ValueType.NUMBER_MAP,
            "The ten products the person likes best → share, 0 to 1",
            _EVENTS,
            lambda sums: _shares(_ranked(sums)),
            published=False,
        ),
        Trait(
            "top_product",
            ValueType.STRING,
            "The product the person likes best",
            _EVENTS,
            _top,
        ),
    ),
)
