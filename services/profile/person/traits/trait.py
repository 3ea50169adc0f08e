"""What a trait is."""

from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from services.profile.person.model import Document, Happening, ValueType

DAY: Final = 86_400_000
V = TypeVar("V")


class Trait(NamedTuple, Generic[V]):
    """A fact computed from events."""

    name: str
    type: ValueType
    description: str
    events: frozenset[str]
    """The events that can change it."""
    read: Callable[[V], Any]
    """Its value as JSON has it (times in ms), from its sort's view; None when there is none."""
    published: bool = True
    """Whether its changes are told; else it is there for whoever asks."""


class Sort(NamedTuple, Generic[V]):
    """Traits that follow from the same tallies."""

    events: frozenset[str]
    """The events that are folded."""
    fold: Callable[[Document, Happening], None]
    view: Callable[[Document], V]
    """What all of the traits are read from, computed once for them."""
    traits: tuple[Trait[V], ...]


def ratio(part: int, whole: int) -> float | None:
    """A part of a whole, at most 1; None while there is no whole."""
    return round(min(part / whole, 1.0), 4) if whole else None


def itself(document: Document) -> Document:
    """The view of traits that are read from the document as it is."""
    return document
