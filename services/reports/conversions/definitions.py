"""Definitions of success: kept, changed, and read by whoever folds events."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol

import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.failures import EtagMismatch, FieldInvalid
from chassis.ids import derived_id
from chassis.transient import keep_at
from services.reports.conversions.model import BUILT_IN, Conversion
from services.reports.conversions.reading import Reader, check
from services.reports.failures import ConversionNotFound, ExpressionInvalid

_REFRESHED_EVERY: Final = timedelta(seconds=5)
_MOST: Final = 100

_logger = structlog.get_logger()


class Store(Protocol):
    """Keeps definitions."""

    async def add(self, one: Conversion) -> bool:
        """Store a definition; False where its name is taken by another."""
        ...

    async def get(self, conversion_id: str) -> Conversion | None:
        """One of them."""
        ...

    async def all(self) -> Sequence[Conversion]:
        """All of them, by name."""
        ...

    async def change(
        self, conversion_id: str, change: Callable[[Conversion], Conversion]
    ) -> Conversion | None:
        """Change a definition while nobody else does."""
        ...

    async def delete(self, conversion_id: str) -> None:
        """Delete a definition and what it counted."""
        ...


class Definitions:
    """What counts as success."""

    def __init__(self, store: Store, clock: Clock, window: timedelta) -> None:
        """`window`: of the one that is built in."""
        self._store = store
        self._clock = clock
        self.built_in = Conversion(
            conversion_id=BUILT_IN,
            name=BUILT_IN,
            event_name="order_completed",
            value="event.total",
            currency="event.currency",
            key="event.order_id",
            reversal_event_name="order_cancelled",
            window_ms=window // timedelta(milliseconds=1),
        )
        self.reader = Reader([])
        """By the definitions as of a few seconds ago."""
        self._versions: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Follow what other replicas change, until cancelled."""
        await keep_at(self._follow, self._clock, _REFRESHED_EVERY, "conversions not looked up")

    async def _follow(self) -> bool:
        await self.refresh()
        return False

    async def refresh(self) -> None:
        """Read by the present definitions from now on. One that cannot be read any more keeps no
        other from being read."""
        found = await self._store.all()
        versions = {(one.conversion_id, one.version) for one in found}
        if versions == self._versions:
            return
        self.reader = Reader([one for one in found if _readable(one)])
        gone = {number for number, _ in self._versions - versions} - {n for n, _ in versions}
        self._versions = versions
        for conversion_id in gone:  # of what was counted here until now, too
            await self._store.delete(conversion_id)

    async def create(self, draft: Conversion, request_id: str) -> Conversion:
        """Store a definition. Raises `ExpressionInvalid`, `FieldInvalid`."""
        check(draft)
        known = await self._store.all()
        draft.conversion_id = derived_id("conv", request_id)
        draft.create_time = draft.update_time = milliseconds_of(self._clock.now())
        ids = {one.conversion_id for one in known}
        if len(known) >= _MOST and draft.conversion_id not in ids:
            raise FieldInvalid("conversion", "too many; delete one first", limit=str(_MOST))
        if draft.name == BUILT_IN or not await self._store.add(draft):
            raise FieldInvalid("conversion.name", "taken by another; choose a new one")
        await self.refresh()
        return await self.get(draft.conversion_id)

    async def get(self, conversion_id: str) -> Conversion:
        """One of them. Raises `ConversionNotFound`."""
        if conversion_id == BUILT_IN:
            return self.built_in
        found = await self._store.get(conversion_id)
        if found is None:
            raise ConversionNotFound(conversion_id)
        return found

    async def listed(self) -> list[Conversion]:
        """All of them, by name."""
        return sorted([self.built_in, *await self._store.all()], key=lambda one: one.name)

    async def window(self, conversion_id: str) -> timedelta:
        """How long after a message one counts; empty is the built-in one. Raises
        `ConversionNotFound`."""
        found = await self.get(conversion_id or BUILT_IN)
        return timedelta(milliseconds=found.window_ms)

    async def update(
        self, conversion_id: str, etag: str, change: Callable[[Conversion], Conversion]
    ) -> Conversion:
        """Change one. Raises `ConversionNotFound`, `EtagMismatch`, `ExpressionInvalid`,
        `FieldInvalid`."""
        _own(conversion_id)
        taken = {one.name: one.conversion_id for one in await self.listed()}

        def apply(one: Conversion) -> Conversion:
            _same(one, etag)
            wanted = change(one)
            check(wanted)
            if taken.get(wanted.name, conversion_id) != conversion_id:
                raise FieldInvalid("conversion.name", "taken by another; choose a new one")
            wanted.conversion_id, wanted.create_time = one.conversion_id, one.create_time
            wanted.update_time = milliseconds_of(self._clock.now())
            return wanted

        changed = await self._store.change(conversion_id, apply)
        if changed is None:
            raise ConversionNotFound(conversion_id)
        await self.refresh()
        return changed

    async def delete(self, conversion_id: str, etag: str) -> None:
        """Delete one and what it counted. Raises `ConversionNotFound`, `EtagMismatch`."""
        _own(conversion_id)
        _same(await self.get(conversion_id), etag)
        await self._store.delete(conversion_id)
        await self.refresh()


def _readable(one: Conversion) -> bool:
    try:
        check(one)
    except ExpressionInvalid as error:
        _logger.warning(
            "a conversion cannot be read; change it",
            conversion_id=one.conversion_id,
            why=str(error),
        )
        return False
    return True


def _own(conversion_id: str) -> None:
    if conversion_id == BUILT_IN:
        raise FieldInvalid(
            "conversion_id", "built in; its window is the setting ATTRIBUTION_DAYS of reports"
        )


def _same(one: Conversion, etag: str) -> None:
    if etag and etag != str(one.version):
        raise EtagMismatch(str(one.version))
