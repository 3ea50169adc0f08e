"""The archive and the links in Postgres."""

import hashlib
import hmac
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from chassis.clock import milliseconds_of, moment_of
from chassis.postgres import Pool
from services.ingest.model import ArchivedWebhook, ArchiveQuery, Link, RawWebhook

_INDEX_BYTES: Final = 16
_AT_ONCE: Final = 5_000
_COLUMNS: Final = (
    "webhook_id, receive_time, app, outcome, reason, item_count, unrecognised_count,"
    " refused_count, fields, waba_ids, phone_number_ids, size_bytes"
)
_CHOSEN: Final = """
    ($1::timestamptz IS NULL OR receive_time >= $1)
    AND ($2::timestamptz IS NULL OR receive_time < $2)
    AND ($3::text[] = '{}' OR fields && $3) AND ($4::text[] = '{}' OR waba_ids && $4)
    AND ($5::text[] = '{}' OR phone_number_ids && $5) AND ($6::text[] = '{}' OR app = ANY($6))
    AND ($7::text[] = '{}' OR CASE WHEN outcome <> 'accepted' THEN 'broken'
         WHEN unrecognised_count + refused_count > 0 THEN 'partial' ELSE 'normalised' END = ANY($7))
    AND ($8::bytea[] = '{}' OR blind_indexes && $8)
"""


class Archive:
    """What Meta posted, kept for a while."""

    def __init__(self, pool: Pool, index_key: bytes) -> None:
        """`index_key`: without it, nobody can tell from the table who is inside."""
        self._pool = pool
        self._index_key = index_key

    async def add(self, webhooks: Sequence[RawWebhook]) -> None:
        """Keep webhooks; one that is there already is left as it is."""
        await self._pool.execute(
            "INSERT INTO webhooks SELECT * FROM unnest($1::webhooks[]) ON CONFLICT DO NOTHING",
            [self._row(one) for one in webhooks],
        )

    def _row(self, one: RawWebhook) -> tuple[Any, ...]:
        return (
            one.webhook_id,
            moment_of(one.received_ms),
            one.app,
            "broken_json" if one.reason else "accepted",
            one.reason,
            one.item_count,
            one.unrecognised_count,
            one.refused_count,
            _texts(one.fields),
            _texts(one.waba_ids),
            _texts(one.phone_number_ids),
            [self._blind(value) for value in one.identities],
            len(one.body),
            zlib.compress(one.body, 1),
        )

    def _blind(self, value: str) -> bytes:
        return hmac.digest(self._index_key, value.encode(), "sha256")[:_INDEX_BYTES]

    async def get(self, webhook_id: str) -> ArchivedWebhook | None:
        """One webhook with its body, or None."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS}, body FROM webhooks WHERE webhook_id = $1",  # noqa: S608 - constants
            webhook_id,
        )
        return _webhook(row) if row else None

    async def newest(self, query: ArchiveQuery, before: str, count: int) -> list[ArchivedWebhook]:
        """Webhooks without bodies, newest first, before an id (empty: from the newest)."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM webhooks WHERE {_CHOSEN}"  # noqa: S608 - constants
            " AND ($9 = '' OR webhook_id < $9) ORDER BY webhook_id DESC LIMIT $10",
            *self._chosen(query),
            before,
            count,
        )
        return [_webhook(row) for row in rows]

    async def oldest(self, query: ArchiveQuery, after: str, count: int) -> list[ArchivedWebhook]:
        """Webhooks with bodies, oldest first, after an id (empty: from the oldest)."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS}, body FROM webhooks WHERE {_CHOSEN}"  # noqa: S608 - constants
            " AND ($9 = '' OR webhook_id > $9) ORDER BY webhook_id LIMIT $10",
            *self._chosen(query),
            after,
            count,
        )
        return [_webhook(row) for row in rows]

    async def count(self, query: ArchiveQuery) -> int:
        """How many webhooks there are."""
        found: int = await self._pool.fetchval(
            f"SELECT count(*) FROM webhooks WHERE {_CHOSEN}",  # noqa: S608 - constants
            *self._chosen(query),
        )
        return found

    def _chosen(self, query: ArchiveQuery) -> tuple[Any, ...]:
        return (
            moment_of(query.start_ms) if query.start_ms else None,
            moment_of(query.end_ms) if query.end_ms else None,
            query.fields,
            query.waba_ids,
            query.phone_number_ids,
            query.apps,
            query.states,
            [self._blind(value) for value in query.identities],
        )

    async def forget(self, before: datetime) -> int:
        """Delete what was received before; returns how many webhooks that were."""
        total = 0
        while True:
            done = await self._pool.execute(
                "DELETE FROM webhooks WHERE webhook_id IN"
                " (SELECT webhook_id FROM webhooks WHERE receive_time < $1 LIMIT $2)",
                before,
                _AT_ONCE,
            )
            deleted = int(done.rpartition(" ")[2])
            total += deleted
            if deleted < _AT_ONCE:
                return total


class Links:
    """The targets of short links."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, links: Sequence[Link]) -> list[Link]:
        """Keep links, all or none, in order; one that is there already comes back as it is."""
        specs = [_spec(link) for link in links]
        new = dict(zip(specs, links, strict=True))
        # In order, so that two calls with the same links wait for, not deadlock, each other
        rows = [(link.token, spec, *_target(link)) for spec, link in sorted(new.items())]
        found = await self._pool.fetch(
            "INSERT INTO links (token, spec, link_id, url, message_id, campaign_id, contact_id,"
            " expire_time) SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[],"
            " $5::text[], $6::text[], $7::text[], $8::timestamptz[])"
            # An update of nothing: only so is the row returned that was there
            " ON CONFLICT (spec) DO UPDATE SET spec = EXCLUDED.spec RETURNING *",
            *map(list, zip(*rows, strict=True)),
        )
        kept = {row["spec"]: _link(row) for row in found}
        return [kept[spec] for spec in specs]

    async def get(self, token: str) -> Link | None:
        """One link, or None."""
        row = await self._pool.fetchrow("SELECT * FROM links WHERE token = $1", token)
        return _link(row) if row else None

    async def forget(self, expired_before: datetime) -> None:
        """Delete links that have led nowhere since a time."""
        await self._pool.execute("DELETE FROM links WHERE expire_time < $1", expired_before)


