"""Ingest's own groups of the log, and what it forgets."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from chassis.clock import Clock
from chassis.transient import keep_at
from services.ingest.archive import Archive
from services.ingest.imports.store import Imports
from services.ingest.intake import Intake
from services.ingest.links import TargetStore
from services.ingest.wire import posted

GROUP: Final = "ingest"
ARCHIVE_GROUP: Final = "ingest-archive"
_EVERY: Final = timedelta(hours=1)


class Retrier:
    """Reads items again that could not be read; those that still cannot be are dead letters."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def handle(self, records: Sequence[bytes]) -> None:
        """Read what the retry topic holds. Raises the failure of an item that cannot be read."""
        await self._intake.again(posted(records))


class Retention:
    """Deletes what is past its time."""

    def __init__(
        self, archive: Archive, links: TargetStore, imports: Imports, clock: Clock, days: int
    ) -> None:
        """`days`: how long webhooks are kept, and imports with their refused rows. Targets of links
        are kept until the last expires."""
        self._archive = archive
        self._links = links
        self._imports = imports
        self._clock = clock
        self._kept = timedelta(days=days)

    async def run(self) -> None:
        """Delete once an hour, until cancelled."""
        await keep_at(self.once, self._clock, _EVERY, "no retention")

    async def once(self) -> None:
        """Delete what is past its time now."""
        now = self._clock.now()
        await self._archive.forget(now - self._kept)
        await self._imports.forget(now - self._kept)
        await self._links.forget(now)
