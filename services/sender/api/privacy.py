"""gRPC: what is held of one person, to see and to erase."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog

from chassis.clock import Clock
from chassis.privacy import Erasures, counted, export, person_ids
from merhaba.profile.v1 import ErasureReceipt
from merhaba.sender.v1 import (
    EraseContactRequest,
    EraseContactResponse,
    ExportContactRequest,
    ExportContactResponse,
    PrivacyServiceServicer,
)
from services.sender.tables.held import Held
from services.sender.tables.naming import Named

_logger = structlog.get_logger()


class PrivacyApi(PrivacyServiceServicer):
    """What sender holds of one person. Meaning and errors: the contract."""

    def __init__(self, held: Held, erasures: Erasures, clock: Clock) -> None:
        self._held = held
        self._erasures = erasures
        self._clock = clock

    async def ExportContact(
        self, request: ExportContactRequest, context: Any
    ) -> AsyncIterator[ExportContactResponse]:
        """Streams everything this service holds about a person."""
        who = _named(request)
        _logger.info("audit", read="export", contact_id=who.contact_ids[0])
        readers = await self._held.readers(who)
        async for response in export(request, ExportContactResponse, readers, self._clock):
            yield response

    async def EraseContact(
        self, request: EraseContactRequest, context: Any
    ) -> EraseContactResponse:
        """Erases everything this service holds about a person before it answers."""
        who = _named(request)
        contact_id = who.contact_ids[0]
        _logger.info("audit", erasure=request.request_id, contact_id=contact_id)
        receipt = await self._erasures.once(
            request.request_id, contact_id, counted(partial(self._held.erase, who)), ErasureReceipt
        )
        return EraseContactResponse(receipt=receipt)


def _named(request: ExportContactRequest | EraseContactRequest) -> Named:
    """Raises `FieldInvalid`."""
    ids = person_ids(request.contact_id, request.member_contact_ids)
    return Named(ids, [one for one in request.identities if one.value])
