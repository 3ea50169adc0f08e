"""The archive's own group of the log."""

from collections.abc import Sequence
from datetime import timedelta

from chassis.clock import Clock, milliseconds_of
from services.ingest.archive.store import Archive
from services.ingest.wire import raw_webhooks


class Archivist:
    """Writes what was posted into the archive, in batches and not in the way of the answer."""

    def __init__(self, archive: Archive, clock: Clock, claimed_after: timedelta) -> None:
        """`claimed_after`: how long nobody finishes an entry before it comes again."""
        self._archive = archive
        self._clock = clock
        self._claimed_after = claimed_after

    async def handle(self, records: Sequence[bytes]) -> None:
        """Keep what the raw topic holds."""
        webhooks = raw_webhooks(records)
        # Only what is that old can be there already, by somebody who did not live to say so
        before = milliseconds_of(self._clock.now() - self._claimed_after)
        old = [one for one in webhooks if one.received_ms <= before]
        if old:
            webhooks = [one for one in webhooks if one.received_ms > before]
            webhooks += await self._archive.missing(old)
        await self._archive.add(webhooks)
