"""Experiments judged: by what recipients did, and by simulation where one looks often."""

import numpy as np
import pytest

from services.reports.attribution import Order
from services.reports.experiments import judging, planning
from services.reports.experiments.guarding import exceeds, worse
from services.reports.experiments.model import HORIZON_MS, Experiment, Guard
from services.reports.experiments.outcomes import Gathered, Line, Recipient, gather, past
from services.reports.model import Context, MessageFact

HOUR = 3_600_000
DAY = 24 * HOUR


def experiment(**more) -> Experiment:
    return Experiment(campaign_id="c", variants=more.pop("variants", ("a", "b")), **more)


def recipient(variant="a", propensity=0.5, orders=(), opted_out=False, control="", **times):
    failure = (times["failed"], 131050) if "failed" in times else None
    fact = MessageFact(
        "m",
        variant=variant,
        propensity=propensity,
        control=control,
        times=times,
        failure=failure,
    )
    return Recipient(fact, Context(opted_out=opted_out), orders)


def gathered(*recipients: Recipient, goal="read_rate", window=HORIZON_MS, until=DAY, currency=""):
    found = Gathered(currency=currency, known_until=until)
    gather(recipients, found, goal, window)
    return found


def counted(**arms: tuple[int, int]) -> Gathered:
    """Recipients and how many of them did it, by variant, evenly split."""
    share = 1 / len(arms)
    return Gathered(
        lines={(v, share): Line(n, y, y) for v, (n, y) in arms.items()},
        assigned={(v, share): n for v, (n, _) in arms.items()},
    )


# --- what counts ------------------------------------------------------------------------------


def test_what_a_recipient_does_counts_within_the_window_and_once_it_is_over() -> None:
    found = gathered(
        recipient(sent=0, read=HOUR),
        recipient(sent=0, read=HORIZON_MS),  # too late
        recipient(sent=0),
        recipient(sent=21 * HOUR, read=21 * HOUR),  # too young
    )
    assert found.lines["a", 0.5].sums == (3, 1, 1)
    assert found.waiting == 1
    assert found.everyone("a") == 4


def test_whom_gates_held_back_is_no_recipient_and_a_failure_is_one_without_outcome() -> None:
    found = gathered(
        recipient(planned=0),
        recipient(planned=0, suppressed=1),
        recipient(planned=0, unknown=1),
        recipient(held_out=0, control="hold_out"),
        recipient(planned=0, sent=1, failed=2),
    )
    assert found.lines["a", 0.5].sums == (1, 0, 0)
    assert found.harms == {"failure_rate": {"a": 1}, "block_rate": {"a": 1}}


def test_engagement_adds_up_what_was_done() -> None:
    one = recipient(sent=0, read=1, clicked=2, replied=DAY)
    assert gathered(one, goal="engagement_frequency").lines["a", 0.5].y == 2


def test_conversions_count_from_the_message_on_in_one_currency() -> None:
    orders = [Order(-1, 5_000_000, "TRY"), Order(1, 7_000_000, "TRY"), Order(2, 9_000_000, "EUR")]
    one = recipient(sent=0, orders=orders)
    more = {"goal": "revenue", "window": HOUR, "currency": "TRY"}
    assert gathered(one, **more).lines["a", 0.5].y == 7
    assert gathered(one, goal="conversion_rate", window=HOUR).lines["a", 0.5].y == 1


def test_lift_compares_everybody_meant_to_be_reached_with_those_held_out() -> None:
    bought = [Order(1, 1_000_000, "TRY")]
    people = [
        *(recipient(sent=0, orders=bought if n % 4 == 0 else ()) for n in range(2_000)),
        *(recipient(planned=0, suppressed=1) for _ in range(400)),
        *(
            recipient(
                variant="", held_out=0, control="hold_out", orders=bought if n % 10 == 0 else ()
            )
            for n in range(1_000)
        ),
    ]
    found = gathered(*people, goal="conversion_rate", window=HOUR)
    told = judging.report(experiment(goal="conversion_rate"), found)
    assert told.lift is not None
    assert told.held == 1_000
    assert told.lift.value == pytest.approx((500 / 2_400) / 0.1 - 1)
    assert told.lift.lower > 0


def test_what_was_done_before_is_looked_at_as_of_the_message() -> None:
    earlier = [
        MessageFact("x", times={"delivered": 0, "read": 5}),
        MessageFact("y", times={"delivered": 0, "read": 50}),
        MessageFact("z", times={"delivered": 20}),
    ]
    assert past("read_rate", 10, earlier, []) == 2 / 4
    assert past("read_rate", 10, [], []) == 0.5
    assert past("revenue", 10, [], [Order(5, 1, ""), Order(15, 1, "")]) == 1


# --- what follows -----------------------------------------------------------------------------


def test_a_clear_winner_is_named_and_a_tie_is_not() -> None:
    assert judging.winner(experiment(), counted(a=(5_000, 1_500), b=(5_000, 2_000))) == "b"
    assert judging.winner(experiment(), counted(a=(5_000, 2_000), b=(5_000, 1_500))) == "a"
    assert judging.winner(experiment(), counted(a=(5_000, 1_500), b=(5_000, 1_530))) == ""


