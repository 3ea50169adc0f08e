"""Experiments in the words of the contract, and back."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

from chassis.failures import FieldInvalid
from chassis.times import timestamp
from merhaba.reports.v1 import ArmReport, Dimension, GuardReport, Measure, PolicyEstimate, Value
from merhaba.reports.v1 import Experiment as ExperimentProto
from merhaba.reports.v1 import ExperimentReport as ReportProto
from merhaba.reports.v1 import Guard as GuardProto
from merhaba.reports.v1 import Insight as InsightProto
from services.reports.experiments.desk import Judged
from services.reports.experiments.judging import Arm, Watched
from services.reports.experiments.model import (
    GOALS,
    HARMS,
    SALES,
    Experiment,
    Goal,
    Guard,
    Harm,
    Kind,
    State,
    exploration,
)
from services.reports.insights import Insight, best_variant
from services.reports.masks import edited
from services.reports.naming import named
from services.reports.statistics import Estimate, Interval

_MUTABLE: Final = ("name", "guards", "automatic_winner", "exploration_share", "minimum_effect")
_KINDS: Final[Mapping[int, Kind]] = {
    ExperimentProto.KIND_UNSPECIFIED: "fixed_split",
    ExperimentProto.KIND_FIXED_SPLIT: "fixed_split",
    ExperimentProto.KIND_BANDIT: "bandit",
}
_STATES: Final[Mapping[int, State]] = {
    ExperimentProto.STATE_RUNNING: "running",
    ExperimentProto.STATE_DECIDED: "decided",
    ExperimentProto.STATE_STOPPED: "stopped",
}
_LONGEST_NAME: Final = 200
_LONGEST_REASON: Final = 1_000
_MOST_GUARDS: Final = 10
_ALPHA: Final = 0.05
_LARGEST_EFFECT: Final = 100.0
_MOST_ALPHA: Final = 0.5


def measure(word: str) -> Any:
    """`read_rate` as the contract has it."""
    return Measure.Value(f"MEASURE_{word.upper()}")


def draft(given: ExperimentProto) -> Experiment:
    """What a caller asks for. Raises `FieldInvalid`."""
    if not given.campaign_id:
        raise FieldInvalid("experiment.campaign_id", "missing; name the campaign")
    goal = _goal(given.measure)
    if given.conversion_id and goal not in SALES:
        raise FieldInvalid("experiment.conversion_id", "only with CONVERSION_RATE and REVENUE")
    alpha = given.alpha or _ALPHA
    if not 0 < alpha <= _MOST_ALPHA:
        raise FieldInvalid("experiment.alpha", "not above 0 and up to 0.5")
    return Experiment(
        campaign_id=given.campaign_id,
        kind=_kind(given.kind),
        goal=goal,
        conversion_id=given.conversion_id,
        baseline=given.baseline_variant,
        alpha=alpha,
        adjusts_history=given.adjusts_history,
        **_changeable(given),
    )


def change(one: Experiment, given: ExperimentProto, paths: Sequence[str]) -> None:
    """Change what the mask names. Raises `FieldInvalid`."""
    wanted = _changeable(edited(experiment(one), given, paths, _MUTABLE))
    if wanted["exploration_share"] * len(one.variants) > 1:
        raise FieldInvalid(
            "experiment.exploration_share", "more than an equal share of the variants"
        )
    if one.kind == "bandit":
        wanted["exploration_share"] = exploration(wanted["exploration_share"], len(one.variants))
    for name, value in wanted.items():
        setattr(one, name, value)


def _changeable(given: ExperimentProto) -> dict[str, Any]:
    if len(given.name) > _LONGEST_NAME:
        raise FieldInvalid("experiment.name", "too long", limit=str(_LONGEST_NAME))
    if not 0 <= given.minimum_effect <= _LARGEST_EFFECT:
        raise FieldInvalid("experiment.minimum_effect", "negative or above 100")
    if not 0 <= given.exploration_share <= 1:
        raise FieldInvalid("experiment.exploration_share", "not between 0 and 1")
    if len(given.guards) > _MOST_GUARDS:
        raise FieldInvalid("experiment.guards", "too many", limit=str(_MOST_GUARDS))
    return {
        "name": given.name,
        "minimum_effect": given.minimum_effect,
        "automatic_winner": given.automatic_winner,
        "exploration_share": given.exploration_share,
        "guards": tuple(_guard(at, one) for at, one in enumerate(given.guards)),
    }


def _kind(given: int) -> Kind:
    if given not in _KINDS:
        raise FieldInvalid("experiment.kind", "unknown; use FIXED_SPLIT or BANDIT")
    return _KINDS[given]


def _guard(at: int, given: GuardProto) -> Guard:
    path = f"experiment.guards[{at}]"
    word = named(Measure, given.measure).lower()
    harm: Harm | None = next((one for one in HARMS if one == word), None)
    if harm is None:
        raise FieldInvalid(f"{path}.measure", f"no guard; use {', '.join(HARMS).upper()}")
    limits: dict[str, float | None] = {"maximum": None, "maximum_relative_increase": None}
    for name in limits:
        if given.HasField(name):  # type: ignore[arg-type]  # one of two constants
            limits[name] = getattr(given, name)
    if all(limit is None for limit in limits.values()):
        raise FieldInvalid(path, "without a limit; set maximum or maximum_relative_increase")
    for name, limit in limits.items():
        if limit is not None and not (limit >= 0 and isfinite(limit)):
            raise FieldInvalid(f"{path}.{name}", "negative or no number")
    return Guard(harm, limits["maximum"], limits["maximum_relative_increase"])


def _goal(given: int) -> Goal:
    if not given:
        return "read_rate"
    word = named(Measure, given).lower()
    found: Goal | None = next((one for one in GOALS if one == word), None)
    if found is None:
        raise FieldInvalid(
            "experiment.measure", f"nothing to be better by; use {', '.join(GOALS).upper()}"
        )
    return found


def states(given: Sequence[int]) -> list[State]:
    """Any of these. Raises `FieldInvalid`."""
    if any(one not in _STATES for one in given):
        raise FieldInvalid("states", "one of them is no state; leave it empty for all")
    return [_STATES[one] for one in given]


def reason(given: str, usual: str) -> str:
    """Why, in somebody's words. Raises `FieldInvalid`."""
    if len(given) > _LONGEST_REASON:
        raise FieldInvalid("reason", "too long", limit=str(_LONGEST_REASON))
    return given or usual


