"""Works off, batch by batch, what an edit means for all who were there before; survives restarts.

The edit itself only changes the definition: from its answer on nothing of what ended or is paused
acts, since whoever acts looks at the definition. What waits of something that ended is cancelled
here, and people in a journey are brought up to its rules, unless something happens to them before.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol

from chassis.clock import Clock
from chassis.transient import keep_at
from services.segment.engine.membership import Membership
from services.segment.engine.model import Sweep

_LOOK_EVERY: Final = timedelta(milliseconds=500)
_LEASE: Final = timedelta(seconds=60)
_TURN: Final = 20  # batches


class Store(Protocol):
    """What this needs kept."""

    async def claim(self, now: datetime, lease: timedelta) -> Sweep | None:
        """One that nobody works on, the one that waits longest, for as long as the lease."""
        ...

    async def cancel(self, sweep: Sweep) -> bool:
        """End a batch of what waits, or is not done yet; whether there may be more."""
        ...

    async def release(self, sweep: Sweep, now: datetime) -> None:
        """Let others go on with it."""
        ...

    async def end(self, sweep: Sweep) -> None:
        """It is done."""
        ...


class Sweeps:
    """Works on one sweep after the other."""

    def __init__(self, store: Store, membership: Membership, clock: Clock) -> None:
        self._store = store
        self._membership = membership
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        await keep_at(self.work, self._clock, _LOOK_EVERY, "sweeps wait")

    async def work(self) -> bool:
        """Take a turn at the next; whether there was one."""
        sweep = await self._store.claim(self._clock.now(), _LEASE)
        if sweep is None:
            return False
        for _ in range(_TURN):
            if not await self._batch(sweep):
                await self._store.end(sweep)
                return True
        await self._store.release(sweep, self._clock.now())
        return True

    async def _batch(self, sweep: Sweep) -> bool:
        if sweep.work == "cancel":
            return await self._store.cancel(sweep)
        return await self._membership.sweep(sweep)
