"""How much traffic a question needs. Pure."""

from datetime import timedelta
from typing import Final, NamedTuple

from chassis.failures import FieldInvalid
from services.reports.statistics import detectable_effect, recipients_per_arm

PACE: Final = timedelta(days=28)
"""How far back the pace and the rate of today are looked for."""


class Question(NamedTuple):
    """What is to be known; one of `effect` and `recipients` is given."""

    rate: float
    arms: int
    alpha: float
    power: float
    effect: float | None
    recipients: int | None


class Past(NamedTuple):
    """A rate as it was of late."""

    part: int
    whole: int
    sent_a_day: float


class Plan(NamedTuple):
    """What it needs."""

    per_arm: int
    total: int
    effect: float
    days: float
    """At the pace so far; 0 when nobody knows."""


def plan(question: Question, recipients_a_day: float) -> Plan:
    """Of an effect how many recipients it needs, of recipients what effect they show. Several arms
    are each compared with the first, so each comparison has to be surer. Raises `FieldInvalid`."""
    rate, arms = question.rate, question.arms
    alpha = question.alpha / (arms - 1)
    if question.effect is not None:
        if not 0 < rate * (1 + question.effect) < 1:
            raise FieldInvalid(
                "minimum_effect", "the rate with it is not between 0 and 1; choose a smaller one"
            )
        effect = question.effect
        per_arm = recipients_per_arm(rate, effect, alpha, question.power)
    else:
        assert question.recipients is not None
        per_arm = question.recipients // arms
        visible = detectable_effect(rate, per_arm, alpha, question.power)
        if visible is None:
            raise FieldInvalid("recipients", "too few to see anything; give more")
        effect = visible
    total = per_arm * arms
    days = total / recipients_a_day if recipients_a_day > 0 else 0.0
    return Plan(per_arm, total, effect, days)
