"""Attributes: facts that were told. Of each, the latest by event time holds."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

import orjson

from chassis.failures import FieldInvalid
from services.profile.person import phone
from services.profile.person.model import Document, Fact, Happening, Identity, Kind, ValueInvalid
from services.profile.person.tallies import faded

MOST_ATTRIBUTES: Final = 1_000  # of one contact, removed ones included
_LONGEST_NAME: Final = 128
_LARGEST_VALUE: Final = 16 * 1024  # bytes of JSON
_RESERVED: Final = "traits."
_NAME: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_OTHER: Final = re.compile(r"[^a-z0-9_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VOTES_HALF_LIFE: Final = 90 * 86_400_000
_FEWEST_VOTES: Final = 1.5
_MOST_OF: Final = 0.6
_ALIASES: Final = {"locale": "language", "timezone": "zone", "time_zone": "zone"}


def named(traits: Mapping[str, Any]) -> dict[str, Any]:
    """A tracker's traits under names that expressions can use: `firstName` is `first_name`.

    The parts of an `address` stand by themselves (`city`, `country`), `locale` is `language` and
    `timezone` is `zone`.
    """
    found: dict[str, Any] = {}
    for name, value in traits.items():
        if name == "address" and isinstance(value, dict):
            found = {_named(part): each for part, each in value.items()} | found
        else:
            found[_named(name)] = value
    return found


@lru_cache(4_096)
def _named(name: str) -> str:
    text = unicodedata.normalize("NFKD", _CAMEL.sub("_", name.strip()).lower().replace("ı", "i"))
    plain = _OTHER.sub("_", "".join(c for c in text if not unicodedata.combining(c)))
    return _ALIASES.get(plain, plain)


@lru_cache(4_096)
def well_named(name: str) -> bool:
    """Whether an attribute can have that name."""
    return (
        len(name) <= _LONGEST_NAME
        and _NAME.fullmatch(name) is not None
        and not name.startswith(_RESERVED)
    )


def check(name: str, value: Any) -> None:
    """Raises `FieldInvalid` or `ValueInvalid` for an attribute that cannot be kept."""
    if not well_named(name):
        raise FieldInvalid(
            "attributes.name",
            "an attribute's name has lower-case letters, digits and underscores, 128 at most, and"
            " is no trait's",
        )
    if isinstance(value, (str, list, dict)) and len(orjson.dumps(value)) > _LARGEST_VALUE:
        raise ValueInvalid(
            f"an attribute's value has at most {_LARGEST_VALUE} bytes as JSON; shorten it",
            name=name,
            expected=f"at most {_LARGEST_VALUE} bytes",
        )


def tell(document: Document, happening: Happening) -> list[str]:
    """Take in the facts of a happening; returns the names of attributes whose value changed."""
    if not happening.attributes:
        return []
    tie = happening.tie
    changed = []
    for name, value in happening.attributes.items():
        check(name, value)
        time = happening.attribute_times.get(name, happening.time)
        old = document.attributes.get(name)
        new = Fact(value, time, tie, happening.source)
        document.attributes[name] = new if old is None else old.joined(new)
        if document.attributes[name].value != (None if old is None else old.value):
            changed.append(name)
    limit(document)
    return changed


def limit(document: Document) -> None:
    """Raises `FieldInvalid` when a contact has too many attributes."""
    if len(document.attributes) > MOST_ATTRIBUTES:
        raise FieldInvalid(
            "attributes",
            f"a contact has at most {MOST_ATTRIBUTES}; send fewer names",
            limit=str(MOST_ATTRIBUTES),
        )


def zone(document: Document) -> tuple[str, str, int]:
    """The time zone of a contact, how it is known, and since when. Empty when unknown.

    What was declared counts more than the device's clock, that more than a country that has one
    zone only, and that more than the phone number.
    """
    fact = document.attributes.get("zone")
    if fact is not None and isinstance(fact.value, str) and fact.value in _zones():
        return fact.value, "declared", fact.time
    device = document.tallies.latest.get("device_zone")
    if device is not None and device.value in _zones():
        return device.value, "device", device.time
    country = document.attributes.get("country")
    if country is not None and isinstance(country.value, str):
        only = phone.only_zone(country.value.upper())
        if only:
            return only, "country", country.time
    return _by_number(document, document.place.zone)


def language(document: Document) -> tuple[str, str, int]:
    """The language of a contact (BCP 47), how it is known, and since when. Empty when unknown.

    What was declared counts more than what the person writes in, that more than what their device
    is set to, and that more than the phone number.
    """
    fact = document.attributes.get("language")
    if fact is not None and isinstance(fact.value, str) and fact.value:
        return fact.value.replace("_", "-"), "declared", fact.time
    written = _written(document)
    if written[0]:
        return written
    device = document.tallies.latest.get("locale")
    if device is not None:
        return device.value.replace("_", "-"), "device", device.time
    return _by_number(document, document.place.language)


def _written(document: Document) -> tuple[str, str, int]:
    """The language of most messages, if it is of enough of them."""
    last = document.tallies.latest.get("tongue")
    if last is None:
        return "", "", 0
    votes = faded(document.tallies, "tongues", _VOTES_HALF_LIFE)
    most = min(votes, key=lambda tongue: (-votes[tongue], tongue))
    if votes[most] < _FEWEST_VOTES or votes[most] < _MOST_OF * sum(votes.values()):
        return "", "", 0
    return most, "messages", last.time


def _by_number(document: Document, value: str) -> tuple[str, str, int]:
    if not value:
        return "", "", 0
    number = document.identities[Identity(Kind.WA_ID, "", document.place.phone)]
    return value, "phone", number.first_time


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
