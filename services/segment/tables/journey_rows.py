"""Rows of contacts in journeys, as they are written with the contacts' states."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
import orjson

from chassis.postgres import Connection
from chassis.streams import Record
from services.segment import wire
from services.segment.engine.journeys.model import (
    InstanceRecord,
    JourneyRecord,
    Journeys,
    Visit,
)
from services.segment.engine.outcome import Outcome

RECORD: Final = msgspec.json.Decoder(JourneyRecord)


async def write(connection: Connection, outcome: Outcome) -> list[Record]:
    """Write where people are now and what they went through; returns what is told of it."""
    records = outcome.instances
    if started := [one for one in records.values() if one.started]:
        await _insert(connection, started)
    if changed := [one for one in records.values() if not one.started]:
        await _update(connection, changed)
    if outcome.visits:
        await _add_visits(connection, outcome.visits, records)
    return [wire.record(wire.reached(one)) for one in outcome.reached]


async def count(connection: Connection, visits: Sequence[Visit]) -> None:
    """Count who left which step in which way. The last thing before the end of a transaction,
    since everybody writes these rows; in one order, so that nobody deadlocks."""
    ways = Counter((v.journey_id, v.version, v.step_id, v.outcome) for v in visits)
    keys = sorted(ways)
    await connection.execute(
        "INSERT INTO journey_ways AS w (journey_id, version, step_id, outcome, passages)"
        " SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bigint[])"
        " ON CONFLICT (journey_id, version, step_id, outcome)"
        " DO UPDATE SET passages = w.passages + excluded.passages",
        *(list(column) for column in zip(*keys, strict=True)),
        [ways[key] for key in keys],
    )


async def fail(connection: Connection, steps: Mapping[tuple[str, int], str]) -> None:
    """Note why what steps had done outside failed, by instance and number of the step."""
    await connection.execute(
        "UPDATE journey_visits v SET outcome = n.outcome"
        " FROM unnest($1::text[], $2::int[], $3::text[]) AS n (instance_id, number, outcome)"
        " JOIN journey_instances i ON i.instance_id = n.instance_id"
        " WHERE v.contact_id = i.contact_id AND v.instance_id = n.instance_id"
        " AND v.number = n.number",
        [instance_id for instance_id, _ in steps],
        [number for _, number in steps],
        list(steps.values()),
    )


async def put(connection: Connection, journey: JourneyRecord) -> None:
    """Keep a journey as it is now, and its version for good."""
    definition, data = journey.definition, msgspec.json.encode(journey)
    await connection.execute(
        "INSERT INTO journeys (journey_id, name, state, journey) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (journey_id)"
        " DO UPDATE SET state = excluded.state, journey = excluded.journey",
        definition.journey_id,
        definition.name,
        journey.state,
        data,
    )
    await connection.execute(
        "INSERT INTO journey_versions (journey_id, version, journey) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        definition.journey_id,
        definition.version,
        data,
    )


async def all_of_them(connection: Connection) -> dict[str, JourneyRecord]:
    """Journeys as they are now, archived ones too, by id."""
    rows = await connection.fetch("SELECT journey_id, journey FROM journeys")
    return {row["journey_id"]: RECORD.decode(row["journey"]) for row in rows}


async def in_force(connection: Connection) -> Journeys:
    """Journeys that have not ended, with all versions on which somebody is, or will be."""
    rows = await connection.fetch("SELECT journey FROM journeys WHERE state <> 'archived'")
    heads = tuple(RECORD.decode(row["journey"]) for row in rows)
    targets = [(h.definition.journey_id, m.version) for h in heads for m in h.migrations]
    rows = await connection.fetch(
        "SELECT v.journey FROM journey_versions v JOIN unnest($1::text[], $2::int[])"
        " AS h (journey_id, latest) USING (journey_id) WHERE v.version < h.latest"
        " AND ((v.journey_id, v.version) IN (SELECT * FROM unnest($3::text[], $4::int[]))"
        " OR EXISTS (SELECT FROM journey_instances i WHERE i.journey_id = v.journey_id"
        " AND i.version = v.version AND i.end_time IS NULL))",
        [one.definition.journey_id for one in heads],
        [one.definition.version for one in heads],
        [journey_id for journey_id, _ in targets],
        [version for _, version in targets],
    )
    return Journeys(heads, tuple(RECORD.decode(row["journey"]).definition for row in rows))


async def move(connection: Connection, absorbed: Mapping[str, str]) -> None:
    """What contacts went through is now another's, whose part they became."""
    for table in ("journey_instances", "journey_visits"):
        await connection.execute(
            f"UPDATE {table} t SET contact_id = n.stays FROM unnest($1::uuid[], $2::uuid[])"  # noqa: S608 - fixed names
            " AS n (contact_id, stays) WHERE t.contact_id = n.contact_id",
            list(absorbed),
            list(absorbed.values()),
        )


