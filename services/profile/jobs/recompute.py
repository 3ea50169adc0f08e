"""Runs that compute traits and stages anew, from the events, beside live updates.

A run is cut into parts of the contacts in the order of their ids. Whoever takes a part holds its
row while it does a batch, so each batch is done once, by any of several processes, and a crash or a
restart takes back no more than one. The same fold as of live events makes the traits, so what was
right stays as it is and makes no event.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid
from chassis.ids import derived_id, fresh_id
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.transient import transient
from services.profile.contract.wire import computed, decoded, happening, published
from services.profile.person import traits
from services.profile.person.model import Change, Document, Member, Note, Standing, StoredEvent
from services.profile.person.picture import together
from services.profile.person.registry import UnknownAttribute
from services.profile.person.vocabulary import ATTRIBUTES, STAGE
from services.profile.tables import runs, standings, writing
from services.profile.tables.held import Person, hold
from services.profile.tables.registry import RegistryStore
from services.profile.tables.rows import EVENT, Sealer, events_of
from services.profile.tables.runs import Part, Run, State
from services.profile.vault.keys import Vault
from services.profile.vault.seal import Key

_BATCH: Final = 100  # contacts of one transaction
_EVENTS: Final = 200  # of one member, read with the others of its batch; the rest in pages
_PAGE: Final = 2_000
_LOOK_EVERY_S: Final = 1.0
_WORKERS: Final = 2  # of one process: one waits for the database while the other computes
_TOPIC: Final = "contact"
_PREFIX: Final = "traits."
_COUNTED: Final = sorted(traits.EVENTS)
_logger = structlog.get_logger()


class Recompute:
    """Starts, does and ends runs."""

    def __init__(
        self, pool: Pool, effects: Effects, vault: Vault, registry: RegistryStore, clock: Clock
    ) -> None:
        self._pool = pool
        self._effects = effects
        self._vault = vault
        self._registry = registry
        self._clock = clock
        self._started = asyncio.Event()

    async def start(
        self, contact_ids: Sequence[str], names: Sequence[str], recompute_id: str = ""
    ) -> Run:
        """Begin a run over some contacts, or everybody. `names`: of traits, and `stage`; empty is
        all. Raises `UnknownAttribute` and `FieldInvalid`."""
        for name in names:
            kind = ATTRIBUTES.get(name)
            if kind is None:
                raise UnknownAttribute(name, (n for n, one in ATTRIBUTES.items() if one.computed))
            if not kind.computed:
                raise FieldInvalid("names", f"{name} is told, not computed")
        recompute_id = recompute_id or fresh_id("rec")
        await runs.begin(self._pool, recompute_id, contact_ids, sorted(set(names)), self._now())
        self._started.set()
        return await self.get(recompute_id)

    async def get(self, recompute_id: str) -> Run:
        """How a run stands. Raises `RecomputeNotFound`."""
        return await runs.find(self._pool, recompute_id)

    async def cancel(self, recompute_id: str) -> Run:
        """End a run where it stands. Raises `RecomputeNotFound`."""
        await runs.end(self._pool, recompute_id, State.CANCELLED, self._now())
        return await self.get(recompute_id)

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    async def run(self) -> None:
        """Do what is to be done, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            busy = False
            try:
                busy = await self.turn()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("a recompute waits", error=type(error).__name__)
            if not busy:
                self._started.clear()
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._started.wait()
                except TimeoutError:
                    continue

    async def turn(self) -> bool:
        """Do a batch of some part; returns whether there was one."""
        taken: Part | None = None

        async def work(connection: Connection, _: Sequence[int]) -> Sequence[Record]:
            nonlocal taken
            taken = await runs.take(connection)
            if taken is None:
                return ()
            contact_ids, after, done = await runs.following(connection, taken, _BATCH)
            records, changed = await self._batch(connection, taken, contact_ids)
            step = taken._replace(after=after, done=done)
            await runs.advance(connection, step, len(contact_ids), changed, self._now())
            return records

        try:
            await self._effects.apply((), work)
        except Failure as failure:
            if transient(failure) or taken is None:
                raise
            _logger.warning("a recompute failed", recompute=taken.recompute_id, why=failure.reason)
            await runs.end(
                self._pool, taken.recompute_id, State.FAILED, self._now(), failure.message
            )
            return True
        return taken is not None

    async def _batch(
        self, connection: Connection, part: Part, contact_ids: Sequence[str]
    ) -> tuple[Sequence[Record], int]:
        """Compute people anew; returns what is to be said, and of how many anything differed."""
        people, keys, _ = await hold(connection, self._vault, contact_ids)
        only_stage = list(part.names) == [STAGE]
        anew = {} if only_stage else await self._anew(connection, people, keys)
        rules = (await self._registry.current(connection)).rules
        former = {one.contact_id: one.standing for one in people}
        now = self._now()
        notes: list[Note] = []
        documents: dict[str, Document] = {}
        decided: dict[str, Standing] = {}
        for person in people:
            contact_id = person.contact_id
            changed, changes = _corrected(person, anew, now)
            documents |= changed
            picture = together([member.document for member in person.members])
            before = former[contact_id]
            time = max(picture.stamp, before.enter_time + 1 if before else 0)
            after = before if part.names and STAGE not in part.names else None
            after = after or rules.stand(picture, before, min(time, now), now)
            if after != before:
                decided[contact_id] = after
                changes += standings.told(rules, picture, before, after, now)
            event_id = derived_id("rec", part.recompute_id, contact_id)
            cause = computed(event_id, contact_id, now, now, part.recompute_id)
            moved = standings.move(contact_id, before, after, cause, [])
            if changes:
                notes.append(Note(contact_id, contact_id, event_id, cause, now, changes))
            if moved is not None:
                notes.append(moved)
        sealer = Sealer(self._vault, keys)
        await writing.change(connection, documents, decided, now, sealer)
        await standings.write(connection, decided, former)
        moves = [note for note in notes if note.body is not None]
        if moves:
            await writing.keep(connection, moves, [published(note) for note in moves], sealer)
        records = [Record(_TOPIC, note.contact_id, published(note)) for note in notes]
        return records, len({note.contact_id for note in notes})

    async def _anew(
        self, connection: Connection, people: Sequence[Person], keys: dict[str, Key]
    ) -> dict[str, Document]:
        """Documents of members with traits as their events give them, and nothing else."""
        members = {m.contact_id: Document(m.create_time) for p in people for m in p.members}
        rows = await connection.fetch(
            "SELECT e.* FROM unnest($1::uuid[]) AS c (contact_id) CROSS JOIN LATERAL ("  # noqa: S608 - a constant
            f" SELECT {EVENT} FROM events WHERE contact_id = c.contact_id AND name = ANY($2)"
            "  ORDER BY event_time, event LIMIT $3) AS e",
            list(members),
            _COUNTED,
            _EVENTS,
        )
        last: dict[str, StoredEvent] = {}
        counts = Counter[str]()
        for stored in events_of(rows, keys):
            contact_id = stored.contact_id
            _fold(members[contact_id], stored.body)
            last[contact_id] = stored
            counts[contact_id] += 1
        for contact_id, count in counts.items():
            if count == _EVENTS:
                await self._rest(connection, members[contact_id], last[contact_id], keys)
        return members

    async def _rest(
        self, connection: Connection, document: Document, last: StoredEvent, keys: dict[str, Key]
    ) -> None:
        """Fold the events of a member that come after one."""
        while True:
            rows = await connection.fetch(
                f"SELECT {EVENT} FROM events WHERE contact_id = $1 AND name = ANY($2)"  # noqa: S608 - a constant
                " AND (event_time, event) > ($3, $4) ORDER BY event_time, event LIMIT $5",
                last.contact_id,
                _COUNTED,
                last.time,
                last.event,
                _PAGE,
            )
            found = events_of(rows, keys)
            for stored in found:
                _fold(document, stored.body)
            if len(rows) < _PAGE:
                return
            last = found[-1]


