"""What is kept of one person, latest first."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from chassis.clock import milliseconds_of
from chassis.postgres import Connection, Pool
from services.reports import contexts, messages
from services.reports.chronicle.gates import words
from services.reports.chronicle.why import Word
from services.reports.messages import Known
from services.reports.model import Letter, OrderFact, Origin, Trait


class Place(NamedTuple):
    """Where in a timeline something stands: of the same moment by source, then by key."""

    time: datetime
    source: str
    key: str


class Item(NamedTuple):
    """Something that happened."""

    place: Place
    what: Known | Letter | Trait | Origin | OrderFact


class Timeline(NamedTuple):
    """A page of it."""

    items: list[Item]
    origins: Mapping[str, Origin]
    """By occurrence, of the messages."""
    words: Mapping[str, Sequence[Word]]
    """By message, what gates said of it."""


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds_of(moment)


def _order(row: Sequence[Any]) -> OrderFact:
    contact_id, order_id, completed, valued, micros, currency, cancelled = row
    value = None if valued is None else (milliseconds_of(valued), micros, currency)
    return OrderFact(contact_id, order_id, _ms(completed), value, _ms(cancelled))


def _origin(row: Sequence[Any]) -> Origin:
    occurrence_id, contact_id, start, *rest = row
    return Origin(occurrence_id, contact_id, milliseconds_of(start), *rest)


def _letter(row: Sequence[Any]) -> Letter:
    contact_id, letter_id, time, number, ours = row
    return Letter(contact_id, letter_id, milliseconds_of(time), number, ours)


def _trait(row: Sequence[Any]) -> Trait:
    contact_id, name, time, value = row
    return Trait(contact_id, name, milliseconds_of(time), value)


_ORDER: Final = "contact_id, order_id, order_time, value_time, value_micros, currency, cancel_time"
_ORIGIN: Final = (
    "occurrence_id, contact_id, start_time, trigger_id, journey_id, journey_step, cause_event_id"
)
_SOURCES: Final[Mapping[str, tuple[str, str, str, str, Callable[[Sequence[Any]], Any]]]] = {
    "message": ("message_facts", "counted_time", "message_id", messages.READ, messages.read),
    "letter": (
        *("letters", "write_time", "letter_id"),
        "contact_id, letter_id, write_time, phone_number_id, ours",
        _letter,
    ),
    "trait": (
        "(SELECT * FROM contact_history WHERE contact_id = ANY($1::text[])"
        " AND (name IN ('created', 'consent', 'stage') OR name LIKE 'segment:%')) AS traits",
        *("change_time", "contact_id || ' ' || name", "contact_id, name, change_time, value"),
        _trait,
    ),
    "origin": ("occurrences", "start_time", "occurrence_id", _ORIGIN, _origin),
    "order": ("order_facts", "order_time", "contact_id || ' ' || order_id", _ORDER, _order),
    "return": ("order_facts", "cancel_time", "contact_id || ' ' || order_id", _ORDER, _order),
}
"""Table, when it happened, which row it is, columns, what they say."""


class Timelines:
    """Timelines of people."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self,
        contact_id: str,
        start: datetime | None,
        end: datetime | None,
        behind: Place | None,
        size: int,
    ) -> Timeline | None:
        """What happened to the person of a contact, whichever ids it was told of, behind a place;
        None when nothing is known of them at all."""
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            ids = list({contact_id, *await contexts.people(connection, [contact_id])})
            found: list[Item] = []
            for source in _SOURCES:
                found += await _read(connection, source, ids, start, end, behind, size)
            if not found and not await _known(connection, ids):
                return None
            found.sort(key=lambda item: item.place, reverse=True)
            items = found[:size]
            facts = [item.what.fact for item in items if isinstance(item.what, Known)]
            origins = await _origins(connection, {fact.occurrence_id for fact in facts} - {""})
            said = await words(connection, ids, [fact.message_id for fact in facts])
        return Timeline(items, origins, said)

    async def names(
        self, campaigns: Collection[str], segments: Collection[str]
    ) -> dict[tuple[str, str], str]:
        """What people call campaigns and segments."""
        found: dict[tuple[str, str], str] = {}
        for kind, ids, statement in (
            (
                *("campaign", campaigns),
                "SELECT campaign_id, name FROM campaign_facts WHERE campaign_id = ANY($1)",
            ),
            (
                *("segment", segments),
                "SELECT segment_id, coalesce(nullif(display_name, ''), name) FROM segment_names"
                " WHERE segment_id = ANY($1)",
            ),
        ):
            for number, name in await self._pool.fetch(statement, list(ids)):
                if name:
                    found[kind, number] = name
        return found


async def _read(
    connection: Connection,
    source: str,
    ids: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    behind: Place | None,
    size: int,
) -> list[Item]:
    table, time, key, columns, said = _SOURCES[source]
    values: list[Any] = [list(ids), size]
    where = [f"contact_id = ANY($1::text[]) AND {time} IS NOT NULL"]
    for moment, test in ((start, ">="), (end, "<")):
        if moment is not None:
            values.append(moment)
            where.append(f"{time} {test} ${len(values)}")
    if behind is not None:
        values += [behind.time, source, behind.source, behind.key]
        first = len(values) - 3
        where.append(
            f'({time}, ${first + 1}::text, ({key}) COLLATE "C")'
            f" < (${first}::timestamptz, ${first + 2}::text, ${first + 3}::text)"
        )
    rows = await connection.fetch(
        f"SELECT {time} AS at, {key} AS key, {columns} FROM {table}"  # noqa: S608 - constants, values are bound
        f' WHERE {" AND ".join(where)} ORDER BY 1 DESC, ({key}) COLLATE "C" DESC LIMIT $2',
        *values,
    )
    return [Item(Place(row[0], source, row[1]), said(tuple(row)[2:])) for row in rows]


async def _known(connection: Connection, ids: Sequence[str]) -> bool:
    tests = [
        f"EXISTS (SELECT FROM {table} WHERE contact_id = ANY($1::text[]))"
        for table in (
            *(
                "message_facts",
                "letters",
                "contact_history",
                "occurrences",
                "order_facts",
                "people",
            ),
        )
    ]
    known: bool = await connection.fetchval(f"SELECT {' OR '.join(tests)}", list(ids))
    return known


async def _origins(connection: Connection, occurrences: Collection[str]) -> dict[str, Origin]:
    rows = await connection.fetch(
        f"SELECT {_ORIGIN} FROM occurrences WHERE occurrence_id = ANY($1::text[])",  # noqa: S608 - constants
        list(occurrences),
    )
    return {row[0]: _origin(tuple(row)) for row in rows}
