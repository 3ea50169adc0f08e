"""What other events say of a message: where it came from, who its contact was, what came of it.

Those events may come before the message or after it. A message finds what is stored when it is
written; whoever says something of a contact leaves a revision, by which the contact's messages are
looked at again once every transaction is over that may have missed it. So it does not matter what
came first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from chassis.clock import milliseconds_of, moment_of
from chassis.postgres import Connection
from services.reports import messages
from services.reports.attribution import Order, Touch, attribute
from services.reports.columns import TIME, by_column, upsert
from services.reports.model import (
    CLICKED,
    ORDERS,
    READ,
    Anchor,
    Context,
    Goal,
    MessageFact,
    OrderFact,
    Origin,
    Sale,
    Trait,
)

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
_REACHED: Final = "SELECT reached FROM goals_catch_up FOR UPDATE SKIP LOCKED"
_SOME: Final = "(SELECT DISTINCT contact_id FROM {} WHERE contact_id > $1 ORDER BY 1 LIMIT $2)"
_NEXT: Final = (
    f"{_SOME.format('order_facts')} UNION {_SOME.format('conversion_facts')} ORDER BY 1 LIMIT $2"
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
    " OR EXISTS (SELECT FROM conversion_facts c WHERE c.contact_id = t.contact_id)"
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
_ALL: Final = (
    "SELECT conversion_id, contact_id, order_id, order_time, value_time, value_micros, currency,"
    " cancel_time FROM conversion_facts WHERE contact_id = ANY($1::text[]) AND contact_id <> ''"
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
_SEEN: Final = (
    f"SELECT {messages.READ} FROM message_facts"  # noqa: S608 - constants
    f" WHERE contact_id = ANY($1::text[]) AND progress & {READ | CLICKED} <> 0"
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


async def catch_up(connection: Connection, most: int) -> dict[str, int]:
    """As `take`: the next of those who did something before what it brought was kept."""
    row = await connection.fetchrow(_REACHED)
    if row is None:
        return {}
    contacts = [one[0] for one in await connection.fetch(_NEXT, row[0], most)]
    if contacts:
        await connection.execute("UPDATE goals_catch_up SET reached = $1", contacts[-1])
    else:
        await connection.execute("DELETE FROM goals_catch_up")
    return dict.fromkeys(contacts, 0)


async def concerned(connection: Connection, contact_ids: Collection[str]) -> list[str]:
    """Those who ordered, did what else counts as success, withdrew consent, or were found to be
    somebody else."""
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


class Outcome(NamedTuple):
    """What came of a message, by other events."""

    opted_out: bool = False
    """Consent was withdrawn after it."""
    sales: tuple[Sale, ...] = ()
    goals: tuple[tuple[str, tuple[Sale, ...]], ...] = ()
    """What it brought besides orders, by definition."""


class Success(NamedTuple):
    """What persons did that counts as success, by definition."""

    done: Mapping[str, Mapping[str, Sequence[Order]]]
    """By definition and person."""
    goals: Mapping[str, Goal]
    """How each is attributed."""


async def successes(
    connection: Connection, persons: Mapping[str, str], goals: Mapping[str, Goal]
) -> Success:
    """What persons did, orders among it, by the definitions there are. `persons`: contact →
    person, all ids of each."""
    done: dict[str, Mapping[str, Sequence[Order]]] = {}
    if bought := await orders(connection, persons):
        done[ORDERS] = bought
    rows: dict[str, list[Sequence[Any]]] = {}
    for conversion_id, *row in await connection.fetch(_ALL, list(persons)):
        rows.setdefault(conversion_id, []).append(row)
    for conversion_id in sorted(rows.keys() & goals.keys()):
        if standing := _standing(rows[conversion_id], persons):
            done[conversion_id] = standing
    return Success(done, goals)


async def outcomes(
    connection: Connection, persons: Mapping[str, str], success: Success
) -> dict[str, Outcome]:
    """By message of these persons, where there is something. `persons`: contact → person, all ids
    of each."""
    ids = list(persons)
    touches: dict[str, list[Touch]] = {}
    for contact_id, message_id, time in await connection.fetch(_TOUCHES, ids):
        touch = Touch(milliseconds_of(time), message_id)
        touches.setdefault(persons[contact_id], []).append(touch)
    if not touches:
        return {}
    anchors: dict[Anchor, Mapping[str, Sequence[Touch]]] = {"delivered": touches}
    if any(success.goals[one].anchor != "delivered" for one in success.done):
        anchors |= await _seen(connection, persons)
    sales: dict[str, dict[str, tuple[Sale, ...]]] = {}
    for conversion_id, by_person in success.done.items():
        goal = success.goals[conversion_id]
        for person, theirs in by_person.items():
            near = anchors[goal.anchor].get(person, ())
            for message_id, sold in attribute(theirs, near, goal.window_ms).items():
                sales.setdefault(message_id, {})[conversion_id] = sold
    gone = {
        message_id
        for contact_id, time in await connection.fetch(_WITHDRAWALS, ids)
        for reached, message_id in touches.get(persons[contact_id], ())
        if reached <= milliseconds_of(time) < reached + _OPT_OUT // timedelta(milliseconds=1)
    }
    found: dict[str, Outcome] = {}
    for message_id in gone | sales.keys():
        brought = sales.get(message_id, {})
        bought = brought.pop(ORDERS, ())
        found[message_id] = Outcome(message_id in gone, bought, tuple(sorted(brought.items())))
    return found


async def _seen(
    connection: Connection, persons: Mapping[str, str]
) -> dict[Anchor, dict[str, list[Touch]]]:
    """When persons read messages and tapped on them."""
    found: dict[Anchor, dict[str, list[Touch]]] = {"read": {}, "clicked": {}}
    for row in await connection.fetch(_SEEN, list(persons)):
        fact = messages.read(row).fact
        for anchor, by_person in found.items():
            if (time := fact.times.get(anchor)) is not None:
                touch = Touch(time, fact.message_id)
                by_person.setdefault(persons[fact.contact_id], []).append(touch)
    return found


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


def _standing(rows: Iterable[Iterable[Any]], persons: Mapping[str, str]) -> dict[str, list[Order]]:
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
