"""Postgres: definitions of segments and triggers, backfills; and reading for people."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from chassis.clock import milliseconds_of
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.segment import wire
from services.segment.engine.definitions import Catalogue, Edit
from services.segment.engine.model import BackfillRecord, SegmentRecord, TriggerRecord
from services.segment.tables import journey_rows, sweep_rows

_BEFORE_ALL: Final = "00000000-0000-0000-0000-000000000000"
_SEGMENT: Final = ", ".join(SegmentRecord.__struct_fields__)
_BACKFILL: Final = ", ".join(BackfillRecord.__struct_fields__)
_triggers = msgspec.json.Decoder(TriggerRecord)


class DefinitionsStore:
    """The tables of definitions; implements `definitions.Store`."""

    def __init__(self, pool: Pool, effects: Effects) -> None:
        self._pool = pool
        self._effects = effects

    async def catalogue(self) -> Catalogue:
        """All definitions."""
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            number: int = await connection.fetchval("SELECT number FROM generation")
            return await _catalogue(connection, number)

    async def edit(
        self,
        decide: Callable[[Catalogue], Edit | None],
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> int:
        """Decide on the definitions while nobody applies or changes them, and write that.
        `prepare` comes first, in the same transaction."""
        concerned = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal concerned
            number = await connection.fetchval("SELECT number FROM generation FOR UPDATE")
            if prepare is not None:
                await prepare(connection)
            catalogue = await _catalogue(connection, number)
            edit = decide(catalogue)
            if edit is None:
                return []
            await connection.execute("UPDATE generation SET number = number + 1")
            for segment in edit.segments:
                await _put_segment(connection, segment)
            for trigger in edit.triggers:
                await _put_trigger(connection, trigger)
            for backfill in edit.backfills:
                await _add_backfill(connection, backfill)
            for one in edit.segments:
                if one.segment_id in edit.ended_segments:
                    await _end_segment(connection, one)
            for journey in edit.journeys:
                await journey_rows.put(connection, journey)
            for sweep in edit.sweeps:
                concerned += await sweep_rows.begin(connection, sweep)
            return [
                wire.record(wire.segment_changed(segment))
                for segment in edit.segments
                if _differs(segment, catalogue.segments.get(segment.segment_id))
            ]

        await self._effects.apply((), work)
        return concerned

    async def segment_version(self, segment_id: str, version: int) -> str | None:
        """The expression of a version; None when there was none."""
        found: str | None = await self._pool.fetchval(
            "SELECT expression FROM segment_versions WHERE segment_id = $1 AND version = $2",
            segment_id,
            version,
        )
        return found

    async def trigger_version(self, trigger_id: str, version: int) -> TriggerRecord | None:
        """A trigger as it was when that was its version; None when there was none."""
        found: bytes | None = await self._pool.fetchval(
            "SELECT trigger FROM trigger_versions WHERE trigger_id = $1 AND version = $2",
            trigger_id,
            version,
        )
        return None if found is None else _triggers.decode(found)

    async def member_counts(self, segment_ids: Sequence[str]) -> dict[str, int]:
        """How many members segments have."""
        rows = await self._pool.fetch(
            "SELECT segment_id, count(*) AS members FROM memberships WHERE segment_id = ANY($1)"
            " GROUP BY segment_id",
            segment_ids,
        )
        return {row["segment_id"]: row["members"] for row in rows}

    async def members(
        self, segment_id: str, after: str, limit: int, moment: int
    ) -> list[tuple[str, int]]:
        """Members at a moment (ms) behind a contact, by contact id, with when they entered."""
        rows = await self._pool.fetch(
            "(SELECT contact_id, enter_time FROM memberships"
            "  WHERE segment_id = $1 AND contact_id > $2 AND enter_time <= $3"
            "  ORDER BY contact_id LIMIT $4)"
            " UNION ALL"
            " (SELECT contact_id, enter_time FROM stays"
            "  WHERE segment_id = $1 AND contact_id > $2 AND enter_time <= $3 AND leave_time > $3"
            "  ORDER BY contact_id LIMIT $4)"
            " ORDER BY contact_id LIMIT $4",
            segment_id,
            after or _BEFORE_ALL,
            moment,
            limit,
        )
        return [(str(row["contact_id"]), row["enter_time"]) for row in rows]

    async def member_count(self, segment_id: str, moment: int) -> int:
        """How many members a segment had at a moment (ms)."""
        found: int = await self._pool.fetchval(
            "SELECT (SELECT count(*) FROM memberships WHERE segment_id = $1 AND enter_time <= $2)"
            " + (SELECT count(*) FROM stays"
            "    WHERE segment_id = $1 AND enter_time <= $2 AND leave_time > $2)",
            segment_id,
            moment,
        )
        return found

    async def known_since(self, segment: SegmentRecord) -> datetime | None:
        """From when on a segment's members are known; None while they are not."""
        row = await self._pool.fetchrow(
            "SELECT min(end_time) FILTER (WHERE state = 'completed') AS known,"
            " count(*) FILTER (WHERE segment_version = 1) AS first"
            " FROM backfills WHERE segment_id = $1",
            segment.segment_id,
        )
        assert row is not None
        found: datetime | None = row["known"] if row["first"] else segment.create_time
        return found

    async def shared(
        self, contact_ids: Sequence[str], member_ids: Sequence[str]
    ) -> dict[str, tuple[int, int]]:
        """By segment: how many of these contacts are in it, and how many of these members."""
        rows = await self._pool.fetch(
            "SELECT segment_id, count(*) AS all, count(*) FILTER"
            " (WHERE contact_id = ANY($2::uuid[])) AS common"
            " FROM memberships WHERE contact_id = ANY($1::uuid[]) GROUP BY segment_id",
            contact_ids,
            member_ids,
        )
        return {row["segment_id"]: (row["all"], row["common"]) for row in rows}

    async def memberships(self, contact_ids: Sequence[str]) -> dict[str, set[str]]:
        """The segments that contacts are in."""
        rows = await self._pool.fetch(
            "SELECT contact_id, segment_id FROM memberships WHERE contact_id = ANY($1::uuid[])",
            contact_ids,
        )
        found: dict[str, set[str]] = {}
        for row in rows:
            found.setdefault(str(row["contact_id"]), set()).add(row["segment_id"])
        return found

    async def states(self, contact_ids: Sequence[str]) -> dict[str, bytes]:
        """The stored states of contacts that are known."""
        rows = await self._pool.fetch(
            "SELECT contact_id::text AS id, state FROM contact_states"
            " WHERE contact_id = ANY($1::uuid[])",
            contact_ids,
        )
        return {row["id"]: row["state"] for row in rows}

    async def backfills(
        self, segment_id: str, states: Sequence[str], before: str, limit: int
    ) -> list[BackfillRecord]:
        """Of segments, newest first, behind `before`; an empty filter is all."""
        rows = await self._pool.fetch(
            f"SELECT {_BACKFILL} FROM backfills WHERE segment_id <> ''"  # noqa: S608 - fixed names
            " AND ($1 = '' OR segment_id = $1)"
            " AND (cardinality($2::text[]) = 0 OR state = ANY($2))"
            " AND ($3 = '' OR backfill_id < $3) ORDER BY backfill_id DESC LIMIT $4",
            segment_id,
            states,
            before,
            limit,
        )
        return [_backfill(row) for row in rows]

    async def backfill(self, backfill_id: str) -> BackfillRecord | None:
        """One, if it is there."""
        row = await self._pool.fetchrow(
            f"SELECT {_BACKFILL} FROM backfills WHERE backfill_id = $1",  # noqa: S608 - fixed names
            backfill_id,
        )
        return None if row is None else _backfill(row)

    async def claim_backfill(self, now: datetime, lease: timedelta) -> BackfillRecord | None:
        """The oldest that runs and that nobody works on, for as long as the lease."""
        row = await self._pool.fetchrow(
            f"UPDATE backfills SET lease_time = $1::timestamptz + $2::interval"  # noqa: S608 - fixed names
            " WHERE backfill_id = (SELECT backfill_id FROM backfills WHERE state = 'running'"
            " AND lease_time < $1 ORDER BY create_time LIMIT 1 FOR UPDATE SKIP LOCKED)"
            f" RETURNING {_BACKFILL}",
            now,
            lease,
        )
        return None if row is None else _backfill(row)

    async def looked_at(self) -> int:
        """The latest generation of which it is known that everybody was looked at by its rules."""
        found: int = await self._pool.fetchval(
            "SELECT coalesce(max(generation), 0) FROM backfills WHERE state = 'completed'"
        )
        return found

    async def contact_count(self) -> int:
        """How many contacts are known."""
        found: int = await self._pool.fetchval("SELECT count(*) FROM contact_states")
        return found

    async def save_backfill(self, backfill: BackfillRecord, lease_until: datetime) -> bool:
        """Note its progress; False when it was superseded meanwhile."""
        status = await self._pool.execute(
            "UPDATE backfills SET state = $2, phase = $3, cursor = $4, passed_count = $5,"
            " total_count = $6, failure = $7, update_time = $8, end_time = $9, lease_time = $10,"
            " attributes = $11, generation = $12, phase_time = $13, phase_passed_count = $14,"
            " member_count = (SELECT count(*) FROM memberships m WHERE $2 = 'completed'"
            " AND m.segment_id = backfills.segment_id)"
            " WHERE backfill_id = $1 AND state = 'running'",
            backfill.backfill_id,
            backfill.state,
            backfill.phase,
            backfill.cursor,
            backfill.passed_count,
            backfill.total_count,
            backfill.failure,
            backfill.update_time,
            backfill.end_time,
            lease_until,
            backfill.attributes,
            backfill.generation,
            backfill.phase_time,
            backfill.phase_passed_count,
        )
        return status == "UPDATE 1"


