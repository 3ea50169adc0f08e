"""Postgres: contacts' states, memberships and occurrences."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.tombstones import erased
from services.segment import wire
from services.segment.membership import Decide, Outcome
from services.segment.model import (
    Occurrence,
    SegmentDefinition,
    TriggerDefinition,
    TriggerRecord,
)
from services.segment.names import Names
from services.segment.rows import OCCURRENCE, check, lock, state_of, write
from services.segment.state import ContactState

_BEFORE_ALL: Final = "00000000-0000-0000-0000-000000000000"
_triggers = msgspec.json.Decoder(TriggerRecord)


class SegmentStore:
    """The tables of contacts; implements `membership.Store`."""

    def __init__(self, pool: Pool, effects: Effects, names: Names) -> None:
        """`names`: what rules may name, kept as of the definitions last read."""
        self._pool = pool
        self._effects = effects
        self._names = names

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
            await self._names.load(connection, generation)
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
        return generation, found, [_triggers.decode(row["trigger"]).definition for row in triggers]

    async def apply(
        self,
        generation: int,
        event_ids: Sequence[str],
        contacts: Sequence[Sequence[str]],
        decide: Decide,
    ) -> int | None:
        """Decide on what was not seen before; returns the earliest instant that is now due."""
        dues: list[int] = []

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            await check(connection, generation)
            positions = fresh if event_ids else range(len(contacts))
            concerned = {one for i in positions for one in contacts[i]}
            gone = await erased(connection, concerned)
            states = await lock(connection, concerned - gone)
            outcome = decide(states, fresh)
            outcome.leave_out(gone)
            records = await write(connection, outcome, dues)
            if gone:  # what a split gives back to somebody who was erased
                await connection.execute(
                    "DELETE FROM occurrences WHERE contact_id = ANY($1::uuid[])", list(gone)
                )
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

    async def apply_from(
        self, generation: int, after: str, limit: int, decide: Decide
    ) -> str | None:
        """Decide on contacts behind `after` that other rules were applied to last."""
        last: str | None = None

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal last
            await check(connection, generation)
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, state FROM contact_states"
                " WHERE contact_id > $1 AND generation < $2"
                " ORDER BY contact_id LIMIT $3 FOR UPDATE",
                after or _BEFORE_ALL,
                generation,
                limit,
            )
            last = rows[-1]["id"] if rows else None
            states = {row["id"]: state_of(row["state"]) for row in rows}
            return await write(connection, decide(states, ()), [])

        await self._effects.apply((), work)
        return last

    async def fire_due(
        self,
        generation: int,
        now: int,
        limit: int,
        trigger_ids: Sequence[str],
        decide: Callable[[Occurrence, ContactState], Occurrence],
    ) -> int:
        """Decide on occurrences of these triggers whose time has come; returns how many."""
        found = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal found
            await check(connection, generation)
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, occurrence FROM occurrences"
                " WHERE state = 'waiting' AND due_time <= $1 AND trigger_id = ANY($2)"
                " ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED",
                now,
                trigger_ids,
                limit,
            )
            found = len(rows)
            # Not locked: whoever erases holds a state and waits for its occurrences.
            states = await connection.fetch(
                "SELECT contact_id::text AS id, state FROM contact_states"
                " WHERE contact_id = ANY($1::uuid[])",
                list({row["id"] for row in rows}),
            )
            known = {row["id"]: state_of(row["state"]) for row in states}
            # A merge moves a row and leaves what it holds.
            ended = [
                decide(
                    msgspec.structs.replace(
                        OCCURRENCE.decode(row["occurrence"]), contact_id=row["id"]
                    ),
                    known.get(row["id"]) or ContactState(),
                )
                for row in rows
            ]
            await connection.execute(
                "UPDATE occurrences o SET state = n.state, occurrence = n.occurrence"
                " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[])"
                " AS n (contact_id, occurrence_id, state, occurrence)"
                " WHERE o.contact_id = n.contact_id AND o.occurrence_id = n.occurrence_id",
                [one.contact_id for one in ended],
                [one.occurrence_id for one in ended],
                [one.state for one in ended],
                [msgspec.msgpack.encode(one) for one in ended],
            )
            return [wire.record(wire.firing(one)) for one in ended if one.state == "fired"]

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

    async def give_up(self, contact_id: str, survivor_id: str, now: int) -> None:
        """Delete what came late of a contact that was absorbed; the survivor is made anew."""

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            both = {contact_id, survivor_id}
            gone = await erased(connection, both)
            await connection.execute("DELETE FROM rebuilds WHERE contact_id = $1", contact_id)
            await lock(connection, both - gone)
            absorbed = {contact_id: survivor_id}
            rebuilds = {survivor_id: now}
            outcome = Outcome(gone={contact_id}, absorbed=absorbed, rebuilds=rebuilds)
            outcome.leave_out(gone)
            return await write(connection, outcome, [])

        await self._effects.apply((), work)

    async def next_due(self, trigger_ids: Sequence[str]) -> int | None:
        """The earliest instant at which a contact or an occurrence is due."""
        due: int | None = await self._pool.fetchval(
            "SELECT least((SELECT min(next_time) FROM contact_states WHERE next_time IS NOT NULL),"
            " (SELECT min(due_time) FROM occurrences"
            " WHERE state = 'waiting' AND trigger_id = ANY($1)))",
            trigger_ids,
        )
        return due
