"""Erasures in Postgres: begun, with what is left to do, and for good with their receipts."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import asyncpg
import msgspec

from chassis.clock import Clock, milliseconds_of
from chassis.failures import RequestIdReused
from chassis.ids import derived_id
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.times import timestamp
from merhaba.event.v1 import ContactErased, Event
from merhaba.profile.v1 import ErasureReceipt
from services.profile.contract.wire import SOURCE
from services.profile.person.directory import Ref
from services.profile.person.identity import BlindIndex
from services.profile.person.model import Identity, Member
from services.profile.rights.failures import ErasureNotFound
from services.profile.tables import tombstones
from services.profile.tables.rows import MEMBER, MEMBERS, keys_of, members_of
from services.profile.vault.envelope import Envelope
from services.profile.vault.keys import Vault

_TOPIC: Final = "contact"
_OWN: Final = "profile"
_ATTEMPTS: Final = 5
_IDENTITIES: Final = msgspec.msgpack.Decoder(list[tuple[int, str, str]])


class Erasure(NamedTuple):
    """An erasure and how far it is. Times in ms; `complete_time` 0 is not yet."""

    request_id: str
    contact_id: str
    member_ids: Sequence[str]
    """Other ids of the person."""
    create_time: int
    complete_time: int
    last_failure: str
    attempts: int
    receipts: Mapping[str, bytes | None]
    """By service; None is not yet."""

    @property
    def pending(self) -> list[str]:
        """Services that are still to erase it."""
        return [service for service, receipt in self.receipts.items() if receipt is None]


class Erasures:
    """Everything that was erased."""

    def __init__(
        self,
        pool: Pool,
        effects: Effects,
        vault: Vault,
        envelope: Envelope,
        index: BlindIndex,
        clock: Clock,
        services: Sequence[str],
    ) -> None:
        """`services`: others that hold something of people, in the order in which they erase it."""
        self._pool = pool
        self._effects = effects
        self._vault = vault
        self._envelope = envelope
        self._index = index
        self._clock = clock
        self._services = services

    async def get(self, request_id: str) -> Erasure:
        """An erasure. Raises `ErasureNotFound`."""
        found = await self.find(request_id)
        if found is None:
            raise ErasureNotFound(request_id)
        return found

    async def find(self, request_id: str) -> Erasure | None:
        """An erasure, if it was asked for."""
        row = await self._pool.fetchrow("SELECT * FROM erasures WHERE request_id = $1", request_id)
        if row is None:
            return None
        parts = await self._pool.fetch(
            "SELECT service, receipt FROM erasure_parts WHERE request_id = $1 ORDER BY service",
            request_id,
        )
        return _erasure(row, parts)

    async def of(self, ref: Ref) -> str:
        """The request that erased whom a caller means; empty when none did."""
        if isinstance(ref, Identity):
            return await tombstones.of_identity(self._pool, self._index, ref)
        return await tombstones.of_contact(self._pool, [ref])

    async def begin(
        self, request_id: str, contact_id: str, reason: str, caller: str
    ) -> Erasure | None:
        """Erase a person here, at once, and note what others have to; None when the contact is not
        there any more, or is part of another. Raises `RequestIdReused`."""
        for attempt in range(_ATTEMPTS):
            try:
                return await self._begin(request_id, contact_id, reason, caller)
            except (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError):
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    async def _begin(
        self, request_id: str, contact_id: str, reason: str, caller: str
    ) -> Erasure | None:
        begun = False

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal begun
            members = await self._hold(connection, contact_id)
            if not members:
                return []
            begun = True
            now = milliseconds_of(self._clock.now())
            ids = [member.contact_id for member in members]
            await self._note(connection, request_id, contact_id, members, reason, caller, now)
            counted = await self._forget(connection, request_id, members, now)
            receipt = _receipt(request_id, contact_id, now, counted)
            await connection.execute(
                "INSERT INTO erasure_parts VALUES ($1, $2, $3)", request_id, _OWN, receipt
            )
            return [_told(request_id, one, now) for one in ids]

        await self._effects.apply((), work)
        return await self.get(request_id) if begun else None

    async def _hold(self, connection: Connection, contact_id: str) -> list[Member]:
        """Hold all members of a person, for good; nobody, if the contact stands for none."""
        held: list[str] = []
        while True:
            rows = await connection.fetch(
                "SELECT contact_id FROM contacts WHERE (contact_id = $1 OR survivor_id = $1)"
                " AND contact_id <> ALL($2::uuid[])"
                " AND coalesce(survivor_id, contact_id) = $1 ORDER BY contact_id FOR UPDATE",
                contact_id,
                held,
            )
            if not rows:
                break
            held += [str(row[0]) for row in rows]  # and whoever joined while we waited
        if contact_id not in held:
            return []
        rows = await connection.fetch(
            f"SELECT {MEMBER} FROM {MEMBERS} WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - constants
            held,
        )
        return members_of(rows, await keys_of(rows, self._vault))

    async def _note(
        self,
        connection: Connection,
        request_id: str,
        contact_id: str,
        members: Sequence[Member],
        reason: str,
        caller: str,
        now: int,
    ) -> None:
        known = {
            identity
            for member in members
            for identity in (*member.document.identities, *member.document.guests)
        }
        sealed = await self._envelope.seal(msgspec.msgpack.encode(sorted(known)))
        done = await connection.execute(
            "INSERT INTO erasures (request_id, contact_id, reason, caller, create_time, identities,"
            " member_ids, next_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $5)"
            " ON CONFLICT DO NOTHING",
            request_id,
            contact_id,
            reason,
            caller,
            now,
            sealed,
            [one.contact_id for one in members if one.contact_id != contact_id],
        )
        if done.endswith(" 0"):
            raise RequestIdReused(request_id)
        await connection.execute(
            "INSERT INTO erasure_parts (request_id, service) SELECT $1, unnest($2::text[])",
            request_id,
            self._services,
        )

    async def _forget(
        self, connection: Connection, request_id: str, members: Sequence[Member], now: int
    ) -> dict[str, int]:
        """Delete all that is here, the keys first; returns how much of what that was."""
        ids = [member.contact_id for member in members]
        counted = {"key": await self._vault.destroy(connection, ids)}
        rows = await connection.fetch(
            "DELETE FROM identities WHERE identity = ANY($1::bytea[])"
            " AND contact_id = ANY($2::uuid[]) RETURNING identity",
            [self._index(i) for member in members for i in member.document.identities],
            ids,
        )
        counted["identity"] = len(rows)
        await tombstones.erect(connection, request_id, ids, [row[0] for row in rows], now)
        for dataset, table, column in (
            ("contact", "contacts", "contact_id"),
            ("event", "events", "contact_id"),
            ("consent", "consents", "contact_id"),
            ("stage", "standings", "contact_id"),
            ("link", "links", "member_id"),
            ("link", "links", "other_id"),
        ):
            done = await connection.execute(
                f"DELETE FROM {table} WHERE {column} = ANY($1::uuid[])",  # noqa: S608 - constants
                ids,
            )
            counted[dataset] = counted.get(dataset, 0) + int(done.rsplit(" ", 1)[1])
        return counted

    async def claim(self, now: int, until: int) -> tuple[Erasure, list[Identity]] | None:
        """Take an erasure with something left to do, that nobody takes until then, with all that
        its person was known by."""
        row = await self._pool.fetchrow(
            "UPDATE erasures SET next_time = $2, attempts = attempts + 1 WHERE request_id ="
            " (SELECT request_id FROM erasures WHERE complete_time IS NULL AND next_time <= $1"
            "  ORDER BY next_time LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING request_id, identities",
            now,
            until,
        )
        if row is None:
            return None
        known = _IDENTITIES.decode(await self._envelope.open(row["identities"]))
        return await self.get(row["request_id"]), [Identity(*one) for one in known]

    async def receive(self, request_id: str, service: str, receipt: bytes) -> None:
        """Keep a service's receipt; the first stays."""
        await self._pool.execute(
            "UPDATE erasure_parts SET receipt = $3"
            " WHERE request_id = $1 AND service = $2 AND receipt IS NULL",
            request_id,
            service,
            receipt,
        )

    async def renew(self, request_id: str, until: int) -> None:
        """It is still being worked on: nobody takes it until then."""
        await self._pool.execute(
            "UPDATE erasures SET next_time = $2 WHERE request_id = $1 AND complete_time IS NULL",
            request_id,
            until,
        )

    async def postpone(self, request_id: str, failure: str, until: int) -> None:
        """Go on later, because of a failure."""
        await self._pool.execute(
            "UPDATE erasures SET last_failure = $2, next_time = $3"
            " WHERE request_id = $1 AND complete_time IS NULL",
            request_id,
            failure,
            until,
        )

    async def complete(self, request_id: str, now: int) -> None:
        """Every service has erased what it held: nothing is left to know whom it was about."""
        await self._pool.execute(
            "UPDATE erasures SET complete_time = $2, identities = NULL, last_failure = ''"
            " WHERE request_id = $1 AND complete_time IS NULL",
            request_id,
            now,
        )


def _told(request_id: str, contact_id: str, now: int) -> Record:
    event = Event(
        event_id=derived_id("era", request_id, contact_id),
        event_time=timestamp(now),
        received_time=timestamp(now),
        source=SOURCE,
        contact_id=contact_id,
        contact_erased=ContactErased(request_id=request_id),
    )
    return Record(_TOPIC, contact_id, event.SerializeToString())


def _receipt(request_id: str, contact_id: str, now: int, counted: Mapping[str, int]) -> bytes:
    made = ErasureReceipt(
        request_id=request_id,
        service=_OWN,
        contact_id=contact_id,
        erase_time=timestamp(now),
        records=counted,
    )
    made.sha256 = sha256(made.SerializeToString(deterministic=True)).hexdigest()
    return made.SerializeToString()


def _erasure(row: "asyncpg.Record", parts: "Sequence[asyncpg.Record]") -> Erasure:
    return Erasure(
        row["request_id"],
        str(row["contact_id"]),
        list(map(str, row["member_ids"])),
        row["create_time"],
        row["complete_time"] or 0,
        row["last_failure"],
        row["attempts"],
        {one["service"]: one["receipt"] for one in parts},
    )
