"""Rows of occurrences, and of what is to be done outside because of them or of steps."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from chassis.postgres import Connection
from chassis.streams import Record
from services.segment import wire
from services.segment.engine.actions import RESTRICTED, Deed
from services.segment.engine.causing import Cancelled
from services.segment.engine.model import Occurrence
from services.segment.engine.outcome import Outcome
from services.segment.engine.triggers import CANCELLED

COLUMNS: Final = "contact_id::text AS id, state, end_time, reason, attempt_count, occurrence"
DEED: Final = msgspec.msgpack.Decoder(Deed)
_OCCURRENCE: Final = msgspec.msgpack.Decoder(Occurrence)
_TABLES: Final[Mapping[str, tuple[str, Any]]] = {
    "occurrences": ("occurrence", _OCCURRENCE),
    "deeds": ("deed", DEED),
}


def of_row(row: Any) -> Occurrence:
    """As it is: a merge moves a row, and what became of it stands in columns."""
    found = _OCCURRENCE.decode(row["occurrence"])
    ended = row["end_time"] is not None
    return msgspec.structs.replace(
        found,
        contact_id=row["id"],
        state=row["state"],
        end_time=row["end_time"] if ended else found.end_time,
        reason=row["reason"] if row["reason"] is not None else found.reason,
        attempt_count=row["attempt_count"],
    )


async def write(connection: Connection, outcome: Outcome) -> list[Record]:
    """Write what triggers made of a batch; returns what follows. An occurrence that was there
    before has had its effect."""
    new = await _insert(connection, outcome.occurrences) if outcome.occurrences else {}
    if outcome.cancelled:
        await _cancel(connection, outcome.cancelled)
    deeds = [d for d in outcome.deeds if d.origin != "occurrence" or d.deed_id in new]
    if deeds:
        await add_deeds(connection, deeds)
    return [wire.record(wire.firing(one)) for one in new.values() if one.state == "fired"]


async def ended(connection: Connection, occurrences: Sequence[Occurrence]) -> list[Record]:
    """Write what became of occurrences that were due; returns what follows."""
    await connection.execute(
        "UPDATE occurrences o SET state = n.state, occurrence = n.occurrence"
        " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[])"
        " AS n (contact_id, occurrence_id, state, occurrence)"
        " WHERE o.contact_id = n.contact_id AND o.occurrence_id = n.occurrence_id",
        [one.contact_id for one in occurrences],
        [one.occurrence_id for one in occurrences],
        [one.state for one in occurrences],
        [msgspec.msgpack.encode(one) for one in occurrences],
    )
    return [wire.record(wire.firing(one)) for one in occurrences if one.state == "fired"]


async def add_deeds(connection: Connection, deeds: Sequence[Deed]) -> None:
    """Have these done."""
    await connection.execute(
        "INSERT INTO deeds (contact_id, deed_id, origin, owner_id, next_time, deed)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[],"
        " $6::bytea[]) ON CONFLICT DO NOTHING",
        [one.contact_id for one in deeds],
        [one.deed_id for one in deeds],
        [one.origin for one in deeds],
        [one.owner_id for one in deeds],
        [one.due_time for one in deeds],
        [msgspec.msgpack.encode(one) for one in deeds],
    )


async def withhold(connection: Connection, restricted: Mapping[str, int]) -> list[Deed]:
    """End what waits, or is not done yet, of people whose data may not be used from a time on;
    returns what is not done."""
    await connection.execute(
        "UPDATE occurrences o SET state = 'restricted', end_time = n.end_time, reason = $3"
        " FROM unnest($1::uuid[], $2::bigint[]) AS n (contact_id, end_time)"
        " WHERE o.contact_id = n.contact_id AND (o.state = 'waiting' OR (o.state = 'fired'"
        " AND occurrence_id IN (SELECT deed_id FROM deeds d WHERE d.contact_id = o.contact_id)))",
        list(restricted),
        list(restricted.values()),
        RESTRICTED,
    )
    rows = await connection.fetch(
        "DELETE FROM deeds WHERE contact_id = ANY($1::uuid[]) RETURNING deed", list(restricted)
    )
    return [DEED.decode(row["deed"]) for row in rows]


async def move(connection: Connection, absorbed: Mapping[str, str]) -> None:
    """What was of contacts is now another's, whose part they became."""
    for table in _TABLES:
        await connection.execute(
            f"UPDATE {table} t SET contact_id = n.stays FROM unnest($1::uuid[], $2::uuid[])"  # noqa: S608 - fixed names
            " AS n (contact_id, stays) WHERE t.contact_id = n.contact_id",
            list(absorbed),
            list(absorbed.values()),
        )


