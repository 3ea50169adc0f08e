"""Memberships that ended: rows that say who was a member when."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Connection, Pool
from chassis.transient import keep_at
from services.segment.engine.model import Transition

_FORGET_EVERY: Final = timedelta(hours=1)
_FORGOTTEN: Final = 5_000  # rows at once


async def keep(connection: Connection, transitions: Sequence[Transition]) -> None:
    """Note who left, before the memberships change. One pair's transitions are in order."""
    entered: dict[tuple[str, str], int] = {}
    stays: list[tuple[str, str, int, int]] = []
    lasting: dict[tuple[str, str], int] = {}
    for one in transitions:
        pair = one.contact_id, one.segment_id
        if one.entered:
            entered[pair] = one.time
        elif pair in entered:
            stays.append((*pair, entered.pop(pair), one.time))
        else:
            lasting.setdefault(pair, one.time)
    if lasting:
        await connection.execute(
            "INSERT INTO stays (contact_id, segment_id, enter_time, leave_time)"
            " SELECT m.contact_id, m.segment_id, m.enter_time, n.leave_time FROM memberships m"
            " JOIN unnest($1::uuid[], $2::text[], $3::bigint[])"
            " AS n (contact_id, segment_id, leave_time) USING (contact_id, segment_id)"
            " ON CONFLICT DO NOTHING",
            [contact_id for contact_id, _ in lasting],
            [segment_id for _, segment_id in lasting],
            list(lasting.values()),
        )
    if stays:
        await connection.execute(
            "INSERT INTO stays (contact_id, segment_id, enter_time, leave_time)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[])"
            " ON CONFLICT DO NOTHING",
            *([row[at] for row in stays] for at in range(4)),
        )


async def end(connection: Connection, leave_times: Mapping[str, int]) -> None:
    """Note that contacts left wherever they were members, each at a time."""
    await connection.execute(
        "INSERT INTO stays (contact_id, segment_id, enter_time, leave_time)"
        " SELECT m.contact_id, m.segment_id, m.enter_time, n.leave_time FROM memberships m"
        " JOIN unnest($1::uuid[], $2::bigint[]) AS n (contact_id, leave_time) USING (contact_id)"
        " ON CONFLICT DO NOTHING",
        list(leave_times),
        list(leave_times.values()),
    )


class Stays:
    """Forgets those that ended long ago."""

    def __init__(self, pool: Pool, clock: Clock, kept: timedelta) -> None:
        self._pool = pool
        self._clock = clock
        self.kept = kept

    async def run(self) -> None:
        """Until cancelled."""
        await keep_at(self.forget, self._clock, _FORGET_EVERY, "kept old stays")

    async def forget(self) -> None:
        """Delete those that ended before what is kept."""
        before = milliseconds_of(self._clock.now() - self.kept)
        done = f"DELETE {_FORGOTTEN}"
        while done == f"DELETE {_FORGOTTEN}":
            done = await self._pool.execute(
                "DELETE FROM stays WHERE (contact_id, segment_id, enter_time) IN"
                " (SELECT contact_id, segment_id, enter_time FROM stays WHERE leave_time < $1"
                " LIMIT $2)",
                before,
                _FORGOTTEN,
            )
