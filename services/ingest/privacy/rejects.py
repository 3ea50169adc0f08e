"""Rows that imports refused, looked through for a person."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple

from chassis.failures import TokenInvalid
from chassis.postgres import Pool

_ROWS: Final = 200


class Row(NamedTuple):
    """One refused row as it stands in the file."""

    import_id: str
    line: int
    raw: bytes
    reason: str

    @property
    def place(self) -> str:
        """Where to go on behind it."""
        return f"{self.import_id} {self.line}"


class Rejects:
    """The refused rows of all imports."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def pages(self, after: str) -> AsyncIterator[Sequence[Row]]:
        """All rows behind a place (empty: from the beginning). Raises `TokenInvalid`."""
        import_id, _, line = after.partition(" ")
        if line and not line.isdecimal():
            raise TokenInvalid("cursor")
        place = import_id, int(line or 0)
        while True:
            rows = await self._pool.fetch(
                "SELECT import_id, line, raw, reason FROM import_rejects"
                " WHERE (import_id, line) > ($1, $2) ORDER BY import_id, line LIMIT $3",
                *place,
                _ROWS,
            )
            if not rows:
                return
            page = [Row(*row) for row in rows]
            yield page
            place = page[-1].import_id, page[-1].line

    async def delete(self, chosen: Callable[[bytes], bool]) -> int:
        """Delete the rows that are chosen by what stands in them; returns how many."""
        deleted = 0
        async for page in self.pages(""):
            found = [row for row in page if chosen(row.raw)]
            if found:
                await self._pool.execute(
                    "DELETE FROM import_rejects WHERE (import_id, line) IN"
                    " (SELECT * FROM unnest($1::text[], $2::bigint[]))",
                    [row.import_id for row in found],
                    [row.line for row in found],
                )
            deleted += len(found)
        return deleted
