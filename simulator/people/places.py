"""What a phone number tells of somebody: language, country, local time. Pure."""

from functools import cache
from typing import Final, NamedTuple


class Place(NamedTuple):
    """Where the number is from."""

    country: str
    locale: str
    utc_offset_h: float
    """Local time without summer time: people's habits need no more."""


_ELSEWHERE: Final = Place("US", "en", -6)
_PLACES: Final = {
    "1": Place("US", "en", -6),
    "20": Place("EG", "ar", 2),
    "31": Place("NL", "en", 1),
    "33": Place("FR", "fr", 1),
    "34": Place("ES", "es", 1),
    "44": Place("GB", "en", 0),
    "49": Place("DE", "de", 1),
    "52": Place("MX", "es", -6),
    "55": Place("BR", "pt", -3),
    "90": Place("TR", "tr", 3),
    "91": Place("IN", "en", 5.5),
    "966": Place("SA", "ar", 3),
    "971": Place("AE", "ar", 4),
}
_LONGEST: Final = max(map(len, _PLACES))


def place_of(wa_id: str) -> Place:
    """By the longest dialling code that is known."""
    return _beginning(wa_id[:_LONGEST])


@cache
def _beginning(digits: str) -> Place:
    for count in range(_LONGEST, 0, -1):
        if place := _PLACES.get(digits[:count]):
            return place
    return _ELSEWHERE
