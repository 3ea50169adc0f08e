"""Categories of personal data in Postgres: as shipped, unless somebody changed them."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chassis.failures import EtagMismatch
from chassis.postgres import Connection, Pool
from services.profile.rights.categories import SHIPPED, DataCategory
from services.profile.rights.failures import DataCategoryNotFound

_DECODER: Final = msgspec.msgpack.Decoder(DataCategory)


class CategoryStore:
    """What people are told, and how long things are kept."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def all(self, connection: "Connection | None" = None) -> Mapping[str, DataCategory]:
        """All categories by name."""
        rows = await (connection or self._pool).fetch("SELECT category FROM data_categories")
        changed = (_DECODER.decode(row["category"]) for row in rows)
        return {**SHIPPED, **{one.name: one for one in changed}}

    async def update(self, name: str, fields: Mapping[str, Any], etag: str) -> DataCategory:
        """Change fields of a category; what is too old by it is deleted soon.

        Raises `DataCategoryNotFound` and `EtagMismatch`.
        """
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            # Whoever changes a category, or deletes by one, holds this row.
            await connection.execute("UPDATE retention SET next_time = 0")
            former = (await self.all(connection)).get(name)
            if former is None:
                raise DataCategoryNotFound(name)
            if etag and etag != former.etag:
                raise EtagMismatch(former.etag)
            new = former.changed(fields)
            await connection.execute(
                "INSERT INTO data_categories VALUES ($1, $2)"
                " ON CONFLICT (name) DO UPDATE SET category = excluded.category",
                name,
                msgspec.msgpack.encode(new),
            )
        return new
