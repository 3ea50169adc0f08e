"""How many recipients a question needs, and what can be seen with those there are."""

from typing import Final

from scipy.special import ndtri

_POWER: Final = 0.8
_MOST: Final = 10**12


def recipients_per_arm(
    baseline: float, effect: float, alpha: float = 0.05, power: float = _POWER
) -> int:
    """Recipients of each of two arms for a relative `effect` on a rate to be found.

    Two-sided comparison of two independent proportions, without continuity correction: Fleiss,
    Levin and Paik, "Statistical methods for rates and proportions" (3rd edition, 2003), chapter 4.
    `baseline` and `baseline * (1 + effect)` must lie between 0 and 1, both excluded.
    """
    other = baseline * (1 + effect)
    if not (0 < baseline < 1 and 0 < other < 1 and effect):
        raise ValueError("rates lie between 0 and 1, and the effect is not 0")
    mean = (baseline + other) / 2
    none = (2 * mean * (1 - mean)) ** 0.5
    some = (baseline * (1 - baseline) + other * (1 - other)) ** 0.5
    reach = float(ndtri(1 - alpha / 2)) * none + float(ndtri(power)) * some
    return min(_MOST, int(-(-(reach**2) // (other - baseline) ** 2)))


def detectable_effect(
    baseline: float, per_arm: int, alpha: float = 0.05, power: float = _POWER
) -> float | None:
    """The smallest relative rise of a rate that `per_arm` recipients of each of two arms show.

    None when not even the largest possible would be seen.
    """
    if not 0 < baseline < 1:
        return None
    small, large = 1e-9, (1 - baseline) / baseline * (1 - 1e-9)
    if recipients_per_arm(baseline, large, alpha, power) > per_arm:
        return None
    for _ in range(60):
        middle = (small * large) ** 0.5
        if recipients_per_arm(baseline, middle, alpha, power) > per_arm:
            small = middle
        else:
            large = middle
    return float(large)
