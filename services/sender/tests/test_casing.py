"""Capitals by the language, and texts cut at a word."""

import pytest

from services.sender.wording.casing import cut, lower, title, upper


def test_turkish_has_two_letters_i() -> None:
    assert upper("istanbul ılık", "tr") == "İSTANBUL ILIK"
    assert lower("ISPARTA İZMİR", "tr_TR") == "ısparta izmir"
    assert (upper("istanbul", "en"), lower("ISPARTA", "en")) == ("ISTANBUL", "isparta")
    assert lower("İZMİR", "en_US") == "izmir"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("ayşe nur", "Ayşe Nur"),
        ("IŞIL İNCİ", "Işıl İnci"),
        ("ibrahim", "İbrahim"),
        ("jean-pierre", "Jean-Pierre"),
        ("o'neill", "O'Neill"),
        ("D'ARTAGNAN", "D'Artagnan"),
        ("ahmet'in", "Ahmet'in"),
        ("AHMET'İN", "Ahmet'in"),
        ("McDonald", "McDonald"),
        ("iPhone 17", "iPhone 17"),
        ("aHMET", "Ahmet"),
        ("ö", "Ö"),
        ("", ""),
    ],
)
def test_titles_keep_what_is_spelled_on_purpose(written: str, shown: str) -> None:
    assert title(written, "tr") == shown


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("kırmızı elbise", 0, "kırmızı elbise"),
        ("kırmızı elbise", 14, "kırmızı elbise"),
        ("kırmızı elbise", 13, "kırmızı…"),
        ("kırmızı, mavi", 10, "kırmızı…"),
        ("kırmızı elbise", 8, "kırmızı…"),
        ("Muvaffakiyetsizleştirici", 10, "Muvaffaki…"),
        ("aile 👨‍👩‍👧 seti", 8, "aile…"),
        ("👨‍👩‍👧👨‍👩‍👧", 4, "…"),
        ("🇹🇷🇹🇷", 3, "🇹🇷…"),
        ("🇹🇷🇹🇷🇹🇷", 4, "🇹🇷…"),
        ("नमस्ते", 4, "नम…"),
        ("हिन्दी", 6, "हिन्दी"),
    ],
)
def test_a_cut_ends_at_a_word_and_never_inside_a_sign(text: str, most: int, shown: str) -> None:
    found = cut(text, most)
    assert found == shown
    assert not most or len(found) <= most
