"""What stands out is told with its numbers, and what may be chance is not."""

import numpy as np

from services.reports.experiments import judging
from services.reports.experiments.model import Experiment
from services.reports.insights import (
    Share,
    best,
    best_variant,
    changed,
    fatigued,
    retiring,
)
from services.reports.tests.test_experiments import counted


def test_the_best_hour_stands_beside_all_others() -> None:
    hours = {str(hour): Share(300, 1_000) for hour in range(24)} | {"20": Share(420, 1_000)}
    (found,) = best("best_hour", "read_rate", hours)
    assert (found.subject, found.value.value, found.baseline.value) == ("20", 0.42, 0.3)
    assert (found.sample_size, found.baseline_size) == (1_000, 23_000)
    assert found.value.lower < 0.42 < found.value.upper
    assert found.probability > 0.999


def test_of_hours_that_are_alike_the_luckiest_is_told_in_few_of_a_hundred_weeks() -> None:
    generator = np.random.default_rng(29)
    runs, told = 100, 0
    for _ in range(runs):
        hours = {str(h): Share(int(generator.binomial(500, 0.3)), 500) for h in range(24)}
        told += bool(best("best_hour", "read_rate", hours))
    assert told / runs <= 0.08


def test_few_messages_tell_nothing() -> None:
    assert best("best_segment", "click_rate", {"x": Share(5, 5), "y": Share(10, 1_000)}) == []
    assert changed("read_rate", "x", Share(9, 10), Share(100, 1_000)) == []


def test_the_best_variant_is_told_once_it_is_as_good_as_certain() -> None:
    one = Experiment(campaign_id="c", variants=("a", "b"))
    alike = judging.report(one, counted(a=(2_000, 600), b=(2_000, 610)))
    assert best_variant("read_rate", alike.arms) == []
    apart = judging.report(one, counted(a=(2_000, 600), b=(2_000, 760)))
    (found,) = best_variant("read_rate", apart.arms)
    assert (found.subject, found.value.value, found.baseline.value) == ("b", 0.38, 0.3)


def test_fatigue_is_where_more_messages_are_read_less() -> None:
    loads = {1: Share(600, 1_000), 2: Share(590, 1_000), 3: Share(400, 1_000), 4: Share(350, 900)}
    contacts = {1: 0, 2: 10, 3: 100, 4: 900}
    (found,) = fatigued("read_rate", loads, contacts)
    assert (found.subject, found.contacts) == ("3", 1_000)
    assert found.value.upper < found.baseline.lower
    assert fatigued("read_rate", {n: Share(600, 1_000) for n in range(1, 5)}, contacts) == []


def test_a_template_retires_when_it_does_worse_than_it_did_and_than_others() -> None:
    before = {"old": Share(600, 1_000), "new": Share(600, 1_000)}
    recent = {"old": Share(400, 1_000), "new": Share(600, 1_000)}
    (found,) = retiring("read_rate", recent, before)
    assert (found.subject, found.value.value, found.baseline.value) == ("old", 0.4, 0.6)
    everything = {name: Share(400, 1_000) for name in before}
    assert retiring("read_rate", everything, before) == []


def test_a_change_is_told_in_both_directions() -> None:
    (rose,) = changed("read_rate", "", Share(400, 1_000), Share(300, 1_000))
    (fell,) = changed("read_rate", "", Share(300, 1_000), Share(400, 1_000))
    assert rose.probability == fell.probability > 0.999
    assert changed("read_rate", "", Share(305, 1_000), Share(300, 1_000)) == []
