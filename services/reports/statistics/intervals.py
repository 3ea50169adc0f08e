"""Intervals of a rate or mean that is looked at once."""

from functools import lru_cache
from typing import Final, NamedTuple

from scipy.special import ndtri

from services.reports.statistics.sums import Sums

_LEVEL: Final = 0.95


class Interval(NamedTuple):
    """What is likely, and the bounds of what is plausible."""

    value: float
    lower: float
    upper: float


def rate_interval(successes: int, n: int, level: float = _LEVEL) -> Interval | None:
    """A rate with its Wilson score interval; None of nobody.

    It stays within 0 and 1 and is right for small counts too. E. B. Wilson, "Probable inference,
    the law of succession, and statistical inference" (JASA 22, 1927).
    """
    if not n:
        return None
    z = _z(level)
    rate = successes / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * (rate * (1 - rate) / n + z * z / (4 * n * n)) ** 0.5
    # Rounding must not put the rate outside its own interval
    lower, upper = min(centre - half, rate), max(centre + half, rate)
    return Interval(rate, max(0.0, lower), min(1.0, upper))


def mean_interval(sums: Sums, level: float = _LEVEL) -> Interval | None:
    """A mean with its normal interval; None of fewer than two."""
    if sums.n < 2:
        return None
    half = _z(level) * (sums.variance / sums.n) ** 0.5
    return Interval(sums.mean, sums.mean - half, sums.mean + half)


@lru_cache(maxsize=16)
def _z(level: float) -> float:
    """So many deviations from the mean lies what is as likely as `level`."""
    return float(ndtri((1 + level) / 2))
