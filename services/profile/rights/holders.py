"""The other services that hold something of people, over gRPC."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import grpc

from merhaba.ingest import v1 as ingest
from merhaba.profile.v1 import ErasureReceipt, ExportedRecord
from merhaba.reports import v1 as reports
from merhaba.segment import v1 as segment
from merhaba.sender import v1 as sender
from services.profile.contract.wire import identities
from services.profile.person import phone
from services.profile.person.model import Identity, Kind, ServiceUnavailable

_ERASE_S: Final = 180.0
"""Ingest waits for consumers of the log, and looks through the archive."""


class _Contract(NamedTuple):
    stub: Callable[[grpc.aio.Channel], Any]
    export: Callable[..., Any]
    erase: Callable[..., Any]
    identified: bool = False
    """Whether it finds what it holds by identities besides the contact."""


_CONTRACTS: Final[Mapping[str, _Contract]] = {
    "segment": _Contract(
        segment.PrivacyServiceStub, segment.ExportContactRequest, segment.EraseContactRequest
    ),
    "sender": _Contract(
        sender.PrivacyServiceStub,
        sender.ExportContactRequest,
        sender.EraseContactRequest,
        identified=True,
    ),
    "reports": _Contract(
        reports.PrivacyServiceStub, reports.ExportContactRequest, reports.EraseContactRequest
    ),
    "ingest": _Contract(
        ingest.PrivacyServiceStub,
        ingest.ExportContactRequest,
        ingest.EraseContactRequest,
        identified=True,
    ),
}
HOLDERS: Final = tuple(_CONTRACTS)
"""Who else holds something, in the order in which it is erased: the log last, when everybody else
has said what follows from it."""


class Holder:
    """One of them."""

    def __init__(self, name: str, channel: grpc.aio.Channel) -> None:
        """`name`: one of `HOLDERS`."""
        self.name = name
        self._contract = _CONTRACTS[name]
        self._stub = self._contract.stub(channel)

    async def export(
        self,
        contact_id: str,
        member_ids: Sequence[str],
        known: Sequence[Identity],
        cursor: str,
    ) -> AsyncIterator[tuple[str, Sequence[ExportedRecord]]]:
        """What it holds of a person, behind a cursor; each piece with the cursor behind it.

        A cursor it does not know any more begins anew. Raises `ServiceUnavailable`.
        """
        request = self._contract.export(
            contact_id=contact_id, member_contact_ids=member_ids, cursor=cursor, **self._by(known)
        )
        try:
            async for response in self._stub.ExportContact(request):
                yield response.cursor, response.records
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT or not cursor:
                raise self._unavailable(error) from None
        else:
            return
        async for piece in self.export(contact_id, member_ids, known, ""):
            yield piece

    async def erase(
        self,
        request_id: str,
        contact_id: str,
        member_ids: Sequence[str],
        known: Sequence[Identity],
    ) -> bytes:
        """Have it erase all that it holds of a person; returns its receipt as bytes.

        Raises `ServiceUnavailable`.
        """
        request = self._contract.erase(
            request_id=request_id,
            contact_id=contact_id,
            member_contact_ids=member_ids,
            **self._by(known),
        )
        try:
            response = await self._stub.EraseContact(request, timeout=_ERASE_S)
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from None
        receipt: ErasureReceipt = response.receipt
        return receipt.SerializeToString()

    def _by(self, known: Sequence[Identity]) -> dict[str, Any]:
        return {"identities": identities(_written(known))} if self._contract.identified else {}

    def _unavailable(self, error: grpc.aio.AioRpcError) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"{self.name} answers {error.code().name}; try again", service=self.name
        )


def _written(known: Sequence[Identity]) -> list[Identity]:
    """Identities as they are written anywhere: phone numbers also in forms that are read as one."""
    return sorted(
        {
            Identity(kind, scope, form)
            for kind, scope, value in known
            for form in (phone.forms(value) if kind == Kind.WA_ID else (value,))
        }
    )