def test_of_two_better_ones_that_are_alike_one_is_taken_only_if_the_rest_is_not_worth_knowing() -> (
    None
):
    three = counted(a=(20_000, 4_000), b=(20_000, 6_000), c=(20_000, 6_010))
    variants = ("a", "b", "c")
    assert judging.winner(experiment(variants=variants), three) == ""
    assert judging.winner(experiment(variants=variants, minimum_effect=0.1), three) == "c"


def test_a_split_that_is_not_as_it_should_be_names_nobody() -> None:
    found = counted(a=(5_000, 1_500), b=(4_000, 1_600))
    told = judging.report(experiment(), found)
    assert told.ratio_alarm
    assert judging.winner(experiment(), found) == ""


def test_shares_that_changed_on_the_way_do_not_make_a_winner_of_time() -> None:
    """In the first hour everybody reads and a has most recipients, later nobody reads and b has:
    plainly a looks twice as good, and is not."""
    lines = {
        ("a", 0.9): Line(9_000, 4_500, 4_500),
        ("b", 0.1): Line(1_000, 500, 500),
        ("a", 0.1): Line(1_000, 100, 100),
        ("b", 0.9): Line(9_000, 900, 900),
    }
    found = Gathered(lines=lines, assigned={key: line.n for key, line in lines.items()})
    told = judging.report(experiment(), found)
    assert not told.ratio_alarm
    assert judging.winner(experiment(), found) == ""
    a, b = (arm.value for arm in told.arms)
    assert a is not None
    assert b is not None
    assert a.value == pytest.approx(b.value) == pytest.approx(0.3)


def test_a_report_tells_what_can_be_seen_and_what_would_be_needed() -> None:
    told = judging.report(experiment(minimum_effect=0.05), counted(a=(900, 270), b=(1_000, 310)))
    assert 0.2 < told.detectable < 0.3
    assert told.needed > 10_000
    assert sum(arm.probability_best for arm in told.arms) == pytest.approx(1)
    assert [arm.share for arm in told.arms] == [0.5, 0.5]
    assert told.arms[0].effect is None
    assert told.arms[1].effect is not None


def test_history_narrows_what_is_known() -> None:
    generator = np.random.default_rng(3)
    found = Gathered()
    for variant in ("a", "b"):
        habit = generator.uniform(0.1, 0.9, 4_000)
        done = generator.random(4_000) < habit
        line = Line()
        for x, y in zip(habit, done, strict=True):
            line.add(float(y), float(x))
        found.lines[variant, 0.5] = line
        found.assigned[variant, 0.5] = line.n
    plain = judging.report(experiment(), found)
    adjusted = judging.report(experiment(adjusts_history=True), found)
    assert plain.variance_reduction == 0
    assert adjusted.variance_reduction > 0.15
    wide, narrow = plain.arms[1].effect, adjusted.arms[1].effect
    assert wide is not None
    assert narrow is not None
    assert narrow.upper - narrow.lower < 0.95 * (wide.upper - wide.lower)


def test_an_experiment_without_anybody_says_nothing() -> None:
    told = judging.report(experiment(), Gathered())
    assert [arm.recipients for arm in told.arms] == [0, 0]
    assert judging.winner(experiment(), Gathered()) == ""
    assert judging.report(experiment(variants=()), Gathered()).arms == []


# --- guards -----------------------------------------------------------------------------------


def test_a_guard_is_breached_by_what_is_surely_too_much_and_by_what_is_surely_worse() -> None:
    found = counted(a=(5_000, 100), b=(5_000, 100))
    found.harms = {"opt_out_rate": {"a": 25, "b": 90}}
    limit = Guard("opt_out_rate", maximum=0.01)
    more = Guard("opt_out_rate", maximum_increase=0.5)
    for guard in (limit, more):
        assert judging.breached(experiment(guards=(guard,)), found) == ["b"]
    assert judging.breached(experiment(guards=(Guard("opt_out_rate", maximum=0.05),)), found) == []


def test_a_rate_at_its_limit_is_called_too_high_by_one_in_twenty_at_all_looks_together() -> None:
    generator = np.random.default_rng(5)
    limit, false = 0.01, 0
    for _ in range(200):
        harmed = np.cumsum(generator.random(20_000) < limit)
        false += any(exceeds(int(harmed[n - 1]), n, limit, 0.05) for n in range(50, 20_001, 250))
    assert false / 200 <= 0.05


def test_a_rate_far_above_its_limit_is_found_soon() -> None:
    assert exceeds(12, 300, 0.01, 0.05)
    assert not exceeds(3, 300, 0.01, 0.05)
    assert exceeds(1, 10, 0.0, 0.05)
    assert not worse(9, 100, 9, 1_000, 0.0, 0.05)


