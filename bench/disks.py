"""What a load writes: Postgres' write-ahead log and tables, the event log's file and memory."""

from dataclasses import dataclass, fields

import asyncpg
from redis.asyncio import Redis

from cli import stack


@dataclass(frozen=True, slots=True)
class Written:
    """In bytes."""

    wal: int
    tables: int
    """With indexes, and what is dead and not vacuumed yet."""
    log_file: int
    log_memory: int

    def since(self, before: "Written") -> "Written":
        """What came since then."""
        return Written(
            *(getattr(self, one.name) - getattr(before, one.name) for one in fields(Written))
        )


async def written(addresses: stack.Addresses) -> Written:
    """So far."""
    database = await asyncpg.connect(addresses.database_url)
    try:
        wal = await database.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        tables = await database.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await database.close()
    redis = Redis.from_url(addresses.redis_url)
    try:
        told = await redis.info()
    finally:
        await redis.aclose()
    return Written(int(wal), int(tables), told["aof_current_size"], told["used_memory"])
