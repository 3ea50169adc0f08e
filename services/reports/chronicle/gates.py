"""What gates said of messages: each word that made one wait or end, as long as history is kept.

Not part of the facts, which say where a message stands: figures need no more, and whoever looks
at one person's messages needs all of it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from chassis.clock import milliseconds_of
from chassis.postgres import Connection, Pool
from chassis.times import milliseconds
from chassis.tombstones import erased
from merhaba.event.v1 import Event
from services.reports.chronicle.why import Word
from services.reports.columns import TIME, by_column, upsert

_MOST: Final = 20
"""Of one message; the latest."""
_LONGEST: Final = 200
_KEEP: Final = upsert(
    "gate_words",
    ["contact_id", "message_id", "say_time", "gate"],
    {
        **{"contact_id": "text", "message_id": "text", "say_time": TIME, "gate": "text"},
        **{"refused": "boolean", "reason": "text", "retry_time": TIME},
    },
    [],
)
_READ: Final = (
    "SELECT w.* FROM unnest($2::text[]) AS t (message_id) CROSS JOIN LATERAL ("
    "SELECT message_id, say_time, gate, refused, reason, retry_time FROM gate_words"
    " WHERE contact_id = ANY($1::text[]) AND message_id = t.message_id"
    " ORDER BY say_time DESC, gate LIMIT $3) w ORDER BY say_time, gate"
)
_Row = tuple[str, str, int, str, bool, str, int | None]


class Gates:
    """Keeps what gates said."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, events: Iterable[Event]) -> None:
        """Keep what events of the topic `message` say of gates; of others nothing. A repeat changes
        nothing."""
        rows = {row[:4]: row for event in events if (row := _row(event)) is not None}
        if not rows:
            return
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            gone = await erased(connection, {row[0] for row in rows.values()})
            if kept := [row for row in rows.values() if row[0] not in gone]:
                await connection.execute(_KEEP, *by_column(kept))


async def words(
    connection: Connection, contact_ids: Sequence[str], message_ids: Collection[str]
) -> Mapping[str, list[Word]]:
    """What gates said of messages of a person, oldest first."""
    found: dict[str, list[Word]] = {}
    if message_ids:
        rows = await connection.fetch(_READ, list(contact_ids), list(message_ids), _MOST)
        for message_id, time, gate, refused, reason, retry in rows:
            until = None if retry is None else milliseconds_of(retry)
            word = Word(milliseconds_of(time), gate, refused, reason, until)
            found.setdefault(message_id, []).append(word)
    return found


def _row(event: Event) -> _Row | None:
    refused = event.HasField("message_suppressed")
    if not refused and not event.HasField("message_held"):
        return None
    about = (event.message_suppressed if refused else event.message_held).message
    if not event.contact_id or not about.message_id:
        return None
    key = event.contact_id, about.message_id, milliseconds(event.event_time)
    if refused:
        said = event.message_suppressed
        return *key, said.gate[:_LONGEST], True, said.reason[:_LONGEST], None
    held = event.message_held
    retry = milliseconds(held.retry_time) if held.HasField("retry_time") else None
    return *key, held.reason[:_LONGEST], False, "", retry
