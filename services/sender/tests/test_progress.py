"""Messages move forward by the set of facts, whatever the order in which these come."""

from hypothesis import given
from hypothesis import strategies as st

from services.sender.delivery.progress import Fact, Kind, learn
from services.sender.model import Lane, Message, State

T = 1_790_000_000_000


def message(state: State = State.ATTEMPTING) -> Message:
    return Message(
        message_id="msg_1",
        contact_id="c1",
        campaign_id="cmp_1",
        occurrence_id="",
        phone_number_id="1",
        template="welcome",
        language="tr",
        variant="a",
        propensity=0.5,
        purpose="",
        context_wamid="",
        body=b"{}",
        lane=Lane.BULK,
        not_after=0,
        plan_time=T,
        received_time=T,
        traceparent="",
        category="marketing",
        state=state,
        attempts=1,
    )


def facts() -> st.SearchStrategy[list[Fact]]:
    def fact(kind: Kind, offset: int) -> Fact:
        code = 131026 if kind == Kind.FAILED else 0
        return Fact(kind, T + offset, "wamid.1", code, "recipient" if code else "")

    return st.lists(st.builds(fact, st.sampled_from(list(Kind)), st.integers(0, 9)), max_size=12)


@given(facts(), st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_end_in_the_same_state_and_say_each_thing_once(
    told: list[Fact], random: object
) -> None:
    one, other = message(), message()
    learn(one, told)
    shuffled = told + told[::2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    happenings = [h for fact in shuffled for h in learn(other, [fact])]
    assert one == other
    kinds = [h.what for h in happenings]
    assert len(kinds) == len(set(kinds))


@given(facts())
def test_a_state_never_moves_back(told: list[Fact]) -> None:
    rank = [State.ATTEMPTING, State.SENT, State.FAILED, State.DELIVERED, State.READ, State.PLAYED]
    one, before = message(), 0
    for fact in told:
        learn(one, [fact])
        assert rank.index(State(one.state)) >= before
        before = rank.index(State(one.state))


def test_a_read_implies_that_it_was_sent_and_delivered() -> None:
    one = message()
    happenings = learn(one, [Fact(Kind.READ, T + 5, "wamid.1")])
    assert [(h.what, h.implied) for h in happenings] == [
        ("message_sent", True),
        ("message_delivered", True),
        ("message_read", False),
    ]
    assert learn(one, [Fact(Kind.DELIVERED, T + 3)]) == []
    assert (one.delivered_time, one.implied) == (T + 3, Kind.SENT)


def test_what_reached_a_device_has_not_failed() -> None:
    one = message()
    learn(one, [Fact(Kind.FAILED, T, error_code=131026), Fact(Kind.DELIVERED, T)])
    assert one.state == State.DELIVERED


def test_what_was_never_sent_takes_no_facts() -> None:
    for state in (State.SUPPRESSED, State.CANCELLED, State.HELD_OUT):
        assert learn(message(state), [Fact(Kind.REPLIED, T)]) == []