def _target(link: Link) -> tuple[Any, ...]:
    return (
        link.link_id,
        link.url,
        link.message_id,
        link.campaign_id,
        link.contact_id,
        moment_of(link.expire_ms),
    )


def _spec(link: Link) -> UUID:
    parts = (link.message_id, link.campaign_id, link.contact_id, link.url)
    said = "\x1f".join(parts).encode()
    return UUID(bytes=hashlib.blake2b(said, digest_size=16).digest())


def _link(row: asyncpg.Record) -> Link:
    return Link(
        token=row["token"],
        link_id=row["link_id"],
        url=row["url"],
        message_id=row["message_id"],
        campaign_id=row["campaign_id"],
        contact_id=row["contact_id"],
        expire_ms=milliseconds_of(row["expire_time"]),
    )


def _webhook(row: asyncpg.Record) -> ArchivedWebhook:
    return ArchivedWebhook(
        webhook_id=row["webhook_id"],
        received_ms=milliseconds_of(row["receive_time"]),
        app=row["app"],
        reason=row["reason"],
        item_count=row["item_count"],
        unrecognised_count=row["unrecognised_count"],
        refused_count=row["refused_count"],
        fields=row["fields"],
        waba_ids=row["waba_ids"],
        phone_number_ids=row["phone_number_ids"],
        size_bytes=row["size_bytes"],
        broken=row["outcome"] != "accepted",
        body=zlib.decompress(row["body"]) if "body" in row.keys() else b"",  # noqa: SIM118 - a record's `in` looks at values
    )


def _texts(values: Sequence[str]) -> list[str]:
    """As a text column takes them; a zero is the one character that it refuses."""
    return [value.replace("\0", "") for value in values]
