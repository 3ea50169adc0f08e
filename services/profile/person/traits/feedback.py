"""Traits of what a person thinks of us: ratings, and complaints that are open."""

from math import isfinite
from typing import Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.tallies import hold, hold_each
from services.profile.person.traits.trait import Sort, Trait, itself

_MILLI: Final = 1_000
_HIGHEST: Final = 1_000_000
_GIVEN: Final = frozenset({"feedback_given"})
_COMPLAINTS: Final = {"complaint_opened": True, "complaint_closed": False}
_EVENTS: Final = _GIVEN | frozenset(_COMPLAINTS)


def fold(document: Document, happening: Happening) -> None:
    """Take in a rating, or the state of a complaint."""
    if happening.name in _COMPLAINTS:
        named = happening.properties.get("complaint_id")
        complaint = str(named) if isinstance(named, str | int) else ""
        state = happening.latest(_COMPLAINTS[happening.name])
        hold_each(document.tallies, "complaints", {complaint: state})
        return
    score = happening.properties.get("score")
    if isinstance(score, int | float) and isfinite(score) and abs(score) <= _HIGHEST:
        counts = document.counts
        counts["_scores"] = counts.get("_scores", 0) + 1
        counts["_score_total"] = counts.get("_score_total", 0) + round(score * _MILLI)
        hold(document.tallies, "score", happening.latest(score))


def _mean(document: Document) -> float | None:
    scores = document.counts.get("_scores", 0)
    if not scores:
        return None
    return round(document.counts.get("_score_total", 0) / scores / _MILLI, 3)


def _last(document: Document) -> float | None:
    latest = document.tallies.latest.get("score")
    return None if latest is None else float(latest.value)


def _complaining(document: Document) -> bool | None:
    complaints = document.tallies.newest.get("complaints")
    return any(one.value for one in complaints.values()) if complaints else None


_TRAITS: Final[tuple[Trait[Document], ...]] = (
    Trait("feedback_score", ValueType.NUMBER, "Mean of the ratings", _GIVEN, _mean),
    Trait("last_feedback_score", ValueType.NUMBER, "The newest rating", _GIVEN, _last),
    Trait(
        "open_complaint",
        ValueType.BOOLEAN,
        "Whether a complaint is open",
        frozenset(_COMPLAINTS),
        _complaining,
    ),
)

SORT: Final = Sort(_EVENTS, fold, itself, _TRAITS)
