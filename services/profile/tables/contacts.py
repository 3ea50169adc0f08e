"""Contacts in Postgres. One method is one transaction.

Writers lock in one order: events seen, then members by id, then new identities by their hash.
Whatever they find changed meanwhile (a person that got another member, an identity somebody else
found first) makes them look again, so that any number of them agree on who is who.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import asyncpg
import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure
from chassis.ids import fingerprint
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.telemetry import counter
from services.profile.contract.wire import published
from services.profile.person.identity import BlindIndex
from services.profile.person.model import (
    Contact,
    ContactNotFound,
    Happening,
    Identity,
    Member,
    NotMerged,
    Outcome,
)
from services.profile.person.part import Part
from services.profile.person.people import (
    Evidence,
    Gathered,
    Person,
    Standing,
    apart,
    gather,
    link,
    sever,
)
from services.profile.person.picture import Placed, Rejected, Unfolded, unfold
from services.profile.person.placement import Placement
from services.profile.tables import links, tombstones, writing
from services.profile.tables.reading import Reading
from services.profile.tables.registry import RegistryStore
from services.profile.tables.rows import MEMBER, Sealer, keys_of, members_of
from services.profile.tables.standings import Standings
from services.profile.vault.keys import Vault
from services.profile.vault.seal import Key

_ATTEMPTS: Final = 10
_AT_ONCE: Final = 100  # people worked on until whoever asks for others has a turn: some 5 ms
_TOPIC: Final = "contact"
_NOTHING: Final = Standing({}, {}, frozenset())

T = TypeVar("T")

_logger = structlog.get_logger()
_refused = counter("merhaba.profile.links.refused")


class _Stale(Exception):
    """Somebody else was first: look again, and hold all members of these persons as well."""

    def __init__(self, person_ids: Collection[str] = ()) -> None:
        super().__init__()
        self.person_ids = person_ids


class _Refused(Exception):
    """Some happenings cannot be taken in; without them the others can."""

    def __init__(self, failures: Mapping[int, Failure]) -> None:
        super().__init__()
        self.failures = failures


class ContactStore(Reading):
    """What `directory.Profiles` asks for, in Postgres."""

    def __init__(
        self,
        pool: Pool,
        effects: Effects,
        vault: Vault,
        index: BlindIndex,
        registry: RegistryStore,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        """`new_id` gives an id for a new contact: a UUID in its usual text."""
        super().__init__(pool, vault, index, clock)
        self._effects = effects
        self._registry = registry
        self._standings = Standings(registry)
        self._new_id = new_id

    async def record(
        self, happenings: Sequence[Happening], strict: bool
    ) -> Sequence[Outcome | Failure | None]:
        """Take in happenings, each once; None is a repeat."""
        outcomes: list[Outcome | Failure | None] = [None] * len(happenings)
        for position, failure in (await self._registry.refusals(happenings, strict)).items():
            outcomes[position] = failure
        good = [position for position, outcome in enumerate(outcomes) if outcome is None]
        await self._registry.admit([happenings[position] for position in good])

        async def work(connection: Connection, fresh: Sequence[int]) -> Sequence[Record]:
            positions = [good[position] for position in fresh]
            while positions:
                batch = {position: happenings[position] for position in positions}
                try:
                    return await self._agreed(
                        connection, partial(self._take, happenings=batch, outcomes=outcomes)
                    )
                except _Refused as refused:
                    if strict:
                        raise next(iter(refused.failures.values())) from None
                    for position, failure in refused.failures.items():
                        outcomes[position] = failure
                    positions = [p for p in positions if p not in refused.failures]
            return ()

        await self._effects.apply([happenings[position].event_id for position in good], work)
        return outcomes

    async def _people(
        self, connection: "Connection | Pool", rows: "Sequence[asyncpg.Record]", part: Part | None
    ) -> list[Contact]:
        """People, without what is too old to count."""
        people = await super()._people(connection, rows, part)
        if people:
            known = await self._registry.of_generation(rows[0]["generation"], connection)
            if known.rules.max_ages:
                now = milliseconds_of(self._clock.now())
                for one in people:
                    known.freshen(one.document.attributes, now)
        return people

    async def merge(self, contact_id: str, other_id: str, cause: Happening) -> str:
        """Make one person of two; returns the one that stays. Raises `ContactNotFound`."""
        stays = contact_id

        async def join(held: _Hold) -> Sequence[Record]:
            nonlocal stays
            await held.take({contact_id, other_id})
            one, other = (held.member(each).person_id for each in (contact_id, other_id))
            stays = one
            if one == other:
                return ()
            event = str(fingerprint(cause.event_id))
            told = link(one, other, Evidence.TOLD, cause.time, event)
            gathered = gather(held.members, (), [told], _NOTHING)
            (stays,) = [person.contact_id for person in gathered.people]
            await links.remember(held.connection, gathered.links, cause.time)
            unfolded = [unfold(p, (), {}, (), cause, cause.time) for p in gathered.people]
            return await self._write(held, unfolded, (), cause.time)

        await self._effects.apply((), lambda connection, _: self._agreed(connection, join))
        return stays

    async def unmerge(self, absorbed_id: str, cause: Happening) -> str:
        """Part a contact from the one that absorbed it, whose id is returned; its own, if it stands
        by itself. Raises `ContactNotFound` and `NotMerged`."""
        person_id = absorbed_id

        async def part(held: _Hold) -> Sequence[Record]:
            nonlocal person_id
            await held.take({absorbed_id})
            person_id = held.member(absorbed_id).person_id
            if person_id == absorbed_id:
                if not await links.was_parted(held.connection, absorbed_id):
                    raise NotMerged(
                        "no other contact absorbed it; name the one that was absorbed",
                        contact_id=absorbed_id,
                    )
                return ()
            known = await links.among(held.connection, list(held.members))
            gone = sever(held.members, known, absorbed_id)
            await links.cut(held.connection, gone, [absorbed_id], cause.time)
            people = apart(held.members, [one for one in known if one not in gone])
            unfolded = [unfold(p, (), {}, (), cause, cause.time) for p in people]
            return await self._write(held, unfolded, (), cause.time)

        await self._effects.apply((), lambda connection, _: self._agreed(connection, part))
        return person_id

    async def _agreed(self, connection: Connection, step: Callable[["_Hold"], Awaitable[T]]) -> T:
        """Do a step again until nobody changed what it looked at."""
        person_ids: set[str] = set()
        for _ in range(_ATTEMPTS):
            try:
                async with connection.transaction():
                    return await step(_Hold(connection, self._vault, person_ids))
            except _Stale as stale:
                person_ids |= set(stale.person_ids)
        raise asyncpg.SerializationError("others are always first")

    async def _take(
        self,
        held: "_Hold",
        happenings: Mapping[int, Happening],
        outcomes: list[Outcome | Failure | None],
    ) -> Sequence[Record]:
        homes, ends = await self._known(
            held.connection, {i for one in happenings.values() for i in one.identities}
        )
        named = {one.contact_id for one in happenings.values() if one.contact_id}
        await held.take(named.union(homes.values()))
        if not held.members.keys() >= set(homes.values()):
            raise _Stale  # erased at this moment
        gone = await tombstones.gone(held.connection, named - held.members.keys())
        happenings = tombstones.alive(happenings, ends, gone)
        if not happenings:
            return ()
        now = milliseconds_of(self._clock.now())
        placement = Placement(homes, held.members, self._new_id, now)
        refused: dict[int, Failure] = {}
        for position, happening in happenings.items():
            try:
                placement.place(position, happening)
            except Failure as failure:
                refused[position] = failure
        if refused:
            raise _Refused(refused)
        gathered = await self._gather(held, placement, now)
        unfolded = await _unfold(gathered.people, happenings, placement, now)
        await self._lead(held.connection, placement)
        records = await self._write(held, unfolded, placement.made, now)
        for one in unfolded:
            created = one.person.contact_id in placement.made
            for position, etag in one.etags.items():
                outcomes[position] = Outcome(one.person.contact_id, created, etag)
        return records

    async def _known(
        self, connection: Connection, identities: Iterable[Identity]
    ) -> tuple[dict[Identity, str], dict[Identity, int]]:
        """Where identities lead; and of those of the erased, when they were erased."""
        keys = {self._index(identity): identity for identity in identities}
        if not keys:
            return {}, {}
        rows = await connection.fetch(
            "SELECT identity, contact_id, NULL FROM identities WHERE identity = ANY($1::bytea[])"
            " UNION ALL SELECT identity, NULL, erase_time FROM erased_identities"
            " WHERE identity = ANY($1::bytea[])",
            list(keys),
        )
        return (
            {keys[row[0]]: str(row[1]) for row in rows if row[1] is not None},
            {keys[row[0]]: row[2] for row in rows if row[2] is not None},
        )

    async def _gather(self, held: "_Hold", placement: Placement, now: int) -> Gathered:
        """Who is one person after what was placed; new evidence is remembered."""
        found = placement.links.values()
        if not found:
            return gather(held.members, placement.made, (), _NOTHING)
        standing = await links.standing(held.connection, found, placement.made)
        gathered = gather(held.members, placement.made, found, standing)
        if gathered.links:
            await links.remember(held.connection, gathered.links, now)
        if gathered.refused:
            _refused.add(gathered.refused)
            _logger.warning("an identity is shared by too many to link", links=gathered.refused)
        return gathered

    async def _lead(self, connection: Connection, placement: Placement) -> None:
        """Have new identities lead to their homes."""
        if placement.found:
            homes = {self._index(i): home for i, home in placement.found.items()}
            keys = sorted(homes)
            done = await connection.execute(
                "INSERT INTO identities SELECT * FROM unnest($1::bytea[], $2::uuid[])"
                " ON CONFLICT DO NOTHING",
                keys,
                [homes[key] for key in keys],
            )
            if int(done.rsplit(" ", 1)[1]) < len(keys):
                raise _Stale
        if placement.moved:
            await connection.execute(
                "UPDATE identities i SET contact_id = u.contact_id"
                " FROM unnest($1::bytea[], $2::uuid[]) AS u (identity, contact_id)"
                " WHERE i.identity = u.identity",
                [self._index(identity) for identity in placement.moved],
                list(placement.moved.values()),
            )

    async def _write(
        self, held: "_Hold", unfolded: Sequence[Unfolded], made: Collection[str], now: int
    ) -> Sequence[Record]:
        """Write what people became; returns what is to be said of it."""
        connection = held.connection
        if made:
            held.keys |= await self._vault.make(connection, list(made))
        sealer = Sealer(self._vault, held.keys)
        survivors = links.survivors(one.person for one in unfolded)
        stand = await self._standings.settle(connection, unfolded, now)
        if made:
            documents = {one: held.members[one].document for one in made}
            await writing.create(connection, documents, survivors, stand, now, sealer)
        changed = {
            member_id: held.members[member_id].document
            for one in unfolded
            for member_id in one.changed
            if member_id not in made
        }
        stand = {i: standing for i, standing in stand.items() if i not in made}
        await writing.change(connection, changed, stand, now, sealer)
        if moved := {i: survivor for i, survivor in survivors.items() if i not in made}:
            await links.stand(connection, moved)
        if lines := [line for one in unfolded for line in one.lines]:
            await writing.enter(connection, lines, now, sealer)
        notes = [note for one in unfolded for note in one.notes]
        messages = [published(note) for note in notes]
        if notes:
            await writing.keep(connection, notes, messages, sealer)
        return [
            Record(_TOPIC, note.contact_id, message)
            for note, message in zip(notes, messages, strict=True)
        ]


class _Hold:
    """Members held by a transaction, with their keys: all of every person it is about."""

    def __init__(self, connection: Connection, vault: Vault, person_ids: Collection[str]) -> None:
        """`person_ids`: persons that are known to have several members."""
        self.connection = connection
        self.members: dict[str, Member] = {}
        self.keys: dict[str, Key] = {}
        self._vault = vault
        self._person_ids = person_ids

    async def take(self, contact_ids: Collection[str]) -> None:
        """Hold these members, where they exist, and all others of their persons."""
        also = ""
        asked: list[list[str]] = [list(contact_ids)]
        if self._person_ids:
            also = " OR survivor_id = ANY($2::uuid[])"
            asked.append(list(self._person_ids))
        if contact_ids:
            await self._lock(f"contact_id = ANY($1::uuid[]){also}", "", *asked)
        several = {one.survivor_id for one in self.members.values() if one.survivor_id}
        if several:
            # Out of the order in which all take locks: so only those that nobody holds.
            try:
                await self._lock(
                    "survivor_id = ANY($1::uuid[]) AND contact_id <> ALL($2::uuid[])",
                    "NOWAIT",
                    list(several),
                    list(self.members),
                )
            except asyncpg.LockNotAvailableError:
                raise _Stale(several) from None

    async def _lock(self, which: str, waiting: str, *values: list[str]) -> None:
        # Keys apart: joined to what is locked, their index alone would not do.
        rows = await self.connection.fetch(
            f"WITH held AS (SELECT * FROM contacts WHERE {which}"  # noqa: S608 - constants
            f"  ORDER BY contact_id FOR NO KEY UPDATE {waiting})"
            f" SELECT {MEMBER} FROM held JOIN keys USING (contact_id)",
            *values,
        )
        keys = await keys_of(rows, self._vault)
        self.keys |= keys
        self.members |= {one.contact_id: one for one in members_of(rows, keys)}

    def member(self, contact_id: str) -> Member:
        """One that was taken. Raises `ContactNotFound`."""
        found = self.members.get(contact_id)
        if found is None:
            raise ContactNotFound(
                "nobody is that contact; look it up by an identity", contact_id=contact_id
            )
        return found


async def _unfold(
    people: Sequence[Person], happenings: Mapping[int, Happening], placement: Placement, now: int
) -> list[Unfolded]:
    """Take what was placed into the people; raises `_Refused`."""
    whose = {member.contact_id: person for person in people for member in person.members}
    placed: dict[str, list[Placed]] = {person.contact_id: [] for person in people}
    for position, home_id in placement.targets.items():
        one = Placed(position, happenings[position], home_id)
        placed[whose[home_id].contact_id].append(one)
    any_cause = next(iter(happenings.values()))
    unfolded: list[Unfolded] = []
    refused: dict[int, Failure] = {}
    for number, person in enumerate(people):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        own = placed[person.contact_id]
        cause = own[0].happening if own else any_cause
        try:
            unfolded.append(unfold(person, own, placement.homes, placement.made, cause, now))
        except Rejected as rejected:
            refused[rejected.position] = rejected.failure
    if refused:
        raise _Refused(refused)
    return unfolded
