"""Postgres: contacts' states, memberships and occurrences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.segment import wire
from services.segment.membership import Decide, Outcome, RulesChanged
from services.segment.model import Occurrence, SegmentDefinition, TriggerDefinition, TriggerRecord
from services.segment.state import ContactState

_BEFORE_ALL: Final = "00000000-0000-0000-0000-000000000000"
_occurrences = msgspec.msgpack.Decoder(Occurrence)
_triggers = msgspec.json.Decoder(TriggerRecord)


class SegmentStore:
    """The tables of contacts; implements `membership.Store`."""

    def __init__(self, pool: Pool, effects: Effects) -> None:
        self._pool = pool
        self._effects = effects

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
            await _check(connection, generation)
            positions = fresh if event_ids else range(len(contacts))
            states = await _lock(connection, {one for i in positions for one in contacts[i]})
            outcome = decide(states, fresh)
            return await _write(connection, outcome, dues)

        await self._effects.apply(event_ids, work)
        return min(dues, default=None)

    async def apply_due(self, generation: int, now: int, limit: int, decide: Decide) -> int:
        """Decide on contacts whose time has come; returns how many they were."""
        found = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal found
            await _check(connection, generation)
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, state FROM contact_states WHERE next_time <= $1"
                " ORDER BY next_time LIMIT $2 FOR UPDATE SKIP LOCKED",
                now,
                limit,
            )
            found = len(rows)
            states = {row["id"]: _state(row["state"]) for row in rows}
            return await _write(connection, decide(states, ()), [])

        await self._effects.apply((), work)
        return found

    async def apply_from(
        self, generation: int, after: str, limit: int, decide: Decide
    ) -> str | None:
        """Decide on contacts behind `after` that other rules were applied to last."""
        last: str | None = None

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal last
            await _check(connection, generation)
            rows = await connection.fetch(
                "SELECT contact_id::text AS id, state FROM contact_states"
                " WHERE contact_id > $1 AND generation < $2"
                " ORDER BY contact_id LIMIT $3 FOR UPDATE",
                after or _BEFORE_ALL,
                generation,
                limit,
            )
            last = rows[-1]["id"] if rows else None
            states = {row["id"]: _state(row["state"]) for row in rows}
            return await _write(connection, decide(states, ()), [])

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
            await _check(connection, generation)
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
            known = {row["id"]: _state(row["state"]) for row in states}
            # A merge moves a row and leaves what it holds.
            ended = [
                decide(
                    msgspec.structs.replace(
                        _occurrences.decode(row["occurrence"]), contact_id=row["id"]
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

    async def next_due(self, trigger_ids: Sequence[str]) -> int | None:
        """The earliest instant at which a contact or an occurrence is due."""
        due: int | None = await self._pool.fetchval(
            "SELECT least((SELECT min(next_time) FROM contact_states WHERE next_time IS NOT NULL),"
            " (SELECT min(due_time) FROM occurrences"
            " WHERE state = 'waiting' AND trigger_id = ANY($1)))",
            trigger_ids,
        )
        return due

    async def erase(self, contact_id: str) -> Mapping[str, int]:
        """Delete everything about a contact; returns how many records of which kind."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            deleted: dict[str, int] = {}
            for dataset, table in (
                ("state", "contact_states"),
                ("membership", "memberships"),
                ("occurrence", "occurrences"),
            ):
                status = await connection.execute(
                    f"DELETE FROM {table} WHERE contact_id = $1::uuid",  # noqa: S608 - fixed names
                    contact_id,
                )
                deleted[dataset] = int(status.split()[-1])
        return deleted


async def _check(connection: Connection, generation: int) -> None:
    """Hold the definitions as they are until the end of the transaction."""
    if await connection.fetchval("SELECT number FROM generation FOR SHARE") != generation:
        raise RulesChanged


async def _lock(connection: Connection, contact_ids: set[str]) -> dict[str, ContactState]:
    """The states of contacts, new ones made, all locked; in one order, so that nobody deadlocks."""
    missing = sorted(contact_ids)
    states: dict[str, ContactState] = {}
    while missing:
        rows = await connection.fetch(
            "SELECT contact_id::text AS id, state FROM contact_states"
            " WHERE contact_id = ANY($1::uuid[]) ORDER BY contact_id FOR UPDATE",
            missing,
        )
        states.update((row["id"], _state(row["state"])) for row in rows)
        missing = [one for one in missing if one not in states]
        if not missing:
            break
        rows = await connection.fetch(
            "INSERT INTO contact_states (contact_id, state) SELECT unnest($1::uuid[]), ''"
            " ON CONFLICT DO NOTHING RETURNING contact_id::text AS id",
            missing,
        )
        states.update((row["id"], ContactState()) for row in rows)
        missing = [one for one in missing if one not in states]
    return states


