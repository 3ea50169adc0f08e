"""Contacts in Postgres, read. What is sealed is opened; whoever is erased is not there."""

from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Connection, Pool
from services.profile.person.directory import ContactQuery, EventQuery, HistoryPage, Mark
from services.profile.person.identity import BlindIndex
from services.profile.person.model import Consent, Contact, Identity, Member, StoredEvent
from services.profile.person.part import Part
from services.profile.person.picture import contact
from services.profile.tables.rows import (
    EVENT,
    GENERATION,
    MEMBER,
    MEMBERS,
    events_of,
    keys_of,
    lines_of,
    members_of,
)
from services.profile.vault.keys import Vault


class Reading:
    """What `directory.Profiles` asks for and changes nothing."""

    def __init__(self, pool: Pool, vault: Vault, index: BlindIndex, clock: Clock) -> None:
        self._pool = pool
        self._vault = vault
        self._index = index
        self._clock = clock

    async def find(self, identities: Sequence[Identity]) -> dict[Identity, str]:
        """Where the identities lead: to a member of somebody."""
        return await self._homes(self._pool, identities)

    async def load(
        self, contact_ids: Sequence[str], part: Part | None = None
    ) -> Mapping[str, Contact]:
        """Contacts by the ids asked for; a merged one is the one that stayed. `part`: of their
        documents only that."""
        rows = await self._pool.fetch(
            f"SELECT {MEMBER}, {GENERATION} FROM {MEMBERS} WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - constants
            contact_ids,
        )
        return _by_member(await self._people(self._pool, rows, part))

    async def seek(
        self, identities: Sequence[Identity], part: Part | None = None
    ) -> Mapping[Identity, Contact]:
        """Contacts by the identities that lead to them, as `load` has them."""
        keys = {self._index(identity): identity for identity in identities}
        rows = await self._pool.fetch(
            f"SELECT {MEMBER}, {GENERATION}, identity"  # noqa: S608 - constants
            f" FROM {MEMBERS} JOIN identities USING (contact_id)"
            " WHERE identity = ANY($1::bytea[])",
            list(keys),
        )
        found = _by_member(await self._people(self._pool, rows, part))
        return {
            keys[row["identity"]]: contact
            for row in rows
            if (contact := found.get(str(row["contact_id"])))
        }

    async def _people(
        self, connection: "Connection | Pool", rows: "Sequence[asyncpg.Record]", part: Part | None
    ) -> list[Contact]:
        """The people of rows of `MEMBER` and `GENERATION`, each once, in that order. `part`: of
        their documents only that."""
        found = members_of(rows, await keys_of(rows, self._vault), part)
        several = [member.survivor_id for member in found if member.survivor_id]
        if not several:  # nearly always
            return [contact([one]) for one in {one.contact_id: one for one in found}.values()]
        people: dict[str, dict[str, Member]] = {}
        for member in found:
            people.setdefault(member.person_id, {})[member.contact_id] = member
        rows = await connection.fetch(
            f"SELECT {MEMBER} FROM {MEMBERS} WHERE survivor_id = ANY($1::uuid[])",  # noqa: S608 - constants
            several,
        )
        for member in members_of(rows, await keys_of(rows, self._vault), part):
            people[member.person_id][member.contact_id] = member
        return [contact(list(members.values())) for members in people.values()]

    async def contacts(self, query: ContactQuery, after: str, limit: int) -> Sequence[Contact]:
        """Contacts in the order of their ids."""
        contacts, _ = await self._page(self._pool, query, after, limit)
        return contacts

    async def events(
        self, contact_ids: Sequence[str], query: EventQuery, beyond: Mark | None, limit: int
    ) -> Sequence[StoredEvent]:
        """Events of one person in order of time, beyond a mark."""
        order, than = ("ASC", ">") if query.oldest_first else ("DESC", "<")
        rows = await self._pool.fetch(
            f"SELECT {EVENT} FROM events"  # noqa: S608 - constants
            " WHERE contact_id = ANY($1::uuid[]) AND event_time >= $2 AND event_time < $3"
            "   AND ($4::text[] IS NULL OR name = ANY($4))"
            f"  AND ($5::bigint IS NULL OR (event_time, event) {than} ($5, $6::uuid))"
            f" ORDER BY event_time {order}, event {order} LIMIT $7",
            contact_ids,
            query.start,
            query.end,
            list(query.names) or None,
            beyond.time if beyond else None,
            beyond.event if beyond else None,
            limit,
        )
        return events_of(rows, await self._vault.keys(self._pool, contact_ids))

    async def consents(
        self, contact_ids: Sequence[str], purposes: Sequence[str], before: Mark | None, limit: int
    ) -> Sequence[Consent]:
        """Lines of one person's ledger, newest first, before a mark."""
        rows = await self._pool.fetch(
            "SELECT contact_id, line FROM consents WHERE contact_id = ANY($1::uuid[])"
            " AND ($2::text[] IS NULL OR purpose = ANY($2))"
            " AND ($3::bigint IS NULL OR (event_time, consent_id) < ($3, $4))"
            " ORDER BY event_time DESC, consent_id DESC LIMIT $5",
            contact_ids,
            list(purposes) or None,
            before.time if before else None,
            before.event if before else None,
            limit,
        )
        keys = await self._vault.keys(self._pool, contact_ids)
        return [line for _, line in lines_of(rows, keys)]

    async def histories(
        self,
        query: ContactQuery,
        events: EventQuery | None,
        after: str,
        limit: int,
        each: int,
        consents: bool = True,
        part: Part | None = None,
    ) -> HistoryPage:
        """Contacts in the order of their ids with their first events and all consents."""
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            read_time = milliseconds_of(self._clock.now())
            contacts, sizes = await self._page(connection, query, after, limit, part)
            owners = {i: one.contact_id for one in contacts for i in one.ids}
            rows = events and await connection.fetch(
                "SELECT e.* FROM unnest($1::uuid[]) AS c (contact_id) CROSS JOIN LATERAL ("  # noqa: S608 - a constant
                f" SELECT {EVENT} FROM events"
                "  WHERE contact_id = c.contact_id AND event_time >= $2 AND event_time < $3"
                "    AND ($4::text[] IS NULL OR name = ANY($4))"
                "  ORDER BY event_time, event LIMIT $5) AS e",
                list(owners),
                events.start,
                events.end,
                list(events.names) or None,
                each + 1,
            )
            lines = consents and await connection.fetch(
                "SELECT contact_id, line FROM consents WHERE contact_id = ANY($1::uuid[])"
                " ORDER BY event_time, consent_id",
                list(owners),
            )
            sealed = {str(row[0]) for row in (*(rows or ()), *(lines or ()))}
            keys = await self._vault.keys(connection, sealed) if sealed else {}
        found: dict[str, list[StoredEvent]] = {}
        for event in events_of(rows or (), keys):
            found.setdefault(owners[event.contact_id], []).append(event)
        for one in contacts:
            if one.absorbed and one.contact_id in found:
                several = found[one.contact_id]
                several.sort(key=lambda event: (event.time, event.event))
                del several[each + 1 :]
        ledger: dict[str, list[Consent]] = {}
        for contact_id, line in lines_of(lines or (), keys):
            ledger.setdefault(owners[contact_id], []).append(line)
        return HistoryPage(contacts, found, ledger, read_time, sizes)

    async def estimate(self) -> int:
        """How many contacts there are, as Postgres last counted."""
        count = await self._pool.fetchval(
            "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'contacts'::regclass"
        )
        return int(count)

    async def _homes(
        self, connection: "Connection | Pool", identities: Iterable[Identity]
    ) -> dict[Identity, str]:
        keys = {self._index(identity): identity for identity in identities}
        if not keys:
            return {}
        rows = await connection.fetch(
            "SELECT identity, contact_id FROM identities WHERE identity = ANY($1::bytea[])",
            list(keys),
        )
        return {keys[row[0]]: str(row[1]) for row in rows}

    async def _page(
        self,
        connection: "Connection | Pool",
        query: ContactQuery,
        after: str,
        limit: int,
        part: Part | None = None,
    ) -> tuple[list[Contact], dict[str, int]]:
        """Contacts, and how large (bytes) what is kept of them is."""
        rows = await connection.fetch(
            # Of both tables, or each page walks through all keys before its own.
            f"SELECT {MEMBER}, {GENERATION}"  # noqa: S608 - constants
            f" FROM {MEMBERS} WHERE contact_id > $1 AND keys.contact_id > $1"
            " AND (survivor_id IS NULL OR survivor_id = contact_id)"
            " AND ($2::uuid[] IS NULL OR contact_id IN (SELECT coalesce(survivor_id, contact_id)"
            "   FROM contacts WHERE contact_id = ANY($2)))"
            " AND create_time >= $3 AND create_time < $4 AND update_time >= $5"
            " AND ($7 = 1 OR (256 * get_byte(uuid_send(contact_id), 14)"
            "   + get_byte(uuid_send(contact_id), 15)) % $7 = $6)"
            " ORDER BY contact_id LIMIT $8",
            after,
            query.contact_ids,
            query.start_create,
            query.end_create,
            query.start_update,
            query.shard,
            query.shards,
            limit,
        )
        sizes = {str(row["contact_id"]): len(row["document"]) for row in rows}
        return await self._people(connection, rows, part), sizes


def _by_member(people: Iterable[Contact]) -> dict[str, Contact]:
    """Member → the contact that it is part of."""
    return {member_id: one for one in people for member_id in one.ids}
