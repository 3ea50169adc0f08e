"""Rules that come with the installation."""

from typing import Final

from merhaba.reports.v1 import Dimension, Measure
from services.reports.alerts.model import Rule

_HOUR: Final = 3_600_000
_DAY: Final = 24 * _HOUR


def built_in() -> list[Rule]:
    """Rules that do without anybody's thinking; nobody is told before a route is added."""
    return [
        Rule(
            alert_rule_id="read_rate_falls",
            name="Read rate falls",
            kind="anomaly",
            measure=Measure.MEASURE_READ_RATE,
            dimensions=(Dimension.DIMENSION_TEMPLATE,),
            direction="below",
            window_ms=_DAY,
            minimum_sample_size=500,
            silence_ms=_DAY,
            built_in=True,
        ),
        Rule(
            alert_rule_id="failures_rise",
            name="Failures of a code rise",
            kind="anomaly",
            measure=Measure.MEASURE_FAILURE_RATE,
            dimensions=(Dimension.DIMENSION_ERROR_CODE,),
            direction="above",
            window_ms=_HOUR,
            minimum_sample_size=200,
            silence_ms=6 * _HOUR,
            built_in=True,
        ),
        Rule(
            alert_rule_id="failures_many",
            name="Half of what is sent fails",
            # Needs no past: a first campaign that goes wrong is told, too
            kind="threshold",
            measure=Measure.MEASURE_FAILURE_RATE,
            direction="above",
            threshold=0.5,
            window_ms=_HOUR,
            minimum_sample_size=50,
            silence_ms=6 * _HOUR,
            built_in=True,
        ),
        Rule(
            alert_rule_id="opt_outs_rise",
            name="Opt-outs above normal",
            kind="anomaly",
            measure=Measure.MEASURE_OPT_OUT_RATE,
            direction="above",
            window_ms=_DAY,
            minimum_sample_size=1_000,
            silence_ms=_DAY,
            built_in=True,
        ),
        Rule(
            alert_rule_id="quality_drops",
            name="Quality drops",
            kind="quality",
            silence_ms=_HOUR,
            built_in=True,
        ),
        Rule(
            alert_rule_id="budget_burns",
            name="A budget will not last",
            kind="budget_burn",
            minimum_sample_size=100,
            silence_ms=6 * _HOUR,
            built_in=True,
        ),
        Rule(
            alert_rule_id="facts_lag",
            name="Facts are old",
            kind="lag",
            threshold=120,
            silence_ms=_HOUR,
            built_in=True,
        ),
    ]
