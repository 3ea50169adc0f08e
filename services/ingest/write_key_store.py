"""The write keys in Postgres."""

from collections.abc import Collection
from datetime import datetime

import asyncpg

from chassis.failures import EtagMismatch, RequestIdReused
from chassis.postgres import Pool
from services.ingest.failures import WriteKeyNameTaken, WriteKeyNotFound
from services.ingest.write_keys import WriteKey, etag_of


class WriteKeyStore:
    """Keys by id, name and hash. A method is one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, key: WriteKey) -> tuple[WriteKey, bool]:
        """Keep a key; returns it, or the one that has its id already, and whether it is new.

        Raises `WriteKeyNameTaken`, and `RequestIdReused` when the id belongs to another name.
        """
        row = await self._pool.fetchrow(
            "INSERT INTO write_keys (write_key_id, name, source, secret_hash, secret_prefix,"
            " max_events_per_second, create_time) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " ON CONFLICT DO NOTHING RETURNING *",
            key.write_key_id,
            key.name,
            key.source,
            key.secret_hash,
            key.secret_prefix,
            key.max_events_per_second,
            key.create_time,
        )
        if row is not None:
            return _key(row), True
        there = await self._find(key.write_key_id)
        if there is None:
            raise WriteKeyNameTaken(key.name)
        if there.name != key.name:
            raise RequestIdReused(key.write_key_id)
        return there, False

    async def page(self, now: datetime, ended: bool, after_name: str, count: int) -> list[WriteKey]:
        """Keys by name, after one; with those that ended before now, or without."""
        rows = await self._pool.fetch(
            "SELECT * FROM write_keys WHERE name > $1"
            " AND ($2 OR revoke_time IS NULL OR revoke_time > $3) ORDER BY name LIMIT $4",
            after_name,
            ended,
            now,
            count,
        )
        return [_key(row) for row in rows]

    async def in_force(self, now: datetime) -> list[WriteKey]:
        """All keys that have not ended."""
        rows = await self._pool.fetch(
            "SELECT * FROM write_keys WHERE revoke_time IS NULL OR revoke_time > $1", now
        )
        return [_key(row) for row in rows]

    async def limit(
        self, write_key_id: str, version: int | None, max_events_per_second: int | None
    ) -> WriteKey:
        """Change a key's limit; None leaves it. `version`: the one to be changed, None for any.

        Raises `WriteKeyNotFound`, `EtagMismatch`.
        """
        row = await self._pool.fetchrow(
            "UPDATE write_keys SET max_events_per_second = coalesce($3, max_events_per_second),"
            " version = version + 1"
            " WHERE write_key_id = $1 AND ($2::int IS NULL OR version = $2) RETURNING *",
            write_key_id,
            version,
            max_events_per_second,
        )
        if row is not None:
            return _key(row)
        raise EtagMismatch(etag_of((await self._existing(write_key_id)).version))

    async def revoke(self, write_key_id: str, at: datetime, now: datetime) -> WriteKey:
        """End a key at a time; one that has ended stays as it is. Raises `WriteKeyNotFound`."""
        row = await self._pool.fetchrow(
            "UPDATE write_keys SET revoke_time = $2, version = version + 1"
            " WHERE write_key_id = $1 AND (revoke_time IS NULL OR revoke_time > $3) RETURNING *",
            write_key_id,
            at,
            now,
        )
        return _key(row) if row is not None else await self._existing(write_key_id)

    async def used(self, write_key_ids: Collection[str], hour: datetime) -> None:
        """Keep that keys were used within the hour."""
        await self._pool.execute(
            "UPDATE write_keys SET last_use_time = $2 WHERE write_key_id = ANY($1)"
            " AND (last_use_time IS NULL OR last_use_time < $2)",
            list(write_key_ids),
            hour,
        )

    async def _existing(self, write_key_id: str) -> WriteKey:
        found = await self._find(write_key_id)
        if found is None:
            raise WriteKeyNotFound(write_key_id)
        return found

    async def _find(self, write_key_id: str) -> WriteKey | None:
        row = await self._pool.fetchrow(
            "SELECT * FROM write_keys WHERE write_key_id = $1", write_key_id
        )
        return _key(row) if row is not None else None


def _key(row: asyncpg.Record) -> WriteKey:
    return WriteKey(**row)
