"""Postgres: places and catalogue items."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from chassis.postgres import Connection, Pool
from services.segment.engine.things import (
    ItemChange,
    ItemRecord,
    PlaceRecord,
    decoded_place,
    later_place,
    same_area,
    taken,
    told_fields,
)
from services.segment.jobs.catalog import Follow
from services.segment.tables.outside import put_fanouts
from services.segment.tables.rows import check

_ITEM: Final = msgspec.msgpack.Decoder(ItemRecord)


class ThingsStore:
    """The tables of places and items."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put_items(
        self, told: Sequence[ItemRecord], generation: int, follow: Follow, now: datetime
    ) -> None:
        """Join what is told of items with what is kept, and begin what follows. Raises
        `RulesChanged`."""
        news: dict[tuple[str, str], list[ItemRecord]] = {}
        for one in told:
            news.setdefault((one.catalog_id, one.item_id), []).append(one)
        keys = sorted(news)
        columns = [catalog for catalog, _ in keys], [item for _, item in keys]
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO catalog_items (catalog_id, item_id)"
                " SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
                *columns,
            )
            rows = await connection.fetch(
                "SELECT i.item FROM catalog_items i"
                " JOIN unnest($1::text[], $2::text[]) AS n (catalog_id, item_id)"
                " USING (catalog_id, item_id) ORDER BY catalog_id, item_id FOR UPDATE OF i",
                *columns,
            )
            found = [_ITEM.decode(row["item"]) for row in rows if row["item"]]
            kept = {(one.catalog_id, one.item_id): one for one in found}
            items: list[ItemRecord] = []
            changes: list[ItemChange] = []
            for key in keys:
                item, changed = taken(kept.get(key) or ItemRecord(*key), news[key])
                items.append(item)
                changes += changed
            if changes:
                await check(connection, generation)
                await put_fanouts(connection, follow(changes), now)
            await connection.execute(
                "UPDATE catalog_items i"
                " SET present = n.present, category = n.category, item = n.item"
                " FROM unnest($1::text[], $2::text[], $3::bool[], $4::text[], $5::bytea[])"
                " AS n (catalog_id, item_id, present, category, item)"
                " WHERE i.catalog_id = n.catalog_id AND i.item_id = n.item_id",
                *columns,
                [item.present for item in items],
                [told_fields(item)[0]["category"] for item in items],
                [msgspec.msgpack.encode(item) for item in items],
            )

    async def items(self, catalog_id: str, item_ids: Sequence[str]) -> Mapping[str, ItemRecord]:
        """Those that are sold, by id."""
        rows = await self._pool.fetch(
            "SELECT item_id, item FROM catalog_items"
            " WHERE catalog_id = $1 AND item_id = ANY($2) AND present",
            catalog_id,
            item_ids,
        )
        return {row["item_id"]: _ITEM.decode(row["item"]) for row in rows}

    async def list_items(
        self, catalog_id: str, category: str, after: str, limit: int
    ) -> list[ItemRecord]:
        """Of a catalogue, and of a category unless that is empty, by id."""
        rows = await self._pool.fetch(
            "SELECT item FROM catalog_items WHERE catalog_id = $1 AND ($2 = '' OR category = $2)"
            " AND item_id > $3 AND present ORDER BY item_id LIMIT $4",
            catalog_id,
            category,
            after,
            limit,
        )
        return [_ITEM.decode(row["item"]) for row in rows]

    async def place(self, place_id: str) -> PlaceRecord | None:
        """One, if it is there."""
        found = await self._pool.fetchval(
            "SELECT place FROM places WHERE place_id = $1 AND present", place_id
        )
        return None if found is None else decoded_place(found)

    async def list_places(self, labels: Sequence[str], after: str, limit: int) -> list[PlaceRecord]:
        """With any of the labels, all when there are none, by id."""
        rows = await self._pool.fetch(
            "SELECT place FROM places WHERE place_id > $1 AND present"
            " AND (cardinality($2::text[]) = 0 OR labels && $2) ORDER BY place_id LIMIT $3",
            after,
            labels,
            limit,
        )
        return [decoded_place(row["place"]) for row in rows]


async def put_places(connection: Connection, changes: Iterable[PlaceRecord]) -> dict[str, bool]:
    """Keep what is told of places where it is later; returns those that are others now, each with
    whether it is elsewhere."""
    news: dict[str, PlaceRecord] = {}
    for change in changes:
        other = news.get(change.place_id, change)
        news[change.place_id] = later_place(other, change)
    ids = sorted(news)
    await connection.execute(
        "INSERT INTO places (place_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", ids
    )
    rows = await connection.fetch(
        "SELECT place FROM places WHERE place_id = ANY($1) ORDER BY place_id FOR UPDATE", ids
    )
    kept = [decoded_place(row["place"]) for row in rows if row["place"]]
    known = {place.place_id: place for place in kept}
    changed: dict[str, bool] = {}
    for place_id in ids:
        before = known.get(place_id) or PlaceRecord(place_id, 0, present=False)
        after = news[place_id] = later_place(before, news[place_id])
        if msgspec.structs.replace(after, time=before.time) != before:
            changed[place_id] = not same_area(before, after)
    places = [news[place_id] for place_id in ids]
    await connection.executemany(
        "UPDATE places SET present = $2, labels = $3, place = $4 WHERE place_id = $1",
        [
            (place.place_id, place.present, list(place.labels), msgspec.msgpack.encode(place))
            for place in places
        ],
    )
    return changed
