"""Who a contact is, as far as a page shows it: masked, unless its reader may see people."""

from typing import Final, NamedTuple

import grpc
import orjson

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

    def __init__(self, profile: ProfileServiceStub) -> None:
        self._profile = profile

    async def found(self, phone: str) -> str:
        """The contact with a phone number; empty when there is none."""
        digits = "".join(filter(str.isdecimal, phone)).removeprefix("00")
        identity = Identity(kind=Identity.KIND_WA_ID, value=digits)
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


def masked(text: str) -> str:
    """A text of which only the ends are left, of a number only the last digits."""
    if text.startswith("+"):
        return f"••• {text[-_LAST:]}"
    return " ".join(f"{word[0]}•••" for word in text.split())
