"""How many messages of a campaign stand where: added up from what each transaction changed.

Triggers of the table of messages write the changes (see the migration), so the counts are exact at
any moment and cost the same with a million recipients as with ten.
"""

from typing import Final

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool
from services.sender.campaigns.progress import Counts
from services.sender.model import State

_KEYS: Final = "campaign_id, variant, state, gate, error_code, currency"
_NUMBERS: Final = ("messages", "replied", "clicked", "cost_micros")
_COLUMNS: Final = f"{_KEYS}, {', '.join(_NUMBERS)}"
_RECENT_MS: Final = 10_000
"""For so long changes stand by themselves: how fast a campaign sends is read from them."""
_AT_ONCE: Final = 20_000
_SENT: Final = [State.SENT, State.DELIVERED, State.READ, State.PLAYED]


async def in_states(pool: Pool, campaign_id: str, *states: State) -> int:
    """How many messages of a campaign are in these states now."""
    found: int = await pool.fetchval(
        "SELECT coalesce(sum(messages), 0)::bigint FROM"
        " (SELECT messages FROM tallies WHERE campaign_id = $1 AND state = ANY($2::int[])"
        "  UNION ALL SELECT messages FROM tally_changes"
        "  WHERE campaign_id = $1 AND state = ANY($2::int[])) AS u",
        *(campaign_id, states),
    )
    return found


class Counting:
    """Reads counts, and adds up what changed."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def counts(self, campaign_id: str) -> list[Counts]:
        """Where the messages of a campaign stand, all as of one moment."""
        rows = await self._pool.fetch(
            "SELECT variant, state, gate, error_code, currency, sum(messages)::bigint,"  # noqa: S608 - constants
            " sum(replied)::bigint, sum(clicked)::bigint, sum(cost_micros)::bigint"
            f" FROM (SELECT {_COLUMNS} FROM tallies WHERE campaign_id = $1"
            f" UNION ALL SELECT {_COLUMNS} FROM tally_changes WHERE campaign_id = $1) AS u"
            " GROUP BY 1, 2, 3, 4, 5"
            " HAVING sum(messages) <> 0 OR sum(cost_micros) <> 0 ORDER BY 1, 2, 3, 4, 5",
            campaign_id,
        )
        return [Counts(*row) for row in rows]

    async def per_s(self, campaign_id: str) -> float:
        """Messages that Meta accepted a second, over the last ten."""
        accepted = await self._pool.fetchval(
            "SELECT sum(messages)::bigint FROM tally_changes WHERE campaign_id = $1"
            " AND change_time > $2 AND state = ANY($3::int[])",
            *(campaign_id, milliseconds_of(self._clock.now()) - _RECENT_MS, _SENT),
        )
        return max(0, accepted or 0) / (_RECENT_MS / 1000)

    async def fold(self) -> int:
        """Add up some of the changes that are not recent; returns how many."""
        before = milliseconds_of(self._clock.now()) - _RECENT_MS
        added = ", ".join(f"{n} = tallies.{n} + excluded.{n}" for n in _NUMBERS)
        sums = ", ".join(f"sum({n})" for n in _NUMBERS)
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            # One at a time: two would wait for each other's rows.
            if not await connection.fetchval(
                "SELECT pg_try_advisory_xact_lock(hashtext('sender tallies'))"
            ):
                return 0
            folded: int = await connection.fetchval(
                "WITH gone AS (DELETE FROM tally_changes WHERE ctid = ANY(ARRAY("  # noqa: S608 - constants
                "  SELECT ctid FROM tally_changes WHERE change_time < $1"
                "  ORDER BY change_time LIMIT $2)) RETURNING *),"
                f" added AS (INSERT INTO tallies ({_COLUMNS}) SELECT {_KEYS}, {sums} FROM gone"
                f"  GROUP BY {_KEYS} ON CONFLICT ({_KEYS}) DO UPDATE SET {added})"
                " SELECT count(*) FROM gone",
                *(before, _AT_ONCE),
            )
        return folded