def experiment(one: Experiment) -> ExperimentProto:
    """An experiment."""
    return ExperimentProto(
        experiment_id=one.experiment_id,
        campaign_id=one.campaign_id,
        name=one.name,
        etag=one.etag if one.experiment_id else "",
        kind=ExperimentProto.Kind.Value(f"KIND_{one.kind.upper()}"),
        state=ExperimentProto.State.Value(f"STATE_{one.state.upper()}"),
        state_reason=one.state_reason,
        measure=measure(one.goal),
        conversion_id=one.conversion_id,
        guards=[_guard_proto(guard) for guard in one.guards],
        baseline_variant=one.baseline,
        alpha=one.alpha,
        minimum_effect=one.minimum_effect,
        automatic_winner=one.automatic_winner,
        exploration_share=one.exploration_share,
        adjusts_history=one.adjusts_history,
        winner_variant=one.winner,
        create_time=timestamp(one.create_time or None),
        decide_time=timestamp(one.decide_time or None),
    )


def _guard_proto(guard: Guard) -> GuardProto:
    return GuardProto(
        measure=measure(guard.harm),
        maximum=guard.maximum,
        maximum_relative_increase=guard.maximum_increase,
    )


def report(judged: Judged) -> ReportProto:
    """What an experiment says, but for its freshness."""
    one, found = judged.experiment, judged.report
    goal = measure(one.goal)
    return ReportProto(
        experiment=experiment(one),
        arms=[_arm(goal, arm) for arm in found.arms],
        sample_ratio_p_value=found.ratio_p_value,
        sample_ratio_alarm=found.ratio_alarm,
        lift=value(goal, found.lift, found.held) if found.held else None,
        detectable_effect=found.detectable,
        needed_recipients=found.needed,
        guards=[_watched(one) for one in found.guards],
        variance_reduction=found.variance_reduction,
        insights=[insight(best) for best in best_variant(one.goal, found.arms)],
        waiting_recipients=found.waiting,
        currency_code=found.currency,
    )


def _arm(goal: Any, arm: Arm) -> ArmReport:
    return ArmReport(
        variant=arm.variant,
        recipients=arm.recipients,
        weight=arm.share,
        value=value(goal, arm.value, arm.recipients),
        effect=value(goal, arm.effect, arm.recipients),
        p_value=arm.p_value,
        probability_best=arm.probability_best,
        expected_loss=arm.expected_loss,
    )


def _watched(one: Watched) -> GuardReport:
    return GuardReport(
        guard=_guard_proto(one.guard),
        variant=one.variant,
        value=value(measure(one.guard.harm), one.value, one.recipients),
        breached=one.breached,
    )


def insight(found: Insight) -> InsightProto:
    """Something that stands out."""
    return InsightProto(
        kind=InsightProto.Kind.Value(f"KIND_{found.kind.upper()}"),
        dimension=Dimension.DIMENSION_VARIANT,
        subject=found.subject,
        label=found.subject,
        value=value(measure(found.measure), found.value, found.sample_size),
        baseline=value(measure(found.measure), found.baseline, found.baseline_size),
        probability=found.probability,
        contacts=found.contacts,
    )


def value(of: Any, found: Interval | None, sample_size: int) -> Value:
    """A figure with its interval; without one, nothing but of how many."""
    if found is None:
        return Value(measure=of, sample_size=sample_size)
    return Value(
        measure=of,
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        sample_size=sample_size,
    )


def estimate(goal: str, found: Estimate) -> PolicyEstimate:
    """What another way would have brought."""
    size = found.effective_sample_size
    return PolicyEstimate(
        method=found.method,
        value=value(measure(goal), found.interval, round(size)),
        effective_sample_size=size,
    )
