"""Makes states anew from profile's history, where two contacts turned out not to be one.

What a state holds does not tell whose it was. So both are read again, and put in place only if
nothing came live meanwhile; else once more. No trigger fires: nothing happened to the person.
"""

from datetime import timedelta
from typing import Final, Protocol

import grpc
import structlog
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.clock import Clock
from chassis.transient import keep_at
from merhaba.profile.v1 import ContactHistory, ProfileServiceStub, StreamHistoryRequest
from services.segment.engine.membership import Membership
from services.segment.engine.model import Past
from services.segment.jobs.backfill import joined
from services.segment.jobs.reading import FACTS

_LOOK_EVERY: Final = timedelta(seconds=1)
_BATCH: Final = 100

_logger = structlog.get_logger()


class Store(Protocol):
    """What this needs kept."""

    async def rebuilds(self, now: int, limit: int) -> dict[str, bytes | None]:
        """Contacts that are due, the longest first, with their states as they are stored; None:
        there is none."""
        ...

    async def rebuilt(self, contact_id: str) -> None:
        """Nothing is to be done about a contact."""
        ...


class Rebuilds:
    """Works on one contact after the other."""

    def __init__(
        self, store: Store, membership: Membership, profile: ProfileServiceStub, clock: Clock
    ) -> None:
        self._store = store
        self._membership = membership
        self._profile = profile
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        await keep_at(self.work, self._clock, _LOOK_EVERY, "rebuilds wait")

    async def work(self) -> int:
        """Make anew what is due; returns how many were done."""
        done = 0
        due = await self._store.rebuilds(self._membership.now, _BATCH)
        for contact_id, state in due.items():
            if state is None:
                await self._store.rebuilt(contact_id)
                done += 1
                continue
            past = await self._past(contact_id)
            if past is None or past.contact_id == contact_id:
                past = past or Past(contact_id)
                done += await self._membership.rebuild(contact_id, state, past)
            else:
                await self._membership.unite(past.contact_id, contact_id)
                done += 1
        return done

    async def _past(self, contact_id: str) -> Past | None:
        """What profile knows of a contact; of the one that absorbed it, if it was; None: of nobody
        of this id."""
        rules = self._membership.rules
        names = sorted(rules.history.keys() | rules.looks)
        request = StreamHistoryRequest(
            contact_ids=[contact_id],
            names=names,
            read_mask=FieldMask(paths=[*FACTS, *(["events"] if names else [])]),
        )
        parts: list[ContactHistory] = []
        try:
            async for response in self._profile.StreamHistory(request):
                parts += response.histories
        except grpc.aio.AioRpcError as error:
            _logger.warning("no history from profile", code=error.code().name)
            raise
        return next(joined(parts, self._membership), None)
