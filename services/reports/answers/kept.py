"""Answers of more than a page, kept so that every page shows the facts as the first did."""

from datetime import timedelta
from typing import Final

import zstandard

from chassis.clock import Clock
from chassis.failures import TokenInvalid
from chassis.ids import fresh_id
from chassis.postgres import Pool
from merhaba.reports.v1 import QueryResponse

KEPT_FOR: Final = timedelta(minutes=15)
_MOST_BYTES: Final = 256 * 1024 * 1024


class Kept:
    """Answers in Postgres, for whichever replica is asked for the next page."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def keep(self, answer: QueryResponse) -> str:
        """Keep all rows of an answer for a quarter of an hour; returns its id."""
        answer_id, now = fresh_id("ans"), self._clock.now()
        await self._pool.execute("DELETE FROM answers WHERE create_time < $1", now - KEPT_FOR)
        await self._pool.execute(
            "INSERT INTO answers VALUES ($1, $2, $3)",
            answer_id,
            now,
            zstandard.compress(answer.SerializeToString()),
        )
        return answer_id

    async def read(self, answer_id: str) -> QueryResponse:
        """All rows of an answer. Raises `TokenInvalid` when it is kept no longer."""
        raw = await self._pool.fetchval(
            "SELECT rows FROM answers WHERE answer_id = $1 AND create_time >= $2",
            answer_id,
            self._clock.now() - KEPT_FOR,
        )
        if raw is None:
            raise TokenInvalid("page_token")
        return QueryResponse.FromString(zstandard.decompress(raw, max_output_size=_MOST_BYTES))