async def give_back(
    connection: Connection, from_id: str, contact_id: str, member_ids: Collection[str]
) -> None:
    """What is of a contact that was parted moves with it: each row holds whose it was."""
    for table, (column, decoder) in _TABLES.items():
        rows = await connection.fetch(
            f"SELECT {column}_id AS id, {column} AS kept FROM {table} WHERE contact_id = $1",  # noqa: S608 - fixed names
            from_id,
        )
        own = [row["id"] for row in rows if decoder.decode(row["kept"]).contact_id in member_ids]
        if own:
            await connection.execute(
                f"UPDATE {table} SET contact_id = $1"  # noqa: S608 - fixed names
                f" WHERE contact_id = $2 AND {column}_id = ANY($3::text[])",
                contact_id,
                from_id,
                own,
            )


async def _insert(
    connection: Connection, occurrences: Sequence[Occurrence]
) -> dict[str, Occurrence]:
    first = {one.occurrence_id: one for one in reversed(occurrences)}
    rows = await connection.fetch(
        # One that was there before may be another contact's by now, or of who became this one.
        # Nobody else can be making the same, for who does holds the state of whom its id names; so
        # no ON CONFLICT, which would cost a quarter more.
        # OFFSET 0: looked up by the index, row by row. A join would read the whole table, by a
        # plan that was made when it was empty.
        "INSERT INTO occurrences (contact_id, occurrence_id, trigger_id, trigger_version, state,"
        " cause_time, due_time, occurrence, shared_cause)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[],"
        " $6::bigint[], $7::bigint[], $8::bytea[], $9::text[])"
        " AS n (contact_id, occurrence_id, trigger_id, version, state, cause, due, kept, shared)"
        " WHERE NOT EXISTS"
        " (SELECT FROM occurrences o WHERE o.occurrence_id = n.occurrence_id OFFSET 0)"
        " AND (shared IS NULL OR NOT EXISTS (SELECT FROM occurrences o"
        " WHERE o.contact_id = n.contact_id AND o.shared_cause = n.shared"
        " AND o.trigger_id = n.trigger_id OFFSET 0)) RETURNING occurrence_id",
        [one.contact_id for one in first.values()],
        list(first),
        [one.trigger_id for one in first.values()],
        [one.trigger_version for one in first.values()],
        [one.state for one in first.values()],
        [one.cause_time for one in first.values()],
        [one.due_time for one in first.values()],
        [msgspec.msgpack.encode(one) for one in first.values()],
        [one.shared_cause or None for one in first.values()],
    )
    return {row["occurrence_id"]: first[row["occurrence_id"]] for row in rows}


async def _cancel(connection: Connection, cancelled: Sequence[Cancelled]) -> None:
    await connection.execute(
        "UPDATE occurrences o SET state = 'cancelled', end_time = n.end_time, reason = $4"
        " FROM unnest($1::uuid[], $2::text[], $3::bigint[])"
        " AS n (contact_id, occurrence_id, end_time)"
        " WHERE o.contact_id = n.contact_id AND o.occurrence_id = n.occurrence_id"
        " AND o.state = 'waiting'",
        [one.contact_id for one in cancelled],
        [one.occurrence_id for one in cancelled],
        [one.instant for one in cancelled],
        CANCELLED,
    )
