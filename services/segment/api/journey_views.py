"""What many people look at: pictures of journeys and the map of stages, a moment old at most."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from chassis.clock import Clock, milliseconds_of
from services.segment.engine.journeys.model import JourneyRecord
from services.segment.engine.journeys.picture import draw
from services.segment.engine.journeys.words import WORDS
from services.segment.tables.journeys import JourneyStore
from services.segment.tables.stage_map import QUARTER, Flow, StageMap

T = TypeVar("T")

_FRESH_MS: Final = 5_000
_REMEMBERED: Final = 200


class Stages(NamedTuple):
    """How the base stood, and how it moved before."""

    counts: dict[str, int]
    flows: list[Flow]


class JourneyViews:
    """Finds them, and remembers them for a moment, so that many who look cost as much as one."""

    def __init__(self, store: JourneyStore, stage_map: StageMap, clock: Clock) -> None:
        self._store = store
        self._stage_map = stage_map
        self._clock = clock
        self._pictures: _Recent[bytes] = _Recent()
        self._maps: _Recent[Stages] = _Recent()

    async def picture(self, journey: JourneyRecord, language: str, dark: bool) -> tuple[bytes, int]:
        """A version of a journey as SVG, and when its counts were read (ms)."""
        definition, words = journey.definition, WORDS[language]

        async def find() -> bytes:
            traffic = await self._store.traffic(definition.journey_id, definition.version)
            # Two hundred steps take a processor half a second.
            return await asyncio.to_thread(
                draw, journey, traffic.waiting, traffic.passed, words, dark
            )

        of = definition.journey_id, definition.version, journey.edit, words.code, dark
        return await self._pictures.get(of, self._now, find)

    async def stages(self, start: int, end: int, zone: str) -> tuple[Stages, int]:
        """The map of stages from a moment to another, and when it was read (all in ms)."""

        async def find() -> Stages:
            first = start // QUARTER * QUARTER
            return Stages(
                await self._stage_map.counts(end), await self._stage_map.flows(first, end, zone)
            )

        # Whoever asks for the time until now asks for another one every moment.
        of = start // _FRESH_MS, end // _FRESH_MS, zone
        return await self._maps.get(of, self._now, find)

    @property
    def _now(self) -> int:
        return milliseconds_of(self._clock.now())


class _Recent(Generic[T]):
    def __init__(self) -> None:
        self._found: dict[Hashable, tuple[T, int]] = {}

    async def get(self, of: Hashable, now: int, find: Callable[[], Awaitable[T]]) -> tuple[T, int]:
        """What is found, and when."""
        kept = self._found.pop(of, None)
        if kept is None or not kept[1] <= now < kept[1] + _FRESH_MS:
            kept = await find(), now
        while len(self._found) >= _REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found[of] = kept
        return kept
