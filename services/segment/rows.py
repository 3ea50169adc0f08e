"""Rows of contacts: their states, memberships and occurrences, locked and written."""

from collections.abc import Sequence

import msgspec

from chassis.postgres import Connection
from chassis.streams import Record
from services.segment import stays, wire
from services.segment.membership import Outcome, RulesChanged
from services.segment.model import Happening, Occurrence
from services.segment.state import ContactState

OCCURRENCE = msgspec.msgpack.Decoder(Occurrence)


async def check(connection: Connection, generation: int) -> None:
    """Hold the definitions as they are until the end of the transaction."""
    if await connection.fetchval("SELECT number FROM generation FOR SHARE") != generation:
        raise RulesChanged


async def lock(connection: Connection, contact_ids: set[str]) -> dict[str, ContactState]:
    """The states of contacts, new ones made, all locked; in one order, so that nobody deadlocks."""
    missing = sorted(contact_ids)
    states: dict[str, ContactState] = {}
    while missing:
        rows = await connection.fetch(
            "SELECT contact_id::text AS id, state FROM contact_states"
            " WHERE contact_id = ANY($1::uuid[]) ORDER BY contact_id FOR UPDATE",
            missing,
        )
        states.update((row["id"], state_of(row["state"])) for row in rows)
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


def state_of(data: bytes) -> ContactState:
    return ContactState.from_bytes(data) if data else ContactState()


async def write(connection: Connection, outcome: Outcome, dues: list[int]) -> list[Record]:
    """Write what a batch changes; returns what follows, and adds what is due to `dues`."""
    if outcome.transitions:
        await stays.keep(connection, outcome.transitions)
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
    if outcome.rebuilds:
        await connection.execute(
            "INSERT INTO rebuilds SELECT * FROM unnest($1::uuid[], $2::bigint[])"
            " ON CONFLICT (contact_id) DO UPDATE SET due_time = excluded.due_time",
            list(outcome.rebuilds),
            list(outcome.rebuilds.values()),
        )
    for parting in outcome.parted:
        await _give_back(connection, parting)
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
        left = {
            one: outcome.states[stays_as].clock
            for one, stays_as in outcome.absorbed.items()
            if stays_as in outcome.states
        }
        await stays.end(connection, left)
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


async def _give_back(connection: Connection, parting: Happening) -> None:
    """What waits for a contact that was parted moves with it: an occurrence holds whose it was."""
    rows = await connection.fetch(
        "SELECT occurrence FROM occurrences WHERE contact_id = $1", parting.parted
    )
    found = [OCCURRENCE.decode(row["occurrence"]) for row in rows]
    own = [one.occurrence_id for one in found if one.contact_id in parting.member_ids]
    if own:
        await connection.execute(
            "UPDATE occurrences SET contact_id = $1"
            " WHERE contact_id = $2 AND occurrence_id = ANY($3::text[])",
            parting.contact_id,
            parting.parted,
            own,
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
