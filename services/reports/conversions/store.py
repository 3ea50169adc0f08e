"""Definitions of success in Postgres."""

from collections.abc import Callable, Sequence
from typing import Final

import asyncpg
import msgspec

from chassis.failures import FieldInvalid
from chassis.postgres import Pool
from services.reports.conversions.model import Conversion

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Conversion)
_DELETED: Final = 5_000  # rows at once


class ConversionStore:
    """Keeps definitions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, one: Conversion) -> bool:
        """Store a definition; False where its name is taken by another."""
        kept = await self._pool.fetchval(
            "INSERT INTO conversions (conversion_id, name, version, conversion)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING conversion_id",
            one.conversion_id,
            one.name,
            one.version,
            _encoder.encode(one),
        )
        return kept is not None or await self.get(one.conversion_id) is not None

    async def get(self, conversion_id: str) -> Conversion | None:
        """One of them."""
        return _read(
            await self._pool.fetchrow(
                "SELECT conversion FROM conversions WHERE conversion_id = $1", conversion_id
            )
        )

    async def all(self) -> Sequence[Conversion]:
        """All of them, by name."""
        rows = await self._pool.fetch("SELECT conversion FROM conversions ORDER BY name")
        return [_decoder.decode(row[0]) for row in rows]

    async def change(
        self, conversion_id: str, change: Callable[[Conversion], Conversion]
    ) -> Conversion | None:
        """Change a definition while nobody else does. Raises `FieldInvalid` where the new name was
        taken meanwhile."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            one = _read(
                await connection.fetchrow(
                    "SELECT conversion FROM conversions WHERE conversion_id = $1 FOR UPDATE",
                    conversion_id,
                )
            )
            if one is None:
                return None
            wanted = change(one)
            wanted.version = one.version + 1
            try:
                await connection.execute(
                    "UPDATE conversions SET name = $2, version = $3, conversion = $4"
                    " WHERE conversion_id = $1",
                    conversion_id,
                    wanted.name,
                    wanted.version,
                    _encoder.encode(wanted),
                )
            except asyncpg.UniqueViolationError:
                raise FieldInvalid(
                    "conversion.name", "taken by another; choose a new one"
                ) from None
            return wanted

    async def delete(self, conversion_id: str) -> None:
        """Delete a definition and what it counted."""
        await self._pool.execute("DELETE FROM conversions WHERE conversion_id = $1", conversion_id)
        done = f"DELETE {_DELETED}"
        while done == f"DELETE {_DELETED}":
            done = await self._pool.execute(
                "DELETE FROM conversion_facts WHERE ctid = ANY (ARRAY(SELECT ctid"
                " FROM conversion_facts WHERE conversion_id = $1 LIMIT $2))",
                conversion_id,
                _DELETED,
            )


def _read(row: asyncpg.Record | None) -> Conversion | None:
    return None if row is None else _decoder.decode(row[0])
