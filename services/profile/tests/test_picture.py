"""The picture of a person, by pure rules: words, numbers, facts, and any order of events."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import EtagMismatch, FieldInvalid
from services.profile.person import attributes, consent, traits
from services.profile.person.identity import normalised
from services.profile.person.model import (
    UNSEEN,
    Consent,
    Document,
    Happening,
    Identity,
    Kind,
    Member,
    Note,
)
from services.profile.person.people import Part, Person
from services.profile.person.picture import Placed, Rejected, unfold
from services.profile.person.placement import Placement

WA = Identity(Kind.WA_ID, "", "905321234567")
OTHER = Identity(Kind.WA_ID, "", "4915112345678")
SHOP = Identity(Kind.EXTERNAL_ID, "shop", "7")


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", "stop", "Stop!", "  stop. ", "Dur", "DUR", "dur!!", "RET", "ret", "UNSUBSCRIBE"),
        *("İPTAL", "IPTAL", "iptal", "İptal", "ıptal", "Iptal", "i̇ptal", "ÇIKIŞ", "çıkış", "cikis"),
        *("Abonelikten çık", "MESAJ İSTEMİYORUM", "Promosyonları durdur", "Stop promotions 🙏"),
        *("Arrêter", "СТОП", "إلغاء", "توقف", "Abmelden", "stop\n"),
    ],
)
def test_a_whole_message_that_is_a_stop_word_stops(text: str) -> None:
    assert consent.keyword(text) is False


@pytest.mark.parametrize("text", ["START", "Başla", "BAŞLA", "BASLA", "başlat", "unstop", "Старт"])
def test_a_whole_message_that_is_a_start_word_resumes(text: str) -> None:
    assert consent.keyword(text) is True


@pytest.mark.parametrize(
    "text",
    [
        *("", "don't stop", "durum nedir", "siparişimi iptal etmek istiyorum", "return", "stopped"),
        *("I want to start a return", "iptal mi", "…", "👍", "stop " * 40),
    ],
)
def test_other_messages_are_no_keywords(text: str) -> None:
    assert consent.keyword(text) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Kind.WA_ID, "12"), (Kind.WA_ID, "nobody"), (Kind.EMAIL, " "), (0, "x"), (99, "x")],
)
def test_what_cannot_be_an_identity_is_refused(kind: int, value: str) -> None:
    for region in (None, "TR"):
        with pytest.raises(FieldInvalid):
            normalised(kind, "", value, region)


def test_traits_of_a_tracker_get_names_that_expressions_can_use() -> None:
    assert attributes.named(
        {"firstName": "Ay", "Müşteri No": 7, "locale": "tr_TR", "address": {"city": "İzmir"}}
    ) == {"first_name": "Ay", "musteri_no": 7, "language": "tr_TR", "city": "İzmir"}


def happening(event_id: str, name: str = "tracked", time: int = 0, **more: object) -> Happening:
    return Happening(
        event_id, name, time, 0, "test", identities=more.pop("identities", (WA,)), **more
    )  # type: ignore[arg-type]


def taken(happenings: Sequence[Happening], document: Document | None = None) -> list[Note]:
    document = document or Document(0)
    members = {"a": Member("a", 0, 0, document)}
    placement = Placement(dict.fromkeys(document.identities, "a"), members, lambda: "a", 0)
    for position, one in enumerate(happenings):
        placement.place(position, one)
    person = Person("a", list(members.values()), [Part("a", ("a",))])
    placed = [Placed(p, happenings[p], home) for p, home in placement.targets.items()]
    return unfold(person, placed, placement.homes, placement.made, happenings[0], 0).notes


def told(*happenings: Happening) -> Document:
    document = Document(0)
    document.identities[WA] = UNSEEN
    taken(happenings, document)
    return document


def test_a_declared_zone_wins_over_the_number_and_nonsense_does_not() -> None:
    document = told(happening("1"))
    assert attributes.zone(document) == ("Europe/Istanbul", "phone", 0)
    document = told(happening("1", attributes={"zone": "Europe/Berlin"}, time=5))
    assert attributes.zone(document) == ("Europe/Berlin", "declared", 5)
    document = told(happening("1", attributes={"zone": "Istanbul o'clock"}))
    assert attributes.zone(document)[0] == "Europe/Istanbul"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["message_received", "page_viewed", "product_viewed", "identified", "link_clicked"]
            ),
            st.sampled_from(
                [{}, {"tongue": "de"}, {"locale": "fr"}, {"device_zone": "Asia/Tokyo"}]
            ),
            st.sampled_from([{}, {"country": "TR"}, {"zone": "Europe/Paris"}, {"language": None}]),
            st.sampled_from([WA, OTHER, SHOP]),
            st.integers(1, 9),
        ),
        max_size=8,
    )
)
def test_zone_and_language_are_told_whenever_they_change(
    said: list[tuple[str, dict[str, Any], dict[str, Any], Identity, int]],
) -> None:
    document = Document(0, dict.fromkeys((WA, OTHER, SHOP), UNSEEN))
    for n, (name, properties, facts, identity, time) in enumerate(said):
        before = attributes.zone(document)[0], attributes.language(document)[0]
        one = happening(f"e{n}", name, time, attributes=facts)
        one.properties, one.identities = properties, (identity,)
        (note,) = taken([one], document)
        after = attributes.zone(document)[0], attributes.language(document)[0]
        told = {change.name for change in note.changes}
        differs = {n for n, b, a in zip(("zone", "language"), before, after, strict=True) if b != a}
        assert told & {"zone", "language"} == differs


def test_what_is_published_of_computed_values_gets_newer_whatever_the_order() -> None:
    late_first = [happening(str(n), "order_completed", 100 - n, amount=1) for n in range(3)]
    notes = taken(late_first)
    counts = [c for note in notes for c in note.changes if c.name == "traits.order_count"]
    assert [c.value_json for c in counts] == [b"1", b"2", b"3"]
    assert [c.time for c in counts] == sorted({c.time for c in counts})


def test_traits_count_sum_and_divide() -> None:
    document = told(
        happening("1", "order_completed", 2_000, amount=12_500_000),
        happening("2", "order_completed", 1_000, amount=100_000),
        happening("3", "message_delivered"),
        happening("4", "message_delivered"),
        happening("5", "message_read", 3_000),
    )
    found = {name: traits.value_json(document, name) for name in traits.names(document)}
    assert (
        found.items()
        >= {
            "order_count": b"2",
            "order_total": b"12.6",
            "first_order_time": b'"1970-01-01T00:00:01.000Z"',
            "last_order_time": b'"1970-01-01T00:00:02.000Z"',
            "delivered_count": b"2",
            "read_count": b"1",
            "last_read_time": b'"1970-01-01T00:00:03.000Z"',
            "read_rate": b"0.5",
            "click_rate": b"0.0",
            "reply_rate": b"0.0",
        }.items()
    )


def test_consent_holds_by_the_time_it_was_said_and_a_withdrawal_wins_a_tie() -> None:
    def line(time: int, granted: bool, **more: object) -> Consent:
        return Consent(f"{time}{granted}", time, "marketing", granted, **more)  # type: ignore[arg-type]

    assert consent.standing([], "marketing") is None
    assert consent.state(None, 0) == consent.State.NONE
    lines = [line(5, True), line(3, False), line(5, False)]
    for order in (lines, lines[::-1]):
        held = consent.standing(order, "marketing")
        assert held is not None
        assert not held.granted
    ends = line(7, True, expire_time=10)
    assert consent.state(ends, 9) == consent.State.GRANTED
    assert consent.state(ends, 10) == consent.State.EXPIRED
    assert consent.standing([line(9, True, medium="sms")], "marketing") is None


def test_a_stale_etag_is_refused() -> None:
    document = told(happening("1"))
    with pytest.raises(Rejected) as raised:
        taken([happening("2", etag="r99")], document)
    assert isinstance(raised.value.failure, EtagMismatch)
    taken([happening("3", etag=document.etag)], document)
