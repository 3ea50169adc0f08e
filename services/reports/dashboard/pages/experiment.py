"""Which variant is better, and how sure that is. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from services.reports.dashboard import parts
from services.reports.dashboard.figures import Figure
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.words import Speech


class Arm(NamedTuple):
    """What is known of one variant."""

    variant: str
    recipients: int
    weight: float
    value: Figure
    effect: Figure
    """Relative to the baseline; without value of the baseline."""
    probability_best: float


class Judged(NamedTuple):
    """What an experiment says now."""

    measure: str
    state: str
    """`running`, `decided`, `stopped`."""
    winner: str
    arms: Sequence[Arm]
    alarm: bool
    """The shares are not what they should be."""


def comparison(say: Speech, judged: Judged | None) -> Safe:
    """The variants of an experiment beside each other; nothing without one."""
    if judged is None:
        return Safe()
    key = judged.measure
    rows: list[list[Child]] = [
        [
            arm.variant or say("no_variant"),
            say.number(arm.recipients),
            say.percent(arm.weight),
            parts.likely(say, arm.value)
            if key.endswith("_rate")
            else say.measure(key, arm.value.value),
            join(say.signed(arm.effect.value), _between(say, arm.effect)),
            say.percent(arm.probability_best),
        ]
        for arm in judged.arms
    ]
    heads: list[Child] = [say(k) for k in ("variant", "recipients", "weight")]
    heads += [say(f"measure.{key}"), say("effect"), say("probability_best")]
    said = say(f"experiment.{judged.state}", winner=judged.winner or "–")
    return parts.section(
        say("comparison"),
        tag("p", say("ratio_alarm"), class_="alert") if judged.alarm else "",
        tag("p", said),
        parts.or_nothing(say, say("comparison"), heads, rows),
        hint=say("comparison_hint"),
    )


def _between(say: Speech, found: Figure) -> Safe:
    if found.lower is None or found.upper is None:
        return Safe()
    words = say("between", lower=say.signed(found.lower), upper=say.signed(found.upper))
    return tag("small", words)
