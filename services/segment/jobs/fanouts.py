"""Works through everybody whom a change concerns, in batches, and survives restarts.

A fanout is done for everybody up to its cursor. A batch that was done and not noted, or during
which somebody became part of another, is done once more: what an item's change causes is known by
its ids, and weather that is told again is the same. The next batch is read while one is worked on.
Long ones take turns with others.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import Final, NamedTuple, Protocol, TypeVar

from chassis.clock import Clock
from chassis.transient import keep_at
from services.segment.engine.actions import StartAction
from services.segment.engine.causes import CatalogCause
from services.segment.engine.fanout import (
    FanoutRecord,
    ItemFanout,
    Look,
    WeatherFanout,
    concerned,
    weather_told,
)
from services.segment.engine.membership import Membership
from services.segment.engine.model import Happening
from services.segment.engine.rules import Rules, TriggerRule

T = TypeVar("T")
Read = Callable[[Rules], Sequence[Happening]]

_LOOK_EVERY: Final = timedelta(milliseconds=500)
_LEASE: Final = timedelta(seconds=60)
_BATCH: Final = 4_000
_PART: Final = 500  # in one transaction
_AT_ONCE: Final = 4
"""Parts of a batch that are worked on: one decides while others wait for the database."""
_TURN: Final = 10  # batches


class _Batch(NamedTuple):
    """The next of those whom a fanout concerns."""

    last: str | None
    """None: there are no more."""
    parts: Sequence[Read] = ()
    remembered: bool = False


class Store(Protocol):
    """What this needs kept."""

    async def claim(self, now: datetime, lease: timedelta) -> FanoutRecord | None:
        """One that nobody works on, the one that waits longest, for as long as the lease."""
        ...

    async def looks(
        self, item_id: str, names: list[str], since: int, after: str, limit: int
    ) -> list[Look]:
        """Of an item, by these events, after an instant, by contacts behind `after`, in order."""
        ...

    async def there(self, cell: str, after: str, limit: int) -> list[str]:
        """Contacts in a cell, behind `after`, in order."""
        ...

    async def advance(self, record: FanoutRecord, cursor: str, lease_until: datetime) -> bool:
        """Note that it is done up to a cursor; False when it was restarted meanwhile."""
        ...

    async def end(self, record: FanoutRecord, now: datetime) -> None:
        """Note that it is done for all, unless it was restarted meanwhile."""
        ...

    async def release(self, record: FanoutRecord, now: datetime) -> None:
        """Let others go on with it."""
        ...


class Fanouts:
    """Works on one fanout after the other."""

    def __init__(self, store: Store, membership: Membership, clock: Clock) -> None:
        self._store = store
        self._membership = membership
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        await keep_at(self.work, self._clock, _LOOK_EVERY, "fanouts wait")

    async def work(self) -> bool:
        """Take a turn at the next; whether there was one."""
        record = await self._store.claim(self._clock.now(), _LEASE)
        if record is None:
            return False
        try:
            async with asyncio.TaskGroup() as group:
                over = await self._turn(record, group)
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        note = self._store.end if over else self._store.release
        await note(record, self._clock.now())
        return True

    async def _turn(self, record: FanoutRecord, group: asyncio.TaskGroup) -> bool:
        """Do it for some batches; returns whether there are no more."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def tell(part: Read, remembered: bool) -> None:
            async with free:
                await self._membership.process(part, remembered, make=False)

        async def done() -> bool:
            await asyncio.gather(*telling)
            return await self._store.advance(record, cursor, self._clock.now() + _LEASE)

        cursor, telling = record.cursor, list[asyncio.Task[None]]()
        for _ in range(_TURN):
            batch = await self._batch(record, cursor)
            following = [group.create_task(tell(one, batch.remembered)) for one in batch.parts]
            if telling and not await done():
                return False
            if batch.last is None:
                return True
            cursor, telling = batch.last, following
        await done()
        return False

    async def _batch(self, record: FanoutRecord, cursor: str) -> _Batch:
        """Those behind a cursor."""
        match record.fanout:
            case ItemFanout():
                return await self._lookers(record, record.fanout, cursor)
            case WeatherFanout():
                return await self._there(record.fanout, cursor)

    async def _lookers(self, record: FanoutRecord, fanout: ItemFanout, cursor: str) -> _Batch:
        rules = self._membership.rules
        triggers = [rules.triggers[i] for i in fanout.trigger_ids if i in rules.triggers]
        found = [one.definition.cause for one in triggers]
        causes = [cause for cause in found if isinstance(cause, CatalogCause)]
        if not causes:
            return _Batch(None)
        # An occurrence is known by its id, and once is enough: that needs not be remembered
        counted = any(_counts(one) for one in triggers)
        names = sorted({name for cause in causes for name in cause.event_names})
        since = fanout.time - max(cause.within for cause in causes)
        looks = await self._store.looks(fanout.subject, names, since, cursor, _BATCH)
        people = [list(own) for _, own in groupby(looks, attrgetter("contact_id"))]
        if len(looks) == _BATCH and len(people) > 1:
            people.pop()  # there may be more of the last one

        def tell(part: Sequence[list[Look]]) -> Read:
            return lambda rules: list(concerned(rules, record, chain.from_iterable(part)))

        last = people[-1][0].contact_id if people else None
        return _Batch(last, [tell(part) for part in _parts(people)], counted)

    async def _there(self, fanout: WeatherFanout, cursor: str) -> _Batch:
        contact_ids = await self._store.there(fanout.cell, cursor, _BATCH)
        told = [weather_told(one, fanout.weather, fanout.time) for one in contact_ids]

        def tell(part: Sequence[Happening]) -> Read:
            return lambda _: part

        last = contact_ids[-1] if contact_ids else None
        return _Batch(last, [tell(part) for part in _parts(told)])


def _counts(trigger: TriggerRule) -> bool:
    """Whether a repeat would make a difference: by the limits of key and period, or a journey."""
    limited = trigger.key is not None or trigger.definition.period is not None
    return limited or isinstance(trigger.action.action, StartAction)


def _parts(batch: Sequence[T]) -> list[Sequence[T]]:
    return [batch[first : first + _PART] for first in range(0, len(batch), _PART)]
