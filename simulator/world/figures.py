"""What Meta's analytics tell: sums by day, in which nobody can be seen. Pure.

A message counts on the day (UTC) on which it was sent, whatever came of it later; reads and taps
within seven days.
"""

from collections import Counter
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

Figure = Literal["sent", "delivered", "read", "clicked", "volume"]
_DAY_S: Final = 86_400
_TOLD_FOR_S: Final = 7 * _DAY_S
_DAYS: Final = 366
_MICROS: Final = {"marketing": 10_900, "marketing_lite": 10_900, "authentication": 5_300}
_OTHERS: Final = 5_300
"""Micros of US dollars for what Meta bills. What a real card says is not known here."""


class Subject(NamedTuple):
    """What a message is told by."""

    waba_id: str
    number: str
    """As people dial it, digits."""
    country: str
    """Digits with which the recipient's number begins."""
    category: str
    type: str
    template_id: str


class Figures:
    """Sums of a year at most."""

    def __init__(self) -> None:
        self._days: dict[int, Counter[tuple[Subject, Figure]]] = {}

    def count(self, figure: Figure, subject: Subject, sent: float, now: float) -> None:
        """One message came to something now that was sent then (Unix seconds)."""
        if figure in ("read", "clicked") and now - sent > _TOLD_FOR_S:
            return
        day = int(sent) // _DAY_S
        self._days.setdefault(day, Counter())[subject, figure] += 1
        while len(self._days) > _DAYS:
            del self._days[min(self._days)]

    def between(self, start: int, end: int) -> dict[tuple[int, Subject, Figure], int]:
        """Sums by the day's beginning, of days that begin from `start` on and before `end`."""
        return {
            (day * _DAY_S, subject, figure): count
            for day, sums in self._days.items()
            if start <= day * _DAY_S < end
            for (subject, figure), count in sums.items()
        }


def digits(number: str) -> str:
    """A number as people write it, without anything but digits."""
    return "".join(filter(str.isdigit, number))


@lru_cache(maxsize=65_536)
def country_code_of(wa_id: str) -> str:
    """The digits of the country with which a number begins; 1 where it begins with none."""
    for length in (1, 2, 3):
        if int(wa_id[:length]) in COUNTRY_CODE_TO_REGION_CODE:
            return wa_id[:length]
    return "1"


def cost(subject: Subject, volume: int) -> float:
    """What Meta bills, in US dollars."""
    if subject.type != "regular":
        return 0.0
    return volume * _MICROS.get(subject.category, _OTHERS) / 1_000_000
