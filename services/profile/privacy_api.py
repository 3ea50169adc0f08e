"""PrivacyService over gRPC: the consent ledger."""

from typing import Any

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid
from chassis.times import milliseconds
from merhaba.profile.v1 import (
    GetConsentRequest,
    GetConsentResponse,
    ListConsentsRequest,
    ListConsentsResponse,
    PrivacyServiceServicer,
    RecordConsentRequest,
    RecordConsentResponse,
)
from services.profile import asked, views
from services.profile.directory import Directory, Mark

Call = Any  # what grpc knows of a call; the guard has looked at it


class PrivacyApi(PrivacyServiceServicer):
    """What people agreed to."""

    def __init__(self, directory: Directory, answers: Answers, clock: Clock, region: str) -> None:
        """`region`: of phone numbers without a country code."""
        self._directory = directory
        self._answers = answers
        self._clock = clock
        self._region = region

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
            contact = await self._directory.contact(outcome.contact_id)
            purpose = request.change.purpose
            holds = await self._directory.consent(contact, purpose, None)
            return RecordConsentResponse(
                record=views.record(said.consents[0], contact.contact_id),
                consent=views.consented(purpose, holds, contact.contact_id, now),
            )

        return await self._answers.once(request, request.request_id, respond, RecordConsentResponse)

    async def GetConsent(self, request: GetConsentRequest, context: Call) -> GetConsentResponse:
        """Tell what holds, or held at a moment."""
        if not request.purpose:
            raise FieldInvalid("purpose", "none given")
        contact = await self._directory.contact(asked.reference(request.contact, self._region))
        moment = milliseconds(request.moment_time) if request.HasField("moment_time") else None
        line = await self._directory.consent(contact, request.purpose, moment)
        now = milliseconds_of(self._clock.now()) if moment is None else moment
        return GetConsentResponse(
            consent=views.consented(request.purpose, line, contact.contact_id, now)
        )

    async def ListConsents(
        self, request: ListConsentsRequest, context: Call
    ) -> ListConsentsResponse:
        """List a contact's ledger, newest first."""
        query, size = paging.query(request), paging.size(request.page_size)
        before = paging.place(request.page_token, query, [int, str])
        contact = await self._directory.contact(asked.reference(request.contact, self._region))
        lines, mark = await self._directory.consents(
            contact, list(request.purposes), Mark(*before) if before else None, size
        )
        return ListConsentsResponse(
            records=[views.record(line, contact.contact_id) for line in lines],
            next_page_token=paging.token(query, mark) if mark else "",
        )
