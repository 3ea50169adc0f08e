"""What an experiment says now, and what follows from it. Pure.

Everything that is acted on holds however often one looks. Where a variant's share changed on the
way, plain averages would compare recipients of different times; recipients are then weighed by the
inverse of the probability with which they were assigned.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from services.reports.experiments.guarding import exceeds, worse
from services.reports.experiments.model import AMOUNTS, SALES, Experiment, Guard
from services.reports.experiments.outcomes import Gathered, Line
from services.reports.statistics import (
    Belief,
    Difference,
    Estimate,
    Interval,
    Log,
    Paired,
    Sums,
    adjust,
    detectable_effect,
    difference,
    evaluate,
    mean_belief,
    mean_interval,
    rate_belief,
    rate_interval,
    recipients_per_arm,
    relative,
    sample_ratio,
    shares,
    standings,
)

RATIO_ALARM: Final = 0.01
"""Below this the shares are not what they should be: one false alarm in a hundred experiments,
however often one looks."""
LEARNING: Final = 30
"""Recipients of each variant whose outcome is known before a bandit learns from them."""


class Arm(NamedTuple):
    """What is known of a variant."""

    variant: str
    recipients: int
    share: float
    """Of those to be assigned."""
    value: Interval | None
    effect: Interval | None
    """Relative to the baseline; None while too little is known, and of the baseline."""
    p_value: float
    probability_best: float
    expected_loss: float


class Watched(NamedTuple):
    """How a variant stands with a guard."""

    guard: Guard
    variant: str
    value: Interval | None
    recipients: int
    breached: bool


class Report(NamedTuple):
    """What an experiment says now."""

    arms: list[Arm]
    ratio_p_value: float
    lift: Interval | None
    held: int
    """Recipients held out, behind the lift."""
    detectable: float
    needed: int
    guards: list[Watched]
    variance_reduction: float
    waiting: int
    currency: str

    @property
    def ratio_alarm(self) -> bool:
        """Whether nothing here can be trusted."""
        return self.ratio_p_value < RATIO_ALARM


class Outcome(NamedTuple):
    """Each variant's sums as they were counted, and as they are compared."""

    plain: Mapping[str, Sums]
    compared: Mapping[str, Sums]
    variance_reduction: float
    weighed: bool = False
    """By propensities, because shares changed on the way."""


def outcome(experiment: Experiment, gathered: Gathered) -> Outcome:
    """What the variants brought."""
    variants = variants_of(experiment, gathered)
    plain = {
        v: _sums(line for (own, _), line in gathered.lines.items() if own == v) for v in variants
    }
    if _varies(gathered):
        return Outcome(plain, _scores(variants, gathered), 0.0, weighed=True)
    if not experiment.adjusts_history:
        return Outcome(plain, plain, 0.0)
    paired = {
        v: next((line.paired for (own, _), line in gathered.lines.items() if own == v), _NOBODY)
        for v in variants
    }
    adjusted, reduction = adjust(paired)
    return Outcome(plain, adjusted, reduction)


def report(experiment: Experiment, gathered: Gathered) -> Report:
    """What is known now."""
    variants = variants_of(experiment, gathered)
    if not variants:
        return Report([], 1.0, None, 0, 0.0, 0, [], 0.0, gathered.waiting, gathered.currency)
    found = outcome(experiment, gathered)
    base = baseline_of(experiment, variants)
    others = max(1, len(variants) - 1)
    stands = standings(beliefs(experiment, found))
    shares_now = experiment.weights or expected_shares(variants, gathered)
    arms = []
    for variant in variants:
        against = (
            None if variant == base else compare(found, variant, base, experiment.alpha / others)
        )
        arms.append(
            Arm(
                variant,
                found.plain[variant].n,
                shares_now.get(variant, 0.0),
                value_of(experiment, found, variant),
                against and relative(against, found.compared[base]),
                min(1.0, against.p_value * others) if against else 1.0,
                *stands[variant],
            )
        )
    lift, held = _lift(experiment, gathered)
    return Report(
        arms,
        ratio(variants, gathered),
        lift,
        held,
        *_planned(experiment, found, variants, base),
        list(_guards(experiment, gathered, variants, base)),
        found.variance_reduction,
        gathered.waiting,
        gathered.currency,
    )


