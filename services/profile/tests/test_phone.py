"""Phone numbers: one written form for each person, however it is written."""

import pytest

from chassis.failures import FieldInvalid
from services.profile.person import phone
from services.profile.person.identity import normalised
from services.profile.person.model import Identity, Kind


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        # Turkey: with and without the zero, the country code, both
        ("5321234567", "905321234567"),
        ("05321234567", "905321234567"),
        ("0532 123 45 67", "905321234567"),
        ("532.123.45.67", "905321234567"),
        ("(0532) 123-4567", "905321234567"),
        ("905321234567", "905321234567"),
        ("00905321234567", "905321234567"),
        ("9005321234567", "905321234567"),
        ("+90 (532) 123-45-67", "905321234567"),
        ("+90 0532 123 45 67", "905321234567"),
        ("+90 (0) 532 123 45 67", "905321234567"),
        ("tel:+905321234567", "905321234567"),
        ("٠٥٣٢١٢٣٤٥٦٧", "905321234567"),
        # Elsewhere: the trunk zero that is dialled at home only, and Italy's that is not one
        ("+44 (0)7700 900123", "447700900123"),
        ("+44 (0) 20 7946 0018", "442079460018"),
        ("+447700900000", "447700900000"),  # kept for films: possible, never valid
        ("447911123456", "447911123456"),
        ("004915123456789", "4915123456789"),
        ("+39 06 6982 1234", "390669821234"),
        ("+39 347 123 4567", "393471234567"),
        ("12025550123", "12025550123"),
        # Brazil's ninth digit, Mexico's 1, Argentina's 9 and 15
        ("+55 31 8765-4321", "5531987654321"),
        ("553187654321", "5531987654321"),
        ("5531987654321", "5531987654321"),
        ("+55 (0) 31 98765-4321", "5531987654321"),
        ("+55 11 3333-4444", "551133334444"),  # a landline
        ("+52 1 55 1234 5678", "525512345678"),
        ("+52 55 1234 5678", "525512345678"),
        ("5215512345678", "525512345678"),
        ("+54 9 11 2345-6789", "5491123456789"),
        ("+54 11 15 2345-6789", "5491123456789"),
        ("+54 11 2345-6789", "5491123456789"),
    ],
)
def test_a_number_in_any_usual_form_is_one_identity(written: str, digits: str) -> None:
    assert normalised(Kind.WA_ID, "x", written, "TR") == Identity(Kind.WA_ID, "", digits)
    assert normalised(Kind.WA_ID, "", digits) == Identity(Kind.WA_ID, "", digits)  # and stays it


def test_the_home_of_a_number_without_country_code_is_a_setting() -> None:
    assert phone.parse("07911 123456", "GB") == "447911123456"
    assert phone.parse("53 5123 4567", "CU") == "5351234567"
    assert phone.parse("(202) 555-0123", "US") == "12025550123"


@pytest.mark.parametrize(
    "written",
    [
        *("155", "112", "1234", "0", "0000000000", "", " ", "abc", "+", "+0", "90532"),
        *("+90 532 123 45 67 89 01 23", "+999 123 456 789"),
        # A keypad would turn these letters into digits
        *("322243e852aa", "0532 ALI 45 67", "+90 532 123 45 67 Ali"),
    ],
)
def test_what_nobody_can_be_called_by_is_refused(written: str) -> None:
    with pytest.raises(FieldInvalid):
        normalised(Kind.WA_ID, "", written, "TR")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("553187654321", "5531987654321"),
        ("5215512345678", "525512345678"),
        ("541123456789", "5491123456789"),
    ],
)
def test_both_forms_whatsapp_has_of_a_number_are_one_identity(old: str, new: str) -> None:
    assert normalised(Kind.WA_ID, "", old) == normalised(Kind.WA_ID, "", f"+{new}")


@pytest.mark.parametrize("wa_id", ["999123456789", "551133334444", "9012345678", "14085550000"])
def test_a_whatsapp_id_that_no_numbering_plan_knows_is_kept_as_it_is(wa_id: str) -> None:
    assert normalised(Kind.WA_ID, "", wa_id).value == wa_id


@pytest.mark.parametrize("wa_id", ["123456", "0905321234567", "1234567890123456", "٩٠٥٣٢١٢٣٤٥٦٧"])
def test_what_whatsapp_cannot_have_as_an_id_is_refused(wa_id: str) -> None:
    with pytest.raises(FieldInvalid):
        normalised(Kind.WA_ID, "", wa_id)


def test_a_number_tells_market_zone_and_language_only_where_they_are_unique() -> None:
    turkish = phone.place("905321234567")
    assert (turkish.market, turkish.zone, turkish.language) == ("TR", "Europe/Istanbul", "tr")
    british = phone.place("447700900000")
    assert (british.market, british.zone, british.language) == ("GB", "Europe/London", "en")
    swiss = phone.place("41791234567")
    assert (swiss.market, swiss.language) == ("CH", "")
    assert phone.place("999123456789").market == ""
