"""The archive in Postgres: segments in, webhooks out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from chassis.clock import milliseconds_of, moment_of
from chassis.postgres import Pool, delete_before
from services.ingest.archive import segment
from services.ingest.archive.segment import ArchivedWebhook, ArchiveQuery, BlindIndex, Head, Summary
from services.ingest.model import RawWebhook

_LEAST_STEP, _MOST_STEP = 4, 256  # segments read at once
_HEADS: Final = 2_000  # read at once, about
_PAGE_BYTES: Final = 8 * 1024 * 1024  # of bodies, unless one alone is larger
_FORGOTTEN: Final = 100  # segments at once
_AFTER_ALL: Final = "~"
_NO_SEGMENT, _LAST_SEGMENT = UUID(int=0), UUID(int=2**128 - 1)

_COLUMNS: Final = (
    "first_webhook_id, last_webhook_id, first_receive_time, last_receive_time, webhook_count,"
    " fields, waba_ids, phone_number_ids, apps, states, blind_indexes, heads, bodies"
)
_INSERT: Final = f"""
    INSERT INTO segments (segment_id, {_COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_REWRITE: Final = f"""
    UPDATE segments SET ({_COLUMNS}) =
    ROW ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) WHERE segment_id = $1
"""  # noqa: S608 - constants
_CHOSEN: Final = """
    first_webhook_id >= $1 AND first_webhook_id < $2 AND last_webhook_id >= $3
    AND last_webhook_id < $4
    AND ($5::text[] = '{}' OR fields && $5) AND ($6::text[] = '{}' OR waba_ids && $6)
    AND ($7::text[] = '{}' OR phone_number_ids && $7) AND ($8::text[] = '{}' OR apps && $8)
    AND ($9::text[] = '{}' OR states && $9)
"""
# With people, their index finds the few segments; OFFSET keeps the order from being tried first.
_SOURCES: Final = {
    False: f"(SELECT * FROM segments WHERE $10::bigint[] = '{{}}' AND {_CHOSEN})",  # noqa: S608 - constants
    True: f"(SELECT * FROM segments WHERE blind_indexes && $10::bigint[] AND {_CHOSEN} OFFSET 0)",  # noqa: S608 - constants
}
_ASCENDING: Final = """
    SELECT segment_id, first_webhook_id, last_webhook_id, heads FROM {} AS chosen
    WHERE (first_webhook_id, last_webhook_id, segment_id) > ($11, $12, $13)
    ORDER BY first_webhook_id, last_webhook_id, segment_id LIMIT $14
"""
_DESCENDING: Final = """
    SELECT segment_id, first_webhook_id, last_webhook_id, heads FROM {} AS chosen
    WHERE (last_webhook_id, first_webhook_id, segment_id) < ($11, $12, $13)
    ORDER BY last_webhook_id DESC, first_webhook_id DESC, segment_id DESC LIMIT $14
"""
_PAGES: Final = {
    (newest, people): (_DESCENDING if newest else _ASCENDING).format(source)
    for newest in (False, True)
    for people, source in _SOURCES.items()
}

Redact = Callable[[Head, bytes], RawWebhook | None]
"""A webhook without what must not stay of it; None when all of it may."""


class _Found(NamedTuple):
    head: Head
    segment_id: UUID


class Archive:
    """What Meta posted, kept for a while."""

    def __init__(self, pool: Pool, index_key: bytes) -> None:
        """`index_key`: without it, nobody can tell from the columns who is inside."""
        self._pool = pool
        self._index = BlindIndex(index_key)

    async def add(self, webhooks: Sequence[RawWebhook]) -> None:
        """Keep webhooks. The same ones again, as a whole, are left as they are."""
        for piece in segment.cut(webhooks):
            heads = segment.heads_of(piece, self._index)
            row = _row(segment.summary(heads), len(heads))
            bodies = [one.body for one in piece]
            kept = await asyncio.to_thread(segment.packed, heads, bodies)
            await self._pool.execute(_INSERT, segment.segment_id(heads), *row, *kept)

    async def missing(self, webhooks: Sequence[RawWebhook]) -> list[RawWebhook]:
        """Those that the archive does not have."""
        found: list[RawWebhook] = []
        for piece in segment.cut(webhooks):
            rows = await self._pool.fetch(
                "SELECT heads FROM segments WHERE first_webhook_id >= $1"
                " AND first_webhook_id <= $2 AND last_webhook_id >= $3",
                segment.from_id(piece[0].webhook_id),
                piece[-1].webhook_id,
                piece[0].webhook_id,
            )
            there: set[str] = set()
            for row in rows:
                there.update(head.webhook_id for head in segment.unpacked_heads(row["heads"]))
                await asyncio.sleep(0)
            found += [one for one in piece if one.webhook_id not in there]
        return found

    async def get(self, webhook_id: str) -> ArchivedWebhook | None:
        """One webhook with its body, or None."""
        if not segment.valid(webhook_id):
            return None
        segment_ids = await self._pool.fetch(
            "SELECT segment_id FROM segments WHERE first_webhook_id >= $1"
            " AND first_webhook_id <= $2 AND last_webhook_id >= $2",
            segment.from_id(webhook_id),
            webhook_id,
        )
        for row in segment_ids:
            for one in await self._bodies(row["segment_id"], {webhook_id}):
                return one
        return None

    async def newest(self, query: ArchiveQuery, before: str, count: int) -> list[Head]:
        """Webhooks, newest first, before an id (empty: from the newest)."""
        page: list[Head] = []
        async for found in self._walk(query, "", before, newest=True):
            page.append(found.head)
            if len(page) == count:
                break
        return page

    async def oldest(self, query: ArchiveQuery, after: str, count: int) -> list[ArchivedWebhook]:
        """Webhooks with bodies, oldest first, after an id (empty: from the oldest). As many as
        `count`, fewer when they are large, and none only when there are no more."""
        page: dict[UUID, set[str]] = {}
        size = 0
        async for found in self._walk(query, after, "", newest=False):
            size += found.head.size_bytes
            if page and size > _PAGE_BYTES:
                break
            page.setdefault(found.segment_id, set()).add(found.head.webhook_id)
            count -= 1
            if not count:
                break
        webhooks = [one for which, ids in page.items() for one in await self._bodies(which, ids)]
        return sorted(webhooks, key=lambda one: one.head.webhook_id)

    async def count(self, query: ArchiveQuery) -> int:
        """How many webhooks there are."""
        number = 0
        async for _ in self._walk(query, "", "", newest=False):
            number += 1
        return number

    async def forget(self, before: datetime) -> int:
        """Delete segments of which everything was received before; returns how many."""
        end = segment.least_id(milliseconds_of(before))
        total = 0
        while deleted := await delete_before(
            self._pool, "segments", "last_webhook_id", end, _FORGOTTEN
        ):
            total += deleted
        return total

    async def redact(self, identities: Iterable[str], redact: Redact, now_ms: int) -> int:
        """Rewrite every webhook that may tell of these people; returns how many were changed."""
        people = frozenset(map(self._index.of, identities))
        rows = await self._pool.fetch(
            "SELECT segment_id FROM segments WHERE blind_indexes && $1::bigint[]", list(people)
        )
        changed: set[str] = set()
        for row in rows:
            changed |= await self._rewrite(row["segment_id"], people, redact, now_ms)
        return len(changed)

    async def _rewrite(
        self, which: UUID, people: frozenset[int], redact: Redact, now_ms: int
    ) -> set[str]:
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT heads, bodies FROM segments WHERE segment_id = $1 FOR UPDATE", which
            )
            if row is None:
                return set()  # past its time meanwhile
            heads = segment.unpacked_heads(row["heads"])
            bodies = await asyncio.to_thread(segment.unpacked_bodies, row["bodies"], heads)
            changed: set[str] = set()
            for place, head in enumerate(heads):
                if people.isdisjoint(head.blind_indexes):
                    continue
                rest = redact(head, bodies[place])
                if rest is not None:
                    (left,) = segment.heads_of([rest], self._index)
                    heads[place] = msgspec.structs.replace(left, redacted_ms=now_ms)
                    bodies[place] = rest.body
                    changed.add(head.webhook_id)
                await asyncio.sleep(0)
            if changed:
                kept = await asyncio.to_thread(segment.packed, heads, bodies)
                row_now = _row(segment.summary(heads), len(heads))
                await connection.execute(_REWRITE, which, *row_now, *kept)
            return changed

    async def _bodies(self, which: UUID, ids: set[str]) -> list[ArchivedWebhook]:
        """Some webhooks of one segment. Heads and bodies are of one reading, since erasure changes
        both."""
        row = await self._pool.fetchrow(
            "SELECT heads, bodies FROM segments WHERE segment_id = $1", which
        )
        if row is None:
            return []  # past its time meanwhile
        heads = segment.unpacked_heads(row["heads"])
        bodies = await asyncio.to_thread(segment.unpacked_bodies, row["bodies"], heads)
        return [
            ArchivedWebhook(head, body)
            for head, body in zip(heads, bodies, strict=True)
            if head.webhook_id in ids
        ]

    async def _walk(
        self, query: ArchiveQuery, after: str, before: str, newest: bool
    ) -> AsyncIterator[_Found]:
        """Chosen webhooks between two ids (empty: no bound), each once, by id.

        Segments overlap, so a webhook is settled only when no segment to come can hold one that
        goes before it.
        """
        people = list(map(self._index.of, query.identities))
        chosen = segment.chooser(query, people)
        low, high = after, before or _AFTER_ALL
        if query.start_ms:
            low = max(low, segment.least_id(query.start_ms - segment.SPAN_MS))
        if query.end_ms:
            high = min(high, segment.least_id(query.end_ms + segment.SPAN_MS))
        bounds = (
            segment.from_id(low),
            high,
            low,
            segment.until_id(high) if high != _AFTER_ALL else high,
        )
        asked = (*bounds, *map(list, _texts(query)), people)
        statement = _PAGES[newest, bool(people)]
        place: tuple[str, str, UUID] = ("", "", _NO_SEGMENT)
        if newest:
            place = (_AFTER_ALL, _AFTER_ALL, _LAST_SEGMENT)
        waiting: list[_Found] = []
        step, last, more = _LEAST_STEP, "", True
        while more:
            rows = await self._pool.fetch(statement, *asked, *place, step)
            more = len(rows) == step
            read = 0
            for row in rows:
                heads = segment.unpacked_heads(row["heads"])
                read += len(heads)
                waiting += [
                    _Found(head, row["segment_id"])
                    for head in heads
                    if after < head.webhook_id < (before or _AFTER_ALL) and chosen(head)
                ]
                await asyncio.sleep(0)
            if more:
                edges = rows[-1]["first_webhook_id"], rows[-1]["last_webhook_id"]
                place = (*(reversed(edges) if newest else edges), rows[-1]["segment_id"])
            waiting.sort(key=lambda found: found.head.webhook_id, reverse=newest)
            settled = _settled(waiting, place[0], newest) if more else len(waiting)
            for found in waiting[:settled]:
                if found.head.webhook_id != last:
                    last = found.head.webhook_id
                    yield found
            del waiting[:settled]
            step = min(step * 2, _MOST_STEP) if read < _HEADS else max(step // 2, _LEAST_STEP)


def _settled(waiting: Sequence[_Found], edge: str, newest: bool) -> int:
    """How many of `waiting` go before anything in segments from `edge` on."""
    for number, found in enumerate(waiting):
        one = found.head.webhook_id
        if (one <= edge) if newest else (one >= edge):
            return number
    return len(waiting)


def _texts(query: ArchiveQuery) -> Iterable[Iterable[str]]:
    columns = (query.fields, query.waba_ids, query.phone_number_ids, query.apps, query.states)
    return (map(segment.as_text, column) for column in columns)


def _row(said: Summary, count: int) -> tuple[Any, ...]:
    return (
        said.first_webhook_id,
        said.last_webhook_id,
        moment_of(said.first_received_ms),
        moment_of(said.last_received_ms),
        count,
        said.fields,
        said.waba_ids,
        said.phone_number_ids,
        said.apps,
        said.states,
        said.blind_indexes,
    )