def winner(experiment: Experiment, gathered: Gathered) -> str:
    """The variant that surely is best; empty while none surely is.

    It is the baseline if all others are surely worse; or another one that is surely better than
    the baseline, and than every other, or at most `minimum_effect` worse than that. The chance of
    ever naming one that is not better than the baseline is at most alpha over all looks and
    variants. Nothing is said where the sample ratio tells that the counting is broken.
    """
    variants = variants_of(experiment, gathered)
    if len(variants) < 2 or ratio(variants, gathered) < RATIO_ALARM:
        return ""
    found = outcome(experiment, gathered)
    base = baseline_of(experiment, variants)
    alpha = experiment.alpha / (len(variants) - 1)
    against = {v: compare(found, v, base, alpha) for v in variants if v != base}
    if all(d is not None and d.interval.upper < 0 for d in against.values()):
        return base
    better = [v for v, d in against.items() if d is not None and d.interval.lower > 0]
    if not better:
        return ""
    best = max(better, key=lambda v: found.compared[v].mean)
    slack = experiment.minimum_effect * found.compared[base].mean
    for rival in against.keys() - {best}:
        apart = compare(found, best, rival, alpha)
        if apart is None or apart.interval.lower <= -slack:
            return ""
    return best


def breached(experiment: Experiment, gathered: Gathered) -> list[str]:
    """Variants that surely do the harm that a guard forbids."""
    variants = variants_of(experiment, gathered)
    if not variants:
        return []
    base = baseline_of(experiment, variants)
    watched = _guards(experiment, gathered, variants, base)
    return list(dict.fromkeys(one.variant for one in watched if one.breached))


def weights(experiment: Experiment, gathered: Gathered) -> dict[str, float] | None:
    """The shares a bandit gives now; None while too little is known of a variant."""
    variants = variants_of(experiment, gathered)
    found = outcome(experiment, gathered)
    if not variants or min(found.plain[v].n for v in variants) < LEARNING:
        return None
    learned = shares(beliefs(experiment, found), experiment.exploration_share)
    return {variant: round(share, 4) for variant, share in learned.items()}


def estimates(gathered: Gathered, target: Mapping[str, float]) -> list[Estimate]:
    """What other shares would have brought, from the logged propensities."""
    log = [Log(variant, p, line.sums) for (variant, p), line in sorted(gathered.lines.items())]
    return evaluate(log, target)


def variants_of(experiment: Experiment, gathered: Gathered) -> list[str]:
    """In the order of the campaign; those that nobody planned for behind."""
    unknown = gathered.variants() - set(experiment.variants)
    return [*experiment.variants, *sorted(unknown)]


def baseline_of(experiment: Experiment, variants: list[str]) -> str:
    """What the others are compared with."""
    return experiment.baseline or variants[0]


def beliefs(experiment: Experiment, found: Outcome) -> dict[str, Belief]:
    """What is believed of each variant. Where shares changed, of the weighed averages: by plain
    ones a bandit would follow the hour in which each variant was mostly sent."""
    if found.weighed or experiment.goal in AMOUNTS:
        return {v: mean_belief(sums) for v, sums in found.compared.items()}
    return {v: rate_belief(round(sums.total), sums.n) for v, sums in found.plain.items()}


def compare(found: Outcome, variant: str, other: str, alpha: float) -> Difference | None:
    """How much better one variant is than another; None while too little is known."""
    plain, compared = found.plain, found.compared
    if difference(plain[variant], plain[other], alpha) is None:
        return None
    return difference(compared[variant], compared[other], alpha)


def value_of(experiment: Experiment, found: Outcome, variant: str) -> Interval | None:
    """What a variant brings per recipient, with the interval of a single look."""
    plain, compared = found.plain[variant], found.compared[variant]
    if experiment.goal in AMOUNTS or compared != plain:
        return mean_interval(compared) if plain.n else None
    return rate_interval(round(plain.total), plain.n)


