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
from services.reports import base, messages

_NAMED: Final = "'nobody_' || left(encode(sha256(convert_to($2 || {}, 'UTF8')), 'hex'), 32)"
_CONTACT: Final = _NAMED.format("contact_id")
_PERSON: Final = _NAMED.format("person_id")
_TABLES: Final = {
    # In the order in which others lock them
    "revision": ("revisions", "revision_id::text", "since_time", ""),
    "message": (
        "message_facts",
        "message_id",
        "counted_time",
        f"SET contact_id = {_CONTACT}, occurrence_id = ''",
    ),
    "sample": (*("sampled_facts", "message_id", "counted_time", f"SET contact_id = {_CONTACT}"),),
    "order": (
        "order_facts",
        "contact_id || ' ' || order_id",
        "order_time",
        f"SET contact_id = {_CONTACT}, order_id = {_NAMED.format('order_id')}",
    ),
    "conversion": (
        "conversion_facts",
        "contact_id || ' ' || conversion_id || ' ' || order_id",
        "order_time",
        f"SET contact_id = {_CONTACT}, order_id = {_NAMED.format('order_id')}",
    ),
    "arrival": (
        "arrivals",
        "contact_id || ' ' || letter_id",
        "arrive_time",
        f"SET contact_id = {_CONTACT}, letter_id = {_NAMED.format('letter_id')}",
    ),
    "withdrawal": (
        "withdrawals",
        "contact_id || ' ' || withdraw_time",
        "withdraw_time",
        f"SET contact_id = {_CONTACT}",
    ),
    # Nobody belongs to a segment: these rows are deleted.
    "membership": ("segment_facts", "contact_id || ' ' || segment_id", "change_time", ""),
    "person": (
        "people",
        "contact_id",
        "change_time",
        f"SET contact_id = CASE WHEN contact_id = ANY($1) THEN {_CONTACT} ELSE contact_id END,"
        f" person_id = CASE WHEN person_id = ANY($1) THEN {_PERSON} ELSE person_id END",
    ),
    "letter": (
        "letters",
        "contact_id || ' ' || letter_id",
        "write_time",
        f"SET contact_id = {_CONTACT}, letter_id = {_NAMED.format('letter_id')}",
    ),
    # Neither does anybody live on in what was said of them, but for what people are counted by.
    "history": (
        "contact_history",
        "contact_id || ' ' || name || ' ' || change_time",
        "change_time",
        "",
    ),
    "consent": ("consents", "contact_id", "change_time", f"SET contact_id = {_CONTACT}"),
    "occurrence": ("occurrences", "occurrence_id", "start_time", ""),
    "gate": (*("gate_words", "message_id || ' ' || gate || ' ' || say_time", "say_time", ""),),
    "read": (
        "reads",
        "read_time || ' ' || caller || ' ' || method",
        "read_time",
        f"SET contact_id = {_CONTACT}",
    ),
}
"""Dataset → table, which row it is, when it happened, what makes it nobody's."""
_KEEP: Final = (
    f"UPDATE contact_history SET contact_id = {_CONTACT}"  # noqa: S608 - constants
    " WHERE contact_id = ANY($1::text[]) AND name IN ('created', 'consent', 'stage')"
)
# Whoever is nobody agrees to nothing and is in no stage.
_END: Final = (
    "INSERT INTO contact_history SELECT DISTINCT contact_id, name, $3::timestamptz,"  # noqa: S608 - constants
    " CASE name WHEN 'consent' THEN 'withdrawn' ELSE '' END FROM contact_history"
    f" WHERE contact_id IN (SELECT {_CONTACT} FROM unnest($1::text[]) AS t (contact_id))"
    " AND name IN ('consent', 'stage')"
    " ON CONFLICT (contact_id, name, change_time) DO UPDATE SET value = excluded.value"
)
# Who they are as nobody, all of them one person or each by itself as before
_NOBODY: Final = (
    "SELECT n.contact_id, coalesce(p.person_id, n.contact_id) AS person_id"  # noqa: S608 - constants
    f" FROM (SELECT {_CONTACT} AS contact_id FROM unnest($1::text[]) AS t (contact_id)) AS n"
    " LEFT JOIN people p USING (contact_id)"
)

# Which files a person is in nobody knows: all that say who people are go.
_FILES: Final = (
    "UPDATE exports SET state = 'expired', due_time = NULL WHERE unmasked"
    " AND state IN ('waiting', 'running', 'completed')",
    "DELETE FROM export_pieces p USING exports e WHERE e.export_id = p.export_id AND e.unmasked",
)


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
                kept = 0
                if dataset == "history":
                    kept = int((await connection.execute(_KEEP, ids, secret)).split()[-1])
                    await connection.execute(_END, ids, secret, self._clock.now())
                where = f"WHERE {_theirs(dataset)}"
                if change:
                    done = await connection.execute(
                        f"UPDATE {table} {change} {where}",
                        *(ids, secret),
                    )
                else:
                    done = await connection.execute(f"DELETE FROM {table} {where}", ids)  # noqa: S608 - constants
                erased[dataset] = kept + int(done.split()[-1])
            persons = await connection.fetch(_NOBODY, ids, secret)
            await base.recount(connection, dict(tuple(row) for row in persons))
            for statement in _FILES:
                await connection.execute(statement)
        return erased


def _theirs(dataset: str) -> str:
    mine = "contact_id = ANY($1::text[])"
    return f"({mine} OR person_id = ANY($1::text[]))" if dataset == "person" else mine


def _reader(dataset: str, time: str) -> Callable[[asyncpg.Record], ExportedRecord]:
    def record(row: asyncpg.Record) -> ExportedRecord:
        told: dict[str, Any] = {name: value for name, value in row.items() if name != "place"}
        if dataset == "message":
            told |= messages.described(told.pop("fact"))
        return ExportedRecord(
            service="reports",
            dataset=dataset,
            record_time=stamped(row[time]),
            record_json=orjson.dumps(told),
        )

    return record