def _fold(document: Document, body: bytes) -> None:
    found = happening(decoded(body), body, "")
    if found is not None:
        traits.fold(document, found)


def _corrected(
    person: Person, anew: dict[str, Document], now: int
) -> tuple[dict[str, Document], list[Change]]:
    """Put right the traits of a person's members; returns documents that changed, and what is to
    be published."""
    wrong = [one for one in person.members if one.contact_id in anew and _differs(one, anew)]
    if not wrong:
        return {}, []
    published = traits.PUBLISHED
    before = traits.values_json(together([one.document for one in person.members]), published)
    for member in wrong:
        right = anew[member.contact_id]
        member.document.counts = right.counts
        member.document.times = right.times
        member.document.tallies = right.tallies
    picture = together([member.document for member in person.members])
    after = traits.values_json(picture, published)
    names = [name for name in before | after if before.get(name) != after.get(name)]
    changed = {member.contact_id: member.document for member in wrong}
    if not names:
        return changed, []
    stamp = max(picture.stamp + 1, now)
    first = next(one for one in person.members if one.contact_id == person.contact_id)
    first.document.stamp = stamp
    changed[first.contact_id] = first.document
    return changed, [Change(_PREFIX + name, after.get(name, b""), stamp) for name in names]


def _differs(member: Member, anew: dict[str, Document]) -> bool:
    has, right = member.document, anew[member.contact_id]
    return (has.counts, has.times, has.tallies) != (right.counts, right.times, right.tallies)
