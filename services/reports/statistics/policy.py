"""What another way of choosing variants would have brought, from what was logged.

Every assignment carries the probability with which it was drawn. Recipients who were assigned with
the same probability to the same variant are one line of the log.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy.special import ndtri

from services.reports.statistics.intervals import Interval
from services.reports.statistics.sums import Sums


class Log(NamedTuple):
    """Recipients who got a variant that was drawn with a propensity (above 0, at most 1)."""

    variant: str
    propensity: float
    sums: Sums


class Estimate(NamedTuple):
    """What the other way would have brought per recipient, by one method."""

    method: str
    interval: Interval
    effective_sample_size: float
    """(Σ weights)² / Σ weights²: as many recipients of the other way itself would tell as much."""


def evaluate(log: Sequence[Log], target: Mapping[str, float]) -> list[Estimate]:
    """The value of choosing variants with the shares `target`, by three methods; [] of nobody.

    Inverse propensity (Horvitz and Thompson, 1952), self-normalised (Swaminathan and Joachims,
    2015) and doubly robust with each variant's mean as the model (Dudík, Langford and Li, 2011).
    """
    n = sum(line.sums.n for line in log)
    if n < 2:
        return []
    means = _means(log)
    model = sum(share * means.get(variant, 0.0) for variant, share in target.items())
    weights = [(line, target.get(line.variant, 0.0) / line.propensity) for line in log]
    weight = sum(w * line.sums.n for line, w in weights)
    square = sum(w * w * line.sums.n for line, w in weights)
    size = weight * weight / square if square else 0.0

    first = sum(w * line.sums.total for line, w in weights)
    second = sum(w * w * line.sums.squares for line, w in weights)
    plain = first / n
    found = [_estimate("inverse_propensity", plain, _variance(n, first, second) / n, size)]

    if weight:
        value = first / weight
        spread = sum(w * w * _about(line.sums, value) for line, w in weights)
        found.append(_estimate("self_normalised", value, spread / weight**2, size))

    residual = sum(
        w * (s.total - s.n * means[line.variant]) for line, w in weights for s in [line.sums]
    )
    spread = sum(w * w * _about(line.sums, means[line.variant]) for line, w in weights)
    robust = model + residual / n
    found.append(_estimate("doubly_robust", robust, _variance(n, residual, spread) / n, size))
    return found


def _means(log: Sequence[Log]) -> dict[str, float]:
    """Each variant's mean, every recipient by the inverse of the propensity."""
    totals: dict[str, tuple[float, float]] = {}
    for line in log:
        total, weight = totals.get(line.variant, (0.0, 0.0))
        totals[line.variant] = (
            total + line.sums.total / line.propensity,
            weight + line.sums.n / line.propensity,
        )
    return {v: total / weight if weight else 0.0 for v, (total, weight) in totals.items()}


def _variance(n: int, first: float, second: float) -> float:
    return max(0.0, (second - first * first / n) / (n - 1))


def _about(sums: Sums, value: float) -> float:
    return max(0.0, sums.squares - 2 * value * sums.total + sums.n * value * value)


def _estimate(method: str, value: float, variance: float, size: float) -> Estimate:
    half = float(ndtri(0.975)) * variance**0.5
    return Estimate(method, Interval(value, value - half, value + half), size)
