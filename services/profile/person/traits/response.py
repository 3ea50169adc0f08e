"""Traits of how fast a person answers: how long after a message of ours their answer came."""

from collections.abc import Mapping
from typing import Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.traits.trait import Sort, Trait

_STEPS: Final = 4
"""Buckets for each doubling of the time: a bucket is a fifth wide."""
_LONGEST_S: Final = 30 * 86_400
_EVENTS: Final = frozenset({"message_replied"})


def fold(document: Document, happening: Happening) -> None:
    """Count an answer by its delay, if the event says when the message was sent."""
    sent = happening.properties.get("message_time")
    if not isinstance(sent, int) or not 0 < sent <= happening.time:
        return
    seconds = min((happening.time - sent) // 1000, _LONGEST_S)
    bucket = _bucket(seconds)
    delays = document.tallies.delays
    delays[bucket] = delays.get(bucket, 0) + 1


def _bucket(seconds: int) -> int:
    """Whole numbers only, so that every machine agrees: the exponent, and the two bits behind."""
    exponent = (seconds + _STEPS).bit_length() - 3
    return exponent * _STEPS + ((seconds + _STEPS) >> exponent) - _STEPS


def _floor(bucket: int) -> int:
    """The smallest delay (seconds) in a bucket."""
    exponent, step = divmod(bucket, _STEPS)
    return ((step + _STEPS) << exponent) - _STEPS


def _view(document: Document) -> Mapping[int, int]:
    return document.tallies.delays


def _median(delays: Mapping[int, int]) -> int | None:
    half = sum(delays.values()) / 2
    passed = 0
    for bucket in sorted(delays):
        passed += delays[bucket]
        if passed >= half:
            return (_floor(bucket) + _floor(bucket + 1)) // 2
    return None


def _distribution(delays: Mapping[int, int]) -> dict[str, int] | None:
    return {str(_floor(bucket)): delays[bucket] for bucket in sorted(delays)} or None


_TRAITS: Final[tuple[Trait[Mapping[int, int]], ...]] = (
    Trait(
        "response_seconds",
        ValueType.INTEGER,
        "How long the person usually takes to answer a message: the median, within a fifth",
        _EVENTS,
        _median,
    ),
    Trait(
        "response_times",
        ValueType.NUMBER_MAP,
        "Seconds, as the lower end of a range → answers that took so long",
        _EVENTS,
        _distribution,
        published=False,
    ),
)

SORT: Final = Sort(_EVENTS, fold, _view, _TRAITS)
