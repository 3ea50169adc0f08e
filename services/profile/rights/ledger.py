"""The ledger of consents in the order of entry, in Postgres."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from chassis.postgres import Pool
from services.profile.person.directory import Profiles
from services.profile.rights.formats import Entry
from services.profile.rights.whole import readable_people
from services.profile.tables.rows import lines_of
from services.profile.vault.keys import Vault

_PAGE: Final = 500  # lines of 500 people at most: what one read on record is about
_SCANNED: Final = 20_000  # lines looked at for one page when few of them are asked for


class LedgerQuery(NamedTuple):
    """Which lines: by purpose (none is all) and time of entry (ms; the end excluded)."""

    purposes: Sequence[str] = ()
    start: int = 0
    end: int = 1 << 62


class Ledger:
    """All lines of everybody."""

    def __init__(self, pool: Pool, vault: Vault, profiles: Profiles) -> None:
        self._pool = pool
        self._vault = vault
        self._profiles = profiles

    async def entries(
        self, query: LedgerQuery, after: int
    ) -> AsyncIterator[tuple[int, Sequence[Entry]]]:
        """Lines beyond a place, up to those that are there now, in pieces; each with how far the
        ledger was read."""
        end = await self._horizon()
        while after < end:
            until = min(after + _SCANNED, end)
            rows = await self._pool.fetch(
                "SELECT contact_id, line, entry FROM consents WHERE entry > $1 AND entry <= $2"
                " AND ($3::text[] IS NULL OR purpose = ANY($3))"
                " AND create_time >= $4 AND create_time < $5 ORDER BY entry LIMIT $6",
                after,
                until,
                list(query.purposes) or None,
                query.start,
                query.end,
                _PAGE,
            )
            after = rows[-1]["entry"] if len(rows) == _PAGE else until
            ids = list({str(row[0]) for row in rows})
            keys = await self._vault.keys(self._pool, ids)
            people = await readable_people(self._profiles, ids)
            numbers = [row["entry"] for row in rows if str(row[0]) in keys]
            lines = zip(numbers, lines_of(rows, keys), strict=True)
            yield (
                after,
                [
                    Entry(number, people[contact_id], line)
                    for number, (contact_id, line) in lines
                    if contact_id in people
                ],
            )

    async def _horizon(self) -> int:
        """The last entry before which none is still to come. Numbers are given before transactions
        end, so whoever is writing is waited for; no more than that is held up."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await connection.execute("LOCK TABLE consents IN SHARE MODE")
            last: int | None = await connection.fetchval("SELECT max(entry) FROM consents")
        return last or 0
