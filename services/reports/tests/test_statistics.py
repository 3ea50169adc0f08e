"""Statistics: checked against published tables, another library and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint, proportion_effectsize

from services.reports.statistics import (
    Log,
    Paired,
    Sums,
    above,
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


# Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "lower", "upper"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0000),
    ],
)
def test_a_rate_has_the_interval_of_the_published_table(successes, n, lower, upper):
    found = rate_interval(successes, n)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)
    assert (found.lower, found.upper) == pytest.approx(
        proportion_confint(successes, n, method="wilson"), abs=1e-9
    )


def test_nobody_has_no_rate_and_one_has_no_interval_of_a_mean():
    assert rate_interval(0, 0) is None
    assert mean_interval(Sums(1, 5.0, 25.0)) is None


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=40))
def test_sums_have_the_mean_and_variance_of_what_was_summed(values):
    sums = Sums(len(values), math.fsum(values), math.fsum(v * v for v in values))
    assert sums.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert sums.variance == pytest.approx(np.var(values, ddof=1), rel=1e-6, abs=1e-3)


# Fleiss, Levin and Paik (2003), table A.4 without its continuity correction, at 5 % and 80 %:
# equation 4.14.
@pytest.mark.parametrize(
    ("baseline", "other", "recipients"),
    [(0.10, 0.15, 686), (0.20, 0.30, 294), (0.40, 0.50, 388), (0.05, 0.10, 435)],
)
def test_a_plan_needs_as_many_recipients_as_the_published_formula_says(baseline, other, recipients):
    needed = recipients_per_arm(baseline, other / baseline - 1)
    assert needed == pytest.approx(recipients, abs=1)


@given(st.floats(0.01, 0.6), st.floats(0.05, 0.5))
def test_a_plan_agrees_with_another_library(baseline, effect):
    other = baseline * (1 + effect)
    size = proportion_effectsize(other, baseline)
    theirs = NormalIndPower().solve_power(size, alpha=0.05, power=0.8)
    # Theirs is by the arcsine, ours by the proportions themselves: alike, not equal.
    assert recipients_per_arm(baseline, effect) == pytest.approx(theirs, rel=0.1, abs=5)


@given(st.floats(0.01, 0.6), st.integers(200, 1_000_000))
def test_the_detectable_effect_is_what_that_many_recipients_show(baseline, recipients):
    effect = detectable_effect(baseline, recipients)
    if effect is not None:
        assert recipients_per_arm(baseline, effect * 1.001) <= recipients
        assert recipients_per_arm(baseline, effect * 0.98) >= recipients


@pytest.mark.parametrize(
    ("baseline", "effect"), [(0.0, 0.1), (1.0, 0.1), (0.5, 1.0), (0.5, 0.0), (0.5, -1.0)]
)
def test_a_plan_for_rates_that_cannot_be_is_refused(baseline, effect):
    with pytest.raises(ValueError, match="rates lie between 0 and 1"):
        recipients_per_arm(baseline, effect)


def looks(n: int, every: int) -> range:
    return range(every, n + 1, every)


def test_peeking_a_hundred_times_raises_at_most_one_false_alarm_in_twenty():
    """Experiments without any difference; an ordinary test is wrong in a third of them."""
    random = np.random.default_rng(20261122)
    experiments, n, every = 1_000, 10_000, 100
    always, ordinary = 0, 0
    for rate in (0.03, 0.2):
        for _ in range(experiments // 2):
            one = np.cumsum(random.random(n) < rate)
            two = np.cumsum(random.random(n) < rate)
            wrong, naive = False, False
            for seen in looks(n, every):
                arm = Sums.of_rate(seen, int(one[seen - 1]))
                base = Sums.of_rate(seen, int(two[seen - 1]))
                found = difference(arm, base)
                wrong = wrong or (found is not None and found.p_value < 0.05)
                deviation = math.sqrt((arm.variance + base.variance) / seen)
                naive = naive or (deviation > 0 and abs(arm.mean - base.mean) > 1.96 * deviation)
            always += wrong
            ordinary += naive
    assert always / experiments <= 0.05
    assert ordinary / experiments > 0.25


def test_intervals_of_amounts_hold_at_all_looks_together():
    """Revenue: most people buy nothing, a few much."""
    random = np.random.default_rng(7)
    missed, n = 0, 6_000
    for _ in range(400):
        arms = []
        for scale in (1.0, 1.2):
            bought = random.random(n) < 0.1
            amounts = np.where(bought, random.gamma(2.0, 50.0 * scale, n), 0.0)
            arms.append((np.cumsum(amounts), np.cumsum(amounts**2)))
        truth = 0.1 * 100.0 * 0.2
        for seen in looks(n, 200):
            base, arm = (Sums(seen, float(t[seen - 1]), float(s[seen - 1])) for t, s in arms)
            found = difference(arm, base)
            if found and not found.interval.lower <= truth <= found.interval.upper:
                missed += 1
                break
    assert missed / 400 <= 0.05


def test_a_real_difference_is_found_and_told_as_a_share_of_the_baseline():
    base, arm = Sums.of_rate(40_000, 4_000), Sums.of_rate(40_000, 4_600)
    found = difference(arm, base)
    assert found.p_value < 0.001
    assert found.interval.value == pytest.approx(0.015)
    share = relative(found, base)
    assert share.value == pytest.approx(0.15)
    assert 0 < share.lower < 0.15 < share.upper


def test_the_p_value_falls_below_alpha_exactly_when_the_interval_excludes_zero():
    base = Sums.of_rate(8_000, 800)
    for successes in range(700, 1_000, 5):
        found = difference(Sums.of_rate(8_000, successes), base)
        excludes = found.interval.lower > 0 or found.interval.upper < 0
        assert (found.p_value < 0.05) == excludes


@pytest.mark.parametrize(
    ("arm", "baseline"),
    [
        (Sums.of_rate(99, 50), Sums.of_rate(5_000, 500)),
        (Sums.of_rate(5_000, 9), Sums.of_rate(5_000, 500)),
        (Sums.of_rate(5_000, 4_995), Sums.of_rate(5_000, 500)),
        (Sums.of_rate(0, 0), Sums.of_rate(5_000, 500)),
    ],
)
def test_too_little_says_nothing(arm, baseline):
    assert difference(arm, baseline) is None
    assert difference(baseline, arm) is None


def test_an_even_split_that_is_looked_at_ten_thousand_times_hardly_ever_alarms():
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(200):
        counts = np.zeros(3)
        for _look in range(100):
            counts += random.multinomial(100, (0.5, 0.3, 0.2))
            total = counts.sum()
            p = sample_ratio(
                {"a": int(counts[0]), "b": int(counts[1]), "c": int(counts[2])},
                {"a": 0.5 * total, "b": 0.3 * total, "c": 0.2 * total},
            )
            if p < 0.01:
                alarms += 1
                break
    assert alarms / 200 <= 0.01


def test_a_broken_split_alarms():
    assert sample_ratio({"a": 10_300, "b": 9_700}, {"a": 10_000, "b": 10_000}) < 0.01
    assert sample_ratio({"a": 10_010, "b": 9_990}, {"a": 10_000, "b": 10_000}) == 1.0
    assert sample_ratio({"a": 10, "b": 1}, {"a": 11, "b": 0}) == 0.0
    assert sample_ratio({}, {}) == 1.0


def better(first: tuple[int, int], second: tuple[int, int]) -> float:
    """P(second > first), exactly. E. Miller, "Formulas for Bayesian A/B testing" (2014), (6)."""

    def beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    a1, b1 = first[0] + 1, first[1] - first[0] + 1
    a2, b2 = second[0] + 1, second[1] - second[0] + 1
    return sum(
        math.exp(beta(a1 + i, b1 + b2) - math.log(b2 + i) - beta(1 + i, b2) - beta(a1, b1))
        for i in range(a2)
    )


@given(st.integers(1, 3_000), st.integers(1, 3_000), st.floats(0, 1), st.floats(0, 1))
def test_the_probability_of_being_best_is_that_of_the_closed_form(n1, n2, r1, r2):
    first, second = (int(n1 * r1), n1), (int(n2 * r2), n2)
    found = standings({"a": rate_belief(*first), "b": rate_belief(*second)})
    assert found["b"].probability_best == pytest.approx(better(first, second), abs=1e-4)
    assert found["a"].probability_best + found["b"].probability_best == pytest.approx(1)


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.floats(0, 1), st.floats(0, 1))
def test_the_probability_of_being_above_is_that_of_the_closed_form(n1, n2, r1, r2):
    first, second = (int(n1 * r1), n1), (int(n2 * r2), n2)
    found = above(rate_belief(*second), rate_belief(*first))
    assert found == pytest.approx(better(first, second), abs=1e-6)


@pytest.mark.parametrize("many", [100, 1_000_000])
def test_the_probability_of_being_above_is_even_for_equals(many):
    one = rate_belief(many // 3, many)
    assert above(one, one) == pytest.approx(0.5)
    surely = above(rate_belief(many, many), rate_belief(0, 100 * many))
    assert surely == pytest.approx(1.0)


def test_three_arms_stand_as_drawing_a_million_times_says():
    counts = {"a": (120, 1_000), "b": (140, 1_000), "c": (30, 200)}
    random = np.random.default_rng(5)
    draws = {
        name: random.beta(1 + yes, 1 + n - yes, 1_000_000) for name, (yes, n) in counts.items()
    }
    best = np.maximum.reduce(list(draws.values()))
    found = standings({name: rate_belief(*count) for name, count in counts.items()})
    for name, drawn in draws.items():
        assert found[name].probability_best == pytest.approx(np.mean(drawn == best), abs=3e-3)
        assert found[name].expected_loss == pytest.approx(np.mean(best - drawn), abs=1e-4)


def test_amounts_stand_by_the_normal_law():
    arms = {"a": Sums(1_000, 10_000.0, 500_000.0), "b": Sums(1_000, 10_500.0, 510_000.0)}
    found = standings({name: mean_belief(sums) for name, sums in arms.items()})
    deviation = math.sqrt(sum(s.variance / s.n for s in arms.values()))
    assert found["b"].probability_best == pytest.approx(stats.norm.cdf(0.5 / deviation), abs=1e-3)


def test_of_nobody_nothing_is_believed():
    found = standings({"a": mean_belief(Sums(0, 0, 0)), "b": mean_belief(Sums(0, 0, 0))})
    assert found["a"].probability_best == pytest.approx(0.5, abs=1e-3)
    alone = standings({"a": rate_belief(1, 10)})
    assert alone["a"].probability_best == 1.0
    assert alone["a"].expected_loss == pytest.approx(0.0, abs=1e-3)


def test_history_narrows_the_interval_and_leaves_the_difference():
    random = np.random.default_rng(11)
    n, arms, plain = 20_000, {}, {}
    for name, effect in (("a", 0.0), ("b", 1.0)):
        x = random.normal(50, 10, n)
        y = 0.8 * x + effect + random.normal(0, 6, n)
        arms[name] = Paired(
            n,
            float(y.sum()),
            float((y**2).sum()),
            float(x.sum()),
            float((x**2).sum()),
            float((x * y).sum()),
        )
        plain[name] = Sums(n, float(y.sum()), float((y**2).sum()))
    adjusted, reduction = adjust(arms)
    assert reduction == pytest.approx(0.64, abs=0.02)  # correlation 0.8, squared
    before, after = (difference(s["b"], s["a"]) for s in (plain, adjusted))
    assert after.interval.lower <= 1.0 <= after.interval.upper
    width = (after.interval.upper - after.interval.lower) / (
        before.interval.upper - before.interval.lower
    )
    assert width == pytest.approx(math.sqrt(1 - reduction), abs=0.02)


def test_history_that_says_nothing_changes_nothing():
    arms = {"a": Paired(10, 5.0, 5.0, 0.0, 0.0, 0.0), "b": Paired(10, 6.0, 6.0, 0.0, 0.0, 0.0)}
    adjusted, reduction = adjust(arms)
    assert reduction == 0.0
    assert adjusted == {"a": Sums(10, 5.0, 5.0), "b": Sums(10, 6.0, 6.0)}


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(50, 500)), min_size=1, max_size=6),
    st.floats(0, 1),
)
def test_shares_add_up_and_none_is_below_what_explores(counts, exploration):
    found = shares({str(i): rate_belief(*c) for i, c in enumerate(counts)}, exploration)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= min(exploration, 1 / len(counts)) - 1e-12


def test_a_bandit_comes_to_send_the_better_variant_to_nearly_everybody():
    random = np.random.default_rng(13)
    rates, seen = {"a": 0.05, "b": 0.08}, {"a": [0, 0], "b": [0, 0]}
    for _ in range(60):
        weights = shares({name: rate_belief(*c) for name, c in seen.items()}, 0.05)
        for name, rate in rates.items():
            people = round(500 * weights[name])
            seen[name][0] += int(random.binomial(people, rate))
            seen[name][1] += people
    assert weights["b"] > 0.9
    assert seen["a"][1] >= 60 * 500 * 0.05


def logged(rates: dict[str, float], phases: list[dict[str, float]], seed: int) -> list[Log]:
    random = np.random.default_rng(seed)
    return [
        Log(
            name, share, Sums.of_rate(n := int(4_000 * share), int(random.binomial(n, rates[name])))
        )
        for phase in phases
        for name, share in phase.items()
    ]


def test_another_policy_is_estimated_from_what_was_logged():
    """The truth lies within each method's 95 % interval in at least nine of ten experiments."""
    rates = {"a": 0.10, "b": 0.20}
    phases = [{"a": 0.5, "b": 0.5}, {"a": 0.2, "b": 0.8}, {"a": 0.05, "b": 0.95}]
    target = {"a": 0.7, "b": 0.3}
    truth = 0.7 * 0.10 + 0.3 * 0.20
    within = dict.fromkeys(("inverse_propensity", "self_normalised", "doubly_robust"), 0)
    for seed in range(200):
        for estimate in evaluate(logged(rates, phases, seed), target):
            low, high = estimate.interval.lower, estimate.interval.upper
            within[estimate.method] += low <= truth <= high
            assert 0 < estimate.effective_sample_size <= 12_000
    assert min(within.values()) >= 180


def test_the_policy_that_was_followed_is_estimated_by_its_mean():
    log = [Log("a", 0.5, Sums.of_rate(1_000, 100)), Log("b", 0.5, Sums.of_rate(1_000, 200))]
    for estimate in evaluate(log, {"a": 0.5, "b": 0.5}):
        assert estimate.interval.value == pytest.approx(0.15)
        assert estimate.effective_sample_size == pytest.approx(2_000)
    assert evaluate([], {"a": 1.0}) == []
