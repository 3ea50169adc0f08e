"""How people are: segments, languages, hours of the day. Pure, decided by the seed."""

from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from simulator.people.dice import Dice

Segment = Literal["devoted", "regular", "bargain", "quiet", "annoyed"]


class Habits(msgspec.Struct, frozen=True, gc=False):
    """Of one person; shares are probabilities per message."""

    segment: Segment
    reads: float
    replies: float
    clicks: float
    stops: float
    blocks: float
    answers: float
    receipts: bool
    """Whether reading is told: some switch it off."""
    pace: float
    """Factor on every delay."""
    day: tuple[float, ...]
    """By local hour, how likely the phone is looked at: 1 is the best hour."""


class _Kind(NamedTuple):
    """A segment: the middle of what its people do, around which they scatter."""

    reads: tuple[float, float]
    replies: float
    clicks: float
    stops: float
    blocks: float
    answers: float


_SEGMENTS: Final[tuple[tuple[Segment, float], ...]] = (
    ("regular", 0.48),
    ("bargain", 0.20),
    ("quiet", 0.15),
    ("devoted", 0.12),
    ("annoyed", 0.05),
)
_KINDS: Final[dict[Segment, _Kind]] = {
    "devoted": _Kind((9, 1.6), 0.09, 0.24, 0.0005, 0.0003, 0.45),
    "regular": _Kind((5, 2.0), 0.04, 0.10, 0.003, 0.0015, 0.30),
    "bargain": _Kind((5, 2.0), 0.02, 0.17, 0.004, 0.0015, 0.25),
    "quiet": _Kind((2, 3.0), 0.01, 0.03, 0.002, 0.002, 0.12),
    "annoyed": _Kind((4, 2.5), 0.03, 0.02, 0.05, 0.02, 0.15),
}
# How readily people of a language write back to a business.
_TALKATIVE: Final = {"tr": 1.2, "ar": 1.2, "es": 1.1, "pt": 1.3, "en": 1.0, "fr": 0.8, "de": 0.7}

_DAYS: Final = {
    "early": (
        0.02, 0.01, 0.01, 0.01, 0.05, 0.25, 0.70, 0.95, 0.90, 0.75, 0.70, 0.75,
        0.95, 0.85, 0.70, 0.65, 0.70, 0.80, 0.90, 0.95, 0.75, 0.40, 0.12, 0.05,
    ),
    "usual": (
        0.10, 0.04, 0.02, 0.02, 0.02, 0.06, 0.25, 0.60, 0.80, 0.75, 0.70, 0.75,
        0.95, 0.85, 0.70, 0.70, 0.75, 0.85, 0.90, 0.95, 1.00, 0.95, 0.65, 0.30,
    ),
    "late": (
        0.60, 0.40, 0.22, 0.10, 0.04, 0.02, 0.03, 0.10, 0.25, 0.45, 0.60, 0.70,
        0.90, 0.85, 0.75, 0.75, 0.80, 0.85, 0.90, 0.95, 1.00, 1.00, 0.95, 0.85,
    ),
}  # fmt: skip
_CHRONOTYPES: Final = (("usual", 0.58), ("early", 0.24), ("late", 0.18))
_HOUR_S: Final = 3600.0
# Nobody sleeps longer than this; it bounds the search as well.
_LONGEST_WAIT_H: Final = 24


@lru_cache(maxsize=65_536)
def habits_of(seed: int, wa_id: str, language: str, segment: Segment | None) -> Habits:
    """What the seed gave a person; `segment` if somebody decided it."""
    dice = Dice(f"{seed}/{wa_id}")
    drawn = dice.weighted(_SEGMENTS)
    segment = segment or drawn
    kind = _KINDS[segment]
    # Whoever clicks much also answers much, and whoever stops also blocks.
    keen, cross = dice.above_none(), dice.above_none()
    talkative = _TALKATIVE.get(language, 1.0) * keen
    return Habits(
        segment=segment,
        reads=dice.inclined(*kind.reads),
        replies=min(1.0, kind.replies * talkative),
        clicks=min(1.0, kind.clicks * keen),
        stops=min(1.0, kind.stops * cross),
        blocks=min(1.0, kind.blocks * cross),
        answers=min(1.0, kind.answers * talkative),
        receipts=dice.happens(0.88),
        pace=dice.delay(1.0, 0.5),
        day=_DAYS[dice.weighted(_CHRONOTYPES)],
    )


def until_awake(dice: Dice, day: tuple[float, ...], at_s: float) -> float:
    """Seconds from `at_s` (local seconds of the day) until the phone is looked at."""
    if dice.happens(day[int(at_s / _HOUR_S) % 24]):
        return 0.0
    hour = int(at_s / _HOUR_S)
    for later in range(1, _LONGEST_WAIT_H + 1):
        if dice.happens(day[(hour + later) % 24]):
            break
    return (hour + later + dice.share()) * _HOUR_S - at_s
