"""What other events say of a message: where it came from, who its contact was, what came of it.

Those events may come before the message or after it. A message finds what is stored when it is
written; whoever says something of a contact leaves a revision, by which the contact's messages are
looked at again once every transaction is over that may have missed it. So it does not matter what
came first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from chassis.clock import milliseconds_of, moment_of
from chassis.postgres import Connection
from services.reports.attribution import Order, Touch, attribute
from services.reports.columns import TIME, by_column, upsert
from services.reports.model import Context, MessageFact, OrderFact, Origin, Sale, Trait

_SEGMENT: Final = "segment:"
_OPT_OUT: Final = timedelta(hours=24)
_HISTORY: Final = upsert(
    "contact_history",
    ["contact_id", "name", "change_time"],
    {"contact_id": "text", "name": "text", "change_time": TIME, "value": "text"},
    ["value = greatest(f.value, excluded.value)"],
)
_ORIGINS: Final = upsert(
    "occurrences",
    ["occurrence_id"],
    {
        **{"occurrence_id": "text", "contact_id": "text", "start_time": TIME},
        **{"trigger_id": "text", "journey_id": "text", "journey_step": "text"},
        **{"cause_event_id": "text"},
    },
    [],
)
_LEAVE: Final = (
    "INSERT INTO revisions (contact_id, since_time)"
    " SELECT * FROM unnest($1::text[], $2::timestamptz[])"
)
# A transaction that was running when a revision came to be seen may have missed what it is about:
# also one that began after whoever wrote it. Its number is smaller than the one of who sees.
_SEE: Final = (
    "UPDATE revisions SET horizon = pg_current_xact_id()"
    " WHERE revision_id IN (SELECT revision_id FROM revisions WHERE horizon IS NULL"
    " ORDER BY revision_id LIMIT $1 FOR UPDATE SKIP LOCKED)"
)
_TAKE: Final = (
    "DELETE FROM revisions WHERE revision_id IN (SELECT revision_id FROM revisions"
    " WHERE horizon <= pg_snapshot_xmin(pg_current_snapshot())"
    " ORDER BY revision_id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING contact_id, since_time"
)
_AS_OF: Final = (
    "SELECT t.message_id, h.name, h.value"
    " FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS t (message_id, contact_id, at)"
    " CROSS JOIN LATERAL (SELECT DISTINCT ON (name) name, value FROM contact_history"
    " WHERE contact_id = t.contact_id AND change_time <= t.at ORDER BY name, change_time DESC) h"
    " WHERE h.value <> ''"
)
_FOUND: Final = (
    "SELECT occurrence_id, trigger_id, journey_id, journey_step FROM occurrences"
    " WHERE occurrence_id = ANY($1::text[])"
)
_CONCERNED: Final = (
    "SELECT contact_id FROM unnest($1::text[]) AS t (contact_id)"
    " WHERE EXISTS (SELECT FROM order_facts o WHERE o.contact_id = t.contact_id)"
    " OR EXISTS (SELECT FROM withdrawals w WHERE w.contact_id = t.contact_id)"
    " OR EXISTS (SELECT FROM people p WHERE p.contact_id = t.contact_id)"
    " OR EXISTS (SELECT FROM people p WHERE p.person_id = t.contact_id)"
)
_PEOPLE: Final = (
    "WITH persons AS (SELECT DISTINCT coalesce(p.person_id, t.contact_id) AS person_id"
    " FROM unnest($1::text[]) AS t (contact_id) LEFT JOIN people p USING (contact_id))"
    " SELECT person_id AS contact_id, person_id FROM persons"
    " UNION SELECT p.contact_id, p.person_id FROM people p JOIN persons USING (person_id)"
)
_ORDER: Final = (
    "SELECT contact_id, order_id, order_time, value_time, value_micros, currency, cancel_time"
)
_ORDERS: Final = (
    f"{_ORDER} FROM order_facts WHERE contact_id = ANY($1::text[]) AND contact_id <> ''"
)
_CONVERSIONS: Final = (
    f"{_ORDER} FROM conversion_facts WHERE contact_id = ANY($1::text[]) AND contact_id <> ''"
    " AND conversion_id = $2"
)
_WITHDRAWALS: Final = (
    "SELECT contact_id, withdraw_time FROM withdrawals WHERE contact_id = ANY($1::text[])"
)
_TOUCHES: Final = (
    "SELECT contact_id, message_id, reached_time FROM message_facts"
    " WHERE contact_id = ANY($1::text[]) AND reached_time IS NOT NULL"
)


async def note(
    connection: Connection, traits: Collection[Trait], origins: Sequence[Origin]
) -> None:
    """Store what was said of contacts and of what starts messages."""
    if traits:
        await connection.execute(
            _HISTORY, *by_column([(t.contact_id, t.name, t.time, t.value) for t in traits])
        )
    if origins:
        await connection.execute(_ORIGINS, *by_column(origins))


async def leave(connection: Connection, starts: Mapping[str, int]) -> None:
    """Have the messages of contacts looked at again that count from a moment on (epoch ms)."""
    if starts:
        await connection.execute(
            _LEAVE, list(starts), [moment_of(time) for time in starts.values()]
        )


async def take(connection: Connection, most: int) -> dict[str, int]:
    """Revisions whose time has come, at most so many: contact → from when on (epoch ms)."""
    starts: dict[str, int] = {}
    await connection.execute(_SEE, most)
    for contact_id, since in await connection.fetch(_TAKE, most):
        time = milliseconds_of(since)
        starts[contact_id] = min(time, starts.get(contact_id, time))
    return starts


async def concerned(connection: Connection, contact_ids: Collection[str]) -> list[str]:
    """Those who ordered, withdrew consent, or were found to be somebody else."""
    if not contact_ids:
        return []
    rows = await connection.fetch(_CONCERNED, list(contact_ids))
    return [row[0] for row in rows]


async def people(connection: Connection, contact_ids: Collection[str]) -> dict[str, str]:
    """All ids of the persons whom these contacts are part of now, with the person."""
    rows = await connection.fetch(_PEOPLE, list(contact_ids))
    return {row[0]: row[1] for row in rows}


async def contexts(connection: Connection, facts: Sequence[MessageFact]) -> dict[str, Context]:
    """Where messages came from, and who their contacts were when they count."""
    if not facts:
        return {}
    held: dict[str, dict[str, str]] = {}
    segments: dict[str, list[str]] = {}
    dated = [(f.message_id, f.contact_id, f.counted_time) for f in facts]
    asked = [(m, who, moment_of(time)) for m, who, time in dated if time is not None and who]
    rows = await connection.fetch(_AS_OF, *by_column(asked)) if asked else ()
    for message_id, name, value in rows:
        if name.startswith(_SEGMENT):
            segments.setdefault(message_id, []).append(name.removeprefix(_SEGMENT))
        else:
            held.setdefault(message_id, {})[name] = value
    occurrences = list({f.occurrence_id for f in facts if f.occurrence_id})
    origins = {
        row[0]: (row[1], row[2], row[3])
        for row in (await connection.fetch(_FOUND, occurrences) if occurrences else ())
    }
    return {
        fact.message_id: Context(
            *origins.get(fact.occurrence_id, ("", "", "")),
            *_held(held.get(fact.message_id)),
            tuple(sorted(segments.get(fact.message_id, ()))),
        )
        for fact in facts
    }


def _held(traits: Mapping[str, str] | None) -> tuple[str, str, str]:
    """Stage, zone and device."""
    if traits is None:
        return "", "", ""
    return traits.get("stage", ""), traits.get("zone", ""), traits.get("device", "")


async def outcomes(
    connection: Connection, persons: Mapping[str, str], window: timedelta
) -> dict[str, tuple[bool, tuple[Sale, ...]]]:
    """By message of these persons, where there is something: whether consent was withdrawn after
    it, and the orders it brought. `persons`: contact → person, all ids of each."""
    ids = list(persons)
    touches: dict[str, list[Touch]] = {}
    for contact_id, message_id, time in await connection.fetch(_TOUCHES, ids):
        touch = Touch(milliseconds_of(time), message_id)
        touches.setdefault(persons[contact_id], []).append(touch)
    if not touches:
        return {}
    bought = await orders(connection, persons)
    sales: dict[str, tuple[Sale, ...]] = {}
    for person, theirs in bought.items():
        sales |= attribute(theirs, touches.get(person, ()), window // timedelta(milliseconds=1))
    gone = {
        message_id
        for contact_id, time in await connection.fetch(_WITHDRAWALS, ids)
        for reached, message_id in touches.get(persons[contact_id], ())
        if reached <= milliseconds_of(time) < reached + _OPT_OUT // timedelta(milliseconds=1)
    }
    return {
        message_id: (message_id in gone, sales.get(message_id, ()))
        for message_id in gone | sales.keys()
    }


async def orders(
    connection: Connection, persons: Mapping[str, str], conversion_id: str = ""
) -> dict[str, list[Order]]:
    """Orders that stand by person, or what else a definition counts. `persons`: contact → person,
    all ids of each."""
    if conversion_id:
        rows = await connection.fetch(_CONVERSIONS, list(persons), conversion_id)
    else:
        rows = await connection.fetch(_ORDERS, list(persons))
    return _standing(rows, persons)


def _standing(rows: Iterable[asyncpg.Record], persons: Mapping[str, str]) -> dict[str, list[Order]]:
    """Orders by person: of one order the earliest time and the latest value, whichever of the
    person's ids it was told of; not those that were cancelled or never completed."""
    facts: dict[tuple[str, str], OrderFact] = {}
    for contact_id, order_id, placed, valued, micros, currency, cancelled in rows:
        fact = OrderFact(
            persons[contact_id],
            order_id,
            completed=placed and milliseconds_of(placed),
            value=valued and (milliseconds_of(valued), micros, currency),
            cancelled=cancelled and milliseconds_of(cancelled),
        )
        if (known := facts.setdefault((fact.contact_id, order_id), fact)) is not fact:
            known.merge(fact)
    standing: dict[str, list[Order]] = {}
    for (person, _), fact in facts.items():
        if fact.completed is not None and fact.cancelled is None:
            _, micros, currency = fact.value or (0, 0, "")
            standing.setdefault(person, []).append(Order(fact.completed, micros, currency))
    return standing
