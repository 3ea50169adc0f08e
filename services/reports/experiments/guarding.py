"""Whether a variant surely does harm, whenever one looks. Pure."""

from math import log, log1p
from typing import Final

from scipy.special import betaincc, betaln

from services.reports.statistics import Sums, difference

_OUTCOMES: Final = 10


def exceeds(harmed: int, n: int, limit: float, alpha: float) -> bool:
    """Whether a rate is surely above `limit`: with probability 1 - alpha no look says so falsely.

    The likelihood of what was seen under rates above the limit, mixed by a beta distribution as
    wide as the limit, against that under the limit is a supermartingale as long as the rate is no
    higher, so that it exceeds 1 / alpha at any time with probability alpha at most (Ville; Robbins,
    "Statistical methods related to the law of the iterated logarithm", 1970).
    """
    if not n or harmed / n <= limit or limit >= 1:
        return False
    if limit <= 0:
        return harmed > 0
    wide = 1 / limit
    above = betaincc(1 + harmed, wide + n - harmed, limit) / betaincc(1, wide, limit)
    if above <= 0:
        return False
    mixed = betaln(1 + harmed, wide + n - harmed) - betaln(1, wide) + log(above)
    evidence = mixed - harmed * log(limit) - (n - harmed) * log1p(-limit)
    return float(evidence) > -log(alpha)


def worse(
    harmed: int, n: int, of_baseline: int, n_baseline: int, increase: float, alpha: float
) -> bool:
    """Whether a rate is surely more than `increase` (a share) above the baseline's. Of a baseline
    that does next to no harm some is supposed: as much as large samples need."""
    if harmed < _OUTCOMES:
        return False
    of_baseline = max(of_baseline, min(_OUTCOMES, n_baseline))
    scale = 1 + increase
    limit = Sums(n_baseline, scale * of_baseline, scale * scale * of_baseline)
    found = difference(Sums.of_rate(n, harmed), limit, alpha)
    return found is not None and found.interval.lower > 0