async def _catalogue(connection: Connection, generation: int) -> Catalogue:
    segments = await connection.fetch(f"SELECT {_SEGMENT} FROM segments")  # noqa: S608 - fixed names
    triggers = await connection.fetch("SELECT trigger FROM triggers")
    contacts: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM contact_states)")
    everybody: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM backfills WHERE whole AND state = 'completed')"
    )
    records = [_triggers.decode(row["trigger"]) for row in triggers]
    return Catalogue(
        generation,
        {row["segment_id"]: SegmentRecord(**dict(row)) for row in segments},
        {record.definition.trigger_id: record for record in records},
        contacts,
        await journey_rows.all_of_them(connection),
        everybody,
    )


async def _put_segment(connection: Connection, segment: SegmentRecord) -> None:
    values = msgspec.structs.asdict(segment)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    sets = ", ".join(f"{name} = excluded.{name}" for name in values)
    await connection.execute(
        f"INSERT INTO segments ({_SEGMENT}) VALUES ({places})"  # noqa: S608 - fixed names
        f" ON CONFLICT (segment_id) DO UPDATE SET {sets}",
        *values.values(),
    )
    await connection.execute(
        "INSERT INTO segment_versions (segment_id, version, expression) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        segment.segment_id,
        segment.version,
        segment.expression,
    )