def _state(data: bytes) -> ContactState:
    return ContactState.from_bytes(data) if data else ContactState()


async def _write(connection: Connection, outcome: Outcome, dues: list[int]) -> list[Record]:
    """Write what a batch changes; returns what follows, and adds what is due to `dues`."""
    if outcome.gone:
        await _forget(connection, outcome)
    if outcome.states:
        ids = sorted(outcome.states)
        states = [outcome.states[one] for one in ids]
        next_times = [state.next_due() for state in states]
        dues += [due for due in next_times if due is not None]
        await connection.execute(
            "UPDATE contact_states s SET next_time = n.next_time, generation = n.generation,"
            " state = n.state FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[])"
            " AS n (contact_id, next_time, generation, state) WHERE s.contact_id = n.contact_id",
            ids,
            next_times,
            [state.generation for state in states],
            [state.to_bytes() for state in states],
        )
    if outcome.transitions:
        await _write_memberships(connection, outcome)
    records = [wire.record(wire.signal(one)) for one in outcome.transitions]
    if outcome.occurrences:
        records += await _write_occurrences(connection, outcome.occurrences)
    return records


async def _forget(connection: Connection, outcome: Outcome) -> None:
    absorbed = list(outcome.absorbed)
    if absorbed:
        await connection.execute(
            "UPDATE occurrences o SET contact_id = n.stays FROM unnest($1::uuid[], $2::uuid[])"
            " AS n (contact_id, stays) WHERE o.contact_id = n.contact_id",
            absorbed,
            [outcome.absorbed[one] for one in absorbed],
        )
    gone = list(outcome.gone)
    for table in ("memberships", "occurrences"):
        await connection.execute(
            f"DELETE FROM {table} WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - fixed names
            gone,
        )
    await connection.execute(
        "DELETE FROM contact_states WHERE contact_id = ANY($1::uuid[])",
        [one for one in gone if one not in outcome.states],
    )


async def _write_memberships(connection: Connection, outcome: Outcome) -> None:
    final = {
        (one.contact_id, one.segment_id): one
        for one in outcome.transitions
        if one.contact_id in outcome.states
    }
    left = [pair for pair, one in final.items() if not one.entered]
    if left:
        await connection.execute(
            "DELETE FROM memberships m USING unnest($1::uuid[], $2::text[])"
            " AS n (contact_id, segment_id)"
            " WHERE m.contact_id = n.contact_id AND m.segment_id = n.segment_id",
            [contact_id for contact_id, _ in left],
            [segment_id for _, segment_id in left],
        )
    entered = [one for one in final.values() if one.entered]
    if entered:
        await connection.execute(
            "INSERT INTO memberships (contact_id, segment_id, version, enter_time)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[])"
            " ON CONFLICT (contact_id, segment_id)"
            " DO UPDATE SET version = excluded.version, enter_time = excluded.enter_time",
            [one.contact_id for one in entered],
            [one.segment_id for one in entered],
            [one.version for one in entered],
            [one.time for one in entered],
        )


async def _write_occurrences(
    connection: Connection, occurrences: Sequence[Occurrence]
) -> list[Record]:
    """Those that are new; one that was there before has had its effect."""
    first = {one.occurrence_id: one for one in reversed(occurrences)}
    rows = await connection.fetch(
        "INSERT INTO occurrences"
        " (contact_id, occurrence_id, trigger_id, state, cause_time, due_time, occurrence)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[],"
        " $6::bigint[], $7::bytea[]) ON CONFLICT DO NOTHING RETURNING occurrence_id",
        [one.contact_id for one in first.values()],
        list(first),
        [one.trigger_id for one in first.values()],
        [one.state for one in first.values()],
        [one.cause_time for one in first.values()],
        [one.due_time for one in first.values()],
        [msgspec.msgpack.encode(one) for one in first.values()],
    )
    fired = [first[row["occurrence_id"]] for row in rows]
    return [wire.record(wire.firing(one)) for one in fired if one.state == "fired"]
