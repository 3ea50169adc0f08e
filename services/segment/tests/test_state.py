"""What is kept of a contact stays small, however much happened to it."""

import gc
import time

from services.segment.engine.causing import MOST_KEYS, Causing
from services.segment.engine.journeys.model import Instance, Journeying
from services.segment.engine.journeys.moves import MOST_REMEMBERED, Moves
from services.segment.engine.membership import pass_time
from services.segment.engine.rules import Rules
from services.segment.engine.state import ContactState, TriggerState
from services.segment.engine.timeline import Walk
from services.segment.engine.ways import Ways
from services.segment.tests.test_journey_exactness import COMPILER
from services.segment.tests.test_journey_moves import rules


def had(first: int, count: int) -> ContactState:
    prints = [2**62 + number for number in range(first, first + count)]
    return ContactState(clock=1, triggers=TriggerState(had={"trg_1": prints}))


def remembered(own: ContactState, other: ContactState) -> list[int]:
    ruled = Rules(1, (), (), COMPILER)
    Causing(ruled, "c", own, 0, 0, Ways(ruled.journeys, "c", own, 0)).remember(other)
    return own.triggers.had["trg_1"]


def test_the_keys_of_a_trigger_take_nine_bytes_each_and_no_more_than_so_many() -> None:
    nothing, full = had(0, 0), had(0, MOST_KEYS)
    assert len(full.to_bytes()) - len(nothing.to_bytes()) <= 9 * MOST_KEYS + 8
    assert 9 * MOST_KEYS <= 10_000


def test_who_become_one_have_had_what_either_had_the_own_latest_first() -> None:
    assert remembered(had(0, 3), had(2, 3)) == [2**62 + n for n in (2, 3, 4, 0, 1)]
    kept = remembered(had(0, MOST_KEYS), had(MOST_KEYS, MOST_KEYS))
    assert kept == had(0, MOST_KEYS).triggers.had["trg_1"]


def test_to_become_one_takes_no_longer_than_an_event() -> None:
    own, other = had(0, 50_000), had(25_000, 50_000)
    began = time.perf_counter()
    remembered(own, other)
    assert time.perf_counter() - began < 1


def test_ends_and_arms_stay_bounded_through_merges_and_the_latest_ends_stay() -> None:
    own = ContactState(clock=1)
    many = MOST_REMEMBERED
    for turn in range(3):
        other = Journeying(
            {},
            {turn * many + n: n for n in range(many)},
            {turn * many + n: "a" for n in range(many)},
        )
        Moves(rules().journeys, "c", own, 0).absorb(other, 1)
    assert len(own.journeys.ended) == len(own.journeys.arms) == many
    assert min(own.journeys.ended.values()) >= many * 2 // 3


def test_what_everybody_has_takes_a_few_dozen_bytes() -> None:
    instance = Instance("ins_" + "0" * 32, "jny_" + "0" * 32, 1, "", "0" * 36, "req", 0, {}, "a")
    state = ContactState(clock=1)
    empty = len(state.to_bytes())
    state.journeys.instances[instance.instance_id] = instance
    assert empty < 100
    assert len(state.to_bytes()) - empty < 300


def test_a_walk_that_is_over_is_gone_without_a_search_for_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        pass_time(rules(), {"c": ContactState()}, 1, 0)
        assert not [one for one in gc.get_objects() if type(one) is Walk]
    finally:
        gc.enable()
