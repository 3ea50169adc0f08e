"""gRPC: what is held of one person, to see and to erase."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.privacy import HEARTBEAT, Erasures, export, usable_id
from merhaba.ingest.v1.privacy_service_pb2 import (
    EraseContactRequest,
    EraseContactResponse,
    ExportContactRequest,
    ExportContactResponse,
)
from merhaba.ingest.v1.privacy_service_pb2_grpc import PrivacyServiceServicer
from merhaba.profile.v1.privacy_pb2 import ErasureReceipt
from services.ingest.model import Identity, Kind
from services.ingest.privacy.holdings import Holdings
from services.ingest.privacy.person import Person

_logger = structlog.get_logger()


class PrivacyApi(PrivacyServiceServicer):
    """What ingest holds of one person. Meaning and errors: the contract."""

    def __init__(
        self,
        holdings: Holdings,
        erasures: Erasures,
        clock: Clock,
        heartbeat: timedelta = HEARTBEAT,
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
        person = _person(request)
        _logger.info("audit", read="export", contact_id=person.contact_id)
        readers = self._holdings.readers(person)
        async for response in export(
            request, ExportContactResponse, readers, self._clock, self._heartbeat
        ):
            yield response

    async def EraseContact(
        self, request: EraseContactRequest, context: Any
    ) -> EraseContactResponse:
        """Erases everything this service holds about a person before it answers."""
        person = _person(request)
        _logger.info("audit", erasure=request.request_id, contact_id=person.contact_id)
        receipt = await self._erasures.once(
            request.request_id,
            person.contact_id,
            partial(self._holdings.erase, person),
            ErasureReceipt,
        )
        return EraseContactResponse(receipt=receipt)


def _person(request: ExportContactRequest | EraseContactRequest) -> Person:
    """Raises `FieldInvalid`."""
    found: set[Identity] = set()
    for index, one in enumerate(request.identities):
        where = f"identities[{index}]"
        if not one.value or "\0" in one.value:
            raise FieldInvalid(f"{where}.value", "missing or not a value")
        try:
            found.add(Identity(Kind(one.kind), one.scope, one.value))
        except ValueError:
            raise FieldInvalid(f"{where}.kind", "missing or unknown") from None
    contact_id = usable_id(request.contact_id, "contact_id", "send the contact's id")
    return Person(contact_id, frozenset(found), request.member_contact_ids)
