"""PrivacyService over gRPC: to see, to restrict and to erase what is held of a person."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import structlog

from chassis import paging
from chassis.answers import Answers
from chassis.callers import call
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid, RequestIdReused
from chassis.privacy import beating
from chassis.times import timestamp
from merhaba.profile.v1 import (
    EraseContactRequest,
    EraseContactResponse,
    ErasureReceipt,
    ExportContactRequest,
    ExportContactResponse,
    ExportedRecord,
    GetErasureRequest,
    GetErasureResponse,
    LiftRestrictionRequest,
    LiftRestrictionResponse,
    PrivacyServiceServicer,
    RestrictProcessingRequest,
    RestrictProcessingResponse,
)
from merhaba.profile.v1 import Erasure as WireErasure
from services.profile.contract import asked
from services.profile.person.directory import Directory, Ref
from services.profile.person.model import ContactNotFound, Happening, Identity
from services.profile.rights import restricting
from services.profile.rights.erasing import Erasing
from services.profile.rights.erasures import Erasure, Erasures
from services.profile.rights.exporting import Exporting, Place
from services.profile.tables.reads import Reads

_RESPONSE_BYTES: Final = 1024 * 1024
_ATTEMPTS: Final = 5
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID: Final = re.compile(r"[!-~]{1,200}")
_USUAL: Final = "data_subject"
_logger = structlog.get_logger()

Call = Any  # what grpc knows of a call; the guard has looked at it


class RightsApi(PrivacyServiceServicer):
    """What a person may ask for."""

    _directory: Directory
    _reads: Reads
    _answers: Answers
    _clock: Clock
    _region: str
    _exporting: Exporting
    _erasures: Erasures
    _erasing: Erasing

    async def ExportContact(
        self, request: ExportContactRequest, context: Call
    ) -> AsyncIterator[ExportContactResponse]:
        """Stream everything held about a person."""
        reader = self._reads.reader()
        query = paging.query(request)
        place = Place(*(paging.place(request.cursor, query, [str, str], "cursor") or ()))
        ref = reader.named(asked.reference(request.contact, self._region))
        contact = await self._directory.contact(ref)
        async with reader.read([contact.contact_id], ["export"]):
            cursor = request.cursor
        now = milliseconds_of(self._clock.now())
        async for piece in beating(self._exporting.told(contact, place, now)):
            if piece is None:
                yield ExportContactResponse(cursor=cursor)
                continue
            *parts, last = _fitting(piece[1])
            for part in parts:
                yield ExportContactResponse(cursor=cursor, records=part)
            cursor = paging.token(query, piece[0])
            yield ExportContactResponse(cursor=cursor, records=last)

    async def EraseContact(
        self, request: EraseContactRequest, context: Call
    ) -> EraseContactResponse:
        """Erase a person, here at once and everywhere soon."""
        if not _ID.fullmatch(request.request_id):
            raise FieldInvalid("request_id", "is not 1 to 200 plain characters; a UUID will do")
        reason = _word(request.reason or _USUAL)
        ref = asked.reference(request.contact, self._region)
        erasure = await self._erased(request.request_id, ref, reason)
        self._erasing.wake()
        return EraseContactResponse(erasure=_view(erasure))

    async def _erased(self, request_id: str, ref: Ref, reason: str) -> Erasure:
        for _ in range(_ATTEMPTS):
            if (known := await self._erasures.find(request_id)) is not None:
                if isinstance(ref, Identity) or await self._erasures.of(ref) == request_id:
                    return known
                raise RequestIdReused(request_id)
            (contact,) = await self._directory.find([ref])
            if contact is None:
                if former := await self._erasures.of(ref):
                    return await self._erasures.get(former)
                break
            caller = call.get().caller.name
            _logger.info("audit", erasure=request_id, contact_id=contact.contact_id, caller=caller)
            begun = await self._erasures.begin(request_id, contact.contact_id, reason, caller)
            if begun is not None:
                return begun
        raise ContactNotFound("nobody is that contact; look it up by an identity")

    async def GetErasure(self, request: GetErasureRequest, context: Call) -> GetErasureResponse:
        """Tell how an erasure stands."""
        return GetErasureResponse(erasure=_view(await self._erasures.get(request.request_id)))

    async def RestrictProcessing(
        self, request: RestrictProcessingRequest, context: Call
    ) -> RestrictProcessingResponse:
        """Keep a person's data and use it no longer."""
        reason = _word(request.reason)
        ref = asked.reference(request.contact, self._region)

        async def respond() -> RestrictProcessingResponse:
            contact = await self._directory.contact(ref)
            if not contact.document.restriction.stands:
                caller, now = call.get().caller.name, milliseconds_of(self._clock.now())
                called = asked.call_id(request.request_id)
                told = restricting.imposed(contact.contact_id, reason, caller, now, called)
                contact = await self._directory.contact(await self._written(told))
            return RestrictProcessingResponse(restriction=restricting.view(contact))

        return await self._answers.once(
            request, request.request_id, respond, RestrictProcessingResponse
        )

    async def LiftRestriction(
        self, request: LiftRestrictionRequest, context: Call
    ) -> LiftRestrictionResponse:
        """Use a person's data again."""
        ref = asked.reference(request.contact, self._region)

        async def respond() -> LiftRestrictionResponse:
            contact = await self._directory.contact(ref)
            if not contact.document.restriction.stands:
                return LiftRestrictionResponse()
            now = milliseconds_of(self._clock.now())
            called = asked.call_id(request.request_id)
            await self._written(restricting.lifted(contact, now, called))
            contact = await self._directory.contact(contact.contact_id)
            return LiftRestrictionResponse(restriction=restricting.view(contact))

        return await self._answers.once(
            request, request.request_id, respond, LiftRestrictionResponse
        )

    async def _written(self, told: Happening) -> str:
        (outcome,) = await self._directory.write([told])
        if isinstance(outcome, Failure):
            raise outcome
        return outcome.contact_id


def _word(given: str) -> str:
    if not _WORD.fullmatch(given):
        raise FieldInvalid(
            "reason", "is not a word of lower-case letters, digits and underscores; it is kept for"
            " good, so nothing about the person may stand there"
        )  # fmt: skip
    return given


def _fitting(records: Sequence[ExportedRecord]) -> list[list[ExportedRecord]]:
    """Records in parts that fit into a response; at least one."""
    parts: list[list[ExportedRecord]] = [[]]
    size = 0
    for record in records:
        size += record.ByteSize()
        if parts[-1] and size > _RESPONSE_BYTES:
            parts.append([])
            size = record.ByteSize()
        parts[-1].append(record)
    return parts


def _view(erasure: Erasure) -> WireErasure:
    return WireErasure(
        request_id=erasure.request_id,
        contact_id=erasure.contact_id,
        state=WireErasure.STATE_ERASED if erasure.complete_time else WireErasure.STATE_ERASING,
        receipts=[
            ErasureReceipt.FromString(one) for one in erasure.receipts.values() if one is not None
        ],
        pending_services=erasure.pending,
        create_time=timestamp(erasure.create_time),
        key_destroy_time=timestamp(erasure.create_time),
        complete_time=timestamp(erasure.complete_time or None),
        last_failure=erasure.last_failure,
    )
