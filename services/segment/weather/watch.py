"""Keeps the weather of cells in which contacts are, while a rule looks at it, and tells them.

Of each cell it is fetched once per refresh, whichever replica comes to it. Where it is another than
before, a fanout tells those who are there; who comes into a cell later is told by and by. What was
known of somebody who was not seen for too long is taken back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from chassis.clock import Clock
from chassis.transient import transient
from services.segment.engine.cells import point_of
from services.segment.engine.fanout import weather_told
from services.segment.engine.membership import Membership
from services.segment.failures import ServiceUnavailable
from services.segment.weather.source import Weather, WeatherSource
from services.segment.weather.store import Cell, Newcomer

_LOOK_EVERY: Final = timedelta(seconds=1)
_LEASE: Final = timedelta(seconds=60)
"""Longer than any request takes; after a failure, as long until the next."""
_BATCH: Final = 500
_MOST_CELLS: Final = 10_000
"""Some 28 × 28 km each: most of the inhabited land of a continent."""

_logger = structlog.get_logger()


class Store(Protocol):
    """What this needs kept."""

    async def open_cells(self, most: int) -> int:
        """Begin with cells in which somebody has come to be; returns how many had no room."""
        ...

    async def claim(
        self, now: datetime, refresh: timedelta, lease: timedelta, limit: int
    ) -> list[Cell]:
        """Cells whose weather is too old, for as long as the lease."""
        ...

    async def put(
        self, fetched: Mapping[str, Weather], before: Sequence[Cell], now: datetime
    ) -> None:
        """Keep the weather of cells; where it is another, everybody there is to be told."""
        ...

    async def newcomers(self, limit: int) -> list[Newcomer]:
        """Contacts who came into a cell of which the weather is known."""
        ...

    async def told(self, newcomers: Sequence[Newcomer]) -> None:
        """They know the weather of where they came, unless they are elsewhere by now."""
        ...

    async def long_gone(self, before: int, limit: int) -> list[str]:
        """Contacts who were located before an instant and not since."""
        ...

    async def forget(self, contact_ids: Sequence[str], before: int) -> None:
        """Where these contacts were before an instant makes no difference any more."""
        ...

    async def forget_all(self) -> None:
        """Nobody asks for the weather."""
        ...


class WeatherWatch:
    """Fetches and tells, one step after the other."""

    def __init__(
        self,
        store: Store,
        source: WeatherSource,
        membership: Membership,
        clock: Clock,
        refresh: timedelta,
    ) -> None:
        """`refresh`: how old the weather of a cell may become."""
        self._store = store
        self._source = source
        self._membership = membership
        self._clock = clock
        self._refresh = refresh
        self._idle = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                worked = await self.work()
            except ServiceUnavailable:
                worked = False  # the source has said why; the cells wait for the end of the lease
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("weather waits", error=type(error).__name__)
                worked = False
            if not worked:
                await self._clock.sleep(_LOOK_EVERY)

    async def work(self) -> bool:
        """Do what is to be done now; whether there was something."""
        if not self._membership.rules.weather:
            if not self._idle:
                await self._store.forget_all()
                self._idle = True
            return False
        self._idle = False
        if left_out := await self._store.open_cells(_MOST_CELLS):
            _logger.error("too many cells: some have no weather", cells=left_out)
        told = await self._tell_newcomers()
        taken = await self._take_back()
        fetched = await self._fetch()
        return bool(told or taken or fetched)

    async def _fetch(self) -> int:
        """A request's worth of cells, whose weather is too old."""
        cells = await self._store.claim(self._clock.now(), self._refresh, _LEASE, self._source.most)
        if cells:
            found = await self._source.current([point_of(one.cell) for one in cells])
            fetched = {one.cell: weather for one, weather in zip(cells, found, strict=True)}
            await self._store.put(fetched, cells, self._clock.now())
        return len(cells)

    async def _tell_newcomers(self) -> int:
        newcomers = await self._store.newcomers(_BATCH)
        if newcomers:
            now = self._membership.now
            told = [weather_told(one.contact_id, one.weather, now) for one in newcomers]
            await self._membership.process(lambda _: told, remembered=False)
            await self._store.told(newcomers)
        return len(newcomers)

    async def _take_back(self) -> int:
        now = self._membership.now
        before = now - self._membership.rules.weather_age
        gone = await self._store.long_gone(before, _BATCH)
        if gone:
            told = [weather_told(one, None, now) for one in gone]
            await self._membership.process(lambda _: told, remembered=False)
            await self._store.forget(gone, before)
        return len(gone)
