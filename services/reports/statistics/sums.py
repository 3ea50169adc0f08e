"""Sums of an outcome over the recipients of an arm, and their adjustment by history (CUPED)."""

from collections.abc import Mapping
from typing import NamedTuple


class Sums(NamedTuple):
    """An outcome `y` of `n` recipients: 0 or 1 for a rate, an amount for revenue."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Per recipient; 0 of nobody."""
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Of one recipient (unbiased); 0 of fewer than two."""
        if self.n < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.mean) / (self.n - 1))

    @classmethod
    def of_rate(cls, n: int, successes: int) -> "Sums":
        """Sums of an outcome that is 0 or 1."""
        return cls(n, float(successes), float(successes))


class Paired(NamedTuple):
    """An outcome `y` beside `x`, the same recipients' behaviour before the experiment."""

    n: int
    y: float
    yy: float
    x: float
    xx: float
    xy: float


def adjust(arms: Mapping[str, Paired]) -> tuple[dict[str, Sums], float]:
    """Each arm's outcome with what history explains taken out, and the share of variance gone.

    y' = y - θ (x - x̄), θ = cov(x, y) / var(x) over the arms (each about its own mean) and x̄ the
    mean of all: differences between arms keep their expectation, because `x` cannot depend on the
    arm. Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online controlled experiments
    by utilizing pre-experiment data" (WSDM 2013).
    """
    spread_x = sum(_spread(a.n, a.x, a.x, a.xx) for a in arms.values())
    spread_y = sum(_spread(a.n, a.y, a.y, a.yy) for a in arms.values())
    together = sum(_spread(a.n, a.x, a.y, a.xy) for a in arms.values())
    people = sum(a.n for a in arms.values())
    if spread_x <= 0 or spread_y <= 0:
        return {name: Sums(a.n, a.y, a.yy) for name, a in arms.items()}, 0.0
    theta = together / spread_x
    centre = sum(a.x for a in arms.values()) / people
    adjusted = {}
    for name, a in arms.items():
        shift = theta * centre
        total = a.y - theta * a.x + a.n * shift
        squares = (
            a.yy
            + theta**2 * a.xx
            + a.n * shift**2
            - 2 * theta * a.xy
            + 2 * shift * a.y
            - 2 * theta * shift * a.x
        )
        adjusted[name] = Sums(a.n, total, squares)
    return adjusted, together**2 / (spread_x * spread_y)


def _spread(n: int, a: float, b: float, ab: float) -> float:
    return ab - a * b / n if n else 0.0
