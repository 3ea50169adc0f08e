"""Postgres: where contacts are and what they looked at, written with their states; fanouts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from chassis.postgres import Connection
from services.segment.engine.cells import cell_of
from services.segment.engine.fanout import FanoutRecord, Look
from services.segment.engine.model import Spot

START: Final = "00000000-0000-0000-0000-000000000000"
"""A cursor before everybody."""


async def keep_spots(connection: Connection, spots: Mapping[str, Spot]) -> None:
    """Note where contacts are; whoever came into another cell is to be told its weather."""
    await connection.execute(
        "INSERT INTO whereabouts AS w (contact_id, cell, located_time)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])"
        " ON CONFLICT (contact_id) DO UPDATE SET cell = excluded.cell,"
        " located_time = excluded.located_time, told = w.told AND w.cell = excluded.cell"
        " WHERE w.located_time < excluded.located_time",
        list(spots),
        [cell_of(spot.latitude, spot.longitude) for spot in spots.values()],
        [spot.time for spot in spots.values()],
    )


async def keep_looks(connection: Connection, looks: Iterable[Look]) -> None:
    """Note who looked at what."""
    joined: dict[tuple[str, str, str], Look] = {}
    for one in looks:
        key = one.item_id, one.contact_id, one.name
        other = joined.get(key, one)
        first, last = min(one.first_time, other.first_time), max(one.last_time, other.last_time)
        joined[key] = one._replace(first_time=first, last_time=last)
    # In order, so that two transactions wait for, not deadlock, each other
    rows = [joined[key] for key in sorted(joined)]
    await connection.execute(
        "INSERT INTO looks AS l (item_id, contact_id, name, first_time, look_time)"
        " SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[])"
        " ON CONFLICT (item_id, contact_id, name) DO UPDATE"
        " SET first_time = least(l.first_time, excluded.first_time),"
        " look_time = greatest(l.look_time, excluded.look_time)"
        " WHERE excluded.first_time < l.first_time OR excluded.look_time > l.look_time",
        *([row[at] for row in rows] for at in range(5)),
    )


async def forget(connection: Connection, contact_ids: Collection[str]) -> None:
    """Nothing is known of contacts any more."""
    for table in ("whereabouts", "looks"):
        await connection.execute(
            f"DELETE FROM {table} WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - fixed names
            list(contact_ids),
        )


async def unite(connection: Connection, absorbed: Mapping[str, str]) -> None:
    """What contacts looked at counts for those that they became part of, also where a fanout has
    passed these already; those are told the weather anew."""
    gone, stay = list(absorbed), list(absorbed.values())
    await connection.execute(
        "INSERT INTO looks AS l (item_id, contact_id, name, first_time, look_time)"
        " SELECT item_id, n.stays, name, min(first_time), max(look_time) FROM looks"
        " JOIN unnest($1::uuid[], $2::uuid[]) AS n (contact_id, stays) USING (contact_id)"
        " GROUP BY item_id, n.stays, name"
        " ON CONFLICT (item_id, contact_id, name) DO UPDATE"
        " SET first_time = least(l.first_time, excluded.first_time),"
        " look_time = greatest(l.look_time, excluded.look_time)",
        gone,
        stay,
    )
    # Those that had not come to who is gone: who stays is told, unless that was done.
    await connection.executemany(
        "UPDATE fanouts SET restarts = restarts + 1,"
        " cursor = CASE WHEN cursor < $2 THEN cursor ELSE $3 END"
        " WHERE end_time IS NULL AND cursor < $1"
        " AND subject IN (SELECT item_id FROM looks WHERE contact_id = $1)",
        [(one, other, START) for one, other in absorbed.items()],
    )
    await connection.execute(
        "UPDATE whereabouts SET told = false WHERE contact_id = ANY($1::uuid[])", stay
    )
    await forget(connection, gone)


async def put_fanouts(
    connection: Connection, fanouts: Sequence[FanoutRecord], now: datetime
) -> None:
    """Begin fanouts; one that began before goes on as it is."""
    await connection.executemany(
        "INSERT INTO fanouts (fanout_id, subject, fanout, create_time) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        [
            (one.fanout_id, one.fanout.subject, msgspec.msgpack.encode(one.fanout), now)
            for one in fanouts
        ],
    )
