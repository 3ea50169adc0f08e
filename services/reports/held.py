"""Everything reports holds of a person: to be shown, and to be made facts of nobody.

Figures stay as they are: a person's facts get names of their own, made with a secret that is
forgotten at once, so that what belonged together still does and leads back to nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import asyncpg
import orjson

from chassis.clock import Clock
from chassis.postgres import Pool
from chassis.privacy import Readers, rows
from chassis.times import stamped
from chassis.tombstones import bury
from merhaba.profile.v1 import ExportedRecord

_NAMED: Final = "'nobody_' || left(encode(sha256(convert_to($2 || {}, 'UTF8')), 'hex'), 32)"
_CONTACT: Final = _NAMED.format("contact_id")
_PERSON: Final = _NAMED.format("person_id")
_TABLES: Final = {
    "message": (
        "message_facts",
        "message_id",
        "counted_time",
        f"SET contact_id = {_CONTACT}, occurrence_id = ''",
    ),
    "order": (
        "order_facts",
        "contact_id || ' ' || order_id",
        "order_time",
        f"SET contact_id = {_CONTACT}, order_id = {_NAMED.format('order_id')}",
    ),
    "withdrawal": (
        "withdrawals",
        "contact_id || ' ' || withdraw_time",
        "withdraw_time",
        f"SET contact_id = {_CONTACT}",
    ),
    "person": (
        "people",
        "contact_id",
        "change_time",
        f"SET contact_id = CASE WHEN contact_id = ANY($1) THEN {_CONTACT} ELSE contact_id END,"
        f" person_id = CASE WHEN person_id = ANY($1) THEN {_PERSON} ELSE person_id END",
    ),
    # Nobody belongs to a segment: these rows are deleted.
    "membership": ("segment_facts", "contact_id || ' ' || segment_id", "change_time", ""),
}
"""Dataset → table, which row it is, when it happened, what makes it nobody's."""


class Held:
    """What is kept of contacts, in whatever table."""

    def __init__(self, pool: Pool, clock: Clock, secret: Callable[[], str]) -> None:
        """`secret`: a new one, which nobody can guess."""
        self._pool = pool
        self._clock = clock
        self._secret = secret

    async def readers(self, contact_ids: Sequence[str]) -> Readers:
        """Everything of a person, by dataset."""
        ids = await self._all(contact_ids)
        return {
            dataset: rows(
                self._pool,
                dataset,
                f"SELECT *, {place} AS place FROM {table} WHERE {_theirs(dataset)}",  # noqa: S608 - constants
                ids,
                _reader(dataset, time),
            )
            for dataset, (table, place, time, _) in _TABLES.items()
        }

    async def _all(self, contact_ids: Sequence[str]) -> list[str]:
        """With all ids of which these stand for the person now."""
        found = await self._pool.fetch(
            "SELECT contact_id FROM people WHERE person_id = ANY($1::text[])", contact_ids
        )
        return list(dict.fromkeys([*contact_ids, *(row["contact_id"] for row in found)]))

    async def erase(self, contact_ids: Sequence[str]) -> Mapping[str, int]:
        """Make a person's facts nobody's, for good; returns how many of which kind."""
        ids: list[str] = []
        while len(found := await self._all(ids or contact_ids)) > len(ids):
            ids = found  # once more: a merge may have been folded until now
            await bury(self._pool, ids, self._clock.now())
        secret = self._secret()
        erased: dict[str, int] = {}
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            for dataset, (table, _, _, change) in _TABLES.items():
                where = f"WHERE {_theirs(dataset)}"
                if change:
                    done = await connection.execute(
                        f"UPDATE {table} {change} {where}",
                        *(ids, secret),
                    )
                else:
                    done = await connection.execute(f"DELETE FROM {table} {where}", ids)  # noqa: S608 - constants
                erased[dataset] = int(done.split()[-1])
        return erased


def _theirs(dataset: str) -> str:
    mine = "contact_id = ANY($1::text[])"
    return f"({mine} OR person_id = ANY($1::text[]))" if dataset == "person" else mine


def _reader(dataset: str, time: str) -> Callable[[asyncpg.Record], ExportedRecord]:
    def record(row: asyncpg.Record) -> ExportedRecord:
        told: dict[str, Any] = {name: value for name, value in row.items() if name != "place"}
        return ExportedRecord(
            service="reports",
            dataset=dataset,
            record_time=stamped(row[time]),
            record_json=orjson.dumps(told),
        )

    return record
