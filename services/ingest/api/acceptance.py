"""The way onto the log for what the business tells."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from chassis.failures import Busy, Unavailable
from chassis.streams import EventLog, Record
from services.ingest.admission import Admission
from services.ingest.answer import RETRY_AFTER_S
from services.ingest.failures import LagTooHigh, LogUnavailable

CALLER: Final = "api:token"
"""The source of what comes by gRPC: one token opens the door, there is no other caller to name."""

_FILE_LAG: Final = timedelta(seconds=30)
_RETRY_AFTER: Final = timedelta(seconds=RETRY_AFTER_S)


class Acceptance:
    """Takes what admission lets in."""

    def __init__(self, log: EventLog, admission: Admission) -> None:
        self._log = log
        self._admission = admission

    def check(self) -> None:
        """Raises `LagTooHigh` or `LogUnavailable` when nothing is accepted now."""
        if self._admission.closed == "lag":
            raise LagTooHigh(self._admission.lag, self._admission.lag_limit, _RETRY_AFTER)
        if self._admission.closed:
            raise LogUnavailable

    def check_file(self) -> None:
        """As `check`, for what comes in bulk: it waits early, so that nobody else has to."""
        self.check()
        if self._admission.lag > _FILE_LAG:
            raise LagTooHigh(self._admission.lag, _FILE_LAG, _RETRY_AFTER)
        if self._admission.tight:
            raise LogUnavailable

    async def append(self, records: Sequence[Record]) -> None:
        """Durable when it returns. Raises `LogUnavailable`."""
        try:
            await self._log.append(records)
        except (Busy, Unavailable):
            raise LogUnavailable from None
