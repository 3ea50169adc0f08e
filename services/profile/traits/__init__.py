"""Traits: facts computed from events, each event once.

Any order of the same events gives the same traits, and two contacts' traits can be joined as if all
their events had been one's: see `tallies`. Each file knows one sort of trait: which events change
them, what is kept of these, and what the traits are.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from services.profile.model import Document, Happening, ValueType
from services.profile.tallies import Tallies
from services.profile.tallies import join as join_tallies
from services.profile.traits import (
    affinity,
    content,
    counting,
    engagement,
    feedback,
    hours,
    money,
    mood,
    presence,
    response,
    shopping,
)
from services.profile.traits.trait import Sort, Trait

__all__ = [
    "EVENTS",
    "MONEY",
    "PUBLISHED",
    "TRACKED",
    "TRAITS",
    "Trait",
    "affected",
    "count",
    "fold",
    "join",
    "names",
    "reset",
    "rfc3339",
    "value",
    "value_json",
    "values_json",
]

_SORTS: Final[tuple[Sort[Any], ...]] = (
    counting.SORT,
    money.SORT,
    affinity.CATEGORIES,
    affinity.PRODUCTS,
    shopping.CART,
    shopping.ORDERS,
    content.SORT,
    feedback.SORT,
    mood.SORT,
    response.SORT,
    hours.SORT,
    presence.SORT,
    engagement.SORT,
)

TRAITS: Final[dict[str, Trait[Any]]] = {
    trait.name: trait for sort in _SORTS for trait in sort.traits
}
"""All traits by name."""

PUBLISHED: Final = frozenset(one.name for one in TRAITS.values() if one.published)
"""Names of traits whose changes are told."""

_VIEWS: Final = {trait.name: sort.view for sort in _SORTS for trait in sort.traits}
EVENTS: Final = frozenset(name for sort in _SORTS for name in sort.events)
"""The events that traits follow from."""


class _Step(NamedTuple):
    """What an event does to the traits of one sort."""

    fold: Callable[[Document, Happening], None] | None
    view: Callable[[Document], Any]
    touched: tuple[Trait[Any], ...]
    """The published ones that it can change."""


def _steps(event: str) -> tuple[_Step, ...]:
    steps = (
        _Step(
            sort.fold if event in sort.events else None,
            sort.view,
            tuple(one for one in sort.traits if event in one.events and one.published),
        )
        for sort in _SORTS
    )
    return tuple(step for step in steps if step.fold or step.touched)


_STEPS: Final = {event: _steps(event) for event in sorted(EVENTS)}

MONEY: Final = frozenset(money.MONEY)
"""Events with an amount."""

TRACKED: Final = frozenset(name for name in EVENTS if not name.startswith("message_")) - {
    *("link_clicked", "location_pinged", "page_viewed", "screen_viewed")
}
"""Events that a tracker may tell: it cannot say that a message was read."""


def fold(document: Document, happening: Happening) -> None:
    """Take a happening into the traits."""
    if happening.counts:
        for step in _STEPS.get(happening.name, ()):
            if step.fold:
                step.fold(document, happening)


def count(document: Document, happening: Happening) -> dict[str, bytes]:
    """Take a happening into the traits; returns the published ones that changed, as JSON, empty
    where there is none any more."""
    steps = _STEPS.get(happening.name) if happening.counts else None
    if steps is None:
        return {}
    before = [_read(step, document) for step in steps]
    fold(document, happening)
    return {
        trait.name: _json(trait, new)
        for step, olds in zip(steps, before, strict=True)
        for trait, old, new in zip(step.touched, olds, _read(step, document), strict=True)
        if new != old
    }


def _read(step: _Step, document: Document) -> list[Any]:
    if not step.touched:
        return []
    view = step.view(document)
    return [trait.read(view) for trait in step.touched]


def affected(event: str) -> list[str]:
    """The published traits that an event of this name can change."""
    return [trait.name for step in _STEPS.get(event, ()) for trait in step.touched]


def join(document: Document, other: Document) -> None:
    """Take in another contact's traits, as if its events had been this one's."""
    for trait, number in other.counts.items():
        document.counts[trait] = document.counts.get(trait, 0) + number
    for trait, time in other.times.items():
        counting.extend(document, trait, time)
    join_tallies(document.tallies, other.tallies)


def reset(document: Document) -> None:
    """Forget every event, to count them anew."""
    document.counts, document.times, document.tallies = {}, {}, Tallies()


def names(document: Document) -> Iterator[str]:
    """The traits a contact has."""
    for sort in _SORTS:
        view = sort.view(document)
        yield from (trait.name for trait in sort.traits if trait.read(view) is not None)


def value(document: Document, name: str) -> Any:
    """A trait as JSON has it, times in ms; None when the contact does not have it."""
    trait = TRAITS.get(name)
    return None if trait is None else trait.read(_VIEWS[name](document))


def value_json(document: Document, name: str) -> bytes:
    """A trait as JSON; empty when the contact does not have it. Times are RFC 3339."""
    trait = TRAITS.get(name)
    return b"" if trait is None else _json(trait, trait.read(_VIEWS[name](document)))


def values_json(document: Document, names: Collection[str] | None = None) -> dict[str, bytes]:
    """Those of the named traits, or of all, that a contact has, as JSON."""
    found: dict[str, bytes] = {}
    for sort in _SORTS:
        asked = [trait for trait in sort.traits if names is None or trait.name in names]
        view = sort.view(document) if asked else None
        for trait in asked:
            if json := _json(trait, trait.read(view)):
                found[trait.name] = json
    return found


def _json(trait: Trait[Any], value: Any) -> bytes:
    if value is None:
        return b""
    return rfc3339(value) if trait.type == ValueType.TIMESTAMP else orjson.dumps(value)


def rfc3339(time: int) -> bytes:
    """A time in milliseconds as a JSON string."""
    moment = datetime.fromtimestamp(time // 1000, UTC).replace(microsecond=time % 1000 * 1000)
    return b'"%sZ"' % moment.isoformat(timespec="milliseconds")[:23].encode()
