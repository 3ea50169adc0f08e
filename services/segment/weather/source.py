"""Where weather comes from."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from expressions.places import Point

Weather: TypeAlias = Mapping[str, float]
"""By the names of `vocabulary.WEATHER_FIELDS`; what is not known is left out."""


class WeatherSource(Protocol):
    """Knows the weather of now."""

    most: int
    """Points that may be asked for at once."""

    async def current(self, points: Sequence[Point]) -> Sequence[Weather]:
        """Of each point, in their order. Raises `ServiceUnavailable`."""
        ...
