"""Targets as the door finds them: in memory, and once in the store."""

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

from services.ingest.links.target import Target

_REMEMBERED: Final = 10_000
_PATIENCE_S: Final = 3.0  # a person waits for the answer


class Store(Protocol):
    """Where targets are kept."""

    async def get(self, number: int) -> Target | None:
        """One target, or None."""
        ...


class Targets:
    """Remembers the targets that were asked for last. A target never changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: OrderedDict[int, Target] = OrderedDict()
        self._asked: dict[int, asyncio.Task[Target | None]] = {}

    async def find(self, number: int) -> Target | None:
        """One target, or None. All who wait for the same one ask the store once.

        Raises what the store raises, and `TimeoutError` when it does not answer.
        """
        target = self._remembered.get(number)
        if target is not None:
            self._remembered.move_to_end(number)
            return target
        asked = self._asked.get(number)
        if asked is None:
            asked = self._asked[number] = asyncio.create_task(self._ask(number))
        # Whoever goes away does not end what others wait for
        return await asyncio.shield(asked)

    async def _ask(self, number: int) -> Target | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                target = await self._store.get(number)
        finally:
            del self._asked[number]
        if target is not None:
            self._remembered[number] = target
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return target
