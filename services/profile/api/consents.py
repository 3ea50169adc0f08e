"""PrivacyService over gRPC: what people agreed to."""

from collections.abc import AsyncIterator
from typing import Any, Final

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid
from chassis.privacy import beating
from chassis.times import milliseconds, timestamp
from merhaba.profile.v1 import (
    ConsentRecord,
    ExportConsentsRequest,
    ExportConsentsResponse,
    GetConsentRequest,
    GetConsentResponse,
    ListConsentsRequest,
    ListConsentsResponse,
    PrivacyServiceServicer,
    RecordConsentRequest,
    RecordConsentResponse,
)
from services.profile.contract import asked, views
from services.profile.person.directory import Directory, Mark
from services.profile.rights import formats
from services.profile.rights.formats import Format
from services.profile.rights.ledger import Ledger, LedgerQuery
from services.profile.tables.reads import Reads

_NEVER: Final = 1 << 62

Call = Any  # what grpc knows of a call; the guard has looked at it


class ConsentApi(PrivacyServiceServicer):
    """The ledger."""

    _directory: Directory
    _reads: Reads
    _answers: Answers
    _clock: Clock
    _region: str
    _ledger: Ledger
    _controller: str

    async def RecordConsent(
        self, request: RecordConsentRequest, context: Call
    ) -> RecordConsentResponse:
        """Add a line to the ledger."""

        async def respond() -> RecordConsentResponse:
            now = milliseconds_of(self._clock.now())
            given = request.event_time if request.HasField("event_time") else None
            time = asked.time_of(given, now, "event_time")
            ref = asked.reference(request.contact, self._region)
            contact = await self._directory.contact(ref)
            call = asked.call_id(request.request_id)
            said = asked.agreed(contact.contact_id, request.change, time, now, call)
            (outcome,) = await self._directory.write([said])
            if isinstance(outcome, Failure):
                raise outcome
            line = said.consents[0]
            return RecordConsentResponse(
                record=ConsentRecord(
                    consent_id=line.consent_id,
                    contact_id=outcome.contact_id,
                    event_time=timestamp(time),
                    create_time=timestamp(now),
                    source=line.source,
                    event_id=line.event_id,
                )
            )

        # Kept are ids and times alone: what a person said, and its proof, stand in the ledger.
        answer = await self._answers.once(
            request, request.request_id, respond, RecordConsentResponse
        )
        answer.record.change.CopyFrom(request.change)
        contact = await self._directory.contact(answer.record.contact_id)
        purpose = request.change.purpose
        holds = await self._directory.consent(contact, purpose, None)
        now = milliseconds_of(self._clock.now())
        view = views.consented(purpose, holds, contact.contact_id, now)
        answer.consent.CopyFrom(view)
        return answer

    async def GetConsent(self, request: GetConsentRequest, context: Call) -> GetConsentResponse:
        """Tell what holds, or held at a moment."""
        reader = self._reads.reader()
        if not request.purpose:
            raise FieldInvalid("purpose", "none given")
        ref = reader.named(asked.reference(request.contact, self._region))
        contact = await self._directory.contact(ref)
        moment = milliseconds(request.moment_time) if request.HasField("moment_time") else None
        line = await self._directory.consent(contact, request.purpose, moment)
        now = milliseconds_of(self._clock.now()) if moment is None else moment
        async with reader.read([contact.contact_id], ["consents"]):
            return GetConsentResponse(
                consent=views.consented(
                    request.purpose, line, contact.contact_id, now, reader.sight.values
                )
            )

    async def ListConsents(
        self, request: ListConsentsRequest, context: Call
    ) -> ListConsentsResponse:
        """List a contact's ledger, newest first."""
        reader = self._reads.reader()
        query, size = paging.query(request), paging.size(request.page_size)
        before = paging.place(request.page_token, query, [int, str])
        ref = reader.named(asked.reference(request.contact, self._region))
        contact = await self._directory.contact(ref)
        lines, mark = await self._directory.consents(
            contact, list(request.purposes), Mark(*before) if before else None, size
        )
        async with reader.read([contact.contact_id], ["consents"]):
            return ListConsentsResponse(
                records=[
                    views.record(line, contact.contact_id, reader.sight.values) for line in lines
                ],
                next_page_token=paging.token(query, mark) if mark else "",
            )

    async def ExportConsents(
        self, request: ExportConsentsRequest, context: Call
    ) -> AsyncIterator[ExportConsentsResponse]:
        """Stream the ledger in the order of entry."""
        reader = self._reads.reader()
        form = self._format(request.format)
        query = paging.query(request)
        (after,) = paging.place(request.cursor, query, [int], "cursor") or (0,)
        which = LedgerQuery(
            list(request.purposes),
            milliseconds(request.start_time),
            milliseconds(request.end_time) if request.HasField("end_time") else _NEVER,
        )
        heading = b"" if request.cursor else form.heading
        cursor = paging.token(query, [after])
        async for piece in beating(self._ledger.entries(which, after)):
            rows: list[bytes] = []
            if piece is not None:
                after, entries = piece
                cursor = paging.token(query, [after])
                ids = list(dict.fromkeys(entry.contact.contact_id for entry in entries))
                async with reader.read(ids, ["consents", "identities"]):
                    rows = list(form.rows(entries))
            yield ExportConsentsResponse(
                cursor=cursor, rows=heading + b"".join(rows), row_count=len(rows)
            )
            heading = b""
        if heading:
            yield ExportConsentsResponse(cursor=cursor, rows=heading)

    def _format(self, wanted: "ExportConsentsRequest.Format.ValueType") -> Format:
        match wanted:
            case ExportConsentsRequest.FORMAT_IYS_CSV:
                return formats.iys()
            case ExportConsentsRequest.FORMAT_ISO27560_NDJSON:
                return formats.iso27560(self._controller)
            case _:
                raise FieldInvalid("format", "none of the formats; say which")
