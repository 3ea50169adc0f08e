"""Ingest's own groups of the log: the archive of what was posted, and reading again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.transient import transient
from services.ingest.intake import Intake
from services.ingest.store import Archive, Links
from services.ingest.wire import posted, raw_webhooks

GROUP: Final = "ingest"
ARCHIVE_GROUP: Final = "ingest-archive"
_EVERY: Final = timedelta(hours=1)
_logger = structlog.get_logger()


class Archivist:
    """Writes what was posted into the archive, in batches and not in the way of the answer."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def handle(self, records: Sequence[bytes]) -> None:
        """Keep what the raw topic holds."""
        await self._archive.add(raw_webhooks(records))


class Retrier:
    """Reads items again that could not be read; those that still cannot be are dead letters."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def handle(self, records: Sequence[bytes]) -> None:
        """Read what the retry topic holds. Raises the failure of an item that cannot be read."""
        await self._intake.again(posted(records))


class Retention:
    """Deletes what is past its time."""

    def __init__(self, archive: Archive, links: Links, clock: Clock, days: int) -> None:
        """`days`: how long webhooks are kept, and links that lead nowhere any more."""
        self._archive = archive
        self._links = links
        self._clock = clock
        self._kept = timedelta(days=days)

    async def run(self) -> None:
        """Delete once an hour, until cancelled."""
        while True:
            try:
                await self.once()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("no retention", error=type(error).__name__)
            await self._clock.sleep(_EVERY)

    async def once(self) -> None:
        """Delete what is past its time now."""
        before = self._clock.now() - self._kept
        await self._archive.forget(before)
        await self._links.forget(before)
