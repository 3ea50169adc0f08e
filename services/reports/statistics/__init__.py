"""What figures are worth: intervals, tests and choices between variants. Pure.

Everything works on sums, so that one pass of a database over any number of recipients is enough.
"""

from services.reports.statistics.bandit import shares
from services.reports.statistics.bayes import (
    Belief,
    Standing,
    above,
    mean_belief,
    rate_belief,
    standings,
)
from services.reports.statistics.intervals import Interval, mean_interval, rate_interval
from services.reports.statistics.planning import detectable_effect, recipients_per_arm
from services.reports.statistics.policy import Estimate, Log, evaluate
from services.reports.statistics.ratio import sample_ratio
from services.reports.statistics.sequential import Difference, difference, relative
from services.reports.statistics.sums import Paired, Sums, adjust

__all__ = [
    "Belief",
    "Difference",
    "Estimate",
    "Interval",
    "Log",
    "Paired",
    "Standing",
    "Sums",
    "above",
    "adjust",
    "detectable_effect",
    "difference",
    "evaluate",
    "mean_belief",
    "mean_interval",
    "rate_belief",
    "rate_interval",
    "recipients_per_arm",
    "relative",
    "sample_ratio",
    "shares",
    "standings",
]
