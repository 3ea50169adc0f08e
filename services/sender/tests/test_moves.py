"""How the outcome of a call, or the want of one, moves a message."""

import pytest
from msgspec.structs import replace

from services.sender.delivery.moves import (
    Settled,
    ask_soon,
    doubt,
    give_up,
    hold,
    permit,
    settle,
    too_late,
)
from services.sender.delivery.outcome import (
    Halted,
    Outcome,
    Refused,
    RetryAt,
    Returned,
    Sent,
    Unclear,
)
from services.sender.delivery.progress import Fact, Kind, learn
from services.sender.gates import Budget, Candidate, GateVerdict, Verdict
from services.sender.model import Address, Contact, Message, State
from services.sender.rules.caps import Counted
from services.sender.rules.policy import FrequencyCap, Policy
from services.sender.rules.rates import Rate, RateCard, Tariff
from services.sender.tables.people import needless

T = 1_000_000


def message(state: int = State.ATTEMPTING, category: str = "marketing") -> Message:
    return Message(
        message_id="msg_1",
        contact_id="c1",
        campaign_id="",
        occurrence_id="",
        phone_number_id="1",
        template="t",
        language="tr",
        variant="",
        propensity=1.0,
        purpose="",
        context_wamid="",
        body=b"{}",
        lane=2,
        not_after=0,
        plan_time=T,
        received_time=T,
        traceparent="",
        category=category,
        state=state,
        attempts=1,
    )


def settled(outcome: Outcome, claim: int = 0) -> Settled:
    called = message()
    called.claim = claim
    return Settled(called, outcome, T)


def test_an_accepted_message_is_sent_and_a_refused_one_failed() -> None:
    one = message()
    assert [h.what for h in settle(one, settled(Sent("wamid.1")), 1000)] == ["message_sent"]
    assert (one.state, one.wamid) == (State.SENT, "wamid.1")
    one = message()
    assert [h.what for h in settle(one, settled(Refused("request", 100)), 1000)] == [
        "message_failed"
    ]
    assert (one.state, one.error_code, one.reason) == (State.FAILED, 100, "request")


@pytest.mark.parametrize(
    ("outcome", "due_time", "calls"),
    [
        (RetryAt(T + 5, "server"), T + 5, 1),
        (Halted("account", 190), T, 1),
        (Returned(T + 7, "limiter_number"), T + 7, 0),
    ],
)
def test_what_was_certainly_not_accepted_waits_for_another_turn(
    outcome: Outcome, due_time: int, calls: int
) -> None:
    one = message()
    assert settle(one, settled(outcome), 1000) == []
    assert (one.state, one.due_time, one.attempts) == (State.PLANNED, due_time, calls)


def test_a_status_that_came_before_the_answer_is_not_undone_by_it() -> None:
    one = message()
    learn(one, [Fact(Kind.DELIVERED, T, "wamid.1")])
    for outcome in (RetryAt(T, "x"), Refused("request", 100), Unclear("timeout"), Returned(T, "")):
        assert settle(one, settled(outcome), 1000) == []
        assert (one.state, one.attempts) == (State.DELIVERED, 1)
    assert settle(one, settled(Sent("wamid.1")), 1000) == []


def test_an_outcome_that_comes_after_somebody_took_the_message_again_says_nothing_of_it() -> None:
    for outcome in (RetryAt(T, "x"), Refused("request", 100), Unclear("timeout"), Returned(T, "")):
        one = message()
        one.claim = 2
        assert settle(one, settled(outcome, claim=1), 1000) == []
        assert (one.state, one.attempts) == (State.ATTEMPTING, 1)
    assert [h.what for h in settle(one, settled(Sent("wamid.1")), 1000)] == ["message_sent"]


def test_an_unclear_answer_waits_for_a_status_and_then_fails_but_a_late_status_still_wins() -> None:
    one = message()
    assert [h.what for h in settle(one, settled(Unclear("timeout")), 1000)] == ["message_unknown"]
    assert (one.state, one.due_time) == (State.UNKNOWN, T + 1000)
    assert [h.what for h in give_up(one, T + 1000, repeat=False)] == ["message_failed"]
    assert (one.state, one.reason) == (State.FAILED, "unconfirmed")
    assert [h.what for h in learn(one, [Fact(Kind.SENT, T + 2000, "wamid.1")])] == ["message_sent"]
    assert one.state == State.SENT


