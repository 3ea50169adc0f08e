"""Contacts in Postgres. One method is one transaction.

Writers lock in one order: events seen, then contacts by id, then new identities by their hash.
Whatever they find changed meanwhile (a contact that was merged, an identity somebody else linked
first) makes them look again, so that any number of them agree on who is who.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import asyncpg
import msgspec

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure
from chassis.ids import fingerprint
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.profile.directory import ContactQuery, EventQuery, HistoryPage, Mark
from services.profile.identity import Person, key, persons
from services.profile.model import (
    Consent,
    Contact,
    ContactNotFound,
    Document,
    Happening,
    Identity,
    Note,
    Outcome,
    StoredEvent,
)
from services.profile.picture import Rejected, Unfolded, unfold
from services.profile.wire import kept, note_name, note_time, published

_ATTEMPTS: Final = 10
_TOPIC: Final = "contact"
_DOCUMENT: Final = msgspec.msgpack.Decoder(Document)
_CONSENT: Final = msgspec.msgpack.Decoder(Consent)
_CONTACT: Final = "contact_id, create_time, update_time, document"


class _Stale(Exception):
    """Somebody else was first: look again, knowing who was merged into whom."""

    def __init__(self, survivors: Mapping[str, str]) -> None:
        super().__init__()
        self.survivors = survivors


class _Refused(Exception):
    """Some happenings cannot be taken in; without them the others can."""

    def __init__(self, failures: Mapping[int, Failure]) -> None:
        super().__init__()
        self.failures = failures


class ContactStore:
    """What `directory.Profiles` asks for, in Postgres."""

    def __init__(
        self, pool: Pool, effects: Effects, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        """`new_id` gives an id for a new contact: a UUID in its usual text."""
        self._pool = pool
        self._effects = effects
        self._clock = clock
        self._new_id = new_id

    async def record(
        self, happenings: Sequence[Happening], strict: bool
    ) -> Sequence[Outcome | Failure | None]:
        """Take in happenings, each once; None is a repeat."""
        outcomes: list[Outcome | Failure | None] = [None] * len(happenings)

        async def work(connection: Connection, fresh: Sequence[int]) -> Sequence[Record]:
            positions = list(fresh)
            survivors: dict[str, str] = {}
            attempts = 0
            while positions:
                try:
                    async with connection.transaction():
                        return await self._take(
                            connection, happenings, positions, survivors, outcomes
                        )
                except _Stale as stale:
                    survivors |= stale.survivors
                    attempts += 1
                    if attempts == _ATTEMPTS:
                        raise asyncpg.SerializationError("others are always first") from None
                except _Refused as refused:
                    if strict:
                        raise next(iter(refused.failures.values())) from None
                    for position, failure in refused.failures.items():
                        outcomes[position] = failure
                    positions = [p for p in positions if p not in refused.failures]
            return ()

        await self._effects.apply([h.event_id for h in happenings], work)
        return outcomes

    async def _take(
        self,
        connection: Connection,
        happenings: Sequence[Happening],
        positions: Sequence[int],
        survivors: Mapping[str, str],
        outcomes: list[Outcome | Failure | None],
    ) -> Sequence[Record]:
        asked = {i for position in positions for i in happenings[position].identities}
        known = await _owners(connection, asked)
        people = persons(happenings, positions, known, survivors)
        contacts = await self._locked(connection, people)
        _check(people, happenings, survivors, contacts)
        now = milliseconds_of(self._clock.now())
        unfolded: list[Unfolded] = []
        refused: dict[int, Failure] = {}
        for person in people:
            try:
                one = unfold(
                    [contacts[i] for i in person.contact_ids],
                    [(position, happenings[position]) for position in person.positions],
                    "" if person.contact_ids else self._new_id(),
                    now,
                )
            except Rejected as rejected:
                refused[rejected.position] = rejected.failure
            else:
                unfolded.append(one)
        if refused:
            raise _Refused(refused)
        new = {
            key(identity): one.contact_id
            for one in unfolded
            for position in one.etags
            for identity in happenings[position].identities
            if identity not in known
        }
        await _link(connection, new, unfolded)
        await _write(connection, unfolded, now)
        notes = [note for one in unfolded for note in one.notes]
        messages = [published(note) for note in notes]
        await _keep(connection, notes, messages)
        for one in unfolded:
            for position, etag in one.etags.items():
                outcomes[position] = Outcome(one.contact_id, one.created, etag)
        return [
            Record(_TOPIC, note.contact_id, message)
            for note, message in zip(notes, messages, strict=True)
        ]

    async def _locked(
        self, connection: Connection, people: Iterable[Person]
    ) -> Mapping[str, Contact]:
        ids = sorted({contact_id for person in people for contact_id in person.contact_ids})
        if not ids:
            return {}
        rows = await connection.fetch(
            f"SELECT {_CONTACT}, survivor_id FROM contacts WHERE contact_id = ANY($1::uuid[])"  # noqa: S608 - a constant
            " ORDER BY contact_id FOR NO KEY UPDATE",
            ids,
        )
        gone = {str(row[0]): str(row[4]) for row in rows if row[4] is not None}
        if gone:
            raise _Stale(gone)
        return {contact.contact_id: contact for contact in map(_contact, rows)}

    async def find(self, identities: Sequence[Identity]) -> Mapping[Identity, str]:
        """Whose the identities are."""
        return await _owners(self._pool, identities)

    async def load(self, contact_ids: Sequence[str]) -> Mapping[str, Contact]:
        """Contacts by the ids asked for; a merged one is the one that stayed."""
        rows = await self._pool.fetch(
            f"SELECT {_CONTACT}, survivor_id FROM contacts WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - a constant
            contact_ids,
        )
        found = {str(row[0]): _contact(row) for row in rows if row[4] is None}
        gone = {str(row[0]): str(row[4]) for row in rows if row[4] is not None}
        if gone:
            stayed = await self.load(list(set(gone.values()) - found.keys()))
            found |= {i: (found | dict(stayed))[stays] for i, stays in gone.items()}
        return found

    async def contacts(self, query: ContactQuery, after: str, limit: int) -> Sequence[Contact]:
        """Contacts in the order of their ids."""
        return await _page(self._pool, query, after, limit)

    async def events(
        self, contact_ids: Sequence[str], query: EventQuery, beyond: Mark | None, limit: int
    ) -> Sequence[StoredEvent]:
        """Events of one person in order of time, beyond a mark."""
        order, than = ("ASC", ">") if query.oldest_first else ("DESC", "<")
        rows = await self._pool.fetch(
            "SELECT contact_id, event_time, event, body FROM events"  # noqa: S608 - constants
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
        return [_event(row) for row in rows]

    async def consents(
        self, contact_ids: Sequence[str], purposes: Sequence[str], before: Mark | None, limit: int
    ) -> Sequence[Consent]:
        """Lines of one person's ledger, newest first, before a mark."""
        rows = await self._pool.fetch(
            "SELECT line FROM consents WHERE contact_id = ANY($1::uuid[])"
            " AND ($2::text[] IS NULL OR purpose = ANY($2))"
            " AND ($3::bigint IS NULL OR (event_time, consent_id) < ($3, $4))"
            " ORDER BY event_time DESC, consent_id DESC LIMIT $5",
            contact_ids,
            list(purposes) or None,
            before.time if before else None,
            before.event if before else None,
            limit,
        )
        return [_line(row[0]) for row in rows]

    async def histories(
        self, query: ContactQuery, events: EventQuery, after: str, limit: int, each: int
    ) -> HistoryPage:
        """Contacts in the order of their ids with their first events and all consents."""
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            read_time = milliseconds_of(self._clock.now())
            contacts = await _page(connection, query, after, limit)
            owners = {i: contact.contact_id for contact in contacts for i in contact.ids}
            rows = await connection.fetch(
                "SELECT e.* FROM unnest($1::uuid[]) AS c (contact_id) CROSS JOIN LATERAL ("
                " SELECT contact_id, event_time, event, body FROM events"
                "  WHERE contact_id = c.contact_id AND event_time >= $2 AND event_time < $3"
                "    AND ($4::text[] IS NULL OR name = ANY($4))"
                "  ORDER BY event_time, event LIMIT $5) AS e",
                list(owners),
                events.start,
                events.end,
                list(events.names) or None,
                each + 1,
            )
            lines = await connection.fetch(
                "SELECT contact_id, line FROM consents WHERE contact_id = ANY($1::uuid[])"
                " ORDER BY event_time, consent_id",
                list(owners),
            )
        found: dict[str, list[StoredEvent]] = {}
        for event in map(_event, rows):
            found.setdefault(owners[event.contact_id], []).append(event)
        for contact in contacts:
            if contact.document.absorbed and contact.contact_id in found:
                several = found[contact.contact_id]
                several.sort(key=lambda event: (event.time, event.event))
                del several[each + 1 :]
        ledger: dict[str, list[Consent]] = {}
        for row in lines:
            ledger.setdefault(owners[str(row[0])], []).append(_line(row[1]))
        return HistoryPage(contacts, found, ledger, read_time)

    async def estimate(self) -> int:
        """How many contacts there are, as Postgres last counted."""
        count = await self._pool.fetchval(
            "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'contacts'::regclass"
        )
        return int(count)


