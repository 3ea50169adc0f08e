"""Everything held of a person, by every service, one after the other."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from chassis.failures import TokenInvalid
from merhaba.profile.v1 import ExportedRecord
from services.profile.person.model import Contact
from services.profile.rights.holders import Holder
from services.profile.rights.records import Records

_OWN = "profile"


class Place(NamedTuple):
    """How far an export is: in a service, behind its cursor."""

    service: str = _OWN
    cursor: str = ""


class Exporting:
    """Goes from service to service."""

    def __init__(self, records: Records, holders: Mapping[str, Holder]) -> None:
        self._records = records
        self._holders = holders

    async def told(
        self, contact: Contact, place: Place, now: int
    ) -> AsyncIterator[tuple[Place, Sequence[ExportedRecord]]]:
        """All records behind a place; each piece with the place behind it.

        Raises `ServiceUnavailable` and, for a place that is none, `TokenInvalid`.
        """
        names = [_OWN, *self._holders]
        if place.service not in names:
            raise TokenInvalid("cursor")
        known = sorted({*contact.document.identities, *contact.document.guests})
        cursor = place.cursor
        for name in names[names.index(place.service) :]:
            if name == _OWN:
                pieces = self._records.told(contact, cursor, now)
            else:
                pieces = self._holders[name].export(
                    contact.contact_id, contact.absorbed, known, cursor
                )
            async for cursor, records in pieces:
                yield Place(name, cursor), records
            cursor = ""
