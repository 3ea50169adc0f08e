"""The policy and the rate cards in force, as whoever decides reads them, and how they change."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import asyncpg
import msgspec

from chassis.postgres import Connection, Pool
from services.sender.rules.policy import Policy
from services.sender.rules.rates import Rate, RateCard

CARD_COLUMNS: Final = (
    "rate_card_id, waba_id, currency, name, free_service_messages, effective_time, create_time,"
    " rates"
)
PRICED: Final = ("budget",)
"""Gates that wait for a price."""
_AT_ONCE: Final = 5_000
_IN_FLIGHT_MS: Final = 10_000
"""How long whoever began to decide before a change may take to write what the old rules said."""


class Rules(NamedTuple):
    """What decides beside what is known of a message and its person."""

    edition: int = -1
    policy: Policy = Policy()
    cards: Sequence[RateCard] = ()


class Rulebook:
    """Asked anew in every transaction that decides, so that a change counts from the next one on;
    read anew only when it changed."""

    def __init__(self) -> None:
        self._rules = Rules()

    async def read(self, connection: Connection) -> Rules:
        """What is in force for this transaction."""
        edition = await connection.fetchval("SELECT edition FROM rulebook")
        if edition != self._rules.edition:
            self._rules = await _read(connection)
        return self._rules


async def _read(connection: Connection) -> Rules:
    # The edition first: what changes meanwhile is then read again.
    edition = await connection.fetchval("SELECT edition FROM rulebook")
    definition = await connection.fetchval("SELECT definition FROM policy")
    policy = msgspec.json.decode(definition, type=Policy) if definition else Policy()
    rows = await connection.fetch(f"SELECT {CARD_COLUMNS} FROM rate_cards")  # noqa: S608 - constant
    return Rules(edition, policy, [card_of(row) for row in rows])


def card_of(row: asyncpg.Record) -> RateCard:
    """A card from the columns named above."""
    *fields, rates = row
    return RateCard(*[*fields, msgspec.msgpack.decode(rates, type=list[Rate])])


async def publish(connection: Connection, gates: Collection[str], now: int) -> None:
    """Let a change of the rules count once the transaction ends; what these gates hold is asked
    again."""
    edition = await connection.fetchval(
        "UPDATE rulebook SET edition = edition + 1 RETURNING edition"
    )
    await connection.execute(
        "INSERT INTO recalls SELECT unnest($1::text[]), $2::integer, $3::bigint"
        " ON CONFLICT (gate) DO UPDATE SET edition = excluded.edition, time = excluded.time",
        *(sorted(gates), edition, now),
    )


async def _begin(pool: Pool, now: int) -> None:
    """A rate card that was announced is in force from now on."""
    async with pool.acquire(timeout=10) as connection, connection.transaction():
        begun = await connection.fetch(
            "UPDATE rate_cards SET announced = false WHERE announced AND effective_time <= $1"
            " RETURNING rate_card_id",
            now,
        )
        if begun:
            await publish(connection, PRICED, now)


async def recall(pool: Pool, now: int) -> int:
    """Make due what gates hold by rules that changed, so many at once; returns how many."""
    moved = 0
    await _begin(pool, now)
    for gate, edition, time in await pool.fetch("SELECT gate, edition, time FROM recalls"):
        status = await pool.execute(
            "UPDATE messages SET due_time = $3 WHERE message_id IN ("
            " SELECT message_id FROM messages WHERE is_held AND gate = $1 AND due_time > $3"
            " AND edition < $2 LIMIT $4 FOR UPDATE SKIP LOCKED)",
            *(gate, edition, now, _AT_ONCE),
        )
        count = int(status.split()[-1])
        moved += count
        if not count and now > time + _IN_FLIGHT_MS:
            await pool.execute(
                "DELETE FROM recalls WHERE gate = $1 AND edition = $2", gate, edition
            )
    return moved
