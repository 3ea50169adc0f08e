"""Messages as rows: reading, storing and changing many at once."""

# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Sequence
from typing import Any, Final

from chassis.postgres import Connection
from chassis.tombstones import erased
from services.sender.model import Message

_TYPES: Final = {
    "str": "text",
    "int": "bigint",
    "float": "double precision",
    "bytes": "bytea",
    "bool": "boolean",
}
_FIELDS: Final = Message.__struct_fields__
_SQL_TYPES: Final = {
    **{field: _TYPES[Message.__annotations__[field].__name__] for field in _FIELDS},
    # What the gates said, which is read alone
    **{"decide_time": "bigint", "edition": "integer", "verdicts": "bytea"},
}
_CHANGING: Final = tuple(
    f for f in _FIELDS[_FIELDS.index("category") :] if f not in {"home_id", "trial"}
)
COLUMNS: Final = ", ".join(_FIELDS)

_UNNESTED: Final = ", ".join(f"${i}::{_SQL_TYPES[f]}[]" for i, f in enumerate(_FIELDS, 1))
_INSERT: Final = (
    f"INSERT INTO messages ({COLUMNS}) SELECT * FROM unnest({_UNNESTED})"
    " ON CONFLICT DO NOTHING RETURNING message_id"
)


def changed(fields: Sequence[str]) -> str:
    """An UPDATE of these columns, which come as arrays after the one of the ids."""
    types = ", ".join(
        f"${i}::{_SQL_TYPES[field]}[]" for i, field in enumerate(("message_id", *fields), 1)
    )
    return (
        f"UPDATE messages AS m SET {', '.join(f'{c} = u.{c}' for c in fields)} FROM unnest({types})"
        f" AS u(message_id, {', '.join(fields)}) WHERE m.message_id = u.message_id"
    )


_WRITE: Final = changed(_CHANGING)
# Each element of each array costs the driver and Postgres something.
_HEARD: Final = (
    *("state", "gate", "reason", "error_code", "wamid", "sent_time", "delivered_time"),
    *("read_time", "played_time", "failed_time", "implied", "pricing", "cost_micros", "currency"),
)
_WRITE_HEARD: Final = changed(_HEARD)


async def insert(connection: Connection, messages: Sequence[Message]) -> set[str]:
    """Store messages that are not known yet, of people who were not erased; returns their ids."""
    gone = await erased(connection, {i for m in messages for i in (m.contact_id, m.home_id)})
    messages = [m for m in messages if gone.isdisjoint((m.contact_id, m.home_id))]
    if not messages:
        return set()
    rows = await connection.fetch(_INSERT, *columns(messages, _FIELDS))
    new = {row["message_id"] for row in rows}
    # A merge may have been followed since somebody asked who the contact is.
    await connection.execute(
        "UPDATE messages m SET home_id = m.contact_id, contact_id = p.person_id FROM people p"
        " WHERE m.message_id = ANY($1::text[]) AND p.contact_id = m.contact_id"
        " AND p.person_id <> m.contact_id",
        list(new),
    )
    return new


async def update(connection: Connection, messages: Sequence[Message]) -> None:
    """Write what changes of messages."""
    if messages:
        await connection.execute(_WRITE, *columns(messages, ("message_id", *_CHANGING)))


async def update_heard(connection: Connection, messages: Sequence[Message]) -> None:
    """Write what statuses change of messages."""
    if messages:
        await connection.execute(_WRITE_HEARD, *columns(messages, ("message_id", *_HEARD)))


def columns(messages: Sequence[Message], fields: Sequence[str]) -> list[list[Any]]:
    """Fields of messages, each as an array."""
    return [[getattr(message, field) for message in messages] for field in fields]


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