def test_a_baseline_that_harms_nobody_hides_no_harm() -> None:
    assert worse(300, 10_000, 0, 10_000, 0.5, 0.05)
    assert worse(300, 10_000, 3, 10_000, 0.5, 0.05)
    assert not worse(18, 10_000, 3, 10_000, 0.5, 0.05)
    assert not worse(18, 10_000, 0, 0, 0.5, 0.05)


def test_rare_harm_that_is_no_worse_is_called_so_by_at_most_one_of_twenty_at_all_looks() -> None:
    generator = np.random.default_rng(13)
    false = 0
    for _ in range(300):
        bad, base = (np.cumsum(generator.binomial(200, 0.001, 50)) for _ in range(2))
        false += any(
            worse(int(one), n, int(other), n, 0.0, 0.05)
            for n, one, other in zip(range(200, 10_001, 200), bad, base, strict=True)
        )
    assert false / 300 <= 0.05


# --- looking often ----------------------------------------------------------------------------


@pytest.mark.parametrize("variants", [("a", "b"), ("a", "b", "c")])
def test_looking_at_every_step_names_a_false_winner_in_at_most_one_of_twenty(variants) -> None:
    """Nobody is better; the decision of the service is asked fifty times on the way."""
    generator = np.random.default_rng(7)
    runs, looks, step, false = 200, 50, 200, 0
    one = experiment(variants=variants)
    for _ in range(runs):
        done = np.cumsum(generator.binomial(step, 0.3, (looks, len(variants))), axis=0)
        sizes = step * np.arange(1, looks + 1)
        false += any(
            judging.winner(
                one,
                counted(**{v: (int(n), int(y)) for v, y in zip(variants, row, strict=True)}),
            )
            for n, row in zip(sizes, done, strict=True)
        )
    assert false / runs <= 0.05


def test_a_bandit_that_is_looked_at_always_names_a_false_winner_in_at_most_one_of_twenty() -> None:
    """Shares follow what was learned, and the winner is looked for after every step."""
    generator = np.random.default_rng(11)
    one = experiment(kind="bandit", exploration_share=0.1)
    runs, false = 60, 0
    for _ in range(runs):
        found = Gathered()
        shares = {"a": 0.5, "b": 0.5}
        for step in range(25):
            drawn = generator.random(200) < shares["a"]
            done = generator.random(200) < 0.3
            for variant, mine in (("a", drawn), ("b", ~drawn)):
                n, y = int(mine.sum()), int((mine & done).sum())
                line = found.lines.setdefault((variant, shares[variant]), Line())
                line.n, line.y, line.yy = line.n + n, line.y + y, line.yy + y
                found.assigned[variant, shares[variant]] = line.n
            if judging.winner(one, found):
                false += 1
                break
            if step % 5 == 4:
                shares = judging.weights(one, found) or shares
    assert false / runs <= 0.05


def test_a_bandit_sends_most_to_the_better_one_and_keeps_trying_the_other() -> None:
    one = experiment(kind="bandit", exploration_share=0.1)
    assert judging.weights(one, counted(a=(20, 5), b=(20, 5))) is None
    learned = judging.weights(one, counted(a=(2_000, 500), b=(2_000, 700)))
    assert learned is not None
    assert learned["b"] == pytest.approx(0.9, abs=0.001)
    assert sum(learned.values()) == pytest.approx(1)


def test_a_bandit_follows_what_variants_bring_and_not_the_hour_they_were_sent_in() -> None:
    """b is better by a tenth at any hour, but was sent mostly when few read."""
    lines = {
        ("a", 0.5): Line(5_000, 2_500, 2_500),
        ("b", 0.5): Line(5_000, 2_750, 2_750),
        ("a", 0.1): Line(1_000, 100, 100),
        ("b", 0.9): Line(9_000, 990, 990),
    }
    found = Gathered(lines=lines, assigned={key: line.n for key, line in lines.items()})
    one = experiment(kind="bandit", exploration_share=0.1)
    learned = judging.weights(one, found)
    assert learned is not None
    assert learned["b"] > 0.85
    arms = {arm.variant: arm for arm in judging.report(one, found).arms}
    assert arms["b"].probability_best > 0.95
    assert arms["a"].expected_loss > arms["b"].expected_loss


def test_other_shares_are_judged_by_what_was_logged() -> None:
    found = counted(a=(4_000, 800), b=(4_000, 1_600))
    for estimate in judging.estimates(found, {"b": 1.0}):
        assert estimate.interval.lower <= 0.4 <= estimate.interval.upper
        assert estimate.effective_sample_size == pytest.approx(4_000)


def test_a_plan_says_how_many_how_long_or_how_much() -> None:
    asked = planning.Question(0.2, 2, 0.05, 0.8, 0.1, None)
    found = planning.plan(asked, 1_000)
    assert found.total == 2 * found.per_arm
    assert found.days == pytest.approx(found.total / 1_000)
    back = planning.plan(asked._replace(effect=None, recipients=found.total), 0)
    assert back.effect == pytest.approx(0.1, rel=0.01)
    assert back.days == 0
    assert planning.plan(asked._replace(arms=4), 0).per_arm > found.per_arm
