"""Who a contact is, as far as a page shows it: masked, unless its reader may see people."""

from typing import Final, NamedTuple

import grpc
import orjson
import phonenumbers
from babel.core import get_global

from merhaba.event.v1 import Identity
from merhaba.profile.v1 import Contact, ContactRef, GetContactRequest, ProfileServiceStub

_NOBODY: Final = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
_SHOWN: Final = ("contact_id", "identities", "attributes.name")
_LAST: Final = 2
"""Digits and letters of a masked text that are shown."""


class Person(NamedTuple):
    """What is shown of a contact."""

    contact_id: str
    """The one that stands for the person now."""
    phone: str
    name: str


class People:
    """Asks profile, which records who was looked at."""

    def __init__(self, profile: ProfileServiceStub, zone: str) -> None:
        """`zone`: numbers without a country code are of the country that it lies in."""
        self._profile = profile
        self._country: str = get_global("zone_territories").get(zone, "")

    async def found(self, phone: str) -> str:
        """The contact with a phone number; empty when there is none."""
        identity = Identity(kind=Identity.KIND_WA_ID, value=_digits(phone, self._country))
        contact = await self._get(ContactRef(identity=identity), ["contact_id"])
        return contact.contact_id if contact else ""

    async def person(self, contact_id: str, unmasked: bool) -> Person | None:
        """Who a contact is; None when profile knows nobody."""
        contact = await self._get(ContactRef(contact_id=contact_id), _SHOWN)
        if contact is None:
            return None
        phones = [
            f"+{known.identity.value}"
            for known in contact.identities
            if known.identity.kind == Identity.KIND_WA_ID and not known.HasField("end_time")
        ]
        names = [orjson.loads(one.value_json) for one in contact.attributes if one.name == "name"]
        shown = [*phones[:1], ""][0], str([*names[:1], ""][0] or "")
        return Person(contact.contact_id, *(shown if unmasked else map(masked, shown)))

    async def _get(self, ref: ContactRef, paths: tuple[str, ...] | list[str]) -> Contact | None:
        request = GetContactRequest(contact=ref)
        request.read_mask.paths.extend(paths)
        try:
            return (await self._profile.GetContact(request)).contact
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOBODY:
                return None
            raise


def _digits(phone: str, country: str) -> str:
    """The digits of a number as people write it, with those of its country."""
    for form in (phone, f"+{phone}"):  # with what its country dials before, or as WhatsApp has it
        try:
            read = phonenumbers.parse(form, country or None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(read):
            return f"{read.country_code}{phonenumbers.national_significant_number(read)}"
    return "".join(filter(str.isdecimal, phone))


def masked(text: str) -> str:
    """A text of which only the ends are left, of a number only the last digits."""
    if text.startswith("+"):
        return f"••• {text[-_LAST:]}"
    return " ".join(f"{word[0]}•••" for word in text.split())
