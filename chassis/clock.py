"""Time as a dependency: the clock is passed in, so that tests are exact and never sleep."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def milliseconds_of(moment: datetime) -> int:
    """Whole milliseconds since 1970 UTC."""
    return (moment - _EPOCH) // _MILLISECOND


def moment_of(milliseconds: int) -> datetime:
    """The moment, in UTC, so many milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        ...

    async def sleep(self, duration: timedelta) -> None:
        """Return once `duration` has passed on this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        return datetime.fromtimestamp(time.time(), UTC)

    async def sleep(self, duration: timedelta) -> None:
        """Return once `duration` has passed."""
        await asyncio.sleep(max(duration.total_seconds(), 0))


class ManualClock:
    """A clock that moves only when told to; sleepers wake exactly when their time comes."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        """The instant this clock was last moved to."""
        return self._now

    async def sleep(self, duration: timedelta) -> None:
        """Return once the clock was moved `duration` further."""
        due = self._now + duration
        async with self._moved:
            await self._moved.wait_for(lambda: self._now >= due)

    async def advance(self, duration: timedelta) -> None:
        """Move the clock and wake whoever is due."""
        async with self._moved:
            self._now += duration
            self._moved.notify_all()
