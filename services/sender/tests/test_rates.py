"""Costs: by the card in force, the tier of the month, and what Meta says it charges."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.failures import RateCardInvalid
from services.sender.rules.rates import (
    Cost,
    Rate,
    RateCard,
    Tariff,
    card_at,
    check,
    month_of,
    parse,
)

EXAMPLE = Path(__file__).parents[3] / "samples/rate_cards/example.csv"
HEAD = "market,country_codes,category,tier_start,price\n"
CSV = (
    HEAD
    + """TR,,marketing,0,0.0109
TR,,utility,0,0.0053
TR,,utility,100000,0.0050
TR,,service,0,0.0053
rest_of_africa,EG NG,marketing,0,0.0225
other,,marketing,0,0.0604
"""
)


def card(**changes: Any) -> RateCard:
    fields: dict[str, Any] = {
        "rate_card_id": "r",
        "waba_id": "",
        "currency": "USD",
        "name": "",
        "free_service_messages": 0,
        "effective_time": 0,
        "create_time": 0,
        "rates": parse(CSV),
    }
    return RateCard(**{**fields, **changes})


def micros(cost: Cost | None) -> int | None:
    return None if cost is None else cost.micros


def test_a_price_is_that_of_the_country_of_its_region_or_of_all_others() -> None:
    tariff = Tariff(card())
    for country, price in (("TR", 10_900), ("EG", 22_500), ("NG", 22_500), ("AQ", 60_400)):
        assert tariff.estimate("marketing", country) == Cost(price, "USD")
    assert tariff.estimate("utility", "AQ") is None
    assert Tariff().estimate("marketing", "TR") is None


def test_lite_and_international_cost_as_the_plain_category_until_they_have_a_price() -> None:
    tariff = Tariff(card())
    assert micros(tariff.estimate("marketing_lite", "TR")) == 10_900
    own = card(rates=[*parse(CSV), Rate("TR", [], "marketing_lite", 0, 9_000)])
    assert micros(Tariff(own).estimate("marketing_lite", "TR")) == 9_000


def test_a_tier_holds_from_the_message_that_reaches_it() -> None:
    tariff = Tariff(card(), "waba", "1", 202611)
    counter = tariff.counter("utility", "TR")
    for volume, price in ((99_999, 5_300), (100_000, 5_000), (5_000_000, 5_000)):
        tariff.counted[counter] = volume
        assert tariff.estimate("utility", "TR") == Cost(price, "USD", "TR")


def test_answers_cost_nothing_within_the_allowance_of_the_number() -> None:
    tariff = Tariff(card(free_service_messages=1_000), "waba", "1", 202611)
    counter = tariff.counter("service", "")
    assert counter.owner == "1"
    for used, price in ((0, 0), (999, 0), (1_000, 5_300)):
        tariff.counted[counter] = used
        assert tariff.estimate("service", "TR") == Cost(price, "USD", "")


def test_answers_cost_nothing_by_a_card_that_has_no_price_for_them() -> None:
    before_october = card(rates=[Rate("TR", [], "marketing", 0, 10_900)])
    assert Tariff(before_october).estimate("service", "TR") == Cost(0, "USD")


@pytest.mark.parametrize("kind", ["free_customer_service", "free_entry_point"])
@pytest.mark.parametrize("billable", [True, False])
def test_what_meta_calls_free_is_free(kind: str, billable: bool) -> None:
    assert Tariff(card()).charge("utility", "TR", kind, billable) == Cost(0, "USD")


def test_regular_is_charged_whether_or_not_billable_is_still_told() -> None:
    tariff = Tariff(card())
    assert micros(tariff.charge("marketing", "TR", "regular", False)) == 10_900
    assert micros(tariff.charge("marketing", "TR", "", True)) == 10_900
    assert micros(tariff.charge("marketing", "TR", "", False)) == 0
    assert micros(tariff.charge("group-marketing".replace("-", "_"), "TR", "regular", True)) == (
        10_900
    )
    assert tariff.charge("general_purpose_ai", "TR", "regular", True) is None


def test_the_card_in_force_is_the_account_s_own_then_the_latest() -> None:
    old, new, own, later = (
        card(rate_card_id="old", effective_time=100),
        card(rate_card_id="new", effective_time=200),
        card(rate_card_id="own", effective_time=150, waba_id="w"),
        card(rate_card_id="later", effective_time=900),
    )
    cards = [later, own, new, old]

    def at(waba_id: str, time: int) -> str:
        found = card_at(cards, waba_id, time)
        return found.rate_card_id if found else ""

    assert [at("x", time) for time in (99, 100, 200, 899, 900)] == [
        "",
        "old",
        "new",
        "new",
        "later",
    ]
    assert [at("w", time) for time in (149, 150, 900)] == ["old", "own", "own"]


def test_months_begin_at_midnight_in_utc() -> None:
    assert month_of(1_793_491_199_999) == 202_610
    assert month_of(1_793_491_200_000) == 202_611


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("TR,,marketing,0", "", "4 columns instead of 5"),
        ("TR,,marketing,x,1", "tier_start", "not a whole number; 0 for the first tier"),
        ("TR,,marketing,0,1e", "price", "not a number with a decimal point"),
        ("TR,,marketing,0,NaN", "price", "not a number of at most six decimal places"),
        ("TR,,marketing,0,0.0000001", "price", "not a number of at most six decimal places"),
        ("TR,,marketing,0,-1", "price", "negative"),
        (",,marketing,0,1", "market", "missing"),
        ("Turkey,,marketing,0,1", "country_codes", "not ISO 3166 alpha-2, such as TR"),
        ("TR,,marketing,100,1", "tier_start", "TR has no tier that starts at 0"),
        ("TR,,adverts,0,1", "category", "not one of authentication, "),
        ('"TR', "", "not CSV"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_wrong(line: str, column: str, problem: str) -> None:
    with pytest.raises(RateCardInvalid) as caught:
        parse(HEAD + line + "\n")
    facts = caught.value.facts
    assert (facts["line"], facts["column"]) == ("2", column)
    assert facts["problem"].startswith(problem)


def test_the_example_is_a_card_that_says_it_is_made_up() -> None:
    shown = card(rates=parse(EXAMPLE.read_text(encoding="utf-8")))
    for category in ("marketing", "utility", "authentication", "service"):
        for country in ("TR", "GB", "RS", "US"):
            assert Tariff(shown).estimate(category, country) is not None
    assert "prices are made up" in (EXAMPLE.parent / "README.md").read_text(encoding="utf-8")


def test_a_country_has_one_price_for_a_category_and_tier() -> None:
    with pytest.raises(RateCardInvalid, match="EG has this category and tier already"):
        check([Rate("africa", ["EG"], "marketing", 0, 1), Rate("EG", [], "marketing", 0, 2)])
    for empty in ("", HEAD, "market;category\n"):
        with pytest.raises(RateCardInvalid):
            parse(empty)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), unique_by=lambda t: t[0]),
       st.integers(0, 2 * 10**6))  # fmt: skip
def test_the_price_is_that_of_the_last_tier_that_was_reached(
    tiers: list[tuple[int, int]], volume: int
) -> None:
    rates = [Rate("TR", [], "utility", start, price) for start, price in [(0, 7), *tiers]]
    tariff = Tariff(card(rates=rates), "w")
    tariff.counted[tariff.counter("utility", "TR")] = volume
    reached = max(rate.tier_start for rate in rates if rate.tier_start <= volume)
    expected = next(rate.price_micros for rate in rates if rate.tier_start == reached)
    assert micros(tariff.estimate("utility", "TR")) == expected
