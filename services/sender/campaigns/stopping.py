"""Which campaigns were paused or ended a moment ago, for calls that stand in line meanwhile.

What was claimed before a pause waits for its slot for a moment yet. A process begins calls of
campaigns only as long as it has looked lately, so whoever paused one knows, without asking anybody,
from when on no call of it begins.
"""

import time
from datetime import timedelta
from typing import Final

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool
from chassis.transient import keep_at
from services.sender.model import Message

FRESH_S: Final = 2.0
"""For so long what was seen may be relied on."""
_LOOK_EVERY: Final = timedelta(milliseconds=400)
_LATELY_MS: Final = 600_000  # longer than anything stands in line


class Stopping:
    """Looks for them, in the background."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._stopped: frozenset[str] = frozenset()
        self._looked = float("-inf")

    def stops(self, message: Message) -> bool:
        """Whether the call of a message must not begin now."""
        if not message.campaign_id:
            return False
        late = time.monotonic() - self._looked > FRESH_S
        return late or message.campaign_id in self._stopped

    async def look(self) -> None:
        """See which campaigns stand still now."""
        began = time.monotonic()
        since = milliseconds_of(self._clock.now()) - _LATELY_MS
        rows = await self._pool.fetch(
            "SELECT campaign_id FROM campaigns WHERE state IN (5, 7, 8) AND update_time > $1", since
        )
        self._stopped = frozenset(row["campaign_id"] for row in rows)
        self._looked = began

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        complaint = "nobody sees whether campaigns are paused, so they wait"
        await keep_at(self.look, self._clock, _LOOK_EVERY, complaint)
