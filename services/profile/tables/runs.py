"""Runs that compute anew, in Postgres: how they stand, and the parts they are made of."""

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from chassis.failures import NotFound
from chassis.postgres import Connection, Pool
from services.profile.person.model import NOBODY

_PART: Final = 5_000  # contacts
_LAST: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class RecomputeNotFound(NotFound):
    """No such run was ever begun."""

    def __init__(self, recompute_id: str) -> None:
        super().__init__("no such recompute was begun", recompute_id=recompute_id)


class State(IntEnum):
    """Where a run stands, numbered as in the contract."""

    RUNNING = 1
    COMPLETED = 2
    CANCELLED = 3
    FAILED = 4


class Run(NamedTuple):
    """A run and how far it is. Times in ms; `end_time` 0 is not yet."""

    recompute_id: str
    state: State
    failure: str
    create_time: int
    end_time: int
    passed: int
    changed: int
    total: int
    update_time: int


class Part(NamedTuple):
    """A part of a run: contacts above `after`, up to and with `until`."""

    recompute_id: str
    number: int
    names: Sequence[str]
    """Of traits, and `stage`; empty is all."""
    after: str
    until: str
    done: bool = False


async def begin(
    pool: Pool, recompute_id: str, contact_ids: Sequence[str], names: Sequence[str], now: int
) -> None:
    """Begin a run over some contacts, or everybody; no error when it was begun."""
    async with pool.acquire(timeout=10) as connection, connection.transaction():
        row = await connection.fetchrow(
            "INSERT INTO recomputes (recompute_id, state, names, create_time)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING recompute_id",
            recompute_id,
            State.RUNNING,
            names,
            now,
        )
        if row is None:
            return
        cut = await (_some(connection, contact_ids) if contact_ids else _all(connection))
        await connection.execute(
            "INSERT INTO recompute_parts (recompute_id, part, after, until, size, update_time)"
            " SELECT $1, u.part, u.after, u.until, u.size, $2 FROM unnest($3::integer[],"
            " $4::uuid[], $5::uuid[], $6::integer[]) AS u (part, after, until, size)",
            recompute_id,
            now,
            range(len(cut)),
            *(list(column) for column in zip(*cut, strict=True)),
        )


_Cut = tuple[str, str, int]
"""Of a part: the id before its first, its last, and how many there are now."""


async def _some(connection: Connection, contact_ids: Sequence[str]) -> list[_Cut]:
    """A part for each: for the one that stands for the person."""
    rows = await connection.fetch(
        "SELECT DISTINCT coalesce(survivor_id, contact_id) FROM contacts"
        " WHERE contact_id = ANY($1::uuid[])",
        contact_ids,
    )
    found = sorted(UUID(str(row[0])) for row in rows)
    return [(str(UUID(int=one.int - 1)), str(one), 1) for one in found] or [(_LAST, _LAST, 0)]


async def _all(connection: Connection) -> list[_Cut]:
    """Parts of `_PART`; the last goes to the end, whoever comes there meanwhile."""
    rows = await connection.fetch(
        "SELECT contact_id FROM (SELECT contact_id, row_number() OVER (ORDER BY contact_id) AS n"
        "  FROM contacts WHERE survivor_id IS NULL OR survivor_id = contact_id) AS numbered"
        " WHERE n % $1 = 0 ORDER BY n",
        _PART,
    )
    ends = [NOBODY, *(str(row[0]) for row in rows)]
    full = [(after, until, _PART) for after, until in pairwise(ends)]
    rest = await connection.fetchval(
        "SELECT count(*) FROM contacts"
        " WHERE contact_id > $1 AND (survivor_id IS NULL OR survivor_id = contact_id)",
        ends[-1],
    )
    return [*full, (ends[-1], _LAST, rest)]


async def find(pool: Pool, recompute_id: str) -> Run:
    """How a run stands. Raises `RecomputeNotFound`."""
    row = await pool.fetchrow(
        "SELECT r.recompute_id, r.state, r.failure, r.create_time, coalesce(r.end_time, 0),"
        " coalesce(sum(p.passed), 0), coalesce(sum(p.changed), 0),"
        " coalesce(sum(greatest(p.size, p.passed)), 0),"
        " greatest(max(p.update_time), r.create_time, r.end_time)"
        " FROM recomputes r LEFT JOIN recompute_parts p USING (recompute_id)"
        " WHERE r.recompute_id = $1 GROUP BY r.recompute_id",
        recompute_id,
    )
    if row is None:
        raise RecomputeNotFound(recompute_id)
    return Run(row[0], State(row[1]), *row[2:])


async def end(pool: Pool, recompute_id: str, state: State, now: int, failure: str = "") -> None:
    """End a run that is not ended yet."""
    await pool.execute(
        "UPDATE recomputes SET state = $2, end_time = $3, failure = $4"
        " WHERE recompute_id = $1 AND state = $5",
        recompute_id,
        state,
        now,
        failure,
        State.RUNNING,
    )


async def take(connection: Connection) -> Part | None:
    """Take a part that nobody else works on, for as long as the transaction lasts."""
    row = await connection.fetchrow(
        "SELECT p.recompute_id, p.part, r.names, p.after, p.until"
        " FROM recompute_parts p JOIN recomputes r USING (recompute_id)"
        " WHERE NOT p.done AND r.state = $1 ORDER BY r.create_time, p.part LIMIT 1"
        " FOR UPDATE OF p SKIP LOCKED",
        State.RUNNING,
    )
    return None if row is None else Part(row[0], row[1], row[2], str(row[3]), str(row[4]))


async def following(connection: Connection, part: Part, limit: int) -> tuple[list[str], str, bool]:
    """The next contacts of a part, the last of them, and whether that is all."""
    rows: list[asyncpg.Record] = await connection.fetch(
        "SELECT contact_id FROM contacts WHERE contact_id > $1 AND contact_id <= $2"
        " AND (survivor_id IS NULL OR survivor_id = contact_id) ORDER BY contact_id LIMIT $3",
        part.after,
        part.until,
        limit,
    )
    found = [str(row[0]) for row in rows]
    return found, found[-1] if found else part.after, len(found) < limit


async def advance(connection: Connection, part: Part, passed: int, changed: int, now: int) -> None:
    """Note how far a part is, and that the run is done if it was the last."""
    await connection.execute(
        "UPDATE recompute_parts SET after = $3, done = $4, passed = passed + $5,"
        " changed = changed + $6, update_time = $7 WHERE recompute_id = $1 AND part = $2",
        part.recompute_id,
        part.number,
        part.after,
        part.done,
        passed,
        changed,
        now,
    )
    if part.done:
        # One after the other, so that the last to finish sees that it is the last
        await connection.execute(
            "SELECT FROM recomputes WHERE recompute_id = $1 FOR UPDATE", part.recompute_id
        )
        await connection.execute(
            "UPDATE recomputes SET state = $2, end_time = $3 WHERE recompute_id = $1 AND state = $4"
            " AND NOT EXISTS (SELECT FROM recompute_parts WHERE recompute_id = $1 AND NOT done)",
            part.recompute_id,
            State.COMPLETED,
            now,
            State.RUNNING,
        )