async def _owners(
    connection: "Connection | Pool", identities: Iterable[Identity]
) -> dict[Identity, str]:
    keys = {key(identity): identity for identity in identities}
    if not keys:
        return {}
    rows = await connection.fetch(
        "SELECT identity, contact_id FROM identities WHERE identity = ANY($1::bytea[])", list(keys)
    )
    return {keys[row[0]]: str(row[1]) for row in rows}


async def _page(
    connection: "Connection | Pool", query: ContactQuery, after: str, limit: int
) -> list[Contact]:
    rows = await connection.fetch(
        f"SELECT {_CONTACT} FROM contacts WHERE contact_id > $1 AND survivor_id IS NULL"  # noqa: S608 - a constant
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
    return [_contact(row) for row in rows]


def _check(
    people: Iterable[Person],
    happenings: Sequence[Happening],
    survivors: Mapping[str, str],
    contacts: Mapping[str, Contact],
) -> None:
    """Refuse what names a contact that does not exist, or may not make a new one."""
    refused: dict[int, Failure] = {}
    for person in people:
        if person.contact_ids and person.contact_ids <= contacts.keys():
            continue
        for position in person.positions:
            happening = happenings[position]
            named = survivors.get(happening.contact_id, happening.contact_id)
            if (named and named not in contacts) or not (happening.create or person.contact_ids):
                facts = {"contact_id": named} if named else {}
                refused[position] = ContactNotFound(
                    "nobody is that contact; look it up by an identity", **facts
                )
    if refused:
        raise _Refused(refused)


async def _link(
    connection: Connection, new: Mapping[bytes, str], unfolded: Iterable[Unfolded]
) -> None:
    """Point identities at their contacts: the new ones, and those of contacts that merged."""
    moved: dict[bytes, str] = {}
    absorbed: dict[str, str] = {}
    for one in unfolded:
        for other in one.absorbed:
            moved |= {key(i): one.contact_id for i in other.document.identities}
            absorbed |= dict.fromkeys(other.ids, one.contact_id)
    if new:
        keys = sorted(new)
        done = await connection.execute(
            "INSERT INTO identities SELECT * FROM unnest($1::bytea[], $2::uuid[])"
            " ON CONFLICT DO NOTHING",
            keys,
            [new[k] for k in keys],
        )
        if int(done.rsplit(" ", 1)[1]) < len(keys):
            raise _Stale({})
    if moved:
        await connection.execute(
            "UPDATE identities i SET contact_id = u.contact_id"
            " FROM unnest($1::bytea[], $2::uuid[]) AS u (identity, contact_id)"
            " WHERE i.identity = u.identity",
            list(moved),
            list(moved.values()),
        )
    if absorbed:
        await connection.execute(
            "UPDATE contacts c SET survivor_id = u.survivor_id"
            " FROM unnest($1::uuid[], $2::uuid[]) AS u (contact_id, survivor_id)"
            " WHERE c.contact_id = u.contact_id",
            list(absorbed),
            list(absorbed.values()),
        )


async def _write(connection: Connection, unfolded: Sequence[Unfolded], now: int) -> None:
    """Write documents and the ledger."""
    created = [one for one in unfolded if one.created]
    changed = [one for one in unfolded if not one.created]
    encode = msgspec.msgpack.Encoder().encode
    if created:
        await connection.execute(
            f"INSERT INTO contacts ({_CONTACT}) SELECT u.contact_id, $3, $3, u.document"  # noqa: S608 - a constant
            " FROM unnest($1::uuid[], $2::bytea[]) AS u (contact_id, document)",
            [one.contact_id for one in created],
            [encode(one.document) for one in created],
            now,
        )
    if changed:
        await connection.execute(
            "UPDATE contacts c SET document = u.document, update_time = $3"
            " FROM unnest($1::uuid[], $2::bytea[]) AS u (contact_id, document)"
            " WHERE c.contact_id = u.contact_id",
            [one.contact_id for one in changed],
            [encode(one.document) for one in changed],
            now,
        )
    lines = [
        (one.contact_id, msgspec.structs.replace(line, create_time=now))
        for one in unfolded
        for line in one.consents
    ]
    if lines:
        await connection.execute(
            "INSERT INTO consents SELECT * FROM"
            " unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bytea[])"
            " ON CONFLICT DO NOTHING",
            [contact_id for contact_id, _ in lines],
            [line.event_time for _, line in lines],
            [line.consent_id for _, line in lines],
            [line.purpose for _, line in lines],
            [encode(line) for _, line in lines],
        )


async def _keep(connection: Connection, notes: Sequence[Note], messages: Sequence[bytes]) -> None:
    """Keep events: as they came, so that what they changed can be computed anew."""
    await connection.execute(
        "INSERT INTO events SELECT * FROM"
        " unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::bytea[])"
        " ON CONFLICT DO NOTHING",  # known, but `seen` too long ago to remember
        [note.contact_id for note in notes],
        [note_time(note) for note in notes],
        [fingerprint(note.event_id) for note in notes],
        [note_name(note) for note in notes],
        [
            kept(note.cause) if note.body is None else message
            for note, message in zip(notes, messages, strict=True)
        ],
    )


def _contact(row: "asyncpg.Record") -> Contact:
    return Contact(str(row[0]), row[1], row[2], _DOCUMENT.decode(row[3]))


def _event(row: "asyncpg.Record") -> StoredEvent:
    return StoredEvent(str(row[0]), row[1], str(row[2]), row[3])


def _line(line: bytes) -> Consent:
    return _CONSENT.decode(line)
