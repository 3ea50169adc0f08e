"""The targets of links in Postgres: a row for each address of a campaign."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from chassis.clock import moment_of
from chassis.postgres import Pool, delete_before
from services.ingest.links.target import Target


class Wanted(NamedTuple):
    """A target that a link is to lead to."""

    target: Target
    expire_s: int
    """When the last of these links expires, in epoch seconds."""
    contact_id: str = ""
    """Whom all these links are for; empty when they are for several, or for nobody."""


class OwnTarget(NamedTuple):
    """A target that is for one person alone."""

    number: int
    campaign_id: str
    url: str


class TargetStore:
    """Where targets are kept for as long as a link may lead there."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, wanted: Iterable[Wanted]) -> dict[str, int]:
        """Keep targets, all or none, at least until they expire; their numbers by link id.

        A target that is there already keeps its number, and costs no write.
        """
        rows = {
            one.target.link_id: (one.target, moment_of(one.expire_s * 1000), one.contact_id)
            for one in wanted
        }
        there = await self._pool.fetch(
            "SELECT link_id, target_number, expire_time, contact_id FROM link_targets"
            " WHERE link_id = ANY($1::text[])",
            list(rows),
        )
        numbers: dict[str, int] = {
            row["link_id"]: row["target_number"]
            for row in there
            if row["expire_time"] >= rows[row["link_id"]][1]
            and row["contact_id"] in ("", rows[row["link_id"]][2])
        }
        # In order, so that two calls with the same targets wait for, not deadlock, each other
        missing = [
            (link_id, target.campaign_id, target.url, expire_time, contact_id)
            for link_id, (target, expire_time, contact_id) in sorted(rows.items())
            if link_id not in numbers
        ]
        if missing:
            kept = await self._pool.fetch(
                "INSERT INTO link_targets (link_id, campaign_id, url, expire_time, contact_id)"
                " SELECT * FROM"
                " unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])"
                " ON CONFLICT (link_id) DO UPDATE SET"
                " expire_time = greatest(link_targets.expire_time, EXCLUDED.expire_time),"
                " contact_id = CASE WHEN link_targets.contact_id = EXCLUDED.contact_id"
                "  THEN EXCLUDED.contact_id ELSE '' END"
                " RETURNING link_id, target_number",
                *map(list, zip(*missing, strict=True)),
            )
            numbers |= {row["link_id"]: row["target_number"] for row in kept}
        return numbers

    async def get(self, number: int) -> Target | None:
        """One target, or None."""
        row = await self._pool.fetchrow(
            "SELECT link_id, campaign_id, url FROM link_targets WHERE target_number = $1",
            number,
        )
        return Target(**row) if row else None

    async def of(self, contact_ids: Collection[str], after: int, limit: int) -> list[OwnTarget]:
        """Targets that are for one person alone, behind a number."""
        rows = await self._pool.fetch(
            "SELECT target_number, campaign_id, url FROM link_targets"
            " WHERE contact_id = ANY($1::text[]) AND contact_id <> '' AND target_number > $2"
            " ORDER BY target_number LIMIT $3",
            list(contact_ids),
            after,
            limit,
        )
        return [OwnTarget(*row) for row in rows]

    async def delete(self, contact_ids: Collection[str]) -> int:
        """Delete targets that are for one person alone: their links lead nowhere then."""
        done = await self._pool.execute(
            "DELETE FROM link_targets WHERE contact_id = ANY($1::text[]) AND contact_id <> ''",
            list(contact_ids),
        )
        return int(done.rsplit(" ", 1)[1])

    async def forget(self, expired_before: datetime) -> None:
        """Delete targets that no link has led to since a time."""
        while await delete_before(self._pool, "link_targets", "expire_time", expired_before):
            pass
