"""IngestAdminService: write keys, the archive, dead letters and lag."""

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.streams import DeadLetter, DeadLetters, EventLog
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.dead_letter_pb2 import DeadLetter as WireLetter
from merhaba.ingest.v1.dead_letter_pb2 import DeadLetterFilter
from merhaba.ingest.v1.ingest_admin_service_pb2 import (
    CreateWriteKeyRequest,
    CreateWriteKeyResponse,
    GetDeadLetterRequest,
    GetDeadLetterResponse,
    GetLagRequest,
    GetLagResponse,
    GetWebhookRequest,
    GetWebhookResponse,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ListWebhooksRequest,
    ListWebhooksResponse,
    ListWriteKeysRequest,
    ListWriteKeysResponse,
    RedriveDeadLettersRequest,
    RedriveDeadLettersResponse,
    ReplayWebhooksRequest,
    ReplayWebhooksResponse,
    RevokeWriteKeyRequest,
    RevokeWriteKeyResponse,
    UpdateWriteKeyRequest,
    UpdateWriteKeyResponse,
)
from merhaba.ingest.v1.ingest_admin_service_pb2_grpc import IngestAdminServiceServicer
from services.ingest.admission import Admission
from services.ingest.archive import ArchiveAdmin
from services.ingest.failures import DeadLetterNotFound
from services.ingest.lag import Lags
from services.ingest.wire import topic_of
from services.ingest.write_key_admin import WriteKeyAdmin

_LETTERS: Final = 1_000  # dead letters read at once
_REDRIVEN: Final = 10_000
_BY_ID: Final = 1_000
_LETTER_ID: Final = re.compile(r"\d{1,20}-\d{1,20}")
_logger = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class IngestAdminApi(IngestAdminServiceServicer):
    """What operators need."""

    def __init__(
        self,
        log: EventLog,
        write_keys: WriteKeyAdmin,
        answers: Answers,
        archive: ArchiveAdmin,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self._write_keys = write_keys
        self._answers = answers
        self._letters = DeadLetters(log)
        self._archive = archive
        self._lags = Lags(log, admission, clock)

    # ---- write keys

    async def CreateWriteKey(
        self, request: CreateWriteKeyRequest, _context: Context
    ) -> CreateWriteKeyResponse:
        """A new key, and this once its secret."""
        return await self._write_keys.create(request)

    async def ListWriteKeys(
        self, request: ListWriteKeysRequest, _context: Context
    ) -> ListWriteKeysResponse:
        """By name."""
        return await self._write_keys.list(request)

    async def UpdateWriteKey(
        self, request: UpdateWriteKeyRequest, _context: Context
    ) -> UpdateWriteKeyResponse:
        """New limits."""
        return await self._write_keys.update(request)

    async def RevokeWriteKey(
        self, request: RevokeWriteKeyRequest, _context: Context
    ) -> RevokeWriteKeyResponse:
        """Now or at a time, for good."""
        return await self._write_keys.revoke(request)

    # ---- the archive

    async def GetWebhook(self, request: GetWebhookRequest, _context: Context) -> GetWebhookResponse:
        """One webhook as posted. The read is audited."""
        return await self._archive.get(request)

    async def ListWebhooks(
        self, request: ListWebhooksRequest, _context: Context
    ) -> ListWebhooksResponse:
        """Newest first, without bodies."""
        return await self._archive.list(request)

    async def ReplayWebhooks(
        self, request: ReplayWebhooksRequest, _context: Context
    ) -> AsyncIterator[ReplayWebhooksResponse]:
        """Oldest first; it waits while consumers are behind."""
        async for response in self._archive.replay(request):
            yield response

    # ---- dead letters

    async def GetDeadLetter(
        self, request: GetDeadLetterRequest, _context: Context
    ) -> GetDeadLetterResponse:
        """One letter with its event. The read is audited."""
        letter = await self._letter(request.dead_letter_id)
        found, event = _told(letter)
        _logger.info("audit", read="dead letter", id=letter.dead_letter_id)
        if event is None:
            found.undecodable = letter.event
        else:
            found.event.CopyFrom(event)
        return GetDeadLetterResponse(dead_letter=found)

    async def ListDeadLetters(
        self, request: ListDeadLettersRequest, _context: Context
    ) -> ListDeadLettersResponse:
        """Without their events, newest first."""
        asked, size = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, asked, [str]) or ("",)
        found = [told async for told in self._chosen(request.filter, after, size + 1)]
        page, token = paging.page(asked, found, size, lambda one: [one[0].dead_letter_id])
        return ListDeadLettersResponse(
            dead_letters=[told for told, _ in page],
            next_page_token=token,
        )

    async def RedriveDeadLetters(
        self, request: RedriveDeadLettersRequest, _context: Context
    ) -> RedriveDeadLettersResponse:
        """By ids all or none, or by filter up to 10,000."""
        return await self._answers.once(
            request,
            request.request_id,
            lambda: self._redriven(request),
            RedriveDeadLettersResponse,
        )

    async def _redriven(self, request: RedriveDeadLettersRequest) -> RedriveDeadLettersResponse:
        if request.dead_letter_ids:
            if len(request.dead_letter_ids) > _BY_ID:
                raise FieldInvalid("dead_letter_ids", f"are more than {_BY_ID}", limit=str(_BY_ID))
            letters = [await self._letter(one) for one in dict.fromkeys(request.dead_letter_ids)]
        elif request.filter.ByteSize():
            chosen = self._chosen(request.filter, "", _REDRIVEN + 1)
            letters = [letter async for _, letter in chosen]
        else:
            raise FieldInvalid("filter", "is empty; say which by ids, or at least name the group")
        now = letters[:_REDRIVEN]
        await self._letters.redrive(now)
        return RedriveDeadLettersResponse(redriven_count=len(now), more=len(letters) > len(now))

    async def _letter(self, dead_letter_id: str) -> DeadLetter:
        # Anything else would be an error of Redis's
        valid = _LETTER_ID.fullmatch(dead_letter_id)
        letter = await self._letters.get(dead_letter_id) if valid else None
        if letter is None:
            raise DeadLetterNotFound(dead_letter_id)
        return letter

    async def _chosen(
        self, wanted: DeadLetterFilter, before: str, most: int
    ) -> AsyncIterator[tuple[WireLetter, DeadLetter]]:
        if wanted.states and WireLetter.STATE_WAITING not in wanted.states:
            return
        count = 0
        while page := await self._letters.list(wanted.group, before, _LETTERS):
            for letter in page:
                told, _ = _told(letter)
                if _passes(told, wanted):
                    yield told, letter
                    count += 1
                    if count == most:
                        return
            before = page[-1].dead_letter_id

    # ---- lag

    async def GetLag(self, request: GetLagRequest, _context: Context) -> GetLagResponse:
        """How far every group is behind, and whether the front door accepts."""
        return await self._lags.read(request)


