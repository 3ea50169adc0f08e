"""The targets of links in Postgres: a row for each address of a campaign."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from chassis.clock import moment_of
from chassis.postgres import Pool
from services.ingest.links.target import Target

_AT_ONCE: Final = 5_000


class Wanted(NamedTuple):
    """A target that a link is to lead to."""

    target: Target
    expire_s: int
    """When the last of these links expires, in epoch seconds."""


class TargetStore:
    """Where targets are kept for as long as a link may lead there."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, wanted: Iterable[Wanted]) -> dict[str, int]:
        """Keep targets, all or none, at least until they expire; their numbers by link id.

        A target that is there already keeps its number, and costs no write.
        """
        rows = {one.target.link_id: (one.target, moment_of(one.expire_s * 1000)) for one in wanted}
        there = await self._pool.fetch(
            "SELECT link_id, target_number, expire_time FROM link_targets"
            " WHERE link_id = ANY($1::text[])",
            list(rows),
        )
        numbers: dict[str, int] = {
            row["link_id"]: row["target_number"]
            for row in there
            if row["expire_time"] >= rows[row["link_id"]][1]
        }
        # In order, so that two calls with the same targets wait for, not deadlock, each other
        missing = [
            (link_id, target.campaign_id, target.url, expire_time)
            for link_id, (target, expire_time) in sorted(rows.items())
            if link_id not in numbers
        ]
        if missing:
            kept = await self._pool.fetch(
                "INSERT INTO link_targets (link_id, campaign_id, url, expire_time) SELECT * FROM"
                " unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])"
                " ON CONFLICT (link_id) DO UPDATE SET"
                " expire_time = greatest(link_targets.expire_time, EXCLUDED.expire_time)"
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

    async def forget(self, expired_before: datetime) -> None:
        """Delete targets that no link has led to since a time. They hold nothing of a person."""
        done = f"DELETE {_AT_ONCE}"
        while done == f"DELETE {_AT_ONCE}":
            done = await self._pool.execute(
                "DELETE FROM link_targets WHERE target_number IN"
                " (SELECT target_number FROM link_targets WHERE expire_time < $1 LIMIT $2)",
                expired_before,
                _AT_ONCE,
            )
