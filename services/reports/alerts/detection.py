"""Whether a rate is unlike its own past. Pure.

The same hours of the weeks before differ by chance, and by what else differs between weeks. Rates
are put on the scale on which chance alone is the same for all of them (F. J. Anscombe, "The
transformation of Poisson, binomial and negative-binomial data", Biometrika 35, 1948), the rest is
estimated (R. DerSimonian and N. Laird, "Meta-analysis in clinical trials", Controlled Clinical
Trials 7, 1986), and from both follows where a week like those before would lie (J. P. T. Higgins,
S. G. Thompson and D. J. Spiegelhalter, "A re-evaluation of random-effects meta-analysis", JRSS A
172, 2009).
"""

from collections.abc import Sequence
from math import asin, pi, sin, sqrt
from typing import Final, NamedTuple

from scipy.special import ndtr, ndtri, stdtr, stdtrit

from services.reports.alerts.model import Direction
from services.reports.insights import Share
from services.reports.statistics import Interval

FEWEST: Final = 3
"""Stretches of the past that tell what is normal."""
CHANGE: Final = 0.1
"""Changes by a smaller share concern nobody, however sure."""


class Finding(NamedTuple):
    """A rate beside its past."""

    deviations: float
    """Standard deviations from what is normal, in the direction that is looked for."""
    expected: Interval
    limit: float
    """The rate from which on it is unlike its past."""
    large: bool
    """Large enough to concern somebody."""


class _Normal(NamedTuple):
    """Where stretches like those of the past lie, on the scale of Anscombe."""

    mean: float
    spread: float
    """Variance beside chance: between stretches, and of the mean."""
    freedom: int
    """Degrees of freedom of the spread; 0 where there is none but chance."""


def unlike(
    now: Share, past: Sequence[Share], direction: Direction, sensitivity: float
) -> Finding | None:
    """How far a rate is from its past; None where the past is too short."""
    known = [one for one in past if one.whole > 0]
    if len(known) < FEWEST or not now.whole:
        return None
    normal = _normal(known)
    deviation = sqrt(_chance(now) + normal.spread)
    apart = (_scaled(now) - normal.mean) / deviation
    sign = 1 if direction == "above" else -1
    reach = _as_deviations(sensitivity, normal.freedom) * deviation
    usual = _as_deviations(1.96, normal.freedom) * sqrt(normal.spread)
    expected = Interval(_rate(normal.mean), _rate(normal.mean - usual), _rate(normal.mean + usual))
    rate = now.part / now.whole
    return Finding(
        sign * _deviations(apart, normal.freedom),
        expected,
        _rate(normal.mean + sign * reach),
        sign * (rate - expected.value) >= CHANGE * expected.value,
    )


def _normal(past: Sequence[Share]) -> _Normal:
    scaled = [_scaled(one) for one in past]
    exact = [1 / _chance(one) for one in past]
    mean = sum(w * y for w, y in zip(exact, scaled, strict=True)) / sum(exact)
    differ = sum(w * (y - mean) ** 2 for w, y in zip(exact, scaled, strict=True))
    freedom = len(past) - 1
    scale = sum(exact) - sum(w * w for w in exact) / sum(exact)
    between = max(0.0, (differ - freedom) / scale)
    weights = [1 / (_chance(one) + between) for one in past]
    mean = sum(w * y for w, y in zip(weights, scaled, strict=True)) / sum(weights)
    return _Normal(mean, between + 1 / sum(weights), freedom if between else 0)


def _scaled(share: Share) -> float:
    return asin(sqrt((share.part + 0.375) / (share.whole + 0.75)))


def _chance(share: Share) -> float:
    return 1 / (4 * share.whole + 2)


def _rate(scaled: float) -> float:
    return sin(min(max(scaled, 0.0), pi / 2)) ** 2


def _deviations(apart: float, freedom: int) -> float:
    """A distance of Student's distribution as one of the normal."""
    if not freedom:
        return apart
    # By the tail that is small, which the other one could not tell
    size = -float(ndtri(stdtr(freedom, -abs(apart))))
    return size if apart > 0 else -size


def _as_deviations(normal: float, freedom: int) -> float:
    """A distance of the normal distribution as one of Student's."""
    return float(-stdtrit(freedom, ndtr(-normal))) if freedom else normal
