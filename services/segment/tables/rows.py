"""Rows of contacts: their states, memberships and occurrences, locked and written."""

from collections.abc import Collection, Mapping
from typing import Final

from chassis.postgres import Connection
from chassis.streams import Record
from services.segment import wire
from services.segment.engine.actions import RESTRICTED
from services.segment.engine.membership import RulesChanged
from services.segment.engine.model import Happening
from services.segment.engine.outcome import Outcome
from services.segment.engine.state import ContactState
from services.segment.tables import journey_rows, occurrence_rows, outside, stage_map, stays

TABLES: Final[Mapping[str, str]] = {
    # First: whoever holds a state writes the others.
    "state": "contact_states",
    "membership": "memberships",
    "stay": "stays",
    "occurrence": "occurrences",
    "deed": "deeds",
    "rebuild": "rebuilds",
    "whereabouts": "whereabouts",
    "look": "looks",
    "journey_instance": "journey_instances",
    "journey_visit": "journey_visits",
    "stage": "contact_stages",
}
"""All tables with rows of contacts, by what they hold."""


async def delete_all(connection: Connection, contact_ids: Collection[str]) -> dict[str, int]:
    """Everything of contacts; returns how many rows of what."""
    deleted: dict[str, int] = {}
    for dataset, table in TABLES.items():
        status = await connection.execute(
            f"DELETE FROM {table} WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - fixed names
            list(contact_ids),
        )
        deleted[dataset] = int(status.split()[-1])
    return deleted


async def check(connection: Connection, generation: int) -> None:
    """Hold the definitions as they are until the end of the transaction."""
    if await connection.fetchval("SELECT number FROM generation FOR SHARE") != generation:
        raise RulesChanged


async def lock(
    connection: Connection, contact_ids: set[str], make: bool = True
) -> dict[str, ContactState]:
    """The states of contacts, new ones made unless only those known are wanted, all locked; in one
    order, so that nobody deadlocks."""
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
        if not missing or not make:
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


class Overtaken(Exception):
    """Somebody else made a contact that was not known: look again."""


async def insert(connection: Connection, states: Mapping[str, ContactState]) -> None:
    """Write contacts that were not known; raises `Overtaken`, and the transaction is to end."""
    if not states:
        return
    ids = sorted(states)
    made = [states[one] for one in ids]
    status = await connection.execute(
        "INSERT INTO contact_states (contact_id, next_time, generation, state)"
        " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[])"
        " ON CONFLICT DO NOTHING",
        ids,
        [state.next_due() for state in made],
        [state.generation for state in made],
        [state.to_bytes() for state in made],
    )
    if int(status.split()[-1]) < len(ids):
        raise Overtaken


async def write(
    connection: Connection, outcome: Outcome, dues: list[int], made: Collection[str] = ()
) -> list[Record]:
    """Write what a batch changes; returns what follows, and adds what is due to `dues`. `made`:
    whose states were written already."""
    if outcome.transitions:
        await stays.keep(connection, outcome.transitions)
    if outcome.gone:
        await _forget(connection, outcome)
    if ids := sorted(outcome.states.keys() - made):
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
    unknown = {i for i, state in outcome.states.items() if state.restricted} | outcome.anew
    if unknown:
        await outside.forget(connection, unknown)
    if outcome.spots:
        await outside.keep_spots(connection, outcome.spots)
    if outcome.looks:
        await outside.keep_looks(connection, outcome.looks)
    for parting in outcome.parted:
        await _give_back(connection, parting)
    records = [wire.record(wire.signal(one)) for one in outcome.transitions]
    if outcome.instances:
        records += await journey_rows.write(connection, outcome)
    if outcome.occurrences or outcome.cancelled or outcome.deeds:
        records += await occurrence_rows.write(connection, outcome)
    if restricted := {i: state.clock for i, state in outcome.states.items() if state.restricted}:
        await _withhold(connection, restricted)
    if outcome.stages:
        await stage_map.stand(connection, outcome.stages)
    if outcome.visits:
        await journey_rows.count(connection, outcome.visits)
    if outcome.moves:
        await stage_map.count(connection, outcome.moves)
    return records


async def _forget(connection: Connection, outcome: Outcome) -> None:
    if outcome.absorbed:
        await occurrence_rows.move(connection, outcome.absorbed)
        await journey_rows.move(connection, outcome.absorbed)
        left = {
            one: outcome.states[stays_as].clock
            for one, stays_as in outcome.absorbed.items()
            if stays_as in outcome.states
        }
        await stays.end(connection, left)
        await outside.unite(connection, outcome.absorbed)
    await outside.forget(connection, outcome.gone)
    gone = list(outcome.gone)
    await stage_map.leave(connection, gone)
    for table in ("memberships", "occurrences", "deeds", "journey_instances", "journey_visits"):
        await connection.execute(
            f"DELETE FROM {table} WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - fixed names
            gone,
        )
    await connection.execute(
        "DELETE FROM contact_states WHERE contact_id = ANY($1::uuid[])",
        [one for one in gone if one not in outcome.states],
    )


async def _give_back(connection: Connection, parting: Happening) -> None:
    """What waits for a contact that was parted moves with it: an occurrence holds whose it was.
    Visits last: whoever settles deeds takes them in this order, too."""
    of = parting.parted, parting.contact_id, parting.member_ids
    await occurrence_rows.give_back(connection, *of)
    await journey_rows.give_back(connection, *of)


async def _withhold(connection: Connection, restricted: Mapping[str, int]) -> None:
    """Nothing waits or is done for people whose data may not be used, each from a time on."""
    undone = await occurrence_rows.withhold(connection, restricted)
    if steps := [one.step for one in undone if one.step]:
        await journey_rows.fail(connection, dict.fromkeys(steps, RESTRICTED))


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
