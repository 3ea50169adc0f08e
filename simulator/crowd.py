"""Everybody on WhatsApp that the business can reach. Pure."""

import re

from simulator.people import Behaviour, IdentityMode, Person, bsuid_of
from simulator.refusals import Refused, invalid

_NOT_DIGITS = re.compile(r"\D")


def wa_id_of(number: str, field: str) -> str:
    """The digits of a phone number. Raises Refused naming `field`."""
    wa_id = _NOT_DIGITS.sub("", number)
    if not 7 <= len(wa_id) <= 15:
        raise invalid(field, "must be an international phone number of 7 to 15 digits.")
    return wa_id


class Crowd:
    """At most `limit` people. A number that nobody knows yet is somebody as soon as it is used."""

    def __init__(self, seed: int, limit: int) -> None:
        self._seed = seed
        self._limit = limit
        self._people: dict[str, Person] = {}
        self._by_bsuid: dict[str, Person] = {}

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
        behaviour: Behaviour | None = None,
    ) -> Person:
        """Add a person, or change what is given."""
        person = self.settle(wa_id_of(wa_id, "wa_id"))
        if bsuid is not None and bsuid != person.bsuid:
            if bsuid in self._by_bsuid:
                raise invalid("bsuid", "belongs to someone else already.")
            del self._by_bsuid[person.bsuid]
            person.bsuid = bsuid
            self._by_bsuid[bsuid] = person
        person.name = person.name if name is None else name
        person.identity_mode = person.identity_mode if identity_mode is None else identity_mode
        person.locale = person.locale if locale is None else locale
        person.behaviour = person.behaviour if behaviour is None else behaviour
        return person

    def find(self, person_id: str) -> Person | None:
        """By wa_id or bsuid."""
        return self._people.get(person_id) or self._by_bsuid.get(person_id)

    def settle(self, wa_id: str) -> Person:
        """The person with this number, who moves in if nobody has it."""
        if known := self._people.get(wa_id):
            return known
        if len(self._people) >= self._limit:
            raise Refused(131000, f"The world holds {self._limit} people. Raise PEOPLE_LIMIT.")
        locale = "tr" if wa_id.startswith("90") else "en"
        bsuid = bsuid_of(self._seed, wa_id)
        person = Person(wa_id, bsuid, f"Person {wa_id[-4:]}", "phone_bsuid", locale)
        self._people[wa_id] = self._by_bsuid[bsuid] = person
        return person
