"""Begins the exports of schedules when their time comes."""

from datetime import datetime, timedelta
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.failures import Failure
from chassis.ids import derived_id
from chassis.transient import keep_at, transient
from merhaba.reports.v1 import ExportSchedule
from services.reports.exports import nouns
from services.reports.exports.beginning import Beginning
from services.reports.exports.store import ExportStore

_LOOK: Final = timedelta(seconds=5)
_logger = structlog.get_logger()


class Scheduler:
    """Looks which schedules are due. On however many replicas: a run has one id everywhere."""

    def __init__(self, store: ExportStore, beginning: Beginning, clock: Clock) -> None:
        self._store = store
        self._beginning = beginning
        self._clock = clock

    async def run(self) -> None:
        """Look, until cancelled."""
        await keep_at(self.begin, self._clock, _LOOK, "schedules wait")

    async def begin(self) -> bool:
        """Begin one export; returns whether one was due. Of times that were missed, the last."""
        now = self._clock.now()
        one = await self._store.due_schedule(now)
        if one is None:
            return False
        assert one.next_run_time is not None  # else it was not due
        wanted = ExportSchedule.FromString(one.schedule)
        export_id = derived_id("exp", one.schedule_id, one.next_run_time.isoformat())
        ran = one._replace(last_export_id=export_id)
        try:
            await self._begin(wanted, one.schedule_id, export_id, one.next_run_time)
        except Failure as failure:
            if transient(failure):
                raise
            _logger.warning("a schedule cannot run", schedule_id=one.schedule_id)
            ran = one._replace(last_failure=failure.message)
        await self._store.ran(ran, nouns.next_run(wanted, now))
        return True

    async def _begin(
        self, wanted: ExportSchedule, schedule_id: str, export_id: str, moment: datetime
    ) -> None:
        spec = nouns.due_spec(wanted, moment)
        await self._beginning.begin(export_id, spec, schedule_id)
