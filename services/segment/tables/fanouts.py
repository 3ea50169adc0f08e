"""Postgres: fanouts and those whom they concern. What was looked at long ago is forgotten."""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from chassis.postgres import Pool
from services.segment.engine.fanout import Fanout, FanoutRecord, Look

_KEPT: Final = timedelta(days=8)
"""As long as a repeat of an event is recognised."""
_fanout: Final = msgspec.msgpack.Decoder(Fanout)


class FanoutsStore:
    """The tables of fanouts and looks; implements `fanouts.Store`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, now: datetime, lease: timedelta) -> FanoutRecord | None:
        """One that nobody works on, the one that waits longest, for as long as the lease."""
        row = await self._pool.fetchrow(
            "UPDATE fanouts SET lease_time = $1::timestamptz + $2::interval"
            " WHERE fanout_id = (SELECT fanout_id FROM fanouts WHERE end_time IS NULL"
            " AND lease_time <= $1 ORDER BY lease_time, create_time LIMIT 1"
            " FOR UPDATE SKIP LOCKED)"
            " RETURNING fanout_id, fanout, cursor::text AS cursor, restarts",
            now,
            lease,
        )
        if row is None:
            return None
        fanout = _fanout.decode(row["fanout"])
        return FanoutRecord(row["fanout_id"], fanout, row["cursor"], row["restarts"])

    async def looks(
        self, item_id: str, names: list[str], since: int, after: str, limit: int
    ) -> list[Look]:
        """Of an item, by these events, after an instant, by contacts behind `after`, in order."""
        rows = await self._pool.fetch(
            "SELECT contact_id::text AS contact_id, name, first_time, look_time FROM looks"
            " WHERE item_id = $1 AND name = ANY($2) AND look_time > $3 AND contact_id > $4"
            " ORDER BY contact_id LIMIT $5",
            item_id,
            names,
            since,
            after,
            limit,
        )
        return [Look(item_id, *row.values()) for row in rows]

    async def there(self, cell: str, after: str, limit: int) -> list[str]:
        """Contacts in a cell, behind `after`, in order."""
        rows = await self._pool.fetch(
            "SELECT contact_id::text AS id FROM whereabouts WHERE cell = $1 AND contact_id > $2"
            " ORDER BY contact_id LIMIT $3",
            cell,
            after,
            limit,
        )
        return [row["id"] for row in rows]

    async def advance(self, record: FanoutRecord, cursor: str, lease_until: datetime) -> bool:
        """Note that it is done up to a cursor; False when it was restarted meanwhile."""
        status = await self._pool.execute(
            "UPDATE fanouts SET cursor = $3, lease_time = $4"
            " WHERE fanout_id = $1 AND restarts = $2 AND cursor < $3",
            record.fanout_id,
            record.restarts,
            cursor,
            lease_until,
        )
        return status == "UPDATE 1"

    async def end(self, record: FanoutRecord, now: datetime) -> None:
        """Note that it is done for all, unless it was restarted meanwhile."""
        await self._pool.execute(
            "UPDATE fanouts SET lease_time = $3,"
            " end_time = CASE WHEN restarts = $2 THEN $3::timestamptz END WHERE fanout_id = $1",
            record.fanout_id,
            record.restarts,
            now,
        )

    async def release(self, record: FanoutRecord, now: datetime) -> None:
        """Let others go on with it."""
        await self._pool.execute(
            "UPDATE fanouts SET lease_time = $2 WHERE fanout_id = $1", record.fanout_id, now
        )

    async def forget(self, now: datetime, names: list[str], since: int, limit: int) -> int:
        """Delete some of what can make no difference any more: looks before an instant or by other
        events than these, and fanouts that ended long ago. Returns how many looks."""
        await self._pool.execute("DELETE FROM fanouts WHERE end_time < $1", now - _KEPT)
        status = await self._pool.execute(
            "DELETE FROM looks WHERE ctid = ANY(ARRAY(SELECT ctid FROM looks"
            " WHERE look_time <= $1 OR name <> ALL($2) LIMIT $3))",
            since,
            names,
            limit,
        )
        return int(status.split()[-1])
