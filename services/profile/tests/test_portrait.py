"""Contacts that are written as bytes are what the library would have written."""

import msgspec
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from chassis.times import timestamp
from merhaba.event.v1 import ConsentChanged
from merhaba.event.v1 import Identity as WireIdentity
from merhaba.profile.v1 import Address, Attribute, ConsentRecord, Inference, KnownIdentity
from merhaba.profile.v1 import Consent as WireConsent
from merhaba.profile.v1 import Contact as WireContact
from services.profile.contract import portrait, views
from services.profile.contract.masks import Mask
from services.profile.contract.packed import message, moment, number, tag, text
from services.profile.person import part, phone, traits
from services.profile.person.model import (
    Consent,
    Contact,
    Document,
    Fact,
    Happening,
    Identity,
    Kind,
    Known,
    Place,
    Restriction,
    Window,
)
from services.profile.person.picture import together

ID = "01900000-0000-7000-8000-000000000001"
ALL = Mask([], WireContact.DESCRIPTOR)


def shown(document: Document) -> WireContact:
    return views.contact(Contact(ID, 1_001, 2_002, document), ALL, 10_000)


@given(name=st.text(max_size=300), source=st.text(max_size=3), time=st.integers(0, 1 << 45))
def test_strings_and_times_of_any_size_are_written_as_the_library_does(
    name: str, source: str, time: int
) -> None:
    written = b"".join(
        (
            text(tag(Attribute, "name"), name),
            text(tag(Attribute, "source"), source),
            moment(tag(Attribute, "change_time"), time),
        )
    )
    built = Attribute(name=name, source=source, change_time=timestamp(time))
    assert written == built.SerializeToString()


@given(size=st.sampled_from([0, 1, 127, 128, 4_095, 4_096, 16_383, 16_384, 3_000_000]))
def test_messages_of_any_size_are_written_as_the_library_does(size: int) -> None:
    value = b"x" * size
    inner: Message = Attribute(value_json=value)
    expected = WireContact(attributes=[inner]).SerializeToString()
    field = message(tag(Attribute, "value_json"), value) if size else b""
    assert message(tag(WireContact, "attributes"), field) == expected


def test_enums_and_truths_are_written_as_the_library_does() -> None:
    expected = WireContact(state=WireContact.STATE_RESTRICTED).SerializeToString()
    assert number(WireContact, "state", WireContact.STATE_RESTRICTED) == expected


@given(
    asked=st.sets(
        st.sampled_from(
            [
                *("identities", "addresses", "consents", "zone", "language", "attributes"),
                *("attributes.city", "attributes.zone", "attributes.absent"),
            ]
        ),
        min_size=1,
    ),
    facts=st.dictionaries(
        st.sampled_from(["city", "plan", "zone", "language", "country"]),
        st.sampled_from(["tr", "TR", "Europe/Berlin", None]),
    ),
    acts=st.lists(
        st.sampled_from(["message_received", "page_viewed", "order_completed", "product_viewed"]),
        max_size=6,
    ),
    number=st.booleans(),
)
def test_a_part_of_a_document_shows_what_the_whole_does(
    asked: set[str], facts: dict[str, str | None], acts: list[str], number: bool
) -> None:
    wa_id = Identity(Kind.WA_ID, "", "905331234567")
    document = Document(
        1_001,
        {wa_id: Known("shop", 1_000, 3_003)} if number else {},
        {name: Fact(value, 6_006, 1, "crm") for name, value in facts.items()},
        place=phone.place(wa_id.value) if number else Place(),
        consents={"marketing": Consent("c1", 4_004, "marketing", True)},
        guests={Identity(Kind.ANONYMOUS_ID, "web", "b"): Known("shop", 1, 2)},
        window=Window(5_005, "1000"),
        revision=3,
        stamp=7_007,
        restriction=Restriction("asked", "shop", 9_009),
    )
    for index, name in enumerate(acts):
        properties = {
            "tongue": "tr",
            "locale": "de-DE",
            "device_zone": "Europe/Istanbul",
            "product_id": "a",
            "category": "shoes",
            "products": [{"product_id": "a"}],
        }
        traits.fold(
            document, Happening(f"e{index}", name, 8_008 + index, 0, "shop", properties=properties)
        )
    mask = Mask(sorted(asked), WireContact.DESCRIPTOR)
    assert mask.part is not None
    read = part.decoder(mask.part)(msgspec.msgpack.encode(document))
    for whole, some in ((document, read), (together([document] * 2), together([read] * 2))):
        expected = portrait.contact(Contact(ID, 1_001, 2_002, whole), mask, 10_000)
        assert portrait.contact(Contact(ID, 1_001, 2_002, some), mask, 10_000) == expected


