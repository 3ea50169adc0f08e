"""What people read, in their language and zone."""

from services.reports.words import WORDS, Speech


def test_until_when_a_gate_made_a_message_wait_is_told_in_the_readers_zone_and_words() -> None:
    tr, en = Speech("tr", "Europe/Istanbul"), Speech("en", "UTC")
    until = "until 2026-11-22T10:00:00Z"
    assert tr.reason("gate", until) == "22 Kas 2026 13:00 zamanına kadar"
    assert en.reason("gate", until) == "until 22 Nov 2026 10:00"
    assert tr.reason("gate", "too_late") == "çok geç"


def test_both_languages_have_the_same_words() -> None:
    assert WORDS["tr"].keys() == WORDS["en"].keys()
