"""Differences between two arms that may be looked at as often as one likes.

An ordinary 5 % test that is looked at every day is wrong far more often than in 5 % of cases. These
intervals hold at all looks together: with probability 1 - α no look ever shows one that misses the
truth. They are asymptotic confidence sequences with a normal mixture: Johari, Pekelis and Walsh,
"Always valid inference" (Operations Research 70, 2022); Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of
Statistics 52, 2024).
"""

import math
from typing import Final, NamedTuple

from services.reports.statistics.intervals import Interval
from services.reports.statistics.sums import Sums

_TIGHTEST_AT: Final = 5_000
"""Recipients per arm at which the interval is tightest. It has to be chosen before anybody looks;
ten times fewer or more cost about a fifth of the width."""
_RECIPIENTS: Final = 100
_OUTCOMES: Final = 10
"""What the theory holds for is large samples: nothing is said before every arm has as many
recipients, and, of a rate, as many with the outcome and without it."""


class Difference(NamedTuple):
    """How much better one arm is than the other, in the measure's own unit."""

    interval: Interval
    p_value: float
    """Always valid: it may be acted on whenever it falls below α."""


def difference(arm: Sums, baseline: Sums, alpha: float = 0.05) -> Difference | None:
    """`arm` less `baseline`; None while there is too little to say anything."""
    if not (_ripe(arm) and _ripe(baseline)):
        return None
    variance = arm.variance / arm.n + baseline.variance / baseline.n
    observed = arm.mean - baseline.mean
    # Mixing over effects τ² as large as the variance of the difference is at the tightest point,
    # times the factor that makes it so (Waudby-Smith et al., equation 24).
    pressure = -2 * math.log(alpha)
    factor = pressure + math.log(pressure + 1)
    mixing = (arm.variance + baseline.variance) / _TIGHTEST_AT * factor
    ratio = (variance + mixing) / variance
    half = math.sqrt(variance * (variance + mixing) / mixing * (pressure + math.log(ratio)))
    evidence = observed**2 * mixing / (2 * variance * (variance + mixing)) - 0.5 * math.log(ratio)
    return Difference(
        Interval(observed, observed - half, observed + half), min(1.0, math.exp(-evidence))
    )


def relative(found: Difference, baseline: Sums) -> Interval | None:
    """The difference as a share of the baseline; None where that is 0.

    The baseline's own uncertainty is left out: the interval is that of the difference, scaled, so
    that it is above 0 exactly when the difference is.
    """
    if baseline.mean <= 0:
        return None
    value, lower, upper = found.interval
    return Interval(value / baseline.mean, lower / baseline.mean, upper / baseline.mean)


def _ripe(sums: Sums) -> bool:
    if sums.n < _RECIPIENTS or sums.variance <= 0:
        return False
    if sums.total != sums.squares:  # an amount, not a rate
        return True
    return min(sums.total, sums.n - sums.total) >= _OUTCOMES
