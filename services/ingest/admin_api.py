"""IngestAdminService: the archive, dead letters and lag."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from chassis import paging
from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.streams import DeadLetter, DeadLetters, EventLog
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.dead_letter_pb2 import DeadLetter as WireLetter
from merhaba.ingest.v1.dead_letter_pb2 import DeadLetterFilter
from merhaba.ingest.v1.ingest_admin_service_pb2 import (
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
    RedriveDeadLettersRequest,
    RedriveDeadLettersResponse,
    ReplayWebhooksRequest,
    ReplayWebhooksResponse,
)
from merhaba.ingest.v1.ingest_admin_service_pb2_grpc import IngestAdminServiceServicer
from merhaba.ingest.v1.lag_pb2 import Admission as WireAdmission
from merhaba.ingest.v1.lag_pb2 import GroupLag
from merhaba.ingest.v1.webhook_pb2 import Webhook, WebhookFilter
from services.ingest.admission import Admission
from services.ingest.config import TOPICS
from services.ingest.failures import DeadLetterNotFound, WebhookNotFound
from services.ingest.intake import Intake
from services.ingest.model import ArchivedWebhook, ArchiveQuery, Posted
from services.ingest.store import Archive
from services.ingest.wire import topic_of

_LETTERS: Final = 1_000  # dead letters read at once
_REDRIVEN: Final = 10_000
_BY_ID: Final = 1_000
_COUNTED: Final = 1_000  # dead letters of a group; more are told as so many
_REPLAYED: Final = 200
_BEHIND: Final = timedelta(seconds=30)
_LETTER_ID: Final = re.compile(r"\d{1,20}-\d{1,20}")
_STATES: Final = {
    Webhook.STATE_NORMALISED: "normalised",
    Webhook.STATE_PARTIAL: "partial",
    Webhook.STATE_BROKEN: "broken",
}
_logger = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class IngestAdminApi(IngestAdminServiceServicer):
    """What operators need; write keys are settings as yet."""

    def __init__(
        self, log: EventLog, archive: Archive, intake: Intake, admission: Admission, clock: Clock
    ) -> None:
        self._log = log
        self._letters = DeadLetters(log)
        self._archive = archive
        self._intake = intake
        self._admission = admission
        self._clock = clock

    # ---- the archive

    async def GetWebhook(self, request: GetWebhookRequest, _context: Context) -> GetWebhookResponse:
        """One webhook as posted. The read is audited."""
        found = await self._archive.get(request.webhook_id)
        if found is None:
            raise WebhookNotFound(request.webhook_id)
        _logger.info("audit", read="webhook", id=found.webhook_id)
        return GetWebhookResponse(
            webhook=_webhook(found),
            body=found.body,
            event_ids=self._intake.event_ids(_again(found)),
        )

    async def ListWebhooks(
        self, request: ListWebhooksRequest, _context: Context
    ) -> ListWebhooksResponse:
        """Newest first, without bodies."""
        asked, size = paging.query(request), paging.size(request.page_size)
        (before,) = paging.place(request.page_token, asked, [str]) or ("",)
        found = await self._archive.newest(_query(request), before, size + 1)
        page = found[:size]
        more = len(found) > size
        return ListWebhooksResponse(
            webhooks=[_webhook(one) for one in page],
            next_page_token=paging.token(asked, [page[-1].webhook_id]) if more else "",
        )

    async def ReplayWebhooks(
        self, request: ReplayWebhooksRequest, _context: Context
    ) -> AsyncIterator[ReplayWebhooksResponse]:
        """Oldest first; it waits while consumers are behind."""
        for field in ("start_time", "end_time"):
            if not request.HasField(field):
                raise FieldInvalid(field, "is missing")
        query = _query(request)
        asked = paging.query(request, "max_webhooks_per_second")
        (after,) = paging.place(request.cursor, asked, [str], "cursor") or ("",)
        said = ReplayWebhooksResponse(
            cursor=request.cursor, total_count=await self._archive.count(query)
        )
        pace = request.max_webhooks_per_second
        while page := await self._archive.oldest(query, after, min(pace or _REPLAYED, _REPLAYED)):
            while await self._behind() > _BEHIND:
                yield said
                await self._clock.sleep(timedelta(seconds=2))
            events, failed = await self._intake.replay([_again(one) for one in page])
            after = page[-1].webhook_id
            said.cursor = paging.token(asked, [after])
            said.replayed_count += len(page)
            said.event_count += events
            said.failed_count += failed
            yield said
            if pace:
                await self._clock.sleep(timedelta(seconds=len(page) / pace))
        yield said

    async def _behind(self) -> timedelta:
        return max((lag.behind for lag in await self._log.lag(TOPICS)), default=timedelta(0))

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
        page = found[:size]
        more = len(found) > size
        return ListDeadLettersResponse(
            dead_letters=[told for told, _ in page],
            next_page_token=paging.token(asked, [page[-1][0].dead_letter_id]) if more else "",
        )

    async def RedriveDeadLetters(
        self, request: RedriveDeadLettersRequest, _context: Context
    ) -> RedriveDeadLettersResponse:
        """By ids all or none, or by filter up to 10,000."""
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
        """How far every group is behind. Unread entries are told by their age, not counted."""
        topics = [topic for topic in TOPICS if not request.topics or topic in request.topics]
        behind: defaultdict[tuple[str, str], timedelta] = defaultdict(timedelta)
        pending: defaultdict[tuple[str, str], int] = defaultdict(int)
        for lag in await self._log.lag(topics):
            if request.groups and lag.group not in request.groups:
                continue
            key = (topic_of(lag.stream), lag.group)
            behind[key] = max(behind[key], lag.behind)
            pending[key] += lag.pending
        letters: dict[str, int] = {}
        for group in {group for _, group in behind}:
            letters[group] = len(await self._letters.list(group, "", _COUNTED))
        response = GetLagResponse(
            admission=WireAdmission(
                accepting=not self._admission.closed, reason=self._admission.closed
            )
        )
        for topic, group in sorted(behind):
            one = GroupLag(
                topic=topic,
                group=group,
                pending_entry_count=pending[topic, group],
                dead_letter_count=letters[group],
            )
            one.oldest_duration.FromTimedelta(behind[topic, group])
            response.groups.append(one)
        response.read_time.FromDatetime(self._clock.now())
        response.lag_duration.FromTimedelta(max(behind.values(), default=timedelta(0)))
        return response


def _again(webhook: ArchivedWebhook) -> Posted:
    return Posted("whatsapp", webhook.app, webhook.received_ms, webhook.body)


def _query(request: ListWebhooksRequest | ReplayWebhooksRequest) -> ArchiveQuery:
    chosen: WebhookFilter = request.filter
    return ArchiveQuery(
        start_ms=request.start_time.ToMilliseconds() if request.HasField("start_time") else 0,
        end_ms=request.end_time.ToMilliseconds() if request.HasField("end_time") else 0,
        fields=list(chosen.fields),
        waba_ids=list(chosen.waba_ids),
        phone_number_ids=list(chosen.phone_number_ids),
        apps=list(chosen.apps),
        states=[_STATES.get(state, "none") for state in chosen.states],
        identities=[one.value for one in chosen.identities],
    )


def _webhook(found: ArchivedWebhook) -> Webhook:
    state = Webhook.STATE_NORMALISED
    if found.broken:
        state = Webhook.STATE_BROKEN
    elif found.unrecognised_count or found.refused_count:
        state = Webhook.STATE_PARTIAL
    told = Webhook(
        webhook_id=found.webhook_id,
        app=found.app,
        state=state,
        item_count=found.item_count,
        unrecognised_count=found.unrecognised_count,
        reason=found.reason,
        fields=found.fields,
        waba_ids=found.waba_ids,
        phone_number_ids=found.phone_number_ids,
        size_bytes=found.size_bytes,
    )
    told.receive_time.FromMilliseconds(found.received_ms)
    return told


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
