"""The one outcome of a message, and how messages add up."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.funnel import outcome, rate, tallies, tally, told_by
from services.reports.model import STEPS, Context, Counts, Line, MessageFact, Progress
from services.reports.rollups import part


@pytest.mark.parametrize(
    ("progress", "becomes"),
    [
        (Progress(), "pending"),
        (Progress(sent=True), "sent"),
        (Progress(sent=True, reached=True), "delivered"),
        (Progress(sent=True, reached=True, read=True), "read"),
        (Progress(sent=True, failed=True), "failed"),
        (Progress(failed=True), "failed"),
        (Progress(unknown=True), "unknown"),
        (Progress(unknown=True, sent=True), "sent"),
        (Progress(suppressed=True), "suppressed"),
        (Progress(held_out=True), "held_out"),
    ],
)
def test_a_message_has_the_furthest_outcome_known(progress, becomes) -> None:
    assert outcome(progress) == becomes


def test_what_a_person_did_outweighs_a_failure_that_came_besides() -> None:
    assert outcome(Progress(sent=True, failed=True, reached=True)) == "delivered"


def test_what_may_have_been_sent_is_not_called_suppressed() -> None:
    assert outcome(Progress(unknown=True, suppressed=True)) == "unknown"


def line(fact: MessageFact, key: str = "a") -> Line:
    """What one message adds, as the store tells it."""
    (((_, cube), counts),) = part(fact, Context()).sums.items()
    return Line((key,), cube.gate, cube.error_code, cube.currency, Counts(*counts))


def test_only_waiting_messages_of_an_abandoned_campaign_are_cancelled() -> None:
    waiting, sent = (line(MessageFact("m", times={step: 1})) for step in ("planned", "sent"))
    assert tally([waiting, sent], abandoned=True).outcomes == {"cancelled": 1, "sent": 1}
    assert tally([waiting, sent]).outcomes == {"pending": 1, "sent": 1}


def test_a_tap_counts_as_delivered_and_sent_though_no_status_said_so() -> None:
    total = tally([line(MessageFact("m", times={"clicked": 1}))])
    assert (total.sent, total.delivered, total.read, total.clicked) == (1, 1, 0, 1)


def test_a_failed_message_costs_nothing() -> None:
    cost = (1, 500, "USD")
    failed = MessageFact("m", times={"sent": 1, "failed": 2}, failure=(2, 131049), cost=cost)
    sent = MessageFact("n", times={"sent": 1}, cost=(1, 70, "USD"))
    assert tally([line(failed), line(sent)]).costs == {"USD": 70}
    assert tally([line(failed), line(sent)]).codes == {131049: 1}


def test_every_combination_counts_once_and_the_funnel_narrows() -> None:
    lines = [
        line(
            MessageFact(
                "m",
                times={
                    "planned": 1,
                    **{step: 1 for step, so in zip(STEPS[1:], flags, strict=True) if so},
                },
                gate=(1, "consent"),
                failure=(1, 131026),
            ),
            str(n % 3),
        )
        for n, flags in enumerate(product([False, True], repeat=len(STEPS) - 1))
    ]
    total = tally(lines)
    assert sum(total.outcomes.values()) == total.recipients == len(lines)
    assert sum(total.gates.values()) == total.outcomes["suppressed"]
    assert sum(total.codes.values()) == total.outcomes["failed"]
    assert total.recipients >= total.sent >= total.delivered >= total.read
    assert total.delivered >= max(total.clicked, total.replied)
    parts = tallies(lines).values()
    assert sum(p.recipients for p in parts) == total.recipients
    assert sum(p.sent for p in parts) == total.sent


def test_what_is_stored_tells_the_outcome_that_the_message_has() -> None:
    """Of every combination exactly one is told, and it is the outcome."""
    outcomes = ("read", "delivered", "failed", "sent", "unknown", "suppressed", "held_out")
    for flags in product([False, True], repeat=len(Progress._fields)):
        far = Progress(*flags)
        # Whoever read, tapped or answered a message was reached by it
        far = far._replace(reached=far.reached or far.read or far.clicked or far.replied)
        told = [
            one
            for one in (*outcomes, "pending")
            for looked_at, stands in [told_by(one)]
            if far.bits & looked_at == stands
        ]
        assert told == [outcome(far)]


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_rate_stands_within_its_interval(part, more) -> None:
    found = rate(part, part + more)
    if part + more == 0:
        assert found is None
        return
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    assert found.of == part + more


def test_the_interval_is_wilsons() -> None:
    # Brown, Cai, DasGupta (2001): 1 of 10 at 95 % is 0.0179 to 0.4042
    found = rate(1, 10)
    assert (round(found.lower, 4), round(found.upper, 4)) == (0.0179, 0.4042)
