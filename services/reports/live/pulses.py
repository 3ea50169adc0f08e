"""Pulses in Postgres. What is complete is known by the numbers of transactions: everything before
the oldest one that still runs is there for good, in whatever order the transactions end. So a
stretch between two such numbers has neither gap nor overlap."""

from collections import Counter
from typing import Final, NamedTuple

import msgspec

from chassis.clock import milliseconds_of
from chassis.postgres import Connection, Pool
from services.reports.live.pulse import Pulse, What

_LEAVE: Final = (
    "INSERT INTO pulses (fold_time, first_time, last_time, counts) VALUES (now(),"
    " coalesce(to_timestamp($1::bigint / 1000.0), now()),"
    " coalesce(to_timestamp($2::bigint / 1000.0), now()), $3)"
)
_SINCE: Final = (
    "WITH until AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS number)"
    " SELECT until.number::text::bigint AS until, p.first_time, p.last_time, p.counts FROM until"
    " LEFT JOIN pulses p ON p.transaction_id >= $1::bigint::text::xid8"
    " AND p.transaction_id < until.number"
)
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[tuple[What, str, int]])


class Stretch(NamedTuple):
    """What happened between two moments of looking."""

    until: int
    """Where to go on."""
    pulse: Pulse


async def leave(connection: Connection, pulse: Pulse) -> None:
    """Store what a transaction counted anew."""
    if pulse.counts:
        counts = [(*what, count) for what, count in pulse.counts.items()]
        await connection.execute(_LEAVE, pulse.first, pulse.last, _encoder.encode(counts))


async def position(pool: Pool) -> int:
    """Where somebody begins who wants only what is new."""
    number: int = await pool.fetchval(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    )
    return number


async def since(pool: Pool, start: int) -> Stretch:
    """All that is complete by now."""
    total = Pulse(Counter())
    until = start
    for number, first, last, raw in await pool.fetch(_SINCE, start):
        until = max(until, number)
        if raw is None:
            continue
        for what, campaign_id, count in _decoder.decode(raw):
            total.add(what, campaign_id, milliseconds_of(first), count)
            total.last = max(total.last or 0, milliseconds_of(last))
    return Stretch(until, total)
