"""What moves by itself: leases end, doubts, and last moments."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from chassis.postgres import Connection
from services.sender.delivery.moves import doubt, give_up, too_late
from services.sender.model import Happening, Message, State
from services.sender.rulebook import Rulebook
from services.sender.rules.policy import Policy
from services.sender.tables.rows import COLUMNS

Move: TypeAlias = Callable[[Message], list[Happening]]
Find: TypeAlias = Callable[[Connection, Rulebook, int], Awaitable[tuple[list[Message], Move]]]
"""Locks messages of which something is over at a moment (ms); with how they move."""

_SWEPT: Final = 1_000
_LEASES: Final = 50  # looked through at once
_LATE_MS: Final = 5_000  # whose turn comes is asked by the gates, which say more


async def abandoned(
    over: Sequence[int], connection: Connection, rulebook: Rulebook, now: int
) -> tuple[list[Message], Move]:
    """Messages that are attempting although their lease ended. Leases of the claims that are
    `over` are deleted unseen."""
    rows = await connection.fetch(
        "DELETE FROM leases WHERE claim = ANY($3::bigint[]) OR claim IN (SELECT claim FROM leases"
        " WHERE end_time < $1 ORDER BY end_time LIMIT $2 FOR UPDATE SKIP LOCKED)"
        " RETURNING CASE WHEN claim <> ALL($3) THEN message_ids ELSE '{}' END AS message_ids",
        *(now, _LEASES, over),
    )
    ids = [one for row in rows for one in row["message_ids"]]
    if not ids:
        return [], _stays
    found = await connection.fetch(
        f"SELECT {COLUMNS} FROM messages WHERE message_id = ANY($1::text[])"
        f" AND state = {State.ATTEMPTING:d} AND due_time < $2 ORDER BY message_id FOR UPDATE",
        *(ids, now),
    )
    unknown_ms = (await rulebook.read(connection)).policy.unknown_ms
    return [Message(*row) for row in found], lambda m: doubt(m, "lease_ended", now, unknown_ms)


async def unanswered(
    connection: Connection, rulebook: Rulebook, now: int
) -> tuple[list[Message], Move]:
    """Messages whose time of doubt is over."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM messages WHERE is_unknown AND due_time < $1"
        " ORDER BY due_time LIMIT $2 FOR UPDATE SKIP LOCKED",
        *(now, _SWEPT),
    )
    policy = (await rulebook.read(connection)).policy if rows else Policy()

    def move(message: Message) -> list[Happening]:
        repeat = getattr(policy.repeats_unknown, message.category, False)
        return give_up(message, now, repeat=repeat)

    return [Message(*row) for row in rows], move


async def late(connection: Connection, _: Rulebook, now: int) -> tuple[list[Message], Move]:
    """Messages whose last moment passed while they waited for a turn that may never come."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM messages WHERE is_waiting AND not_after > 0"
        " AND not_after < $1 ORDER BY not_after LIMIT $2 FOR UPDATE SKIP LOCKED",
        *(now - _LATE_MS, _SWEPT),
    )
    return [Message(*row) for row in rows], lambda message: too_late(message, now)


def _stays(_: Message) -> list[Happening]:
    return []