def _told(letter: DeadLetter) -> tuple[WireLetter, Event | None]:
    """A dead letter in the contract's form without its event, and the event if it is one."""
    reason, _, detail = letter.reason.partition(": ")
    topic = topic_of(letter.stream)
    event: Event | None = None
    if not topic.startswith("raw"):
        try:
            event = Event.FromString(letter.event)
        except DecodeError:
            reason = reason or "UNDECODABLE"
    told = WireLetter(
        dead_letter_id=letter.dead_letter_id,
        state=WireLetter.STATE_WAITING,
        topic=topic,
        group=letter.group,
        reason=reason,
        detail=detail or letter.reason,
    )
    told.last_attempt_time.FromDatetime(letter.time)
    if event is not None:
        told.event_id = event.event_id
        told.contact_id = event.contact_id
        name = event.WhichOneof("body") or ""
        told.name = event.tracked.name if name == "tracked" else name
    return told, event


def _passes(told: WireLetter, wanted: DeadLetterFilter) -> bool:
    at = told.last_attempt_time.ToNanoseconds()
    return (
        (not wanted.topic or told.topic == wanted.topic)
        and (not wanted.reason or told.reason == wanted.reason)
        and (not wanted.names or told.name in wanted.names)
        and (not wanted.contact_id or told.contact_id == wanted.contact_id)
        and (not wanted.HasField("start_time") or at >= wanted.start_time.ToNanoseconds())
        and (not wanted.HasField("end_time") or at < wanted.end_time.ToNanoseconds())
    )
