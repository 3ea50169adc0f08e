"""How far campaigns are: once, or as it changes."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from chassis.clock import Clock, milliseconds_of
from chassis.ids import derived_id
from merhaba.sender.v1 import CampaignProgress, WatchCampaignResponse
from services.sender.campaigns.counting import Counting
from services.sender.campaigns.progress import outlook
from services.sender.campaigns.store import CampaignStore
from services.sender.campaigns.wire import campaign_proto, progress_proto
from services.sender.model import CampaignPhase, Standing, State

_OVER: Final = frozenset({CampaignPhase.COMPLETED, CampaignPhase.CANCELLED, CampaignPhase.STOPPED})
_OPEN: Final = frozenset(
    state.name.lower() for state in (State.PLANNED, State.HELD, State.ATTEMPTING, State.UNKNOWN)
)
_LOOK_EVERY: Final = timedelta(milliseconds=500)
_HEARTBEAT: Final = 9  # looks without change
_PASSING: Final = ("sends_per_second", "expected_end_time", "count_time")
"""What changes by itself."""


class Watching:
    """Tells how far campaigns are."""

    def __init__(self, campaigns: CampaignStore, counting: Counting, clock: Clock) -> None:
        self._campaigns = campaigns
        self._counting = counting
        self._clock = clock

    async def progress(self, standing: Standing) -> CampaignProgress:
        """How far a campaign is."""
        found = await self._counting.counts(standing.campaign_id)
        per_s = await self._counting.per_s(standing.campaign_id)
        now, final = milliseconds_of(self._clock.now()), standing.planned
        seen = outlook(found, per_s, final=final, now=now)
        return progress_proto(campaign_proto(standing), final, found, seen, now)

    async def watch(self, campaign_id: str, cursor: str) -> AsyncIterator[WatchCampaignResponse]:
        """Progress when it changed since the cursor, heartbeats, and the end when the campaign is
        over and every outcome is known. Raises CampaignNotFound."""
        quiet = 0
        while True:
            standing = await self._campaigns.get(campaign_id)
            progress = await self.progress(standing)
            now = _cursor(progress)
            if now != cursor:
                cursor, quiet = now, 0
                yield WatchCampaignResponse(cursor=cursor, progress=progress)
            elif quiet >= _HEARTBEAT:
                quiet = 0
                yield WatchCampaignResponse(cursor=cursor)
            if standing.state in _OVER and not any(progress.states[s] for s in _OPEN):
                return
            quiet += 1
            await self._clock.sleep(_LOOK_EVERY)


def _cursor(progress: CampaignProgress) -> str:
    counted = CampaignProgress()
    counted.CopyFrom(progress)
    for field in _PASSING:
        counted.ClearField(field)
    return derived_id("cur", counted.SerializeToString(deterministic=True).hex())
