"""Definitions of success in Postgres."""

from collections.abc import Callable, Sequence
from typing import Final

import asyncpg
import msgspec

from chassis.failures import FieldInvalid
from chassis.postgres import Connection, Pool
from services.reports.conversions.model import Conversion
from services.reports.model import Goal

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Conversion)
_DELETED: Final = 5_000  # rows at once
# Whose messages have to be looked at again
_AGAIN: Final = (
    "INSERT INTO revisions (contact_id, since_time)"
    " SELECT DISTINCT contact_id, 'epoch'::timestamptz FROM conversion_facts"
)


async def goals(connection: Connection) -> dict[str, Goal]:
    """How what each definition counts is attributed."""
    rows = await connection.fetch("SELECT conversion FROM conversions")
    found: list[Conversion] = [_decoder.decode(row[0]) for row in rows]
    return {one.conversion_id: Goal(one.window_ms, one.anchor) for one in found}


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
            version, attributed = one.version, (one.window_ms, one.anchor)
            wanted = change(one)
            wanted.version = version + 1
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
            if (wanted.window_ms, wanted.anchor) != attributed:
                await connection.execute(f"{_AGAIN} WHERE conversion_id = $1", conversion_id)
            return wanted

    async def delete(self, conversion_id: str) -> None:
        """Delete a definition and what it counted."""
        await self._pool.execute("DELETE FROM conversions WHERE conversion_id = $1", conversion_id)
        done = f"SELECT {_DELETED}"
        while done == f"SELECT {_DELETED}":
            done = await self._pool.execute(
                "WITH gone AS (DELETE FROM conversion_facts WHERE ctid = ANY (ARRAY(SELECT ctid"  # noqa: S608 - constants
                " FROM conversion_facts WHERE conversion_id = $1 LIMIT $2)) RETURNING contact_id),"
                f" again AS ({_AGAIN.replace('conversion_facts', 'gone')})"
                " SELECT FROM gone",
                conversion_id,
                _DELETED,
            )


def _read(row: asyncpg.Record | None) -> Conversion | None:
    return None if row is None else _decoder.decode(row[0])
