"""People held by a transaction: nobody changes them until it ends."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg
import structlog

from chassis.postgres import Connection
from services.profile.person.model import Member, Standing
from services.profile.tables.rows import MEMBER, MEMBERS, keys_of, members_of
from services.profile.vault.keys import Vault
from services.profile.vault.seal import Key, Tampered

_CONTACT: Final = 0
_SURVIVOR: Final = 6  # of the columns of `MEMBER`
_logger = structlog.get_logger()


class Person(NamedTuple):
    """A person that is held."""

    contact_id: str
    members: list[Member]

    @property
    def standing(self) -> Standing | None:
        """Where it stands."""
        return next(m.standing for m in self.members if m.contact_id == self.contact_id)


class Held(NamedTuple):
    """People that are held."""

    people: list[Person]
    keys: dict[str, Key]
    """Of all their members."""
    broken: list[str]
    """People of whom something does not open: they cost the others nothing."""


async def hold(
    connection: Connection, vault: Vault, contact_ids: Sequence[str], wait: bool = True
) -> Held:
    """Hold people, in the order of their ids.

    Whoever writes holds all members of a person, so it is enough to hold the one that stands for
    it. Without `wait` people that somebody else holds are left out. Those who are erased, or are
    part of somebody else, are left out.
    """
    skip = "" if wait else " SKIP LOCKED"
    rows = await connection.fetch(
        "SELECT contact_id FROM contacts WHERE contact_id = ANY($1::uuid[])"  # noqa: S608 - constants
        " AND (survivor_id IS NULL OR survivor_id = contact_id)"
        f" ORDER BY contact_id FOR NO KEY UPDATE{skip}",
        contact_ids,
    )
    people = {str(row[0]): list[asyncpg.Record]() for row in rows}
    if not people:
        return Held([], {}, [])
    rows = await connection.fetch(
        f"SELECT {MEMBER} FROM {MEMBERS}"  # noqa: S608 - constants
        " WHERE contact_id = ANY($1::uuid[]) OR survivor_id = ANY($1::uuid[]) ORDER BY contact_id",
        list(people),
    )
    for row in rows:
        people[str(row[_SURVIVOR] or row[_CONTACT])].append(row)
    try:
        return await _opened(people, vault)
    except Tampered:
        held = Held([], {}, [])
        for contact_id, own in people.items():
            try:
                one = await _opened({contact_id: own}, vault)
            except Tampered as error:
                _logger.error("a contact does not open", contact_id=contact_id, why=str(error))  # noqa: TRY400 - where it was raised says nothing more
                held.broken.append(contact_id)
            else:
                held.people.extend(one.people)
                held.keys.update(one.keys)
        return held


async def _opened(people: "dict[str, list[asyncpg.Record]]", vault: Vault) -> Held:
    keys = await keys_of([row for rows in people.values() for row in rows], vault)
    found = [Person(one, members_of(rows, keys)) for one, rows in people.items() if rows]
    return Held(found, keys, [])
