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
from services.segment.engine.learning import PRINT
from services.segment.tables import occurrence_rows
from services.segment.tables.rows import delete_all, state_of

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
    f"SELECT {occurrence_rows.COLUMNS}, contact_id || ' ' || occurrence_id AS place"  # noqa: S608 - fixed names
    " FROM occurrences WHERE contact_id = ANY($1::uuid[])"
)
_DEEDS: Final = (
    "SELECT contact_id::text AS id, next_time, attempt_count, deed,"
    " contact_id || ' ' || deed_id AS place FROM deeds WHERE contact_id = ANY($1::uuid[])"
)
_REBUILDS: Final = (
    "SELECT contact_id::text AS id, due_time, contact_id::text AS place"
    " FROM rebuilds WHERE contact_id = ANY($1::uuid[])"
)

_INSTANCES: Final = (
    "SELECT contact_id::text AS contact_id, instance_id, journey_id, version, key, state, reason,"
    " step_id, step_time, due_time, cause_id, convert_from(parameters, 'UTF8') AS parameters_json,"
    " start_time AS time, end_time, contact_id || ' ' || instance_id AS place"
    " FROM journey_instances WHERE contact_id = ANY($1::uuid[])"
)
_VISITS: Final = (
    "SELECT contact_id::text AS contact_id, instance_id, number, step_id, version,"
    " start_time AS time, end_time, outcome,"
    " contact_id || ' ' || instance_id || ' ' || to_char(number, 'FM000000') AS place"
    " FROM journey_visits WHERE contact_id = ANY($1::uuid[])"
)
_STAGES: Final = (
    "SELECT contact_id::text AS contact_id, stage, NULL::bigint AS time, contact_id::text AS place"
    " FROM contact_stages WHERE contact_id = ANY($1::uuid[])"
)
_WHEREABOUTS: Final = (
    "SELECT contact_id::text AS id, cell, located_time, contact_id::text AS place"
    " FROM whereabouts WHERE contact_id = ANY($1::uuid[])"
)
_LOOKS: Final = (
    "SELECT contact_id::text AS id, item_id, name, first_time, look_time,"
    " contact_id || ' ' || name || ' ' || item_id AS place"
    " FROM looks WHERE contact_id = ANY($1::uuid[])"
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
            **{
                dataset: rows(self._pool, dataset, query, contact_ids, partial(_as_is, dataset))
                for dataset, query in (
                    ("journey_instance", _INSTANCES),
                    ("journey_visit", _VISITS),
                    ("stage", _STAGES),
                )
            },
            "occurrence": rows(self._pool, "occurrence", _OCCURRENCES, contact_ids, _occurrence),
            "deed": rows(self._pool, "deed", _DEEDS, contact_ids, _deed),
            "rebuild": rows(self._pool, "rebuild", _REBUILDS, contact_ids, _rebuild),
            "whereabouts": rows(self._pool, "whereabouts", _WHEREABOUTS, contact_ids, _whereabouts),
            "look": rows(self._pool, "look", _LOOKS, contact_ids, _look),
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
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            return await delete_all(connection, contact_ids)


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
    one = occurrence_rows.of_row(row)
    return _record("occurrence", one.cause_time, msgspec.to_builtins(one))


def _deed(row: asyncpg.Record) -> ExportedRecord:
    told = {
        **msgspec.to_builtins(occurrence_rows.DEED.decode(row["deed"])),
        "contact_id": row["id"],
        "attempt_count": row["attempt_count"],
    }
    return _record("deed", row["next_time"], told)


def _rebuild(row: asyncpg.Record) -> ExportedRecord:
    return _record("rebuild", None, {"contact_id": row["id"], "due_time": row["due_time"]})


def _whereabouts(row: asyncpg.Record) -> ExportedRecord:
    told = {"contact_id": row["id"], "cell": row["cell"]}
    return _record("whereabouts", row["located_time"], told)


def _look(row: asyncpg.Record) -> ExportedRecord:
    told = {
        "contact_id": row["id"],
        "item_id": row["item_id"],
        "name": row["name"],
        "first_time": row["first_time"],
    }
    return _record("look", row["look_time"], told)


def _as_is(dataset: str, row: asyncpg.Record) -> ExportedRecord:
    told = {name: value for name, value in row.items() if name not in ("time", "place")}
    return _record(dataset, row["time"], told)


def _record(dataset: str, time: int | None, told: Any) -> ExportedRecord:
    return ExportedRecord(
        service="segment",
        dataset=dataset,
        record_time=timestamp(time),
        # Fingerprints are numbers, and keys of what is kept by them.
        record_json=orjson.dumps(told, default=_plain, option=orjson.OPT_NON_STR_KEYS),
    )


def _fields(struct: msgspec.Struct, besides: str) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__ if name != besides}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    return sorted(value) if isinstance(value, set) else str(value)
