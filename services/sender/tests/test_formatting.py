"""Values as people of each language read them."""

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from babel.numbers import format_currency, get_currency_precision
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.formats import (
    DateFormat,
    Format,
    MoneyFormat,
    NumberFormat,
    PluralFormat,
    TextFormat,
)
from services.sender.wording.formatting import is_pattern, writer_of

ISTANBUL = "Europe/Istanbul"
LATE = "2026-08-05T22:30:00Z"  # the next day in Istanbul


@pytest.mark.parametrize(
    ("form", "language", "value", "shown"),
    [
        (MoneyFormat("TRY"), "tr", 1234.5, "₺1.234,50"),
        (MoneyFormat("TRY"), "tr_TR", 0.005, "₺0,01"),
        (MoneyFormat("TRY"), "tr", -0.001, "₺0,00"),
        (MoneyFormat("TRY", micros=True), "tr", 1_234_500_000, "₺1.234,50"),
        (MoneyFormat("TRY"), "de", "1234.5", "1.234,50\xa0TRY"),
        (MoneyFormat("JPY"), "en_US", 1234.5, "¥1,235"),
        (MoneyFormat("EUR"), "fr", 1234.5, "1\u202f234,50\xa0€"),
        (NumberFormat(1), "tr", 1234.56, "1.234,6"),
        (NumberFormat(), "tr", 2.5, "3"),
        (NumberFormat(2), "en", 3, "3"),
        (NumberFormat(percent=True), "tr", 0.25, "%25"),
        (NumberFormat(1, percent=True), "en", 0.2567, "25.7%"),
        (DateFormat("d MMMM"), "tr", LATE, "6 Ağustos"),
        (DateFormat("EEEE HH:mm"), "tr", LATE, "Perşembe 01:30"),
        (DateFormat("long"), "tr", 1_785_969_000_000, "6 Ağustos 2026"),
        (DateFormat("short"), "en_US", "2026-08-05", "8/5/26"),
        (PluralFormat({"one": "{} item", "other": "{} items"}), "en", 1, "1 item"),
        (PluralFormat({"one": "{} item", "other": "{} items"}), "en_GB", 1200, "1,200 items"),
        (PluralFormat({"other": "{} ürün"}), "tr", 3, "3 ürün"),
        (PluralFormat({"few": "{} товара", "other": "{} товаров"}), "ru", 22, "22 товара"),
        (TextFormat("title", "genitive"), "tr", "AHMET", "Ahmet'in"),
        (TextFormat("title", "genitive"), "en", "AHMET", "Ahmet"),
        (TextFormat(max_characters=9), "tr", "kırmızı elbise", "kırmızı…"),
        (None, "tr", 12.5, "12,5"),
        (None, "tr", 1234567, "1234567"),
        (None, "en", 12.0, "12"),
        (None, "tr", " Ayşe\n Nur ", "Ayşe Nur"),
    ],
)
def test_values_follow_the_language(
    form: Format | None, language: str, value: Any, shown: str
) -> None:
    assert writer_of(form, language)(value, ISTANBUL) == shown


@pytest.mark.parametrize("form", [MoneyFormat("TRY"), NumberFormat(), PluralFormat({"other": "x"})])
@pytest.mark.parametrize("value", [None, True, "", "yok", "1,5", math.nan, math.inf, [], {}, 1e30])
def test_what_is_no_number_is_not_written_as_one(form: Format, value: Any) -> None:
    assert writer_of(form, "tr")(value, ISTANBUL) == ""


@pytest.mark.parametrize("value", [None, True, "", "yarın", "2026-13-01", 1.5, [], 10**17])
def test_what_is_no_moment_is_not_written_as_one(value: Any) -> None:
    assert writer_of(DateFormat("long"), "tr")(value, ISTANBUL) == ""


@settings(deadline=None)
@given(
    st.sampled_from(["tr", "en_US", "de", "fr", "es", "pt_BR", "hi", "ar", "ru", "ja", "sv", "he"]),
    st.sampled_from(["TRY", "EUR", "USD", "JPY", "KWD", "INR", "CHF"]),
    st.integers(-(10**9), 10**15),
)
def test_amounts_are_what_cldr_says(language: str, currency: str, micros: int) -> None:
    number = Decimal(micros) / 1_000_000
    digits = Decimal(1).scaleb(-get_currency_precision(currency))
    exact = number.quantize(digits, ROUND_HALF_UP) + 0
    expected = format_currency(exact, currency, locale=language)
    assert writer_of(MoneyFormat(currency, micros=True), language)(micros, "") == expected


def test_one_moment_is_told_to_each_by_the_clock_on_their_own_wall() -> None:
    write = writer_of(DateFormat("d MMMM HH:mm"), "tr")
    zones = [ISTANBUL, "America/New_York", "UTC", ISTANBUL]
    told = ["6 Ağustos 01:30", "5 Ağustos 18:30", "5 Ağustos 22:30", "6 Ağustos 01:30"]
    assert [write(LATE, zone) for zone in zones] == told


@pytest.mark.parametrize("value", ["2026-08-05", "20260805", " 2026-08-05 "])
def test_a_day_is_that_day_everywhere(value: str) -> None:
    write = writer_of(DateFormat("d MMMM"), "tr")
    assert {write(value, zone) for zone in (ISTANBUL, "America/New_York")} == {"5 Ağustos"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1.234", ""),
        ("12.500", ""),
        (1.234, "₺1,23"),
        ("0.125", "₺0,13"),
        ("1234.500", "₺1.234,50"),
        ("1.23", "₺1,23"),
    ],
)
def test_a_text_that_is_a_thousand_to_some_and_one_to_others_is_no_price(
    value: Any, shown: str
) -> None:
    assert writer_of(MoneyFormat("TRY"), "tr")(value, "") == shown


def test_a_zone_that_nobody_knows_is_utc() -> None:
    write = writer_of(DateFormat("HH:mm"), "tr")
    assert [write(LATE, zone) for zone in ("", "Atlantis/Poseidonis", "../etc")] == ["22:30"] * 3


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("d MMMM", True),
        ("full", True),
        ("HH:mm", True),
        ("", False),
        ("QQQQQQQ", False),
        ("?", False),
        ("'x'", False),
        ("b", False),
        ("d MMMM b", False),
        ("d" * 101, False),
    ],
)
def test_patterns_are_known_beforehand(pattern: str, right: bool) -> None:
    assert is_pattern(pattern) is right