async def give_back(
    connection: Connection, from_id: str, contact_id: str, member_ids: Collection[str]
) -> None:
    """What was started for a contact that was parted, or for others that went with it, is its own
    again."""
    rows = await connection.fetch(
        "UPDATE journey_instances SET contact_id = $1"
        " WHERE contact_id = $2 AND origin_id = ANY($3::uuid[]) RETURNING instance_id",
        contact_id,
        from_id,
        list(member_ids),
    )
    await connection.execute(
        "UPDATE journey_visits SET contact_id = $1"
        " WHERE contact_id = $2 AND instance_id = ANY($3::text[])",
        contact_id,
        from_id,
        [row["instance_id"] for row in rows],
    )


async def _insert(connection: Connection, records: Sequence[InstanceRecord]) -> None:
    await connection.execute(
        "INSERT INTO journey_instances (contact_id, instance_id, journey_id, version, key, state,"
        " reason, step_id, step_time, due_time, visits, origin_id, cause_id, parameters,"
        " start_time, end_time)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[],"
        " $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::int[],"
        " $12::uuid[], $13::text[], $14::bytea[], $15::bigint[], $16::bigint[])",
        [one.contact_id for one in records],
        [one.instance_id for one in records],
        [one.journey_id for one in records],
        [one.version for one in records],
        [one.key for one in records],
        [one.state for one in records],
        [one.reason for one in records],
        [one.step_id for one in records],
        [one.step_time for one in records],
        [one.due_time for one in records],
        [one.visits for one in records],
        [one.origin_id for one in records],
        [one.cause_id for one in records],
        [orjson.dumps(one.parameters, default=str) for one in records],
        [one.start_time for one in records],
        [one.end_time for one in records],
    )


async def _update(connection: Connection, records: Sequence[InstanceRecord]) -> None:
    await connection.execute(
        "UPDATE journey_instances i SET version = n.version, state = n.state, reason = n.reason,"
        " step_id = n.step_id, step_time = n.step_time, due_time = n.due_time,"
        " visits = n.visits, end_time = n.end_time"
        " FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[],"
        " $7::bigint[], $8::bigint[], $9::int[], $10::bigint[])"
        " AS n (contact_id, instance_id, version, state, reason, step_id, step_time, due_time,"
        " visits, end_time)"
        " WHERE i.contact_id = n.contact_id AND i.instance_id = n.instance_id",
        [one.contact_id for one in records],
        [one.instance_id for one in records],
        [one.version for one in records],
        [one.state for one in records],
        [one.reason for one in records],
        [one.step_id for one in records],
        [one.step_time for one in records],
        [one.due_time for one in records],
        [one.visits for one in records],
        [one.end_time for one in records],
    )


async def _add_visits(
    connection: Connection, visits: Sequence[Visit], records: Mapping[str, InstanceRecord]
) -> None:
    await connection.execute(
        "INSERT INTO journey_visits"
        " (contact_id, instance_id, number, version, step_id, start_time, end_time, outcome)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::text[],"
        " $6::bigint[], $7::bigint[], $8::text[])",
        [records[one.instance_id].contact_id for one in visits],
        [one.instance_id for one in visits],
        [one.number for one in visits],
        [one.version for one in visits],
        [one.step_id for one in visits],
        [one.start_time for one in visits],
        [one.end_time for one in visits],
        [one.outcome for one in visits],
    )
