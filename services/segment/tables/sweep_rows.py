"""Rows of sweeps, as they are begun with an edit."""

from chassis.postgres import Connection
from services.segment.engine.model import Sweep


async def begin(connection: Connection, sweep: Sweep) -> int:
    """Have it done by and by; returns how many occurrences or instances it concerns."""
    if sweep.work == "cancel":
        found: int = await connection.fetchval(
            "SELECT (SELECT count(*) FROM occurrences WHERE trigger_id = $1 AND state = 'waiting')"
            " + (SELECT count(*) FROM deeds WHERE owner_id = $1 AND origin = 'occurrence')",
            sweep.owner_id,
        )
    else:
        found = await connection.fetchval(
            "SELECT count(*) FROM journey_instances WHERE journey_id = $1 AND end_time IS NULL"
            " AND version >= $2 AND (cardinality($3::text[]) = 0 OR step_id = ANY($3))",
            sweep.owner_id,
            sweep.oldest_version,
            sweep.step_ids,
        )
    await connection.execute(
        "INSERT INTO sweeps"
        " (owner_id, generation, work, edit_time, oldest_version, step_ids)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        *sweep,
    )
    return found


async def next_people(connection: Connection, sweep: Sweep, limit: int) -> list[str]:
    """The contacts of the next instances, behind which the sweep stands then. Who moves behind it
    meanwhile was moved by the rules of the edit already."""
    rows = await connection.fetch(
        "SELECT i.version, i.step_id, i.contact_id::text AS id FROM journey_instances i,"
        " (SELECT at_version, at_step, at_contact FROM sweeps"
        "  WHERE owner_id = $1 AND generation = $2 AND work = 'people' FOR UPDATE) s"
        " WHERE journey_id = $1 AND end_time IS NULL"
        " AND (version, step_id, i.contact_id) > (s.at_version, s.at_step, s.at_contact)"
        " AND version >= $3 AND (cardinality($4::text[]) = 0 OR step_id = ANY($4))"
        " ORDER BY version, step_id, i.contact_id LIMIT $5",
        sweep.owner_id,
        sweep.generation,
        sweep.oldest_version,
        sweep.step_ids,
        limit,
    )
    if rows:
        last = rows[-1]
        await connection.execute(
            "UPDATE sweeps SET at_version = $3, at_step = $4, at_contact = $5"
            " WHERE owner_id = $1 AND generation = $2 AND work = 'people'",
            sweep.owner_id,
            sweep.generation,
            last["version"],
            last["step_id"],
            last["id"],
        )
    return [row["id"] for row in rows]
