"""Several numbers share a campaign: whoever wrote to one hears from it, the others by capacity."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.sender.model import NEVER, Address, Contact, Number
from services.sender.numbers.allocation import Line, allocate, lines_of

LINES = [Line("1", 80.0), Line("2", 240.0), Line("3", 80.0)]


def person(n: int, *addresses: Address) -> Contact:
    return Contact(f"contact_{n}", addresses=addresses)


def number(number_id: str, throughput: float = 80.0) -> Number:
    return Number(
        phone_number_id=number_id,
        waba_id="w",
        portfolio_id="",
        display_phone_number="",
        verified_name="",
        throughput_level="",
        throughput=throughput,
        messaging_limit="",
        quality_rating="",
        paused=False,
        state_reason="",
        create_time=0,
        update_time=0,
        sync_time=0,
    )


def test_a_person_hears_from_the_number_they_wrote_to_last() -> None:
    wrote = [
        Address(wa_id="1", phone_number_id="3", last_message_time=100),
        Address(wa_id="1", phone_number_id="1", last_message_time=200),
        Address(wa_id="1", phone_number_id="9", last_message_time=300),
    ]
    assert allocate(LINES, person(1, *wrote)) == "1"
    assert allocate(LINES, person(1, wrote[2])) == allocate(LINES, person(1))


def test_everybody_else_is_divided_by_what_the_numbers_can_take() -> None:
    count = Counter(allocate(LINES, person(n)) for n in range(20_000))
    assert [round(count[line.phone_number_id] / 20_000, 1) for line in LINES] == [0.2, 0.6, 0.2]


@given(
    st.lists(st.floats(0.5, 1000), min_size=1, max_size=6),
    st.integers(0, 10_000),
    st.randoms(use_true_random=False),
)
def test_the_same_facts_give_the_same_number_in_any_order(
    capacities: list[float], n: int, random: object
) -> None:
    lines = [Line(str(i), capacity) for i, capacity in enumerate(capacities)]
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allocate(lines, person(n)) == allocate(shuffled, person(n))


@given(st.integers(0, 100_000))
def test_a_number_that_goes_moves_only_its_own_people(n: int) -> None:
    before = allocate(LINES, person(n))
    after = allocate([line for line in LINES if line.phone_number_id != "2"], person(n))
    assert after == before or before == "2"


@given(st.integers(0, 100_000))
def test_a_number_that_can_take_more_only_gains_people(n: int) -> None:
    wider = [
        replace(line, capacity=900.0) if line.phone_number_id == "1" else line for line in LINES
    ]
    before, after = allocate(LINES, person(n)), allocate(wider, person(n))
    assert after in {before, "1"}


def test_what_is_kept_for_replies_and_who_may_not_send_does_not_count() -> None:
    ours = number("1", 100)
    ours.reply_share = 0.25
    paused = number("2")
    paused.paused = True
    restricted = number("3")
    restricted.restriction, restricted.restricted_until = "all", NEVER
    assert lines_of([ours, paused, restricted], 1) == [Line("1", 75.0)]
    assert lines_of([paused], 1) == [Line("2", 80.0)]
