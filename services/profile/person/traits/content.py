"""Traits of what kind of content suits a person: text, or media."""

from collections.abc import Mapping
from typing import Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.tallies import add, faded
from services.profile.person.traits.trait import DAY, Sort, Trait

_HALF_LIFE: Final = 90 * DAY
_KINDS: Final = ("media", "text")
_MEDIA: Final = frozenset({"image", "video", "audio", "document", "sticker"})
_TEXT: Final = frozenset({"text", "button", "interactive"})
_ENOUGH: Final = 3
"""Messages of each kind before answers tell which is answered more."""
_ANSWERS: Final = frozenset({"message_clicked", "message_replied"})
_EVENTS: Final = _ANSWERS | {"message_received", "message_delivered"}


def fold(document: Document, happening: Happening) -> None:
    """Count a message by its kind: one of ours, an answer to it, or one of the person's."""
    said = happening.properties.get("kind")
    kind = "media" if said in _MEDIA else "text" if said in _TEXT else ""
    if kind:
        name = happening.name
        act = "answered" if name in _ANSWERS else name.removeprefix("message_")
        add(document.tallies, "content", happening.time, f"{act}.{kind}", 1)


def _view(document: Document) -> Mapping[str, float]:
    return faded(document.tallies, "content", _HALF_LIFE)


def _rates(sums: Mapping[str, float]) -> dict[str, float] | None:
    """Answers by delivered message, of kinds there were enough of."""
    found = {
        kind: round(min(sums.get(f"answered.{kind}", 0.0) / delivered, 1.0), 4)
        for kind in _KINDS
        if (delivered := sums.get(f"delivered.{kind}", 0.0)) >= _ENOUGH
    }
    return found or None


def _preference(sums: Mapping[str, float]) -> str | None:
    rates = _rates(sums) or {}
    if len(rates) < len(_KINDS) or rates["media"] == rates["text"]:
        rates = {kind: sums.get(f"received.{kind}", 0.0) for kind in _KINDS}
    if rates["media"] == rates["text"]:
        return None
    return max(_KINDS, key=lambda kind: rates[kind])


_TRAITS: Final[tuple[Trait[Mapping[str, float]], ...]] = (
    Trait(
        "content_response",
        ValueType.NUMBER_MAP,
        "media and text → answers by delivered message of that kind",
        _EVENTS,
        _rates,
    ),
    Trait(
        "content_preference",
        ValueType.STRING,
        "media or text: what the person answers more or, while that is not known, sends more",
        _EVENTS,
        _preference,
    ),
)

SORT: Final = Sort(_EVENTS, fold, _view, _TRAITS)
