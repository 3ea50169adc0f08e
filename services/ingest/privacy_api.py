"""gRPC: what is held of one person, to see and to erase."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar

import structlog

from chassis import paging
from chassis.clock import Clock
from chassis.failures import FieldInvalid, TokenInvalid
from chassis.times import stamped
from merhaba.event.v1.event_pb2 import Identity as WireIdentity
from merhaba.ingest.v1.privacy_service_pb2 import (
    EraseContactRequest,
    EraseContactResponse,
    ExportContactRequest,
    ExportContactResponse,
)
from merhaba.ingest.v1.privacy_service_pb2_grpc import PrivacyServiceServicer
from merhaba.profile.v1.privacy_pb2 import ErasureReceipt
from services.ingest.model import Identity, Kind
from services.ingest.privacy.erasures import Erasures
from services.ingest.privacy.holdings import DATASETS, Holdings
from services.ingest.privacy.person import Person

_HEARTBEAT: Final = timedelta(seconds=4)  # leaves a second to be at most 5 on the way
_RESPONSE_BYTES: Final = 1024 * 1024
_ID_LENGTH: Final = 200
_logger = structlog.get_logger()

T = TypeVar("T")


class PrivacyApi(PrivacyServiceServicer):
    """What ingest holds of one person. Meaning and errors: the contract."""

    def __init__(
        self,
        holdings: Holdings,
        erasures: Erasures,
        clock: Clock,
        heartbeat: timedelta = _HEARTBEAT,
    ) -> None:
        """`heartbeat`: the longest time without a response."""
        self._holdings = holdings
        self._erasures = erasures
        self._clock = clock
        self._heartbeat = heartbeat

    async def ExportContact(
        self, request: ExportContactRequest, context: Any
    ) -> AsyncIterator[ExportContactResponse]:
        """Streams everything this service holds about a person."""
        person = _person(request.contact_id, request.identities)
        query = paging.query(request)
        dataset, place = paging.place(request.cursor, query, [str, str], "cursor") or ("", "")
        if dataset and dataset not in DATASETS:
            raise TokenInvalid("cursor")
        _logger.info("audit", read="export", contact_id=person.contact_id)
        response = ExportContactResponse(cursor=request.cursor)
        said, size = self._clock.now(), 0
        held = self._holdings.told(person, dataset, place)
        async for told in _beating(held, self._heartbeat):
            if told is not None:
                if told.record is not None:
                    more = told.record.ByteSize()
                    if response.records and size + more > _RESPONSE_BYTES:
                        yield response
                        response = ExportContactResponse()
                        said, size = self._clock.now(), 0
                    response.records.append(told.record)
                    size += more
                response.cursor = paging.token(query, [told.dataset, told.place])
            if told is None or self._clock.now() - said >= self._heartbeat:
                yield response
                response = ExportContactResponse(cursor=response.cursor)
                said, size = self._clock.now(), 0
        if response.records:
            yield response

    async def EraseContact(
        self, request: EraseContactRequest, context: Any
    ) -> EraseContactResponse:
        """Erases everything this service holds about a person before it answers."""
        request_id = _id(request.request_id, "request_id", "send the id of the erasure")
        person = _person(request.contact_id, request.identities)
        _logger.info("audit", erasure=request_id, contact_id=person.contact_id)
        await self._erasures.begin(request_id, person.contact_id)
        await self._holdings.erase(person, partial(self._erasures.count, request_id))

        def receipt(records: dict[str, int]) -> bytes:
            made = ErasureReceipt(
                request_id=request_id,
                service="ingest",
                contact_id=person.contact_id,
                erase_time=stamped(self._clock.now()),
                records=records,
            )
            made.sha256 = sha256(made.SerializeToString(deterministic=True)).hexdigest()
            return made.SerializeToString()

        given = await self._erasures.finish(request_id, receipt)
        return EraseContactResponse(receipt=ErasureReceipt.FromString(given))


def _person(contact_id: str, identities: Iterable[WireIdentity]) -> Person:
    """Raises `FieldInvalid`."""
    found: set[Identity] = set()
    for index, one in enumerate(identities):
        where = f"identities[{index}]"
        if not one.value or "\0" in one.value:
            raise FieldInvalid(f"{where}.value", "missing or not a value")
        try:
            found.add(Identity(Kind(one.kind), one.scope, one.value))
        except ValueError:
            raise FieldInvalid(f"{where}.kind", "missing or unknown") from None
    return Person(_id(contact_id, "contact_id", "send the contact's id"), frozenset(found))


def _id(given: str, field: str, hint: str) -> str:
    if not given or len(given) > _ID_LENGTH or not given.isprintable():
        raise FieldInvalid(field, f"missing or not an id; {hint}")
    return given


async def _beating(source: AsyncIterator[T], every: timedelta) -> AsyncIterator[T | None]:
    """What comes from a source, and None whenever nothing came for so long."""
    coming: asyncio.Task[T] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait([coming], timeout=every.total_seconds())
            if not done:
                yield None
                continue
            try:
                found = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield found
    finally:
        if coming is not None:
            coming.cancel()
