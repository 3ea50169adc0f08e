"""gRPC: what is held of one person, to see and to erase."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog

from chassis.clock import Clock
from chassis.privacy import Erasures, counted, export
from merhaba.profile.v1 import ErasureReceipt
from merhaba.segment.v1 import (
    EraseContactRequest,
    EraseContactResponse,
    ExportContactRequest,
    ExportContactResponse,
    PrivacyServiceServicer,
)
from services.segment.tables.held import Held
from services.segment.wire import contact_id

_logger = structlog.get_logger()


class PrivacyApi(PrivacyServiceServicer):
    """What segment holds of one person. Meaning and errors: the contract."""

    def __init__(self, held: Held, erasures: Erasures, clock: Clock) -> None:
        self._held = held
        self._erasures = erasures
        self._clock = clock

    async def ExportContact(
        self, request: ExportContactRequest, context: Any
    ) -> AsyncIterator[ExportContactResponse]:
        """Streams everything this service holds about a person."""
        ids = _ids(request)
        _logger.info("audit", read="export", contact_id=ids[0])
        async for response in export(
            request, ExportContactResponse, self._held.readers(ids), self._clock
        ):
            yield response

    async def EraseContact(
        self, request: EraseContactRequest, context: Any
    ) -> EraseContactResponse:
        """Deletes everything this service holds about a person before it answers."""
        ids = _ids(request)
        _logger.info("audit", erasure=request.request_id, contact_id=ids[0])
        receipt = await self._erasures.once(
            request.request_id, ids[0], counted(partial(self._held.erase, ids)), ErasureReceipt
        )
        return EraseContactResponse(receipt=receipt)


def _ids(request: ExportContactRequest | EraseContactRequest) -> list[str]:
    """All ids of the person, the one that stands for them first. Raises `FieldInvalid`."""
    members = enumerate(request.member_contact_ids)
    return [
        contact_id(request.contact_id),
        *(contact_id(one, f"member_contact_ids[{i}]") for i, one in members),
    ]
