"""Phone numbers: one written form for each, and what they say of where the owner is."""

import re
from functools import cache, lru_cache
from typing import Final

import phonenumbers
from babel.core import get_global
from babel.languages import get_official_languages
from phonenumbers import timezone

from chassis.failures import FieldInvalid
from services.profile.person.model import Place

_MOST_DIGITS: Final = 15  # E.164
_FEWEST_DIGITS: Final = 7
_LETTERED: Final = re.compile(r"\d[^;]*[^\W\d_]")
_MOBILE: Final = frozenset(
    {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}
)


def canonical(wa_id: str) -> str:
    """The digits of E.164 for a WhatsApp id.

    WhatsApp keeps old forms of some countries' mobile numbers, and the same person is written in
    both: Brazil without the ninth digit, Mexico with a 1, Argentina without the 9. The Cloud API
    takes either form and finds the account by itself, so this is also where messages go.
    """
    match wa_id[:2]:
        case "55" if len(wa_id) == 12 and wa_id[4] in "6789":
            return f"{wa_id[:4]}9{wa_id[4:]}"
        case "52" if len(wa_id) == 13 and wa_id[2] == "1":
            return f"52{wa_id[3:]}"
        case "54" if len(wa_id) == 12:
            return f"549{wa_id[2:]}"
        case _:
            return wa_id


def forms(canonical: str) -> tuple[str, ...]:
    """All WhatsApp ids that have this canonical form, itself the first."""
    match canonical[:2]:
        case "55" if len(canonical) == 13 and canonical[4:6] in ("96", "97", "98", "99"):
            return canonical, canonical[:4] + canonical[5:]
        case "52" if len(canonical) == 12:
            return canonical, f"521{canonical[2:]}"
        case "54" if len(canonical) == 13 and canonical[2] == "9":
            return canonical, f"54{canonical[3:]}"
        case _:
            return (canonical,)


def parse(text: str, default_region: str) -> str:
    """The digits of E.164 for a number in any usual form.

    Raises `FieldInvalid` for what cannot be a phone number. `default_region` (ISO 3166) is taken
    for numbers without a country code.
    """
    if _LETTERED.search(text):  # which would be read as the keys they stand on
        raise FieldInvalid("identities.value", "letters among digits; a phone number has none")
    digits = "".join(filter(str.isdecimal, text))
    readings = [_read(text, default_region)]
    if text.startswith("+"):
        readings.insert(0, _read(f"+{canonical(digits)}", None))
    elif text == digits and not text.startswith("0"):
        # The digits of E.164, unless they are a mobile number at home: 5321234567 is in Turkey what
        # in Cuba is +53 21234567.
        readings.insert(1 if _mobile(readings[0]) else 0, _read(f"+{canonical(digits)}", None))
    possible = [
        number
        for number in readings
        if number is not None and number.national_number and phonenumbers.is_possible_number(number)
    ]
    # Kept numbers (for films, tests) are possible and never valid.
    number = next(filter(phonenumbers.is_valid_number, possible), next(iter(possible), None))
    if number is None:
        raise FieldInvalid(
            "identities.value",
            "not a possible phone number; write it with its country code, as +905321234567",
        )
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return written.removeprefix("+")


def _read(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _mobile(number: phonenumbers.PhoneNumber | None) -> bool:
    return number is not None and phonenumbers.number_type(number) in _MOBILE


def plausible(wa_id: str) -> bool:
    """Whether a WhatsApp id can be a phone number: it need not be one of a numbering plan, since
    WhatsApp knows numbers that the plans do not know yet, or no longer."""
    return (
        wa_id.isdecimal()
        and wa_id.isascii()
        and wa_id[0] != "0"
        and _FEWEST_DIGITS <= len(wa_id) <= _MOST_DIGITS
    )


def place(phone: str) -> Place:
    """Market, time zone and language that follow from a number; each empty unless unique.

    A number of a country with several zones or languages says nothing of them.
    """
    try:
        number = phonenumbers.parse(f"+{phone}")
    except phonenumbers.NumberParseException:
        return Place(phone)
    # A number that no plan allots (as those kept for films) still has its country code.
    market = phonenumbers.region_code_for_number(
        number
    ) or phonenumbers.region_code_for_country_code(number.country_code or 0)
    if not market.isalpha():  # 001: numbers of no country
        return Place(phone)
    zones = [
        zone
        for zone in timezone.time_zones_for_geographical_number(number)
        if _territories().get(zone) == market
    ]
    languages = get_official_languages(market, de_facto=True)
    return Place(
        phone,
        market,
        zones[0] if len(zones) == 1 else "",
        languages[0] if len(languages) == 1 else "",
    )


@lru_cache(1_024)
def only_zone(territory: str) -> str:
    """The time zone of a country (ISO 3166 alpha-2); empty unless it has exactly one."""
    zones = [zone for zone, where in _territories().items() if where == territory]
    return zones[0] if len(zones) == 1 else ""


@cache
def _territories() -> dict[str, str]:
    """Zone → the country it belongs to (CLDR)."""
    return dict(get_global("zone_territories"))
