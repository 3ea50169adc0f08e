"""Who was erased, so that nothing that comes late brings them back. In a service's own table
`tombstones`: ids and times, nothing else.

Whoever makes rows of contacts asks `erased` first, in the same transaction: then `bury` has waited
for it to end, and what is deleted after `bury` is deleted for good.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from chassis.postgres import Connection, Pool, delete_before

_REMEMBERED: Final = timedelta(days=366)  # longer than a dead letter waits to be redriven
_FORGOTTEN: Final = 1_000  # at once
_LOCK: Final = "hashtextextended(current_schema() || ' tombstones', 0)"


async def erased(connection: Connection, contact_ids: Collection[str]) -> frozenset[str]:
    """Those of the contacts who are not to be made again; nobody is erased until the transaction
    ends. One transaction asks before it locks anything else that others lock."""
    if not contact_ids:
        return frozenset()
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
    # A statement of its own: only so does it see what was committed while the lock was waited for.
    rows = await connection.fetch(
        "SELECT contact_id FROM tombstones WHERE contact_id = ANY($1::text[])", list(contact_ids)
    )
    return frozenset(row["contact_id"] for row in rows)


async def bury(pool: Pool, contact_ids: Collection[str], now: datetime) -> None:
    """Remember for a year who was erased. Returns when every transaction that did not know has
    ended."""
    async with pool.acquire(timeout=10) as connection, connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        await connection.execute(
            "INSERT INTO tombstones SELECT unnest($1::text[]), $2"
            " ON CONFLICT (contact_id) DO UPDATE SET erase_time = EXCLUDED.erase_time",
            sorted(contact_ids),
            now,
        )
        await delete_before(connection, "tombstones", "erase_time", now - _REMEMBERED, _FORGOTTEN)
