"""Has every other service erase whom profile erased, until all have: over restarts and outages."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog

from chassis.app import tasks
from chassis.clock import Clock, milliseconds_of
from chassis.transient import transient
from services.profile.person.model import Identity, ServiceUnavailable
from services.profile.rights.erasures import Erasure, Erasures
from services.profile.rights.holders import HOLDERS, Holder

_LOOK_EVERY_S: Final = 1.0
_LEASE: Final = timedelta(seconds=30)  # renewed while somebody works on it
_MOST_WAIT: Final = timedelta(minutes=1)
_logger = structlog.get_logger()


class Erasing:
    """Works on one erasure after the other; replicas share them."""

    def __init__(self, erasures: Erasures, holders: Mapping[str, Holder], clock: Clock) -> None:
        self._erasures = erasures
        self._holders = holders
        self._clock = clock
        self._begun = asyncio.Event()

    def wake(self) -> None:
        """One was begun: look at once."""
        self._begun.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._begun.clear()
            try:
                worked = await self.turn()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("erasures wait", error=type(error).__name__)
                worked = False
            if not worked:
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._begun.wait()
                except TimeoutError:
                    continue

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    def _leased(self) -> int:
        return self._now() + _LEASE // timedelta(milliseconds=1)

    async def _renew(self, request_id: str) -> None:
        """Keep the erasure, until cancelled; it is taken by another when this process dies."""
        while True:
            await self._clock.sleep(_LEASE / 3)
            await self._erasures.renew(request_id, self._leased())

    async def turn(self) -> bool:
        """Go on with one erasure; returns whether there was one."""
        claimed = await self._erasures.claim(self._now(), self._leased())
        if claimed is None:
            return False
        erasure, known = claimed
        try:
            async with tasks(lambda: self._renew(erasure.request_id)):
                await self._erase(erasure, known)
        except* ServiceUnavailable as failures:
            failure: BaseException = failures
            while isinstance(failure, BaseExceptionGroup):
                failure = failure.exceptions[0]
            assert isinstance(failure, ServiceUnavailable)
            wait = min(timedelta(seconds=2 ** min(erasure.attempts, 6)), _MOST_WAIT)
            until = self._now() + wait // timedelta(milliseconds=1)
            await self._erasures.postpone(erasure.request_id, failure.message, until)
            _logger.warning("an erasure waits", service=failure.facts["service"])
        return True

    async def _erase(self, erasure: Erasure, known: Sequence[Identity]) -> None:
        names = [name for name in HOLDERS if name in erasure.receipts]
        before, last = names[:-1], names[-1:]
        pending = erasure.pending
        for several in (before, last):
            await self._each(erasure, [name for name in several if name in pending], known)
        # What was on its way when the others erased is through now: nothing of it may be left.
        await self._each(erasure, before, known)
        now = self._now()
        await self._erasures.complete(erasure.request_id, now)
        _logger.info("erased", contact_id=erasure.contact_id, duration_ms=now - erasure.create_time)

    async def _each(
        self, erasure: Erasure, names: Sequence[str], known: Sequence[Identity]
    ) -> None:
        async def one(name: str) -> None:
            receipt = await self._holders[name].erase(
                erasure.request_id, erasure.contact_id, erasure.member_ids, known
            )
            await self._erasures.receive(erasure.request_id, name, receipt)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))
