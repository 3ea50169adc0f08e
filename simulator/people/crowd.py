"""Everybody on WhatsApp that the business can reach. Pure."""

import re

from simulator.people.habits import Segment
from simulator.people.person import Behaviour, Bsuids, IdentityMode, Person
from simulator.refusals import Refused, invalid

_NOT_DIGITS = re.compile(r"\D")


def wa_id_of(number: str, field: str) -> str:
    """The digits of a phone number. Raises Refused naming `field`."""
    wa_id = number if number.isascii() and number.isdigit() else _NOT_DIGITS.sub("", number)
    if not 7 <= len(wa_id) <= 15 or wa_id[0] == "0":
        raise invalid(field, "must be an international phone number of 7 to 15 digits.")
    return wa_id


class Crowd:
    """At most `limit` people. A number that nobody knows yet is somebody as soon as it is used."""

    def __init__(self, seed: int, limit: int) -> None:
        self._limit = limit
        self._bsuids = Bsuids(seed)
        self._people: dict[str, Person] = {}
        self._by_told_bsuid: dict[str, Person] = {}

    def __len__(self) -> int:
        return len(self._people)

    def put(
        self,
        wa_id: str,
        *,
        bsuid: str | None = None,
        name: str | None = None,
        identity_mode: IdentityMode | None = None,
        locale: str | None = None,
        segment: Segment | None = None,
        behaviour: Behaviour | None = None,
    ) -> Person:
        """Add a person, or change what is given."""
        person = self.settle(wa_id_of(wa_id, "wa_id"))
        if bsuid is not None and bsuid != self.bsuid_of(person):
            if self.find(bsuid) is not None:
                raise invalid("bsuid", "belongs to someone else already.")
            if person.told_bsuid is not None:
                del self._by_told_bsuid[person.told_bsuid]
            person.told_bsuid = bsuid
            self._by_told_bsuid[bsuid] = person
        person.told_name = person.told_name if name is None else name
        person.identity_mode = person.identity_mode if identity_mode is None else identity_mode
        person.told_locale = person.told_locale if locale is None else locale
        person.segment = person.segment if segment is None else segment
        person.behaviour = person.behaviour if behaviour is None else behaviour
        return person

    def find(self, person_id: str) -> Person | None:
        """By wa_id or bsuid."""
        if known := self._people.get(person_id) or self._by_told_bsuid.get(person_id):
            return known
        wa_id = self._bsuids.wa_id(person_id)
        known = None if wa_id is None else self._people.get(wa_id)
        return known if known is not None and known.told_bsuid is None else None

    def bsuid_of(self, person: Person) -> str:
        return person.told_bsuid or self._bsuids.of(person.wa_id)

    def settle(self, wa_id: str) -> Person:
        """The person with this number, who moves in if nobody has it."""
        known = self._people.get(wa_id)
        if known is None:
            if len(self._people) >= self._limit:
                raise Refused(131000, f"The world holds {self._limit} people. Raise PEOPLE_LIMIT.")
            known = self._people[wa_id] = Person(wa_id)
        return known