def _differs(segment: SegmentRecord, before: SegmentRecord | None) -> bool:
    """Whether there is something to tell: a step of a backfill alone is nothing."""
    return before is None or (segment.edit, segment.state) != (before.edit, before.state)


async def _put_trigger(connection: Connection, trigger: TriggerRecord) -> None:
    kept = msgspec.json.encode(trigger)
    await connection.execute(
        "INSERT INTO triggers (trigger_id, name, state, trigger) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (trigger_id)"
        " DO UPDATE SET state = excluded.state, trigger = excluded.trigger",
        trigger.definition.trigger_id,
        trigger.definition.name,
        trigger.state,
        kept,
    )
    await connection.execute(
        "INSERT INTO trigger_versions (trigger_id, version, trigger) VALUES ($1, $2, $3)"
        " ON CONFLICT (trigger_id, version) DO UPDATE SET trigger = excluded.trigger",
        trigger.definition.trigger_id,
        trigger.definition.version,
        kept,
    )


async def _add_backfill(connection: Connection, backfill: BackfillRecord) -> None:
    if backfill.segment_id:
        await _supersede(connection, backfill.segment_id)
    values = msgspec.structs.asdict(backfill)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await connection.execute(
        f"INSERT INTO backfills ({_BACKFILL}) VALUES ({places})",  # noqa: S608 - fixed names
        *values.values(),
    )


async def _end_segment(connection: Connection, segment: SegmentRecord) -> None:
    await _supersede(connection, segment.segment_id)
    await connection.execute(
        "WITH ended AS (DELETE FROM memberships WHERE segment_id = $1"
        " RETURNING contact_id, segment_id, enter_time)"
        " INSERT INTO stays (contact_id, segment_id, enter_time, leave_time)"
        " SELECT contact_id, segment_id, enter_time, $2 FROM ended ON CONFLICT DO NOTHING",
        segment.segment_id,
        milliseconds_of(segment.update_time),
    )


async def _supersede(connection: Connection, segment_id: str) -> None:
    await connection.execute(
        "UPDATE backfills SET state = 'superseded', end_time = now()"
        " WHERE segment_id = $1 AND state = 'running'",
        segment_id,
    )


def _backfill(row: asyncpg.Record) -> BackfillRecord:
    attributes = None if row["attributes"] is None else tuple(row["attributes"])
    return BackfillRecord(**{**dict(row), "names": tuple(row["names"]), "attributes": attributes})
