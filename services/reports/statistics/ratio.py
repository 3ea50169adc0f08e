"""Whether arms have the shares they were to have. Where not, nothing else can be trusted."""

from collections.abc import Mapping
from math import exp, log
from typing import Final

from scipy.special import gammaln

_WEIGHT: Final = 1_000
"""How strongly the alternative is held to lie near the intended shares."""


def sample_ratio(counts: Mapping[str, int], expected: Mapping[str, float]) -> float:
    """The always-valid p-value of `counts`; `expected` is the sum of each arm's propensities.

    The Bayes factor of a Dirichlet alternative around the intended shares against those shares
    is a martingale, so that its inverse may be looked at any time: Lindon and Malek,
    "Anytime-valid inference for multinomial count data" (NeurIPS 2022). Arms that nobody was to
    get are left out unless somebody did, which is wrong for certain.
    """
    total = sum(expected.values())
    if total <= 0:
        return 1.0
    evidence = float(gammaln(_WEIGHT)) - float(gammaln(_WEIGHT + sum(counts.values())))
    for arm in counts.keys() | expected.keys():
        count, share = counts.get(arm, 0), expected.get(arm, 0.0) / total
        if share > 0:
            prior = _WEIGHT * share
            evidence += float(gammaln(prior + count)) - float(gammaln(prior)) - count * log(share)
        elif count:
            return 0.0
    return min(1.0, exp(-evidence)) if evidence > -700 else 1.0