def test_only_an_attempting_message_can_be_in_doubt() -> None:
    for state in set(State) - {State.ATTEMPTING}:
        one = message(state)
        assert doubt(one, "lease_ended", T, 1000) == []
        assert one.state == state


def test_marketing_of_which_nobody_knows_is_never_repeated_whatever_the_policy() -> None:
    one = message(State.UNKNOWN)
    assert [h.what for h in give_up(one, T, repeat=True)] == ["message_failed"]


@pytest.mark.parametrize("category", ["utility", "authentication"])
def test_other_messages_of_which_nobody_knows_are_repeated_a_few_times_by_policy(
    category: str,
) -> None:
    one = message(State.UNKNOWN, category)
    for _ in range(3):
        assert give_up(one, T, repeat=True) == []
        assert (one.state, one.due_time) == (State.PLANNED, T)
        one.state, one.attempts = State.UNKNOWN, one.attempts + 1
    assert [h.what for h in give_up(one, T, repeat=True)] == ["message_failed"]
    one = message(State.UNKNOWN, category)
    assert [h.what for h in give_up(one, T, repeat=False)] == ["message_failed"]


AGREED = Contact("c1", addresses=[Address("905", market="TR")], consents={"marketing": "granted"})
CARD = RateCard("r", "", "USD", "", 0, 1, 1, [Rate("TR", [], "marketing", 0, 10)])


def offer() -> Message:
    """A marketing message that waits for its turn, of no template."""
    one = message(State.PLANNED)
    one.template, one.attempts = "", 0
    return one


def test_what_a_limiter_calls_back_is_there_again_for_whoever_was_stopped_for_want_of_it() -> None:
    caps = Policy(frequency_caps=[FrequencyCap("marketing", 1, 60_000)], quiet_hours=())
    money, had = Budget(10, "USD"), list[Counted]()
    first, second, third = (offer() for _ in range(3))
    second.contact_id = "c2"
    one, poor, again = (
        Candidate(m, policy=caps, budget=money, counted=c, tariff=Tariff(CARD))
        for m, c in ((first, had), (second, []), (third, had))
    )
    going, stopped, capped = (
        permit(c, replace(AGREED, contact_id=c.message.contact_id), T, 1_000)
        for c in (one, poor, again)
    )
    assert going.address
    assert (stopped.message.gate, capped.message.gate) == ("budget", "frequency_cap")
    assert money.micros == 0
    busy = GateVerdict("limiter_pair", Verdict.WAIT, "pair", {}, T + 6_000)
    held = hold(one, going, busy, tell=False)
    ask_soon([one, poor, again], [one], T)
    assert (held.address, money.micros, had) == (None, 10, [])
    assert (first.state, first.due_time, first.attempts) == (State.HELD, T + 6_000, 0)
    assert second.due_time == third.due_time == T + 1_000


def test_an_attempt_begins_without_the_error_of_the_one_before() -> None:
    one = offer()
    one.error_code = 190
    permit(Candidate(one, policy=Policy(quiet_hours=())), AGREED, T, 1_000)
    assert (one.state, one.error_code) == (State.ATTEMPTING, 0)


def test_a_message_whose_last_moment_passed_while_it_waited_is_over() -> None:
    one = message(State.HELD)
    assert [h.what for h in too_late(one, T)] == ["message_suppressed"]
    assert (one.state, one.gate, one.reason) == (State.SUPPRESSED, "deadline", "too_late")


def test_of_who_turns_out_to_be_one_person_nobody_gets_again_what_may_have_been_sent() -> None:
    perhaps, waits = message(State.FAILED), message(State.PLANNED)
    perhaps.reason = "unconfirmed"
    assert needless([perhaps, waits]) == [waits]
    perhaps.reason = "recipient"
    assert needless([perhaps, waits]) == []