def test_traits_need_the_whole_document() -> None:
    assert Mask(["traits.order_count"], WireContact.DESCRIPTOR).part is None
    assert ALL.part is None


def test_a_contact_holds_everything_that_is_known() -> None:
    wa_id, bsuid = Identity(Kind.WA_ID, "", "905331234567"), Identity(Kind.BSUID, "waba", "u1")
    gone = Identity(Kind.WA_ID, "", "905331111111")
    parent = Identity(Kind.PARENT_BSUID, "parents", "p1")
    line = Consent(
        "c1", 4_004, "marketing", True, "web", "v1", "form", "explicit_consent", "", 20_000, 5_005
    )
    document = Document(
        1_001,
        identities={
            wa_id: Known("shop", 1_000, 3_003),
            bsuid: Known("meta", 1_000, 2_000),
            parent: Known("meta", 1_000, 2_000),
            gone: Known("shop", 500, 600, 700),
        },
        attributes={"city": Fact("İzmir", 6_006, 1, "crm"), "removed": Fact(None, 1, 1, "crm")},
        consents={"marketing": line},
        place=phone.place(wa_id.value),
        window=Window(7_007, "n1"),
        revision=3,
    )
    at, moments = timestamp, [timestamp(t) for t in (500, 600, 1_000, 2_000, 3_003)]
    found = shown(document)
    found.ClearField("traits")
    assert found == WireContact(
        contact_id=ID,
        state=WireContact.STATE_ACTIVE,
        etag="r3",
        create_time=at(1_001),
        update_time=at(2_002),
        identities=[
            KnownIdentity(
                identity=WireIdentity(kind=i.kind, scope=i.scope, value=i.value),  # type: ignore[arg-type]
                source=source,
                first_event_time=first,
                last_event_time=last,
                end_time=end,
            )
            for i, source, first, last, end in (
                (gone, "shop", moments[0], moments[1], at(700)),
                (wa_id, "shop", moments[2], moments[4], None),
                (bsuid, "meta", moments[2], moments[3], None),
                (parent, "meta", moments[2], moments[3], None),
            )
        ],
        addresses=[
            Address(
                wa_id=wa_id.value,
                market="TR",
                bsuid="u1",
                bsuid_scope="waba",
                parent_bsuid="p1",
                parent_bsuid_scope="parents",
                phone_number_id="n1",
                last_message_time=at(7_007),
            )
        ],
        consents=[
            WireConsent(
                purpose="marketing",
                state=WireConsent.STATE_GRANTED,
                record=ConsentRecord(
                    consent_id="c1",
                    contact_id=ID,
                    change=ConsentChanged(
                        purpose="marketing",
                        granted=True,
                        channel="web",
                        text_version="v1",
                        proof="form",
                        legal_basis="explicit_consent",
                        expire_time=at(20_000),
                    ),
                    event_time=at(4_004),
                    create_time=at(5_005),
                ),
                expire_time=at(20_000),
            )
        ],
        attributes=[
            Attribute(
                name="city",
                value_json='"İzmir"'.encode(),
                source="crm",
                change_time=at(6_006),
                confirm_time=at(6_006),
            )
        ],
        zone=Inference(value="Europe/Istanbul", source="phone", change_time=at(1_000)),
        language=Inference(value="tr", source="phone", change_time=at(1_000)),
    )


def test_numbers_without_the_newest_user_id_stand_after_it() -> None:
    def known(last: int) -> Known:
        return Known("shop", 1, last)

    document = Document(
        1,
        identities={
            Identity(Kind.WA_ID, "", "905331234567"): known(5),
            Identity(Kind.WA_ID, "", "905331111111"): known(3),
            Identity(Kind.BSUID, "w", "new"): known(4),
            Identity(Kind.BSUID, "w", "old"): known(2),
        },
        place=phone.place("905331234567"),
    )
    assert [(one.wa_id, one.bsuid) for one in shown(document).addresses] == [
        ("905331234567", "new"),
        ("", "old"),
        ("905331111111", ""),
    ]


def test_only_what_is_asked_for_is_written() -> None:
    document = Document(1, attributes={"a": Fact(1, 1, 1, "s"), "b": Fact(2, 1, 1, "s")})
    mask = Mask(["attributes.b", "attributes.none"], WireContact.DESCRIPTOR)
    found = WireContact.FromString(portrait.contact(Contact(ID, 1, 1, document), mask, 1))
    assert [one.name for one in found.attributes] == ["b"]
    assert not found.identities
