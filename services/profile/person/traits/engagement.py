"""How much a person has to do with us: a sum of what they do, each act weighed, which fades.

The score is the sum's logarithm on a scale that does not move: an act of today counts for more
than the same act a month ago, and nobody's score changes by time alone. So people can be compared
at any time, and a score is computed only when its person does something. Whether it is much is a
question of everybody else's: see `standing`.
"""

from math import floor, log2
from typing import Final

from services.profile.person.model import Document, Happening
from services.profile.person.tallies import PERIOD, add, faded
from services.profile.person.traits.trait import DAY, Sort, itself

_HALF_LIFE: Final = 30 * DAY
STEPS: Final = 4
"""Of the score for each doubling of the sum."""
_WEIGHTS: Final = {
    "message_read": 1,
    "page_viewed": 1,
    "screen_viewed": 1,
    "product_viewed": 1,
    "message_received": 3,
    "message_clicked": 3,
    "link_clicked": 2,
    "product_added": 2,
    "checkout_started": 3,
    "feedback_given": 3,
    "order_completed": 8,
}


def fold(document: Document, happening: Happening) -> None:
    """Weigh what a person did."""
    add(document.tallies, "engagement", happening.time, "", _WEIGHTS[happening.name])


def score(document: Document) -> int | None:
    """How much, in `STEPS` a doubling; None of somebody who never did anything."""
    fading = document.tallies.fading.get("engagement")
    if not fading:
        return None
    now = faded(document.tallies, "engagement", _HALF_LIFE)[""]
    return floor(STEPS * (log2(now) + max(fading) * PERIOD / _HALF_LIFE))


SORT: Final = Sort(frozenset(_WEIGHTS), fold, itself, ())
