"""Traits: facts computed from events, each event once.

Any order of the same events gives the same traits, and two contacts' traits can be joined as if all
their events had been one's: see `tallies`. Each file knows one sort of trait: which events change
them, what is kept of these, and what the traits are.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.tallies import Tallies
from services.profile.person.tallies import join as join_tallies
from services.profile.person.traits import (
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
from services.profile.person.traits.trait import DAY, Sort, Trait

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
    "reading",
    "reset",
    "rfc3339",
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

_TIMESTAMP: Final = ValueType.TIMESTAMP
_VIEWS: Final = {trait.name: sort.view for sort in _SORTS for trait in sort.traits}
EVENTS: Final = frozenset(name for sort in _SORTS for name in sort.events)
"""The events that traits follow from."""


class _Effect(NamedTuple):
    """What an event does to the traits."""

    folds: tuple[Callable[[Document, Happening], None], ...]
    reads: tuple[tuple[Callable[[Document], Any], tuple[Callable[[Any], Any], ...]], ...]
    """How the published ones that it can change are read, by what view."""
    touched: tuple[Trait[Any], ...]
    """These, in the same order."""


def _effect(event: str) -> _Effect:
    views: dict[Callable[[Document], Any], list[Trait[Any]]] = {}
    for sort in _SORTS:
        touched = [one for one in sort.traits if event in one.events and one.published]
        if touched:
            views.setdefault(sort.view, []).extend(touched)
    return _Effect(
        tuple(sort.fold for sort in _SORTS if event in sort.events),
        tuple((view, tuple(one.read for one in some)) for view, some in views.items()),
        tuple(one for some in views.values() for one in some),
    )


_EFFECTS: Final = {event: _effect(event) for event in sorted(EVENTS)}

MONEY: Final = frozenset(money.MONEY)
"""Events with an amount."""

TRACKED: Final = frozenset(name for name in EVENTS if not name.startswith("message_")) - {
    *("link_clicked", "location_pinged", "page_viewed", "screen_viewed")
}
"""Events that a tracker may tell: it cannot say that a message was read."""


def fold(document: Document, happening: Happening) -> None:
    """Take a happening into the traits."""
    if happening.counts and (effect := _EFFECTS.get(happening.name)):
        for each in effect.folds:
            each(document, happening)


def count(document: Document, happening: Happening) -> dict[str, bytes]:
    """Take a happening into the traits; returns the published ones that changed, as JSON, empty
    where there is none any more."""
    effect = _EFFECTS.get(happening.name) if happening.counts else None
    if effect is None:
        return {}
    folds, reads, touched = effect
    before = _read(reads, document)
    for each in folds:
        each(document, happening)
    after = _read(reads, document)
    if after == before:
        return {}
    return {
        trait.name: _json(trait, new)
        for trait, old, new in zip(touched, before, after, strict=True)
        if new != old
    }


def _read(reads: Iterable[tuple[Any, Any]], document: Document) -> list[Any]:
    return [read(seen) for view, some in reads for seen in (view(document),) for read in some]


def affected(event: str) -> list[str]:
    """The published traits that an event of this name can change."""
    effect = _EFFECTS.get(event)
    return [trait.name for trait in effect.touched] if effect else []


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


def reading(name: str) -> Callable[[Document], Any]:
    """What reads a trait as JSON has it, times in ms; None when the contact does not have it."""
    view, read = _VIEWS[name], TRAITS[name].read
    return lambda document: read(view(document))


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
    return rfc3339(value) if trait.type == _TIMESTAMP else orjson.dumps(value)


def rfc3339(time: int) -> bytes:
    """A time in milliseconds as a JSON string."""
    day, rest = divmod(time, DAY)
    minutes, rest = divmod(rest, 60_000)
    hour, minute = divmod(minutes, 60)
    return b'"%bT%02d:%02d:%02d.%03dZ"' % (_date(day), hour, minute, rest // 1000, rest % 1000)


@lru_cache(1_024)
def _date(day: int) -> bytes:
    """A day, counted from 1970."""
    return datetime.fromtimestamp(day * DAY // 1000, UTC).date().isoformat().encode()
