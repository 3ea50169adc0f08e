"""The business's own calls: names, people and times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import FieldInvalid
from services.ingest.model import Occurrence
from services.ingest.track import happened_ms, occurrence, snake, wa_id

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def taken(**call: Any) -> Occurrence:
    given = {"type": "track", "event": "Order Completed", "userId": "c1", "messageId": "m1"} | call
    return occurrence(given, "shop", NOW_MS, NOW.isoformat(), "TR")


@pytest.mark.parametrize(
    ("name", "snaked"),
    [
        ("Order Completed", "order_completed"),
        ("orderCompleted", "order_completed"),
        ("product-added  to Wishlist", "product_added_to_wishlist"),
        ("order_completed", "order_completed"),
        ("Sipariş Tamamlandı", "siparis_tamamlandi"),
        ("İADE", "iade"),
        ("注文", "注文"),
    ],
)
def test_event_names_are_those_that_expressions_know(name: str, snaked: str) -> None:
    assert snake(name) == snaked


@given(st.text(max_size=40))
def test_a_snaked_name_stays_as_it_is(name: str) -> None:
    once = snake(name)
    assert snake(once) == once


@pytest.mark.parametrize(
    ("phone", "digits"),
    [
        ("+44 7700 900123", "447700900123"),
        ("447700900123", "447700900123"),
        ("0532 123 45 67", "905321234567"),
        ("532 123 45 67", "905321234567"),
        ("905321234567", "905321234567"),
        ("12", ""),
        ("call me", ""),
    ],
)
def test_phone_numbers_become_digits_however_they_are_written(phone: str, digits: str) -> None:
    assert wa_id(phone, "TR") == digits


def test_a_call_is_recognised_by_source_and_message_id() -> None:
    call = taken()
    assert call.event_id == "track/shop/m1"
    assert call.source == "track:shop"
    assert [(i.kind.name, i.scope, i.value) for i in call.identities] == [
        ("EXTERNAL_ID", "shop", "c1")
    ]
    assert taken(messageId=None).event_id == taken(messageId=None).event_id


def test_identify_tells_of_phone_and_mail_wherever_the_library_puts_them() -> None:
    traits = {"phone": "+447700900123", "email": " Ada@Example.COM "}
    expected = ["EXTERNAL_ID", "WA_ID", "EMAIL"]
    for call in (
        taken(type="identify", traits=traits),
        taken(type="identify", context={"traits": traits}),
    ):
        assert [i.kind.name for i in call.identities] == expected
        assert call.identities[2].value == "ada@example.com"
    unreadable = taken(type="identify", traits={"phone": "?", "email": "none"})
    assert len(unreadable.identities) == 1


@pytest.mark.parametrize(
    "call",
    [
        {"type": "launch"},
        {"type": None},
        {"event": None},
        {"event": "?!"},
        {"userId": None},
        {"userId": {"id": 1}},
        {"properties": "none"},
        {"properties": {"x": "y" * 33_000}},
        {"timestamp": "yesterday"},
        {"type": "alias", "previousId": None},
        {"type": "group", "groupId": ""},
    ],
)
def test_a_call_that_cannot_be_taken_says_why(call: dict[str, Any]) -> None:
    with pytest.raises(FieldInvalid):
        taken(**call)


def iso(offset: timedelta) -> str:
    return (NOW + offset).isoformat()


def ms(offset: timedelta) -> int:
    return NOW_MS + offset // timedelta(milliseconds=1)


def test_a_wrong_clock_is_corrected_by_what_it_says_of_now() -> None:
    for wrong in (timedelta(hours=3), timedelta(hours=-3)):
        told = happened_ms(iso(wrong - timedelta(minutes=5)), iso(wrong), NOW_MS)
        assert told == ms(timedelta(minutes=-5))


def test_latency_is_no_wrong_clock() -> None:
    sent = timedelta(seconds=-2)
    assert happened_ms(iso(timedelta(minutes=-5)), iso(sent), NOW_MS) == ms(timedelta(minutes=-5))


def test_times_of_an_import_stay_as_recorded() -> None:
    old = timedelta(days=-400)
    for sent in (iso(timedelta(0)), iso(timedelta(minutes=7)), None):
        assert happened_ms(iso(old), sent, NOW_MS) == ms(old)


def test_without_a_time_it_happened_now_and_nothing_happens_in_the_future() -> None:
    assert happened_ms(None, None, NOW_MS) == NOW_MS
    assert happened_ms(iso(timedelta(days=9)), iso(timedelta(0)), NOW_MS) == NOW_MS
