"""What becomes of items and of who looked at them: kept, followed up, and forgotten."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.transient import transient
from services.segment.engine.causes import CatalogCause
from services.segment.engine.fanout import FanoutRecord, fanout_of
from services.segment.engine.membership import Membership, RulesChanged
from services.segment.engine.things import ItemChange, ItemRecord

_FORGET_EVERY: Final = timedelta(minutes=10)
_FORGOTTEN: Final = 5_000  # rows at once

_logger = structlog.get_logger()

Follow = Callable[[Sequence[ItemChange]], Sequence[FanoutRecord]]
"""What changes cause."""


class Items(Protocol):
    """Keeps items."""

    async def put_items(
        self, told: Sequence[ItemRecord], generation: int, follow: Follow, now: datetime
    ) -> None:
        """Join what is told with what is kept, and begin what follows from what changed, in one
        transaction. Raises `RulesChanged` when the rules are of another generation."""
        ...


class Looks(Protocol):
    """Keeps who looked at what."""

    async def forget(self, now: datetime, names: list[str], since: int, limit: int) -> int:
        """Delete some of what can make no difference any more; returns how many."""
        ...


class Catalog:
    """The things that are sold, and who is interested in them."""

    def __init__(self, items: Items, looks: Looks, membership: Membership, clock: Clock) -> None:
        self._items = items
        self._looks = looks
        self._membership = membership
        self._clock = clock

    async def take(self, told: Sequence[ItemRecord]) -> None:
        """Keep what is told of items. What changed longer ago than an event may be causes
        nothing."""
        while True:
            rules, membership = self._membership.rules, self._membership
            now, oldest = membership.now, membership.oldest_cause

            def follow(changes: Sequence[ItemChange]) -> Sequence[FanoutRecord]:
                found = (fanout_of(rules, one, now, oldest) for one in changes)  # noqa: B023 - used within the turn
                return [one for one in found if one is not None]

            try:
                await self._items.put_items(told, rules.generation, follow, self._clock.now())
            except RulesChanged:
                await membership.reload()
            else:
                return

    async def run(self) -> None:
        """Forget what can make no difference any more, until cancelled."""
        while True:
            await self._clock.sleep(_FORGET_EVERY)
            try:
                await self.forget()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("kept old looks", error=type(error).__name__)

    async def forget(self) -> None:
        """Delete looks that no trigger asks for."""
        rules, now = self._membership.rules, self._clock.now()
        causes = [one.definition.cause for one in rules.by_item]
        longest = max((one.within for one in causes if isinstance(one, CatalogCause)), default=0)
        since = milliseconds_of(now) - longest
        while await self._looks.forget(now, sorted(rules.looks), since, _FORGOTTEN) == _FORGOTTEN:
            pass
