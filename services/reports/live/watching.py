"""Streams of what happens, about once a second."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Final

from chassis import paging
from chassis.clock import Clock, milliseconds_of, moment_of
from chassis.postgres import Pool
from chassis.times import stamped
from merhaba.reports.v1 import Freshness, Measure, Value, WatchLiveRequest, WatchLiveResponse
from services.reports.answers.question import filters, refused
from services.reports.failures import CursorExpired
from services.reports.live import pulses
from services.reports.live.pulse import WHATS

HELD: Final = timedelta(hours=1)
_EVERY: Final = timedelta(seconds=1)


class Watching:
    """Watches for callers."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        fold_time: Callable[[], datetime],
        fresh: Callable[[datetime, bool], Freshness],
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._fold_time = fold_time
        self._fresh = fresh

    async def watch(self, request: WatchLiveRequest) -> AsyncIterator[WatchLiveResponse]:
        """From the cursor on, or from now. Raises `TokenInvalid`, `CursorExpired` and
        `QueryUnsupported`."""
        query = paging.query(request)
        campaigns = [(set(one.values), one.exclude) for one in filters(request.filters)]
        for one in filters(request.filters):
            if one.column != "campaign_id":
                raise refused("what happens now is told by campaign alone", one.column)
        now = self._clock.now()
        if (given := paging.place(request.cursor, query, [int, int], "cursor")) is not None:
            position, looked_ms = given
            looked = moment_of(looked_ms)
            if looked < now - HELD:
                raise CursorExpired(now - HELD)
        else:
            position, looked = await pulses.position(self._pool), now
        while True:
            fold_time, now = self._fold_time(), self._clock.now()
            position, pulse = await pulses.since(self._pool, position)
            counts = dict.fromkeys(WHATS, 0)
            for (what, campaign_id), count in pulse.counts.items():
                if all((campaign_id in wanted) != exclude for wanted, exclude in campaigns):
                    counts[what] += count
            first = looked if pulse.first is None else min(looked, moment_of(pulse.first))
            yield WatchLiveResponse(
                cursor=paging.token(query, [position, milliseconds_of(now)]),
                counts=[
                    Value(measure=Measure.Value(f"MEASURE_{what.upper()}"), value=count)
                    for what, count in counts.items()
                ],
                start_time=stamped(first),
                end_time=stamped(now),
                freshness=self._fresh(fold_time, False),
            )
            looked = now
            await self._clock.sleep(_EVERY)
