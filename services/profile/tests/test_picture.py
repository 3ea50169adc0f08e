"""The picture of a person, by pure rules: words, numbers, facts, and any order of events."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.failures import EtagMismatch, FieldInvalid
from services.profile import attributes, consent, phone, traits
from services.profile.identity import MOST_IDENTITIES, normalised, persons
from services.profile.model import Consent, Contact, Document, Happening, Identity, Kind, Merged
from services.profile.picture import Rejected, unfold

WA = Identity(Kind.WA_ID, "", "905321234567")


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
    ("written", "digits"),
    [
        ("0532 123 45 67", "905321234567"),
        ("+90 (532) 123-45-67", "905321234567"),
        ("905321234567", "905321234567"),
        ("532 123 45 67", "905321234567"),
        ("+447700900000", "447700900000"),  # kept for films: possible, never valid
        ("+55 31 8765-4321", "5531987654321"),  # the ninth digit
        ("5531987654321", "5531987654321"),
        ("+52 1 55 1234 5678", "525512345678"),
    ],
)
def test_phone_numbers_have_one_form(written: str, digits: str) -> None:
    assert normalised(Kind.WA_ID, "x", written, "TR") == Identity(Kind.WA_ID, "", digits)


def test_both_forms_whatsapp_has_of_a_number_are_one_identity() -> None:
    for old, new in [
        ("553187654321", "5531987654321"),
        ("5215512345678", "525512345678"),
        ("541123456789", "5491123456789"),
    ]:
        assert normalised(Kind.WA_ID, "", old) == normalised(Kind.WA_ID, "", new)
    assert normalised(Kind.WA_ID, "", "551133334444").value == "551133334444"  # a landline


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Kind.WA_ID, "12"), (Kind.WA_ID, "nobody"), (Kind.EMAIL, " "), (0, "x"), (99, "x")],
)
def test_what_cannot_be_an_identity_is_refused(kind: int, value: str) -> None:
    for region in (None, "TR"):
        with pytest.raises(FieldInvalid):
            normalised(kind, "", value, region)


def test_a_number_tells_market_zone_and_language_only_where_they_are_unique() -> None:
    turkish = phone.place("905321234567")
    assert (turkish.market, turkish.zone, turkish.language) == ("TR", "Europe/Istanbul", "tr")
    british = phone.place("447700900000")
    assert (british.market, british.zone, british.language) == ("GB", "Europe/London", "en")
    swiss = phone.place("41791234567")
    assert (swiss.market, swiss.language) == ("CH", "")
    assert phone.place("999123456789").market == ""


def test_traits_of_a_tracker_get_names_that_expressions_can_use() -> None:
    assert attributes.named(
        {"firstName": "Ay", "Müşteri No": 7, "locale": "tr_TR", "address": {"city": "İzmir"}}
    ) == {"first_name": "Ay", "musteri_no": 7, "language": "tr_TR", "city": "İzmir"}


def happening(event_id: str, name: str = "tracked", time: int = 0, **more: object) -> Happening:
    return Happening(
        event_id, name, time, 0, "test", identities=more.pop("identities", (WA,)), **more
    )  # type: ignore[arg-type]


def told(*happenings: Happening, contacts: Sequence[Contact] = ()) -> Document:
    return unfold(contacts, list(enumerate(happenings)), "new", 0).document


def test_a_declared_zone_wins_over_the_number_and_nonsense_does_not() -> None:
    document = told(happening("1"))
    assert attributes.zone(document) == ("Europe/Istanbul", "phone", 0)
    document = told(happening("1", attributes={"zone": "Europe/Berlin"}, time=5))
    assert attributes.zone(document) == ("Europe/Berlin", "declared", 5)
    document = told(happening("1", attributes={"zone": "Istanbul o'clock"}))
    assert attributes.zone(document)[0] == "Europe/Istanbul"


def test_what_is_published_of_computed_values_gets_newer_whatever_the_order() -> None:
    late_first = [happening(str(n), "order_completed", 100 - n, amount=1) for n in range(3)]
    notes = unfold([], list(enumerate(late_first)), "new", 0).notes
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
    assert {name: traits.value_json(document, name) for name in traits.names(document)} == {
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
    }


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


def test_too_many_identities_are_refused() -> None:
    many = tuple(Identity(Kind.ANONYMOUS_ID, "web", str(n)) for n in range(MOST_IDENTITIES + 1))
    with pytest.raises(Rejected) as raised:
        told(happening("1", identities=many))
    assert isinstance(raised.value.failure, FieldInvalid)


def test_a_stale_etag_is_refused() -> None:
    document = told(happening("1"))
    contact = Contact("a", 0, 0, document)
    with pytest.raises(Rejected) as raised:
        told(happening("2", etag="r99"), contacts=[contact])
    assert isinstance(raised.value.failure, EtagMismatch)
    told(happening("3", etag=document.etag), contacts=[contact])


def test_the_oldest_contact_stays_then_the_smallest_id() -> None:
    def contact(contact_id: str, time: int) -> Contact:
        return Contact(contact_id, time, 0, Document(time))

    done = unfold(
        [contact("c", 2), contact("b", 1), contact("a", 2)], [(0, happening("1"))], "n", 9
    )
    assert done.contact_id == "b"
    assert {note.body.absorbed_id for note in done.notes if isinstance(note.body, Merged)} == {
        "a",
        "c",
    }


class Memory:
    """What the store does, in two dictionaries."""

    def __init__(self) -> None:
        self.owners: dict[Identity, str] = {}
        self.contacts: dict[str, Contact] = {}
        self.seen: set[str] = set()
        self.made = 0

    def record(self, batch: Sequence[Happening]) -> None:
        fresh = {h.event_id: h for h in batch if h.event_id not in self.seen}
        self.seen |= fresh.keys()
        happenings = list(fresh.values())
        for person in persons(happenings, range(len(happenings)), self.owners, {}):
            self.made += 1
            now = -self.made  # so that those made last are the oldest
            done = unfold(
                [self.contacts[i] for i in sorted(person.contact_ids)],
                [(p, happenings[p]) for p in person.positions],
                f"{self.made}",
                now,
            )
            for other in done.absorbed:
                del self.contacts[other.contact_id]
            self.contacts[done.contact_id] = Contact(
                done.contact_id, done.document.create_time, 0, done.document
            )
            for identity in done.document.identities:
                self.owners[identity] = done.contact_id

    def pictures(self) -> list[object]:
        return sorted(
            (
                sorted(d.identities.items(), key=lambda item: item[0]),
                sorted((n, f.value, f.time, f.tie) for n, f in d.attributes.items()),
                sorted(d.counts.items()),
                sorted(d.times.items()),
                sorted((n, c.consent_id, c.granted) for n, c in d.consents.items()),
                d.place.phone,
                (d.window.time, d.window.phone_number_id),
            )
            for d in (contact.document for contact in self.contacts.values())
        )


IDENTITIES = [
    *(Identity(Kind.WA_ID, "", f"90532123456{n}") for n in range(3)),
    *(Identity(Kind.EXTERNAL_ID, "shop", f"c{n}") for n in range(3)),
    *(Identity(Kind.BSUID, "w", f"TR.{n}") for n in range(3)),
]


@st.composite
def histories(draw: st.DrawFn) -> list[Happening]:
    found = []
    for n in range(draw(st.integers(1, 12))):
        who = draw(st.lists(st.sampled_from(IDENTITIES), min_size=1, max_size=3, unique=True))
        time = draw(st.integers(0, 5))
        said = (
            (Consent(f"con{n}", time, "marketing", draw(st.booleans())),)
            if draw(st.booleans())
            else ()
        )
        found.append(
            happening(
                f"e{n}",
                draw(st.sampled_from(["order_completed", "message_read", "message_received", "x"])),
                time,
                identities=tuple(who),
                ended=tuple(who[:1]) if draw(st.integers(0, 5)) == 0 else (),
                attributes=draw(
                    st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, "x"]), max_size=2)
                ),
                amount=draw(st.integers(0, 3)) * 100_000,
                consents=said,
                phone_number_id=draw(st.sampled_from(["", "n1", "n2"])),
            )
        )
    return found


@settings(max_examples=120, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_any_order_duplication_and_batching_gives_the_same_people(
    history: list[Happening], random: Random
) -> None:
    plain = Memory()
    for one in history:
        plain.record([one])
    shuffled = history + random.choices(history, k=4)
    random.shuffle(shuffled)
    other = Memory()
    while shuffled:
        size = random.randint(1, 5)
        batch, shuffled = shuffled[:size], shuffled[size:]
        other.record(batch)
    assert other.pictures() == plain.pictures()
