"""The shares that variants should have from now on."""

from collections.abc import Mapping

from services.reports.statistics.bayes import Belief, standings


def shares(beliefs: Mapping[str, Belief], exploration: float) -> dict[str, float]:
    """Each arm's share is the probability that it is best, but no less than `exploration`.

    Thompson sampling with the draw integrated out, so that the propensity of every assignment is
    known exactly: Scott, "A modern Bayesian look at the multi-armed bandit" (2010). `exploration`
    above an equal share is read as that.
    """
    floor = min(max(exploration, 0.0), 1 / len(beliefs))
    free = 1 - floor * len(beliefs)
    return {
        name: floor + free * standing.probability_best
        for name, standing in standings(beliefs).items()
    }
