"""Postgres: the weather of cells, and who is in them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from chassis.clock import milliseconds_of
from chassis.ids import derived_id
from chassis.postgres import Pool
from services.segment.engine.fanout import FanoutRecord, WeatherFanout
from services.segment.tables.outside import put_fanouts
from services.segment.weather.source import Weather

_weather: Final = msgspec.msgpack.Decoder(dict[str, float])


class Cell(NamedTuple):
    """A cell and its weather as it was last known, if it was."""

    cell: str
    weather: Weather | None


class Newcomer(NamedTuple):
    """A contact who came into a cell, and the weather there."""

    contact_id: str
    cell: str
    weather: Weather


class WeatherStore:
    """The tables of weather and of whereabouts; implements `watch.Store`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open_cells(self, most: int) -> int:
        """Begin with cells in which somebody has come to be, up to so many in all; returns how
        many cells there was no room for."""
        fresh = await self._pool.fetch(
            "SELECT DISTINCT w.cell FROM whereabouts w WHERE NOT w.told"
            " AND NOT EXISTS (SELECT FROM weather_cells c WHERE c.cell = w.cell)"
        )
        if not fresh:
            return 0
        kept: int = await self._pool.fetchval("SELECT count(*) FROM weather_cells")
        room = max(0, most - kept)
        await self._pool.execute(
            "INSERT INTO weather_cells (cell) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
            [row["cell"] for row in fresh[:room]],
        )
        return max(0, len(fresh) - room)

    async def claim(
        self, now: datetime, refresh: timedelta, lease: timedelta, limit: int
    ) -> list[Cell]:
        """Cells of which the weather is older than `refresh`, for as long as the lease; those in
        which nobody is any more are forgotten."""
        rows = await self._pool.fetch(
            "UPDATE weather_cells SET lease_time = $1::timestamptz + $2::interval"
            " WHERE cell IN (SELECT cell FROM weather_cells WHERE fetch_time <= $3"
            " AND lease_time <= $1 ORDER BY fetch_time LIMIT $4 FOR UPDATE SKIP LOCKED)"
            " RETURNING cell, weather,"
            " EXISTS (SELECT FROM whereabouts w WHERE w.cell = weather_cells.cell) AS used",
            now,
            lease,
            milliseconds_of(now - refresh),
            limit,
        )
        unused = [row["cell"] for row in rows if not row["used"]]
        if unused:
            await self._pool.execute("DELETE FROM weather_cells WHERE cell = ANY($1)", unused)
        return [
            Cell(row["cell"], _weather.decode(row["weather"]) if row["weather"] else None)
            for row in rows
            if row["used"]
        ]

    async def put(
        self, fetched: Mapping[str, Weather], before: Sequence[Cell], now: datetime
    ) -> None:
        """Keep the weather of cells; where it is another, everybody there is to be told."""
        known = {one.cell: one.weather for one in before}
        changed = [cell for cell, weather in fetched.items() if weather != known.get(cell)]
        time = milliseconds_of(now)
        fanouts = [
            FanoutRecord(
                derived_id("fan", "weather", cell, str(time)),
                WeatherFanout(cell, fetched[cell], time),
                "",
            )
            for cell in changed
        ]
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await connection.executemany(
                "UPDATE weather_cells SET weather = $2, fetch_time = $3, lease_time = '-infinity'"
                " WHERE cell = $1",
                [(cell, msgspec.msgpack.encode(w), time) for cell, w in fetched.items()],
            )
            # Who comes while it runs, and is passed by it, is not told yet
            await connection.execute(
                "UPDATE whereabouts SET told = true WHERE cell = ANY($1) AND NOT told", changed
            )
            await put_fanouts(connection, fanouts, now)

    async def newcomers(self, limit: int) -> list[Newcomer]:
        """Contacts who came into a cell of which the weather is known."""
        rows = await self._pool.fetch(
            "SELECT w.contact_id::text AS id, cell, c.weather FROM whereabouts w"
            " JOIN weather_cells c USING (cell) WHERE NOT w.told AND c.fetch_time > 0 LIMIT $1",
            limit,
        )
        return [Newcomer(row["id"], row["cell"], _weather.decode(row["weather"])) for row in rows]

    async def told(self, newcomers: Sequence[Newcomer]) -> None:
        """They know the weather of where they came, unless they are elsewhere by now."""
        await self._pool.execute(
            "UPDATE whereabouts w SET told = true FROM unnest($1::uuid[], $2::text[])"
            " AS n (contact_id, cell) WHERE w.contact_id = n.contact_id AND w.cell = n.cell",
            [one.contact_id for one in newcomers],
            [one.cell for one in newcomers],
        )

    async def long_gone(self, before: int, limit: int) -> list[str]:
        """Contacts who were located before an instant and not since."""
        rows = await self._pool.fetch(
            "SELECT contact_id::text AS id FROM whereabouts WHERE located_time < $1 LIMIT $2",
            before,
            limit,
        )
        return [row["id"] for row in rows]

    async def forget(self, contact_ids: Sequence[str], before: int) -> None:
        """Where these contacts were before an instant makes no difference any more."""
        await self._pool.execute(
            "DELETE FROM whereabouts WHERE contact_id = ANY($1::uuid[]) AND located_time < $2",
            contact_ids,
            before,
        )

    async def forget_all(self) -> None:
        """Nobody asks for the weather."""
        for table in ("whereabouts", "weather_cells"):
            await self._pool.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
