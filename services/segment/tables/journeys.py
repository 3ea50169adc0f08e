"""Postgres: journeys and the people in them, for people to look at."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from chassis.postgres import Pool
from services.segment.engine.journeys.model import InstanceRecord, JourneyRecord, Visit
from services.segment.tables.journey_rows import RECORD

_COLUMNS: Final = (
    "contact_id::text, instance_id, journey_id, version, key, origin_id::text, cause_id,"
    " start_time, parameters, state, reason, step_id, step_time, due_time, visits, end_time"
)


class Traffic(NamedTuple):
    """Who is where in a version of a journey, and which ways were taken."""

    waiting: Mapping[str, int]
    """By step."""
    passed: Mapping[tuple[str, str], int]
    """By step and outcome."""


class JourneyStore:
    """What is written with the contacts' states, read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def version(self, journey_id: str, version: int) -> JourneyRecord | None:
        """A journey as it was when that became its version; None when there was none."""
        found: bytes | None = await self._pool.fetchval(
            "SELECT journey FROM journey_versions WHERE journey_id = $1 AND version = $2",
            journey_id,
            version,
        )
        return None if found is None else RECORD.decode(found)

    async def standing_places(self, journey_id: str, oldest: int) -> dict[int, list[str]]:
        """The steps that wait, by version, from one on."""
        rows = await self._pool.fetch(
            "SELECT journey FROM journey_versions WHERE journey_id = $1 AND version >= $2",
            journey_id,
            oldest,
        )
        definitions = [RECORD.decode(row["journey"]).definition for row in rows]
        return {one.version: [s.step_id for s in one.steps if s.waits] for one in definitions}

    async def instances(
        self,
        journey_id: str,
        contact_id: str,
        key: str,
        states: Sequence[str],
        step_id: str,
        after: tuple[int, str],
        limit: int,
    ) -> list[InstanceRecord]:
        """Newest first, behind `after`; an empty filter is all."""
        chosen = "contact_id = nullif($2, '')::uuid" if contact_id else "$2 = ''"
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM journey_instances"  # noqa: S608 - fixed texts
            f" WHERE ($1 = '' OR journey_id = $1) AND {chosen}"
            " AND ($3 = '' OR key = $3)"
            " AND (cardinality($4::text[]) = 0 OR state = ANY($4))"
            " AND ($5 = '' OR step_id = $5)"
            " AND (start_time, instance_id) < ($6, $7)"
            " ORDER BY start_time DESC, instance_id DESC LIMIT $8",
            journey_id,
            contact_id,
            key,
            states,
            step_id,
            *after,
            limit,
        )
        return [_instance(row) for row in rows]

    async def chosen(self, instance_ids: Sequence[str]) -> dict[str, InstanceRecord]:
        """Those of these that there are."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM journey_instances"  # noqa: S608 - fixed texts
            " WHERE instance_id = ANY($1::text[])",
            instance_ids,
        )
        return {row["instance_id"]: _instance(row) for row in rows}

    async def latest(
        self, journey_id: str, key: str, contact_ids: Sequence[str]
    ) -> dict[str, InstanceRecord]:
        """Of each contact, the last instance that it started with a key."""
        rows = await self._pool.fetch(
            f"SELECT DISTINCT ON (contact_id) {_COLUMNS} FROM journey_instances"  # noqa: S608 - fixed texts
            " WHERE contact_id = ANY($1::uuid[]) AND journey_id = $2 AND key = $3"
            " ORDER BY contact_id, end_time DESC NULLS FIRST, start_time DESC",
            contact_ids,
            journey_id,
            key,
        )
        return {row["contact_id"]: _instance(row) for row in rows}

    async def visits(self, record: InstanceRecord) -> list[Visit]:
        """The steps of an instance that are over, in order."""
        rows = await self._pool.fetch(
            "SELECT number, version, step_id, start_time, end_time, outcome FROM journey_visits"
            " WHERE contact_id = $1 AND instance_id = $2 ORDER BY number",
            record.contact_id,
            record.instance_id,
        )
        return [
            Visit(record.instance_id, row["number"], record.journey_id, *list(row)[1:])
            for row in rows
        ]

    async def known(self, contact_ids: Sequence[str]) -> set[str]:
        """Those of these that somebody is."""
        rows = await self._pool.fetch(
            "SELECT contact_id::text AS id FROM contact_states WHERE contact_id = ANY($1::uuid[])",
            contact_ids,
        )
        return {row["id"] for row in rows}

    async def traffic(self, journey_id: str, version: int) -> Traffic:
        """Who is where now, and which ways were taken so far."""
        waiting = await self._pool.fetch(
            "SELECT step_id, count(*) AS people FROM journey_instances"
            " WHERE journey_id = $1 AND version = $2 AND end_time IS NULL GROUP BY step_id",
            journey_id,
            version,
        )
        passed = await self._pool.fetch(
            "SELECT step_id, outcome, passages FROM journey_ways"
            " WHERE journey_id = $1 AND version = $2",
            journey_id,
            version,
        )
        return Traffic(
            {row["step_id"]: row["people"] for row in waiting},
            {(row["step_id"], row["outcome"]): row["passages"] for row in passed},
        )


def _instance(row: Any) -> InstanceRecord:
    told = dict(row)
    told["parameters"] = orjson.loads(told["parameters"])
    return InstanceRecord(**told)
