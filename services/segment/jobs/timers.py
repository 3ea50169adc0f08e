"""Sees to it that what time changes is changed when the time comes."""

import asyncio
from typing import Final

import structlog

from chassis.telemetry import gauge, histogram
from chassis.transient import transient
from services.segment.engine.membership import BATCH, Membership

_LOOK_EVERY_S: Final = 1.0  # another replica, or a merge, may have made something due sooner
_AT_ONCE: Final = 2  # full batches: while one is with Postgres, the other is thought about
_AGAIN_S: Final = 0.02  # what is due and not to be had is locked by somebody who handles it
_PACE_S: Final = 0.1  # between batches that were not full: what comes due one by one is gathered

_due = gauge("merhaba.segment.due")
_lateness = histogram("merhaba.segment.timer.lateness")
_logger = structlog.get_logger()


class Timers:
    """Sleeps until the earliest instant that is due, and handles it. Nothing due, no work."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._many = False

    async def run(self) -> None:
        """Until cancelled."""
        told: list[str] = []
        while True:
            if self._membership.rules.broken != told:
                told = self._membership.rules.broken
                _logger.error("definitions that no longer compile are not evaluated", names=told)
            try:
                await self._turn()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("time waits", error=type(error).__name__)
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _turn(self) -> None:
        membership = self._membership
        membership.sooner.clear()
        due = await membership.look_ahead()
        late_s = 0.0 if due is None else (membership.now - due) / 1000
        wait = _LOOK_EVERY_S if due is None else min(_LOOK_EVERY_S, -late_s)
        _due.set(max(late_s, 0.0))
        if wait <= 0:
            _lateness.record(late_s)
            at_once = _AT_ONCE if self._many else 1
            passed = await asyncio.gather(*(membership.pass_time() for _ in range(at_once)))
            self._many = max(passed) >= BATCH
            if self._many:
                return
            if any(passed):
                await asyncio.sleep(_PACE_S)
                return
            wait = _AGAIN_S
        try:
            async with asyncio.timeout(wait):
                await membership.sooner.wait()
        except TimeoutError:
            return
