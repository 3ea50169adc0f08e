"""Postgres: contacts' states, memberships and occurrences."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.tombstones import erased
from services.segment.engine.journeys.model import Journeys
from services.segment.engine.membership import Decide, Stretch
from services.segment.engine.model import (
    Occurrence,
    SegmentDefinition,
    Sweep,
    TriggerDefinition,
    TriggerRecord,
)
from services.segment.engine.outcome import Ending
from services.segment.engine.places import Places
from services.segment.engine.state import ContactState
from services.segment.names import Names
from services.segment.tables import journey_rows, sweep_rows
from services.segment.tables.occurrence_rows import COLUMNS, add_deeds, of_row
from services.segment.tables.occurrence_rows import ended as write_ended
from services.segment.tables.rows import Overtaken, check, delete_all, insert, lock, state_of, write

_DUE: Final = (
    # Of each trigger its share, by its own part of the index: one that has very many, or that is
    # paused, is in nobody's way.
    "WITH due AS MATERIALIZED (SELECT t.trigger_id FROM unnest($2::text[]) AS t (trigger_id),"  # noqa: S608 - fixed names
    " LATERAL (SELECT FROM occurrences o WHERE o.trigger_id = t.trigger_id"
    " AND state = 'waiting' AND due_time <= $1 LIMIT 1) AS first)"
    " SELECT ready.* FROM due, LATERAL ("
    f"SELECT {COLUMNS} FROM occurrences o WHERE o.trigger_id = due.trigger_id"
    " AND state = 'waiting' AND due_time <= $1 ORDER BY due_time"
    " LIMIT greatest($3 / (SELECT count(*) FROM due), 1) FOR UPDATE SKIP LOCKED) AS ready"
)
_EARLIER: Final = (
    # Versions before the latest of which something waits.
    "SELECT v.trigger FROM trigger_versions v JOIN triggers t USING (trigger_id)"
    " WHERE t.state <> 'archived' AND v.version < (SELECT max(version) FROM trigger_versions"
    " WHERE trigger_id = v.trigger_id) AND EXISTS (SELECT FROM occurrences o"
    " WHERE o.trigger_id = v.trigger_id AND o.state = 'waiting' AND o.trigger_version = v.version)"
)
_BEFORE_ALL: Final = "00000000-0000-0000-0000-000000000000"
_triggers = msgspec.json.Decoder(TriggerRecord)


class SegmentStore:
    """The tables of contacts; implements `membership.Store`."""

    def __init__(self, pool: Pool, effects: Effects, names: Names) -> None:
        """`names`: what rules may name, kept as of the definitions last read."""
        self._pool = pool
        self._effects = effects
        self._names = names
        self.journeys = Journeys()
        """Those there are with the definitions last read."""

    @property
    def places(self) -> Places:
        """Those there are with the definitions last read."""
        return self._names.places

    async def definitions(
        self,
    ) -> tuple[int, Sequence[SegmentDefinition], Sequence[TriggerDefinition]]:
        """The generation and what is in force with it."""
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            generation: int = await connection.fetchval("SELECT number FROM generation")
            segments = await connection.fetch(
                "SELECT segment_id, name, expression, version, live_expression, live_version,"
                " live_since FROM segments WHERE state <> 'archived'"
            )
            triggers = await connection.fetch(
                "SELECT trigger FROM triggers WHERE state <> 'archived'"
            )
            earlier = await connection.fetch(_EARLIER)
            await self._names.load(connection, generation)
            self.journeys = await journey_rows.in_force(connection)
        found: list[SegmentDefinition] = []
        for row in segments:
            segment_id, name = row["segment_id"], row["name"]
            if row["live_version"]:
                live, since = row["live_expression"], row["live_since"]
                found.append(
                    SegmentDefinition(segment_id, name, row["live_version"], live, True, since)
                )
            if row["version"] != row["live_version"]:
                found.append(
                    SegmentDefinition(segment_id, name, row["version"], row["expression"], False)
                )
        latest = [_triggers.decode(row["trigger"]).definition for row in triggers]
        waiting = [
            msgspec.structs.replace(_triggers.decode(row["trigger"]).definition, latest=False)
            for row in earlier
        ]
        return generation, found, latest + waiting

    async def apply(
        self,
        generation: int,
        event_ids: Sequence[str],
        contacts: Sequence[Sequence[str]],
        decide: Decide,
        make: bool = True,
    ) -> int | None:
        """Decide on what was not seen before; returns the earliest instant that is now due."""
        dues: list[int] = []

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            await check(connection, generation)
            positions = fresh if event_ids else range(len(contacts))
            concerned = {one for i in positions for one in contacts[i]}
            gone = await erased(connection, concerned)
            states = await lock(connection, concerned - gone, make)
            outcome = decide(states, fresh)
            outcome.leave_out(gone)
            records = await write(connection, outcome, dues)
            if gone:
                # A split gives back also to somebody who was erased.
                await delete_all(connection, gone)
            return records

        await self._effects.apply(event_ids, work)
        return min(dues, default=None)

    async def apply_due(self, generation: int, now: int, limit: int, decide: Decide) -> int:
        """Decide on contacts whose time has come; returns how many they were."""
        found = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal found
            await check(connection, generation)
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, state FROM contact_states WHERE next_time <= $1"
                " ORDER BY next_time LIMIT $2 FOR UPDATE SKIP LOCKED",
                now,
                limit,
            )
            found = len(rows)
            states = {row["id"]: state_of(row["state"]) for row in rows}
            return await write(connection, decide(states, ()), [])

        await self._effects.apply((), work)
        return found

    async def recall(self, generation: int, contact_ids: Collection[str], decide: Decide) -> None:
        """Decide on contacts, whether they are known or not."""

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            await check(connection, generation)
            wanted = set(contact_ids) - await erased(connection, contact_ids)
            states = await lock(connection, wanted, make=False)
            made = wanted - states.keys()
            outcome = decide(states | {one: ContactState() for one in made}, ())
            await insert(connection, {one: outcome.states[one] for one in made})
            records = await write(connection, outcome, [], made)
            if not records:
                # Who notes how far this went waits for the disk, and for this with it.
                await connection.execute("SET LOCAL synchronous_commit = off")
            return records

        while True:
            try:
                await self._effects.apply((), work)
            except Overtaken:
                continue
            return

    async def apply_from(
        self,
        generation: int,
        after: str,
        limit: int,
        stays: Callable[[ContactState], bool],
        decide: Decide,
    ) -> Stretch | None:
        """Decide on contacts behind `after`, except those that other rules leave as they are."""
        found: Stretch | None = None

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal found
            await check(connection, generation)
            # Not locked: whoever changes one from here on does so by these rules, too.
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, generation, state FROM contact_states"
                " WHERE contact_id > $1 ORDER BY contact_id LIMIT $2",
                after or _BEFORE_ALL,
                limit,
            )
            found = Stretch(rows[-1]["id"], len(rows)) if rows else None
            moved = {
                row["id"]
                for row in rows
                if row["generation"] < generation and not stays(state_of(row["state"]))
            }
            if not moved:
                return []
            states = await lock(connection, moved, make=False)
            return await write(connection, decide(states, ()), [])

        await self._effects.apply((), work)
        return found

    async def sweep(self, generation: int, sweep: Sweep, limit: int, decide: Decide) -> bool:
        """Decide on a batch of the people whom a sweep concerns and whom nothing has brought up to
        its edit yet; whether there may be more."""
        found = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal found
            await check(connection, generation)
            contact_ids = await sweep_rows.next_people(connection, sweep, limit)
            found = len(contact_ids)
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, state FROM contact_states"
                " WHERE contact_id = ANY($1::uuid[]) AND generation < $2"
                " ORDER BY contact_id FOR UPDATE",
                contact_ids,
                sweep.generation,
            )
            states = {row["id"]: state_of(row["state"]) for row in rows}
            return await write(connection, decide(states, ()), [])

        await self._effects.apply((), work)
        return found == limit

    async def fire_due(
        self,
        generation: int,
        now: int,
        limit: int,
        trigger_ids: Sequence[str],
        decide: Callable[[Occurrence, ContactState], Ending | None],
    ) -> int:
        """Decide on occurrences of these triggers whose time has come, of each trigger's the
        oldest; returns how many."""
        found = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal found
            await check(connection, generation)
            rows = await connection.fetch(_DUE, now, trigger_ids, limit)
            # Not locked: whoever erases holds a state and waits for its occurrences.
            states = await connection.fetch(
                "SELECT contact_id::text AS id, state FROM contact_states"
                " WHERE contact_id = ANY($1::uuid[])",
                list({row["id"] for row in rows}),
            )
            known = {row["id"]: state_of(row["state"]) for row in states}
            nobody = ContactState()
            endings = [decide(of_row(row), known.get(row["id"], nobody)) for row in rows]
            ended = [one for one in endings if one is not None]
            found = len(ended)
            if deeds := [one.deed for one in ended if one.deed is not None]:
                await add_deeds(connection, deeds)
            return await write_ended(connection, [one.occurrence for one in ended])

        await self._effects.apply((), work)
        return found

    async def rebuilds(self, now: int, limit: int) -> dict[str, bytes | None]:
        """Contacts to be made anew that are due, with their states as they are stored."""
        rows = await self._pool.fetch(
            "SELECT contact_id::text AS id, state FROM rebuilds"
            " LEFT JOIN contact_states USING (contact_id)"
            " WHERE due_time <= $1 ORDER BY due_time LIMIT $2",
            now,
            limit,
        )
        return {row["id"]: row["state"] for row in rows}

    async def rebuild(
        self, generation: int, contact_id: str, before: bytes, decide: Decide
    ) -> bool:
        """Decide on a contact that is to be made anew if its state is stored as it was before."""
        same = False

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal same
            await check(connection, generation)
            state = await connection.fetchval(
                "SELECT state FROM contact_states WHERE contact_id = $1 FOR UPDATE", contact_id
            )
            same = state == before
            if not same:
                return []
            await connection.execute("DELETE FROM rebuilds WHERE contact_id = $1", contact_id)
            return await write(connection, decide({contact_id: state_of(state)}, ()), [])

        await self._effects.apply((), work)
        return same

    async def rebuilt(self, contact_id: str) -> None:
        """Nothing is to be done about a contact."""
        await self._pool.execute("DELETE FROM rebuilds WHERE contact_id = $1", contact_id)

    async def next_due(self, trigger_ids: Sequence[str]) -> int | None:
        """The earliest instant at which a contact or an occurrence is due."""
        due: int | None = await self._pool.fetchval(
            "SELECT least((SELECT min(next_time) FROM contact_states WHERE next_time IS NOT NULL),"
            " (SELECT min(first.due_time) FROM unnest($1::text[]) AS t (trigger_id),"
            " LATERAL (SELECT due_time FROM occurrences o WHERE o.trigger_id = t.trigger_id"
            " AND state = 'waiting' ORDER BY due_time LIMIT 1) AS first))",
            trigger_ids,
        )
        return due
