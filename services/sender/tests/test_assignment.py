"""Who gets which variant: for good, in shares, in any order, on every replica."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.sender.campaigns.assignment import Assignment, Given, assign, first
from services.sender.model import Campaign, CampaignPhase, Variant

PEOPLE = [f"person {n}" for n in range(4_000)]


def campaign(weights: list[float], hold_out: float = 0.0, campaign_id: str = "cmp") -> Campaign:
    return Campaign(
        campaign_id=campaign_id,
        name="Yaz",
        phase=CampaignPhase.RUNNING,
        waba_id="1",
        purpose="",
        not_after=0,
        not_after_duration=0,
        hold_out_share=hold_out,
        variants=[Variant(f"v{n}", "t", weight) for n, weight in enumerate(weights)],
        phone_number_ids=[],
    )


def name(assignment: Assignment) -> str:
    return assignment.variant.name if assignment.variant else ""


weights = st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0]), min_size=1, max_size=5).filter(any)
shares = st.sampled_from([0.0, 0.05, 0.3])


@settings(max_examples=25, deadline=None)
@given(weights, shares, st.integers(), st.text(max_size=5))
def test_everybody_gets_the_same_in_any_order_and_shares_are_kept(
    given_weights: list[float], hold_out: float, seed: int, campaign_id: str
) -> None:
    one = campaign(given_weights, hold_out, campaign_id)
    drawn = {who: assign(one, who) for who in PEOPLE}
    shuffled = random.Random(seed).sample(PEOPLE, len(PEOPLE))
    again = campaign(given_weights, hold_out, campaign_id)
    assert {who: assign(again, who) for who in shuffled} == drawn
    counts = Counter(map(name, drawn.values()))
    assert abs(counts[""] - hold_out * len(PEOPLE)) <= bound(hold_out)
    left, total = len(PEOPLE) - counts[""], sum(given_weights)
    for n, weight in enumerate(given_weights):
        assert abs(counts[f"v{n}"] - left * weight / total) <= bound(weight / total)
        if not weight:
            assert counts[f"v{n}"] == 0
    assert {a.propensity for a in drawn.values() if a.variant is None} <= {hold_out}
    for a in drawn.values():
        if a.variant is not None:
            assert a.propensity == a.variant.weight / total


def bound(share: float) -> float:
    """Six standard deviations, so that it never fails by chance."""
    return 6 * (len(PEOPLE) * share * (1 - share)) ** 0.5 + 1


@settings(max_examples=25, deadline=None)
@given(weights, weights, shares)
def test_who_has_a_variant_keeps_it_when_weights_change(
    before: list[float], after: list[float], hold_out: float
) -> None:
    size = min(len(before), len(after))
    before, after = before[:size], after[:size]
    if not any(before) or not any(after):
        return
    old, new = campaign(before, hold_out), campaign(after, hold_out)
    got = {}
    for turn, who in enumerate(PEOPLE[:500]):
        variant, propensity = assign(old, who)
        got[who] = Given(variant.name if variant else "", propensity, turn)
    for who in PEOPLE[:500]:
        kept = assign(new, who, got[who])
        assert (name(kept), kept.propensity) == got[who][:2]
    later = [assign(new, who) for who in PEOPLE[500:]]
    allowed = {(f"v{n}", w / sum(after)) for n, w in enumerate(after) if w} | {("", hold_out)}
    assert {(name(one), one.propensity) for one in later} <= allowed


def test_of_a_person_of_several_ids_the_earliest_assignment_holds() -> None:
    one = campaign([1.0, 1.0])
    got = {"stays": Given("v1", 0.5, 20), "goes": Given("v0", 0.9, 10)}
    assert first(got, ("stays", "goes")) == got["goes"]
    assert first(got, ("somebody",)) is None
    kept = assign(one, "stays", first(got, ("stays", "goes")))
    assert (name(kept), kept.propensity) == ("v0", 0.9)
    assert assign(one, "stays", Given("", 0.2, 1)) == Assignment(None, 0.2)


def test_campaigns_draw_apart() -> None:
    a, b = campaign([1.0, 1.0]), replace(campaign([1.0, 1.0]), campaign_id="other")
    same = sum(name(assign(a, who)) == name(assign(b, who)) for who in PEOPLE)
    assert abs(same - len(PEOPLE) / 2) <= bound(0.5)


def test_any_weights_stand_for_their_shares() -> None:
    tiny, huge = campaign([1e-9, 3e-9]), campaign([1e9, 3e9])
    assert [name(assign(tiny, w)) for w in PEOPLE] == [name(assign(huge, w)) for w in PEOPLE]
