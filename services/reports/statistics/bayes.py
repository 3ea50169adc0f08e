"""What to believe of several arms: which is best, and what choosing each would cost.

Beliefs are integrated over a grid, so that the same sums always give the same figures.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, betaln, ndtr

from services.reports.statistics.sums import Sums

_POINTS: Final = 3_001
"""Of the grid, shared by the beliefs: many arms are looked at as quickly as two."""
_FEWEST: Final = 17
_TAIL: Final = 1e-10
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
"""Enough for one bell curve times what is smooth beside it."""

Grid = NDArray[np.float64]


class Belief(NamedTuple):
    """What is believed of a rate (a beta distribution) or of a mean (a normal one)."""

    mean: float
    lower: float
    upper: float
    """Outside of these it is as good as certain not to be."""
    successes: float = 0.0
    failures: float = 0.0
    """Of a rate, with the prior."""
    deviation: float = 0.0
    """Of a mean."""

    def below(self, values: Grid) -> Grid:
        """The probability that it is at most each of `values`."""
        if self.deviation:
            return np.asarray(ndtr((values - self.mean) / self.deviation), dtype=np.float64)
        inside = np.clip(values, 0.0, 1.0)
        return np.asarray(betainc(self.successes, self.failures, inside), dtype=np.float64)


class Standing(NamedTuple):
    """How an arm stands among the others."""

    probability_best: float
    expected_loss: float
    """How much is lost on average by choosing it, in the measure's unit."""


def rate_belief(successes: int, n: int) -> Belief:
    """Of a rate, beginning from none more likely than another (Beta(1, 1))."""
    a, b = 1.0 + successes, 1.0 + n - successes
    return Belief(
        a / (a + b),
        float(betaincinv(a, b, _TAIL)),
        float(betaincinv(a, b, 1 - _TAIL)),
        a,
        b,
    )


def mean_belief(sums: Sums) -> Belief:
    """Of a mean, normal by the central limit theorem; of fewer than two, nothing is known."""
    if sums.n < 2:
        return Belief(0.0, -1e9, 1e9, deviation=1e9)
    deviation = max((sums.variance / sums.n) ** 0.5, 1e-12)
    return Belief(
        sums.mean, sums.mean - 6.4 * deviation, sums.mean + 6.4 * deviation, deviation=deviation
    )


def above(one: Belief, other: Belief) -> float:
    """The probability that a rate is above another: what `standings` says of two, without a grid.

    It is integrated where the surer of them is likely to be: there the other changes slowly.
    """
    if other.upper - other.lower < one.upper - one.lower:
        return 1.0 - above(other, one)
    half = (one.upper - one.lower) / 2
    points = one.lower + half * (1 + _NODES)
    density = np.exp(
        (one.successes - 1) * np.log(points)
        + (one.failures - 1) * np.log1p(-points)
        - betaln(one.successes, one.failures)
    )
    likely = density * _WEIGHTS
    # What lies outside its bounds is left out, so what lies inside is all
    return float(np.sum(likely * other.below(points)) / np.sum(likely))


def standings(beliefs: Mapping[str, Belief]) -> dict[str, Standing]:
    """How every arm stands. Probabilities add up to 1."""
    lowest = min(belief.lower for belief in beliefs.values())
    highest = max(belief.upper for belief in beliefs.values())
    # Fine where beliefs are narrow, and no coarser anywhere than a share of the whole.
    each = max(_POINTS // (len(beliefs) + 1), _FEWEST)
    points = np.unique(
        np.concatenate(
            [
                np.linspace(lowest, highest, each),
                *(np.linspace(b.lower, b.upper, each) for b in beliefs.values()),
            ]
        )
    )
    below = {name: belief.below(points) for name, belief in beliefs.items()}
    together = np.prod(list(below.values()), axis=0)
    best = points[-1] - float(np.trapezoid(together, points))  # E[max] of what lies within bounds
    chances = {}
    for name, own in below.items():
        others = [b for other, b in below.items() if other != name]
        beaten = np.prod(others, axis=0) if others else np.ones_like(points)
        middles = (beaten[1:] + beaten[:-1]) / 2
        chances[name] = float(np.sum(np.diff(own) * middles))
    whole = sum(chances.values())
    return {
        name: Standing(chances[name] / whole, max(0.0, best - _mean(below[name], points)))
        for name in beliefs
    }


def _mean(below: Grid, points: Grid) -> float:
    return float(points[-1] - np.trapezoid(below, points))