def expected_shares(variants: Iterable[str], gathered: Gathered) -> dict[str, float]:
    """The share that each variant was to have of all recipients.

    Of a variant it is as many recipients as it got by the number of whom they were drawn: each of
    them stands for 1 / propensity people. What nobody got shares what the others leave.
    """
    of = Counter[str]()
    drawn: dict[str, float] = {}
    for (variant, propensity), n in gathered.assigned.items():
        of[variant] += n
        drawn[variant] = drawn.get(variant, 0.0) + n / propensity
    known = {v: of[v] / drawn[v] for v in variants if v in drawn}
    absent = [v for v in variants if v not in known]
    left = max(0.0, 1 - sum(known.values()))
    found = known | {v: left / len(absent) for v in absent}
    total = sum(found.values()) or 1.0
    return {v: share / total for v, share in found.items()}


def ratio(variants: Iterable[str], gathered: Gathered) -> float:
    """The always-valid p-value of the shares that variants got."""
    named = list(variants)
    total = sum(gathered.assigned.values())
    expected = {v: share * total for v, share in expected_shares(named, gathered).items()}
    return sample_ratio({v: gathered.everyone(v) for v in named}, expected)


_NOBODY: Final = Paired(0, 0.0, 0.0, 0.0, 0.0, 0.0)


def _sums(lines: Iterable[Line]) -> Sums:
    found = [line.sums for line in lines]
    return Sums(sum(s.n for s in found), sum(s.total for s in found), sum(s.squares for s in found))


def _varies(gathered: Gathered) -> bool:
    """Whether a variant's share changed on the way."""
    of = Counter(variant for variant, _ in gathered.lines)
    return any(count > 1 for count in of.values())


def _scores(variants: Iterable[str], gathered: Gathered) -> dict[str, Sums]:
    """Each recipient's score for each variant, summed: the mean of all, and for the variant that
    the recipient got what is more or less than that, by the inverse propensity (augmented inverse
    propensity weighting, Robins, Rotnitzky and Zhao, 1994). The mean of a variant's scores is what
    everybody would have done with it, and scores of what was assigned by what was learned before
    are as good as independent ones.
    """
    everybody = _sums(gathered.lines.values())
    n, mean = everybody.n, everybody.mean
    found = {}
    for variant in variants:
        first = second = 0.0
        for (own, propensity), line in gathered.lines.items():
            if own == variant:
                first += (line.y - line.n * mean) / propensity
                second += (line.yy - 2 * mean * line.y + line.n * mean * mean) / propensity**2
        found[variant] = Sums(n, n * mean + first, n * mean * mean + 2 * mean * first + second)
    return found


def _lift(experiment: Experiment, gathered: Gathered) -> tuple[Interval | None, int]:
    treated, held = gathered.treated.sums, gathered.held.sums
    if experiment.goal not in SALES or not held.n:
        return None, 0
    apart = difference(treated, held, experiment.alpha)
    return apart and relative(apart, held), held.n


def _planned(
    experiment: Experiment, found: Outcome, variants: list[str], base: str
) -> tuple[float, int]:
    """Of a rate: the relative difference that could be seen by now, and how many recipients the
    smallest one worth knowing needs; 0 where nobody can say."""
    rate, smallest = found.plain[base].mean, min(found.plain[v].n for v in variants)
    if experiment.goal in AMOUNTS or not 0 < rate < 1:
        return 0.0, 0
    alpha = experiment.alpha / max(1, len(variants) - 1)
    visible = detectable_effect(rate, smallest, alpha) if smallest else None
    needed = 0
    if experiment.minimum_effect and rate * (1 + experiment.minimum_effect) < 1:
        needed = len(variants) * recipients_per_arm(rate, experiment.minimum_effect, alpha)
    return visible or 0.0, needed


def _guards(
    experiment: Experiment, gathered: Gathered, variants: list[str], base: str
) -> Iterable[Watched]:
    for guard in experiment.guards:
        harmed = gathered.harms.get(guard.harm, {})
        first, of_first = harmed.get(base, 0), gathered.everyone(base)
        for variant in variants:
            bad, n = harmed.get(variant, 0), gathered.everyone(variant)
            too_much = guard.maximum is not None and exceeds(
                bad, n, guard.maximum, experiment.alpha
            )
            too_different = (
                guard.maximum_increase is not None
                and variant != base
                and worse(bad, n, first, of_first, guard.maximum_increase, experiment.alpha)
            )
            yield Watched(guard, variant, rate_interval(bad, n), n, too_much or too_different)
