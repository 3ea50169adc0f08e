"""Rebuilds new segments from profile's history, beside live updates, and survives restarts.

First what happened before is taken up, contact by contact; an event that comes live as well is
known by its fingerprint. Then the version comes into force: whoever is touched by an event is
evaluated at once, all others batch by batch.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Protocol

import grpc
import structlog
from google.protobuf.field_mask_pb2 import FieldMask
from msgspec.structs import replace

from chassis.clock import Clock
from chassis.times import stamped
from chassis.transient import keep_at
from merhaba.profile.v1 import (
    ContactHistory,
    ProfileServiceStub,
    StreamHistoryRequest,
    StreamHistoryResponse,
)
from services.segment import wire
from services.segment.membership import Membership
from services.segment.model import BackfillRecord, Past
from services.segment.segment_definitions import SegmentDefinitions

_LOOK_EVERY: Final = timedelta(seconds=1)
_LEASE: Final = timedelta(seconds=60)
_CONTACTS: Final = 200  # taken up in one transaction
FACTS: Final = (
    *("contact_id", "attributes", "traits", "consents", "zone", "language", "stage"),
    *("continued", "read_time", "state"),
)
"""What of a history is looked at besides events."""

_logger = structlog.get_logger()


class Store(Protocol):
    """What this needs kept."""

    async def claim_backfill(self, now: datetime, lease: timedelta) -> BackfillRecord | None:
        """The oldest that runs and that nobody works on, for as long as the lease."""
        ...

    async def save_backfill(self, backfill: BackfillRecord, lease_until: datetime) -> bool:
        """Note its progress; False when it was superseded meanwhile."""
        ...


class Backfills:
    """Works on one backfill after the other."""

    def __init__(
        self,
        store: Store,
        definitions: SegmentDefinitions,
        membership: Membership,
        profile: ProfileServiceStub,
        clock: Clock,
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._membership = membership
        self._profile = profile
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        await keep_at(self.work, self._clock, _LOOK_EVERY, "backfills wait")

    async def work(self) -> bool:
        """Bring the next backfill to its end, or as far as profile lets it; whether it ended."""
        backfill = await self._store.claim_backfill(self._clock.now(), _LEASE)
        if backfill is None:
            return False
        await self._membership.reload()
        try:
            if backfill.phase == "history":
                taken = await self._take_history(backfill)
                if taken is None:
                    return True
                backfill = taken
        except grpc.aio.AioRpcError as error:
            await self._wait(backfill, error)
            return False
        await self._take_members(backfill)
        return True

    async def _take_history(self, backfill: BackfillRecord) -> BackfillRecord | None:
        request = StreamHistoryRequest(
            cursor=backfill.cursor,
            names=backfill.names,
            start_time=stamped(backfill.start_time),
            read_mask=FieldMask(paths=[*FACTS, *(["events"] if backfill.names else [])]),
        )
        parts: list[ContactHistory] = []
        async for response in self._profile.StreamHistory(request):
            parts += response.histories
            if parts and parts[-1].continued:
                continue  # a cursor is good only between contacts
            await self._recall(parts)
            parts = []
            backfill = self._passed(backfill, response)
            if not await self._save(backfill):
                return None
        backfill = replace(backfill, phase="members", cursor="", failure="")
        return backfill if await self._save(backfill) else None

    def _passed(self, backfill: BackfillRecord, response: StreamHistoryResponse) -> BackfillRecord:
        return replace(
            backfill,
            cursor=response.cursor,
            passed_count=response.passed_count,
            total_count=max(response.total_count, response.passed_count),
            failure="",
            update_time=self._clock.now(),
        )

    async def _recall(self, parts: list[ContactHistory]) -> None:
        batch: dict[str, Past] = {}
        for past in joined(parts, self._membership):
            batch[past.contact_id] = past
            if len(batch) >= _CONTACTS:
                await self._membership.recall(batch)
                batch = {}
        if batch:
            await self._membership.recall(batch)

    async def _take_members(self, backfill: BackfillRecord) -> None:
        segment_id, backfill_id = backfill.segment_id, backfill.backfill_id
        if segment_id and not backfill.cursor:
            await self._definitions.go_live(segment_id, backfill_id)
            await self._membership.reload()
        last: str | None = backfill.cursor
        while last is not None:
            last = await self._membership.catch_up(last)
            backfill = replace(backfill, cursor=last or backfill.cursor)
            if not await self._save(backfill):
                return
        if segment_id:
            await self._definitions.complete(segment_id, backfill_id)
            await self._membership.reload()
        now = self._clock.now()
        await self._save(replace(backfill, state="completed", end_time=now))

    async def _save(self, backfill: BackfillRecord) -> bool:
        now = self._clock.now()
        return await self._store.save_backfill(replace(backfill, update_time=now), now + _LEASE)

    async def _wait(self, backfill: BackfillRecord, error: grpc.aio.AioRpcError) -> None:
        """Profile does not tell; it is asked again, from the beginning if it lost the cursor."""
        code = error.code().name
        _logger.warning("no history from profile", code=code)
        lost = error.code() is grpc.StatusCode.INVALID_ARGUMENT
        now = self._clock.now()
        await self._store.save_backfill(
            replace(
                backfill,
                cursor="" if lost else backfill.cursor,
                failure=f"profile answered {code}; it is asked again",
                update_time=now,
            ),
            now + _LOOK_EVERY,
        )


def joined(parts: list[ContactHistory], membership: Membership) -> Iterator[Past]:
    """Histories, those that come in parts put together."""
    wanted = membership.rules.wanted
    past: Past | None = None
    for part in parts:
        more = wire.past(part, wanted)
        if past is not None and past.contact_id == more.contact_id:
            past = replace(past, happenings=(*past.happenings, *more.happenings))
        else:
            if past is not None:
                yield past
            past = more
    if past is not None:
        yield past
