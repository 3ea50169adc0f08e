"""Rebuilds new segments from profile's history, beside live updates, and survives restarts.

First what happened before is taken up, contact by contact; an event that comes live as well is
known by its fingerprint. Then the version comes into force: whoever is touched by an event is
evaluated at once, all others batch by batch, and of those only whoever it makes a difference to is
written.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

import grpc
import structlog
from msgspec.structs import replace

from chassis.ahead import ahead
from chassis.clock import Clock
from chassis.transient import keep_at
from merhaba.profile.v1 import ContactHistory, ProfileServiceStub, StreamHistoryResponse
from services.segment import wire
from services.segment.defining.segments import SegmentDefinitions
from services.segment.engine.membership import Membership
from services.segment.engine.model import BackfillRecord, Past
from services.segment.jobs import reading

_LOOK_EVERY: Final = timedelta(seconds=1)
_LEASE: Final = timedelta(seconds=60)
_CONTACTS: Final = 250  # taken up in one transaction
_NOTE_EVERY: Final = timedelta(milliseconds=500)

_logger = structlog.get_logger()


class Store(Protocol):
    """What this needs kept."""

    async def claim_backfill(self, now: datetime, lease: timedelta) -> BackfillRecord | None:
        """The oldest that runs and that nobody works on, for as long as the lease."""
        ...

    async def save_backfill(self, backfill: BackfillRecord, lease_until: datetime) -> bool:
        """Note its progress; False when it was superseded meanwhile."""
        ...

    async def looked_at(self) -> int:
        """The latest generation of which it is known that everybody was looked at by its rules."""
        ...

    async def contact_count(self) -> int:
        """How many contacts are known."""
        ...


class _Chunk(NamedTuple):
    """Contacts to take up at once; behind the last of a response, how far that goes."""

    pasts: list[Past]
    response: StreamHistoryResponse | None


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
        work = _Work(backfill, self._store, self._clock)
        if backfill.phase == "history":
            try:
                if not await self._take_history(work):
                    return True
            except grpc.aio.AioRpcError as error:
                await work.wait(error)
                return False
        await self._take_members(work)
        return True

    async def _take_history(self, work: "_Work") -> bool:
        """Whether it was not superseded."""
        if not work.backfill.cursor:
            names = reading.attributes(work.backfill, self._membership.rules)
            work.backfill = replace(work.backfill, attributes=names)
        work.begin()
        async with aclosing(ahead(self._chunks(work.backfill))) as chunks:
            async for chunk in chunks:
                if chunk.pasts:
                    await self._membership.recall({past.contact_id: past for past in chunk.pasts})
                if chunk.response is not None and not await work.read(chunk.response):
                    return False
        return await work.enter_members()

    async def _chunks(self, backfill: BackfillRecord) -> AsyncGenerator[_Chunk, None]:
        call = self._profile.StreamHistory(reading.request(backfill))
        parts: list[ContactHistory] = []
        try:
            async for response in call:
                parts += response.histories
                if parts and parts[-1].continued:
                    continue  # a cursor is good only between contacts
                pasts: list[Past] = []
                for past in joined(parts, self._membership):
                    if len(pasts) == _CONTACTS:
                        yield _Chunk(pasts, None)
                        pasts = []
                    pasts.append(past)
                yield _Chunk(pasts, response)
                parts = []
        finally:
            call.cancel()

    async def _take_members(self, work: "_Work") -> None:
        segment_id, backfill_id = work.backfill.segment_id, work.backfill.backfill_id
        if not work.backfill.cursor:
            if segment_id:
                await self._definitions.go_live(segment_id, backfill_id)
                await self._membership.reload()
            total, generation = await self._store.contact_count(), self._membership.rules.generation
            work.backfill = replace(
                work.backfill, passed_count=0, total_count=total, generation=generation
            )
        work.begin()
        floor = await self._store.looked_at()
        while stretch := await self._membership.catch_up(work.backfill.cursor, floor):
            if not await work.passed(stretch.last, stretch.size):
                return
        if segment_id:
            await self._definitions.complete(segment_id, backfill_id)
            await self._membership.reload()
        await work.end()


class _Work:
    """A backfill that is worked on, and how far it has come."""

    def __init__(self, backfill: BackfillRecord, store: Store, clock: Clock) -> None:
        self.backfill = backfill
        self._store = store
        self._clock = clock
        self._noted = clock.now()

    def begin(self) -> None:
        """From now on, contacts are passed."""
        passed, now = self.backfill.passed_count, self._clock.now()
        self.backfill = replace(self.backfill, phase_time=now, phase_passed_count=passed)

    async def read(self, response: StreamHistoryResponse) -> bool:
        """Everybody up to here was taken up; False when it was superseded."""
        return await self._pass(
            cursor=response.cursor,
            passed_count=response.passed_count,
            total_count=max(response.total_count, response.passed_count),
            failure="",
        )

    async def enter_members(self) -> bool:
        """What happened before is taken up; False when it was superseded."""
        return await self._save(phase="members", cursor="", failure="")

    async def passed(self, contact_id: str, count: int) -> bool:
        """So many more were looked at, up to this one; False when it was superseded."""
        passed = self.backfill.passed_count + count
        total = max(self.backfill.total_count, passed)
        return await self._pass(cursor=contact_id, passed_count=passed, total_count=total)

    async def end(self) -> None:
        """It is done."""
        now, passed = self._clock.now(), self.backfill.passed_count
        await self._save(state="completed", end_time=now, total_count=passed)

    async def wait(self, error: grpc.aio.AioRpcError) -> None:
        """Profile does not tell; it is asked again, from the beginning if it lost the cursor."""
        code = error.code().name
        _logger.warning("no history from profile", code=code)
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            self.backfill = replace(self.backfill, cursor="", passed_count=0)
        failure = f"profile answered {code}; it is asked again"
        await self._save(_LOOK_EVERY, failure=failure)

    async def _pass(self, **changes: Any) -> bool:
        """What a crash takes back is done again: so it is enough to note it now and then."""
        if self._clock.now() - self._noted >= _NOTE_EVERY:
            return await self._save(**changes)
        self.backfill = replace(self.backfill, **changes)
        return True

    async def _save(self, lease: timedelta = _LEASE, **changes: Any) -> bool:
        now = self._clock.now()
        self.backfill, self._noted = replace(self.backfill, update_time=now, **changes), now
        return await self._store.save_backfill(self.backfill, now + lease)


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
