"""Traits of how a person feels about us, by what they write or by scores that others give."""

from math import isfinite
from typing import Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.tallies import add, faded, hold
from services.profile.person.traits import sentiment
from services.profile.person.traits.trait import DAY, Sort, Trait, itself

_HALF_LIFE: Final = 30 * DAY
_MILLI: Final = 1_000
_EVENTS: Final = frozenset(
    {"message_received", "feedback_given", "product_reviewed", "call_scored"}
)


def fold(document: Document, happening: Happening) -> None:
    """Take in the mood of a happening: the score it brings, or what its text sounds like."""
    score = happening.properties.get("sentiment")
    if isinstance(score, int | float) and isfinite(score):
        score = min(max(float(score), -1.0), 1.0)
    else:
        text = happening.properties.get("text")
        score = sentiment.score(text) if isinstance(text, str) else None
    if score is not None:
        add(document.tallies, "mood", happening.time, "score", round(score * _MILLI))
        add(document.tallies, "mood", happening.time, "texts", 1)
        hold(document.tallies, "mood", happening.latest(score))


def _mean(document: Document) -> float | None:
    sums = faded(document.tallies, "mood", _HALF_LIFE)
    return round(sums["score"] / sums["texts"] / _MILLI, 3) if sums else None


def _last(document: Document) -> float | None:
    latest = document.tallies.latest.get("mood")
    return None if latest is None else latest.value


_TRAITS: Final[tuple[Trait[Document], ...]] = (
    Trait(
        "sentiment",
        ValueType.NUMBER,
        "How what the person wrote sounds, -1 to 1; what is a month old counts half",
        _EVENTS,
        _mean,
    ),
    Trait(
        "last_sentiment",
        ValueType.NUMBER,
        "How what the person last wrote sounds, -1 to 1",
        _EVENTS,
        _last,
    ),
)

SORT: Final = Sort(_EVENTS, fold, itself, _TRAITS)
