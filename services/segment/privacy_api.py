"""gRPC: what is held of one person, to see and to erase."""

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any

import msgspec
import orjson

from chassis import paging
from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.times import stamped, timestamp
from merhaba.profile.v1 import ErasureReceipt, ExportedRecord
from merhaba.segment.v1 import (
    EraseContactRequest,
    EraseContactResponse,
    ExportContactRequest,
    ExportContactResponse,
    PrivacyServiceServicer,
)
from services.segment.definitions_store import DefinitionsStore
from services.segment.model import Occurrence
from services.segment.state import ContactState
from services.segment.store import SegmentStore
from services.segment.timeline import PRINT
from services.segment.wire import contact_id

_PAGE = 500
_FIRST = (2**62, "~")
_ALWAYS = (0, 2**62)


class PrivacyApi(PrivacyServiceServicer):
    """What segment holds of one person. Meaning and errors: the contract."""

    def __init__(self, store: SegmentStore, reading: DefinitionsStore, clock: Clock) -> None:
        self._store = store
        self._reading = reading
        self._clock = clock

    async def ExportContact(
        self, request: ExportContactRequest, context: Any
    ) -> AsyncIterator[ExportContactResponse]:
        """Streams everything this service holds about a person."""
        one = contact_id(request.contact_id)
        query = paging.query(request)
        place = paging.place(request.cursor, query, [int, str], "cursor")
        if place is None:
            stored = (await self._reading.states([one])).get(one)
            if stored:
                yield ExportContactResponse(
                    cursor=paging.token(query, _FIRST),
                    records=list(_state(ContactState.from_bytes(stored))),
                )
        while True:
            page = await self._reading.occurrences("", one, [], _ALWAYS, place or _FIRST, _PAGE)
            if page:
                place = page[-1].cause_time, page[-1].occurrence_id
                yield ExportContactResponse(
                    cursor=paging.token(query, place),
                    records=[_occurrence(occurrence) for occurrence in page],
                )
            if len(page) < _PAGE:
                return

    async def EraseContact(
        self, request: EraseContactRequest, context: Any
    ) -> EraseContactResponse:
        """Deletes everything this service holds about a person before it answers."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; send the id of the erasure")
        one = contact_id(request.contact_id)
        deleted = await self._store.erase(one)
        receipt = ErasureReceipt(
            request_id=request.request_id,
            service="segment",
            contact_id=one,
            erase_time=stamped(self._clock.now()),
            records=deleted,
        )
        receipt.sha256 = sha256(receipt.SerializeToString(deterministic=True)).hexdigest()
        return EraseContactResponse(receipt=receipt)


def _state(state: ContactState) -> Iterator[ExportedRecord]:
    facts = state.facts
    yield _record(
        "facts",
        None,
        {"attributes": facts.attributes, "consents": facts.consents, "zone": facts.zone},
    )
    for segment_id, standing in state.standings.items():
        if standing.member:
            yield _record("membership", standing.since, {"segment_id": segment_id})
    for name, timeline in facts.timelines.items():
        for time, properties in zip(timeline.times, timeline.properties, strict=True):
            told = {key: value for key, value in properties.items() if key != PRINT}
            yield _record("event", time, {"name": name, "properties": told})


def _occurrence(occurrence: Occurrence) -> ExportedRecord:
    return _record("occurrence", occurrence.cause_time, msgspec.to_builtins(occurrence))


def _record(dataset: str, time: int | None, told: Any) -> ExportedRecord:
    return ExportedRecord(
        service="segment",
        dataset=dataset,
        record_time=timestamp(time),
        record_json=orjson.dumps(told, default=str),
    )
