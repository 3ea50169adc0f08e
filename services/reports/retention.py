"""Deletes what is kept no longer, a bounded number at a time."""

from datetime import datetime, timedelta
from typing import Final

from chassis.clock import Clock
from chassis.postgres import Pool, delete_before
from chassis.transient import keep_at
from services.reports.answers.kept import KEPT_FOR
from services.reports.live.watching import HELD

_EVERY: Final = timedelta(minutes=10)
_AT_ONCE: Final = 5_000
_SLACK: Final = timedelta(minutes=10)
"""A watch that goes on in the last moment has this long to be answered."""
# What held at any moment since is needed, so of what was said before that the last word stays
_SUPERSEDED: Final = (
    "DELETE FROM contact_history WHERE (contact_id, name, change_time) IN"
    " (SELECT h.contact_id, h.name, h.change_time FROM contact_history h WHERE h.change_time < $1"
    " AND EXISTS (SELECT FROM contact_history n WHERE n.contact_id = h.contact_id"
    " AND n.name = h.name AND n.change_time > h.change_time AND n.change_time < $1) LIMIT $2)"
)

_RESOLVED: Final = (
    "DELETE FROM alerts WHERE alert_id IN (SELECT alert_id FROM alerts"
    " WHERE state = 'resolved' AND open_time < $1 LIMIT $2)"
)


class Retention:
    """Keeps what is kept within bounds."""

    def __init__(self, pool: Pool, clock: Clock, history: timedelta) -> None:
        """`history`: how long it is known what was said of people."""
        self._pool = pool
        self._clock = clock
        self._history = history

    async def run(self) -> None:
        """Delete, until cancelled."""
        await keep_at(self.once, self._clock, _EVERY, "what is old stays for now")

    async def once(self) -> int:
        """Delete some of what is older than is kept; returns how much that was."""
        now = self._clock.now()
        history = now - self._history
        deleted = await self._delete(_SUPERSEDED, history) + await self._delete(_RESOLVED, history)
        for table, column, before in (
            ("letters", "write_time", history),
            ("gate_words", "say_time", history),
            ("occurrences", "start_time", history),
            ("pulses", "fold_time", now - HELD - _SLACK),
            ("answers", "create_time", now - KEPT_FOR),
        ):
            deleted += await delete_before(self._pool, table, column, before)
        return deleted

    async def _delete(self, statement: str, before: datetime) -> int:
        done = await self._pool.execute(statement, before, _AT_ONCE)
        return int(done.split()[-1])
