"""Rate cards in Postgres; they are added, never changed."""
# ruff: noqa: S608 - what is put into SQL here are names of columns

from collections.abc import Collection

import msgspec

from chassis.postgres import Pool
from services.sender.failures import RateCardNotFound
from services.sender.rulebook import CARD_COLUMNS, card_of, publish
from services.sender.rules.rates import RateCard


class RateCardStore:
    """Stores cards and finds them again."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, card: RateCard, gates: Collection[str], now: int) -> RateCard:
        """Store a card; returns the one that stands when the id is known. What `gates` hold is
        asked again."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            new = await connection.fetchval(
                f"INSERT INTO rate_cards ({CARD_COLUMNS}, announced)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $6::bigint > $9)"
                " ON CONFLICT DO NOTHING RETURNING rate_card_id",
                *(card.rate_card_id, card.waba_id, card.currency, card.name),
                *(card.free_service_messages, card.effective_time, card.create_time),
                *(msgspec.msgpack.encode(card.rates), now),
            )
            if new:
                await publish(connection, gates, now)
        return await self.get(card.rate_card_id)

    async def get(self, rate_card_id: str) -> RateCard:
        """A card by its id; raises RateCardNotFound."""
        row = await self._pool.fetchrow(
            f"SELECT {CARD_COLUMNS} FROM rate_cards WHERE rate_card_id = $1", rate_card_id
        )
        if row is None:
            raise RateCardNotFound("no such rate card", rate_card_id=rate_card_id)
        return card_of(row)

    async def of(self, waba_id: str) -> list[RateCard]:
        """Cards that may be in force for an account."""
        rows = await self._pool.fetch(
            f"SELECT {CARD_COLUMNS} FROM rate_cards WHERE waba_id IN ('', $1)", waba_id
        )
        return [card_of(row) for row in rows]

    async def list(self, waba_id: str, before: tuple[int, str], n: int) -> list[RateCard]:
        """Cards of an account, or all, latest effective first; `before` a (time, id)."""
        rows = await self._pool.fetch(
            f"SELECT {CARD_COLUMNS} FROM rate_cards WHERE (effective_time, rate_card_id) < ($2, $3)"
            " AND ($1 = '' OR waba_id = $1)"
            " ORDER BY effective_time DESC, rate_card_id DESC LIMIT $4",
            *(waba_id, *before, n),
        )
        return [card_of(row) for row in rows]
