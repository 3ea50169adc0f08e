"""Sees to it that stages which time changes are changed when the time comes."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.ids import derived_id
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.transient import transient
from services.profile.contract.wire import computed, published
from services.profile.person.model import Note, Standing
from services.profile.person.picture import together
from services.profile.person.standing import Rules
from services.profile.tables import standings, writing
from services.profile.tables.held import Person, hold
from services.profile.tables.registry import RegistryStore
from services.profile.tables.rows import Sealer
from services.profile.vault.keys import Vault

_BATCH: Final = 500
_LOOK_EVERY_S: Final = 1.0  # another replica, or an event, may have made something due sooner
_AGAIN_S: Final = 0.05  # what is due and not to be had is held by somebody who decides it anew
_TOPIC: Final = "contact"
_logger = structlog.get_logger()


class Due:
    """Decides anew where those contacts stand whose time has come."""

    def __init__(
        self, pool: Pool, effects: Effects, vault: Vault, registry: RegistryStore, clock: Clock
    ) -> None:
        self._pool = pool
        self._effects = effects
        self._vault = vault
        self._registry = registry
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled. Nothing due, no work."""
        while True:
            wait = _LOOK_EVERY_S
            try:
                due = await self._pool.fetchval("SELECT min(due_time) FROM standings")
                if due is not None and due <= (now := self._now()):
                    wait = 0 if await self.turn(now) else _AGAIN_S
                elif due is not None:
                    wait = min(wait, (due - now) / 1000)
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("time waits", error=type(error).__name__)
            if wait:
                await asyncio.sleep(wait)

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    async def turn(self, now: int) -> int:
        """Decide a batch of those who are due at `now`; returns how many that were."""
        decided = 0

        async def work(connection: Connection, _: Sequence[int]) -> Sequence[Record]:
            nonlocal decided
            rows = await connection.fetch(
                "SELECT contact_id FROM standings WHERE due_time <= $1 ORDER BY due_time LIMIT $2",
                now,
                _BATCH,
            )
            asked = [str(row[0]) for row in rows]
            people, keys, broken = await hold(connection, self._vault, asked, wait=False)
            decided = len(people) + len(broken)
            sealer = Sealer(self._vault, keys)
            await self._forget_erased(connection, asked)
            await standings.rest(connection, broken)
            rules = (await self._registry.current(connection)).rules
            former = {one.contact_id: one.standing for one in people}
            notes, after = _reconsidered(rules, people, now)
            await standings.write(connection, after, former)
            await writing.change(connection, {}, after, now, sealer)
            moves = [note for note in notes if note.body is not None]
            if moves:
                messages = [published(note) for note in moves]
                await writing.keep(connection, moves, messages, sealer)
            return [Record(_TOPIC, note.contact_id, published(note)) for note in notes]

        await self._effects.apply((), work)
        return decided

    async def _forget_erased(self, connection: Connection, contact_ids: Sequence[str]) -> None:
        """Forget of these whoever stands nowhere any more."""
        await connection.execute(
            "DELETE FROM standings s WHERE contact_id = ANY($1::uuid[])"
            " AND NOT EXISTS (SELECT FROM keys k WHERE k.contact_id = s.contact_id)",
            contact_ids,
        )


def _reconsidered(
    rules: Rules, people: Sequence[Person], now: int
) -> tuple[list[Note], dict[str, Standing]]:
    """Where people stand at `now`, by time alone, and what is to be said of those who moved."""
    notes: list[Note] = []
    decided: dict[str, Standing] = {}
    for person in people:
        contact_id, before = person.contact_id, person.standing
        if before is None or before.due is None or before.due > now:
            continue  # somebody decided it meanwhile
        picture = together([member.document for member in person.members])
        after = decided[contact_id] = rules.stand(picture, before, before.due, now)
        event_id = derived_id("due", contact_id, str(before.due))
        cause = computed(event_id, contact_id, before.due, now)
        changes = standings.told(rules, picture, before, after, now)
        moved = standings.move(contact_id, before, after, cause, changes)
        if moved is not None:
            notes.append(moved)
        elif changes:
            notes.append(Note(contact_id, contact_id, event_id, cause, before.due, changes))
    return notes, decided
