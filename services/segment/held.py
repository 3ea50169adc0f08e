"""Everything segment holds of a person: to be shown, and to be erased."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import asyncpg
import msgspec
import orjson

from chassis.clock import Clock
from chassis.postgres import Pool
from chassis.privacy import Readers, Told, rows
from chassis.times import timestamp
from chassis.tombstones import bury
from merhaba.profile.v1 import ExportedRecord
from services.segment.rows import OCCURRENCE, state_of
from services.segment.timeline import PRINT

_TABLES: Final = {
    # First: whoever holds a state writes the others.
    "state": "contact_states",
    "membership": "memberships",
    "stay": "stays",
    "occurrence": "occurrences",
    "rebuild": "rebuilds",
}
_MEMBERSHIPS: Final = (
    "SELECT contact_id::text AS id, segment_id, version, enter_time,"
    " contact_id || ' ' || segment_id AS place"
    " FROM memberships WHERE contact_id = ANY($1::uuid[])"
)
_STAYS: Final = (
    "SELECT contact_id::text AS id, segment_id, enter_time, leave_time,"
    " contact_id || ' ' || segment_id || ' ' || enter_time AS place"
    " FROM stays WHERE contact_id = ANY($1::uuid[])"
)
_OCCURRENCES: Final = (
    "SELECT contact_id::text AS id, state, occurrence, contact_id || ' ' || occurrence_id AS place"
    " FROM occurrences WHERE contact_id = ANY($1::uuid[])"
)
_REBUILDS: Final = (
    "SELECT contact_id::text AS id, due_time, contact_id::text AS place"
    " FROM rebuilds WHERE contact_id = ANY($1::uuid[])"
)


class Held:
    """What is kept of contacts, in whatever table."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def readers(self, contact_ids: Sequence[str]) -> Readers:
        """Everything of a person known by these ids."""
        return {
            "state": partial(self._states, contact_ids),
            "membership": rows(self._pool, "membership", _MEMBERSHIPS, contact_ids, _membership),
            "stay": rows(self._pool, "stay", _STAYS, contact_ids, _stay),
            "occurrence": rows(self._pool, "occurrence", _OCCURRENCES, contact_ids, _occurrence),
            "rebuild": rows(self._pool, "rebuild", _REBUILDS, contact_ids, _rebuild),
        }

    async def _states(self, contact_ids: Sequence[str], after: str) -> AsyncIterator[Told]:
        for row in await self._pool.fetch(
            "SELECT contact_id::text AS id, next_time, state FROM contact_states"
            " WHERE contact_id = ANY($1::uuid[]) ORDER BY contact_id",
            contact_ids,
        ):
            for number, record in enumerate(_state(row)):
                place = f"{row['id']} {number:09}"
                if place > after:
                    yield Told("state", place, record)

    async def erase(self, contact_ids: Collection[str]) -> Mapping[str, int]:
        """Delete everything of a person, for good; returns how many records of which kind."""
        await bury(self._pool, contact_ids, self._clock.now())
        deleted: dict[str, int] = {}
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            for dataset, table in _TABLES.items():
                status = await connection.execute(
                    f"DELETE FROM {table} WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - fixed names
                    list(contact_ids),
                )
                deleted[dataset] = int(status.split()[-1])
        return deleted


def _state(row: asyncpg.Record) -> Iterator[ExportedRecord]:
    state = state_of(row["state"])
    told = {
        "contact_id": row["id"],
        "next_time": row["next_time"],
        **_fields(state, besides="facts"),
        **_fields(state.facts, besides="timelines"),
    }
    yield _record("facts", None, told)
    for name, timeline in state.facts.timelines.items():
        for time, properties in zip(timeline.times, timeline.properties, strict=True):
            own = {key: value for key, value in properties.items() if key != PRINT}
            yield _record("event", time, {"name": name, "properties": own})


def _membership(row: asyncpg.Record) -> ExportedRecord:
    told = {"contact_id": row["id"], "segment_id": row["segment_id"], "version": row["version"]}
    return _record("membership", row["enter_time"], told)


def _stay(row: asyncpg.Record) -> ExportedRecord:
    told = {
        "contact_id": row["id"],
        "segment_id": row["segment_id"],
        "enter_time": row["enter_time"],
        "leave_time": row["leave_time"],
    }
    return _record("stay", row["enter_time"], told)


def _occurrence(row: asyncpg.Record) -> ExportedRecord:
    found = OCCURRENCE.decode(row["occurrence"])
    one = msgspec.structs.replace(found, contact_id=row["id"], state=row["state"])
    return _record("occurrence", one.cause_time, msgspec.to_builtins(one))


def _rebuild(row: asyncpg.Record) -> ExportedRecord:
    return _record("rebuild", None, {"contact_id": row["id"], "due_time": row["due_time"]})


def _record(dataset: str, time: int | None, told: Any) -> ExportedRecord:
    return ExportedRecord(
        service="segment",
        dataset=dataset,
        record_time=timestamp(time),
        record_json=orjson.dumps(told, default=_plain),
    )


def _fields(struct: msgspec.Struct, besides: str) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__ if name != besides}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    return sorted(value) if isinstance(value, set) else str(value)
