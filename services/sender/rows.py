"""Messages as rows: reading, storing and changing many at once."""

# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from chassis.postgres import Connection
from chassis.tombstones import erased
from services.sender.model import Lane, Message

_TYPES: Final = {
    "str": "text",
    "int": "bigint",
    "float": "double precision",
    "bytes": "bytea",
    "bool": "boolean",
}
_FIELDS: Final = Message.__struct_fields__
_SQL_TYPES: Final = [_TYPES[Message.__annotations__[field].__name__] for field in _FIELDS]
_CHANGING: Final = tuple(
    f for f in _FIELDS[_FIELDS.index("category") :] if f not in {"home_id", "trial"}
)
COLUMNS: Final = ", ".join(_FIELDS)

_UNNESTED: Final = ", ".join(f"${i}::{kind}[]" for i, kind in enumerate(_SQL_TYPES, 1))
_INSERT: Final = (
    f"INSERT INTO messages ({COLUMNS}) SELECT * FROM unnest({_UNNESTED})"
    " ON CONFLICT DO NOTHING RETURNING message_id"
)
CLAIMED: Final = (
    *("category", "market", "state", "gate", "reason", "attempts", "due_time", "attempt_time"),
    *("cost_micros", "currency", "error_code", "claim"),
)
"""What a claim changes."""


@cache
def _update(fields: tuple[str, ...]) -> str:
    types = ", ".join(
        f"${i}::{_SQL_TYPES[_FIELDS.index(field)]}[]"
        for i, field in enumerate(("message_id", *fields), 1)
    )
    return (
        f"UPDATE messages AS m SET {', '.join(f'{c} = u.{c}' for c in fields)} FROM unnest({types})"
        f" AS u(message_id, {', '.join(fields)}) WHERE m.message_id = u.message_id"
    )


async def insert(connection: Connection, messages: Sequence[Message]) -> set[str]:
    """Store messages that are not known yet, of people who were not erased; returns their ids."""
    gone = await erased(connection, {i for m in messages for i in (m.contact_id, m.home_id)})
    messages = [m for m in messages if gone.isdisjoint((m.contact_id, m.home_id))]
    if not messages:
        return set()
    rows = await connection.fetch(_INSERT, *_columns(messages, _FIELDS))
    new = {row["message_id"] for row in rows}
    # A merge may have been followed since somebody asked who the contact is.
    await connection.execute(
        "UPDATE messages m SET home_id = m.contact_id, contact_id = p.person_id FROM people p"
        " WHERE m.message_id = ANY($1::text[]) AND p.contact_id = m.contact_id"
        " AND p.person_id <> m.contact_id",
        list(new),
    )
    return new


async def update(
    connection: Connection, messages: Sequence[Message], fields: tuple[str, ...] = _CHANGING
) -> None:
    """Write what changes of messages, or only some of it."""
    if messages:
        await connection.execute(_update(fields), *_columns(messages, ("message_id", *fields)))


def _columns(messages: Sequence[Message], fields: Sequence[str]) -> list[list[Any]]:
    return [[getattr(message, field) for message in messages] for field in fields]


_WAITS: Final = "state IN (1, 2) AND phone_number_id = $1 AND lane = $2"
# One look into the index for each campaign that waits, then so many messages of each that has some
# due: whoever has a million waiting is in nobody's way.
_DUE: Final = (
    "WITH RECURSIVE waiting AS ("
    f" (SELECT campaign_id FROM messages WHERE {_WAITS} ORDER BY campaign_id LIMIT 1)"
    " UNION ALL"
    f" SELECT (SELECT campaign_id FROM messages WHERE {_WAITS} AND campaign_id > w.campaign_id"
    "  ORDER BY campaign_id LIMIT 1) FROM waiting w WHERE w.campaign_id IS NOT NULL),"
    " turns AS (SELECT campaign_id, count(*) OVER () AS campaigns FROM waiting w"
    # Not EXISTS, which would be read off everything that is due
    f" WHERE (SELECT true FROM messages m WHERE {_WAITS} AND m.campaign_id = w.campaign_id"
    "  AND due_time <= $3 LIMIT 1) ORDER BY random() LIMIT $4)"
    " SELECT campaigns, one.* FROM turns t CROSS JOIN LATERAL"
    f" (SELECT {COLUMNS} FROM messages m WHERE {_WAITS} AND m.campaign_id = t.campaign_id"
    "  AND due_time <= $3 ORDER BY due_time LIMIT ceil($4::numeric / t.campaigns)"
    "  FOR UPDATE SKIP LOCKED) AS one"
)


async def due(
    connection: Connection, phone_number_id: str, places: Sequence[int], now: int
) -> tuple[list[Message], bool]:
    """Messages of a number that are due, about so many of each lane, in equal parts from the
    campaigns that have some; locked, without those that others have. True: more may be due."""
    found: list[Message] = []
    more = False
    for lane, most in zip(Lane, places, strict=True):
        if not most:
            continue
        rows = await connection.fetch(_DUE, phone_number_id, int(lane), now, most)
        messages = [Message(*fields) for _, *fields in rows]
        found += messages
        if rows:
            campaigns = rows[0]["campaigns"]
            fullest = max(Counter(one.campaign_id for one in messages).values())
            more = more or campaigns > most or fullest >= most / campaigns
    return found, more


async def locked(connection: Connection, message_ids: Sequence[str]) -> list[Message]:
    """Messages by id, locked in the order of their ids until the transaction ends."""
    if not message_ids:
        return []
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM messages WHERE message_id = ANY($1::text[])"
        " ORDER BY message_id FOR UPDATE",
        message_ids,
    )
    return [Message(*row) for row in rows]
