"""What is unlike its past, and when somebody is told: on made-up weeks, and in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merhaba.event.v1 import (
    MessageReceived,
    NumberQualityChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
)
from services.reports.alerts.detection import unlike
from services.reports.alerts.model import Look, Rule, Watch
from services.reports.alerts.quality import said
from services.reports.alerts.watching import turn
from services.reports.insights import Share
from services.reports.statistics import Interval
from services.reports.tests.events import NOON, event

LOOK = Look(("x",), True, Interval(0, 0, 0), 1, None, 0, "")


def weeks(generator, rate: float, spread: float, sizes) -> list[Share]:
    """Stretches whose rates differ by `spread` beside chance."""
    found = []
    for size in sizes:
        own = min(max(generator.normal(rate, spread), 0.001), 0.999)
        found.append(Share(int(generator.binomial(size, own)), int(size)))
    return found


@pytest.mark.parametrize(
    ("rate", "spread", "size"),
    [(0.6, 0.0, 800), (0.6, 0.05, 5_000), (0.004, 0.0, 3_000), (0.02, 0.005, 2_000)],
)
def test_what_is_as_ever_is_called_unlike_in_far_less_than_one_of_a_hundred_looks(
    rate, spread, size
) -> None:
    generator = np.random.default_rng(17)
    runs, false = 3_000, 0
    for _ in range(runs):
        sizes = generator.integers(size // 2, size * 2, 9)
        now, *past = weeks(generator, rate, spread, sizes)
        for direction in ("above", "below"):
            found = unlike(now, past, direction, 3)
            false += found is not None and found.deviations >= 3 and found.large
    assert false / (2 * runs) <= 0.005


def test_a_fall_by_a_third_is_found_although_weeks_differ() -> None:
    generator = np.random.default_rng(19)
    runs, seen = 200, 0
    for _ in range(runs):
        past = weeks(generator, 0.6, 0.03, [2_000] * 8)
        (now,) = weeks(generator, 0.4, 0.0, [2_000])
        found = unlike(now, past, "below", 3)
        seen += found is not None and found.deviations >= 3 and found.large
    assert seen / runs > 0.8


def test_failures_that_never_were_are_unlike_anything() -> None:
    found = unlike(Share(30, 1_000), [Share(0, 1_000)] * 5, "above", 3)
    assert found is not None
    assert found.deviations > 5
    assert found.large
    assert found.limit < 0.02


def test_the_other_direction_a_short_past_and_a_small_change_concern_nobody() -> None:
    past = [Share(6_000, 10_000)] * 5
    rose = unlike(Share(7_000, 10_000), past, "below", 3)
    assert rose is not None
    assert rose.deviations < 0
    assert unlike(Share(1, 10), past[:2], "above", 3) is None
    assert unlike(Share(0, 0), past, "above", 3) is None
    slight = unlike(Share(570_000, 1_000_000), [Share(600_000, 1_000_000)] * 5, "below", 3)
    assert slight is not None
    assert slight.deviations > 3
    assert not slight.large


def test_what_was_usual_lies_within_what_is_expected() -> None:
    generator = np.random.default_rng(23)
    past = weeks(generator, 0.5, 0.05, [3_000] * 8)
    found = unlike(Share(1_500, 3_000), past, "below", 3)
    assert found is not None
    assert found.limit < found.expected.lower < found.expected.value < found.expected.upper


# --- beginning and ending -----------------------------------------------------------------------

looks = st.lists(
    st.sampled_from([None, LOOK, LOOK._replace(beyond=False)]), min_size=1, max_size=40
)


@given(looks)
def test_an_alert_begins_after_two_looks_in_a_row_and_ends_after_three_calm_ones(series) -> None:
    watch, stands = Watch(), False
    for at, look in enumerate(series):
        watch, follows = turn("anomaly", watch, look, stands)
        if follows == "open":
            assert not stands
            assert all(one is not None and one.beyond for one in series[at - 1 : at + 1])
            stands = True
        elif follows == "resolve":
            assert stands
            assert series[at - 2 : at + 1] == [None] * 3
            stands = False
        elif stands:
            assert series[max(0, at - 2) : at + 1] != [None] * 3


@given(looks)
def test_what_meta_says_is_told_at_once(series) -> None:
    watch, stands = Watch(), False
    for look in series:
        watch, follows = turn("quality", watch, look, stands)
        stands = (stands or follows == "open") and follows != "resolve"
        if look is None:
            assert not stands
        elif look.beyond:
            assert stands


def test_a_rule_is_looked_at_as_often_as_its_window_asks() -> None:
    minutes = {0: 1, 60: 2.5, 24 * 60: 15, 7 * 24 * 60: 15}
    for window, every in minutes.items():
        rule = Rule(name="n", kind="threshold", window_ms=window * 60_000)
        assert rule.every_ms == every * 60_000


# --- quality ------------------------------------------------------------------------------------


def test_what_meta_says_of_quality_is_bad_or_good() -> None:
    def score(**body) -> tuple[str, bool] | None:
        found = said(event(NOON, "", **body))
        return (found[0].score, found[0].bad) if found else None

    def template(status: str) -> dict:
        return {"template_status_changed": TemplateStatusChanged(name="t", status=status)}

    def quality(value: str) -> dict:
        return {"template_quality_changed": TemplateQualityChanged(name="t", score=value)}

    def number(change: str) -> dict:
        return {"number_quality_changed": NumberQualityChanged(change=change)}

    assert score(**template("PAUSED")) == ("PAUSED", True)
    assert score(**template("APPROVED")) == ("APPROVED", False)
    assert score(**quality("YELLOW")) == ("YELLOW", True)
    assert score(**quality("GREEN")) == ("GREEN", False)
    assert score(**number("FLAGGED")) == ("FLAGGED", True)
    assert score(**number("UPGRADE")) == ("UPGRADE", False)
    assert score(**number("THROUGHPUT_UPGRADE")) is None
    assert score(message_received=MessageReceived()) is None
