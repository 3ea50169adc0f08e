"""Messages by the ids that Meta gave them.

A table of its own, so that what becomes of a message changes no index of the messages.
"""

from collections.abc import Iterable, Sequence

from chassis.postgres import Connection
from services.sender.model import Message


async def named(connection: Connection, wamids: Iterable[str]) -> dict[str, str]:
    """Our ids by Meta's, of those that are our messages'."""
    asked = list(dict.fromkeys(wamids))
    if not asked:
        return {}
    rows = await connection.fetch(
        "SELECT wamid, message_id FROM wamids WHERE wamid = ANY($1::text[])", asked
    )
    return {row["wamid"]: row["message_id"] for row in rows}


async def note(connection: Connection, messages: Sequence[Message]) -> None:
    """Remember messages that have an id of Meta's now."""
    if pairs := sorted((one.wamid, one.message_id) for one in messages if one.wamid):
        await connection.execute(
            "INSERT INTO wamids SELECT * FROM unnest($1::text[], $2::text[])"
            " ON CONFLICT DO NOTHING",
            [wamid for wamid, _ in pairs],
            [message_id for _, message_id in pairs],
        )


async def forget(connection: Connection, wamids: Iterable[str]) -> None:
    """Meta's ids hold the numbers of people."""
    await connection.execute("DELETE FROM wamids WHERE wamid = ANY($1::text[])", list(wamids))
