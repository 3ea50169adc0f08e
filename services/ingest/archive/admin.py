"""Operators' calls to the archive, translated in and out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import structlog

from chassis import paging
from chassis.clock import Clock
from chassis.failures import FieldInvalid, TokenInvalid
from chassis.streams import EventLog
from merhaba.ingest.v1.ingest_admin_service_pb2 import (
    GetWebhookRequest,
    GetWebhookResponse,
    ListWebhooksRequest,
    ListWebhooksResponse,
    ReplayWebhooksRequest,
    ReplayWebhooksResponse,
)
from merhaba.ingest.v1.webhook_pb2 import Webhook, WebhookFilter
from services.ingest.archive.segment import ArchivedWebhook, ArchiveQuery, Head, valid
from services.ingest.archive.store import Archive
from services.ingest.failures import WebhookNotFound
from services.ingest.intake import Intake
from services.ingest.model import Posted

_REPLAYED: Final = 200
_BEHIND: Final = timedelta(seconds=30)
_WAIT: Final = timedelta(seconds=2)
_HEARTBEAT: Final = timedelta(seconds=4)
_STATES: Final = {
    Webhook.STATE_NORMALISED: "normalised",
    Webhook.STATE_PARTIAL: "partial",
    Webhook.STATE_BROKEN: "broken",
}
_WIRE_STATES: Final = {said: state for state, said in _STATES.items()}
_logger = structlog.get_logger()


class ArchiveAdmin:
    """What operators ask of the archive."""

    def __init__(
        self,
        archive: Archive,
        intake: Intake,
        log: EventLog,
        topics: Sequence[str],
        clock: Clock,
    ) -> None:
        """`topics`: whose consumers a replay waits for."""
        self._archive = archive
        self._intake = intake
        self._log = log
        self._topics = topics
        self._clock = clock

    async def get(self, request: GetWebhookRequest) -> GetWebhookResponse:
        """One webhook as posted. Raises `WebhookNotFound`."""
        found = await self._archive.get(request.webhook_id)
        if found is None:
            raise WebhookNotFound(request.webhook_id)
        _logger.info("audit", read="webhook", id=found.head.webhook_id)
        return GetWebhookResponse(
            webhook=_webhook(found.head),
            body=found.body,
            event_ids=self._intake.event_ids(_again(found)),
        )

    async def list(self, request: ListWebhooksRequest) -> ListWebhooksResponse:
        """Newest first, without bodies."""
        asked, size = paging.query(request), paging.size(request.page_size)
        before = _place(request.page_token, asked, "page_token")
        found = await self._archive.newest(_query(request), before, size + 1)
        page, token = paging.page(asked, found, size, lambda head: [head.webhook_id])
        return ListWebhooksResponse(
            webhooks=[_webhook(head) for head in page],
            next_page_token=token,
        )

    async def replay(self, request: ReplayWebhooksRequest) -> AsyncIterator[ReplayWebhooksResponse]:
        """Oldest first; it waits while consumers are behind."""
        for field in ("start_time", "end_time"):
            if not request.HasField(field):
                raise FieldInvalid(field, "is missing")
        query = _query(request)
        asked = paging.query(request, "max_webhooks_per_second")
        after = _place(request.cursor, asked, "cursor")
        said = ReplayWebhooksResponse(cursor=request.cursor)
        counting = asyncio.create_task(self._archive.count(query))
        try:
            while not (await asyncio.wait([counting], timeout=_HEARTBEAT.total_seconds()))[0]:
                yield said
            said.total_count = counting.result()
        finally:
            counting.cancel()
        pace = request.max_webhooks_per_second
        while page := await self._archive.oldest(query, after, min(pace or _REPLAYED, _REPLAYED)):
            while await self._behind() > _BEHIND:
                yield said
                await self._clock.sleep(_WAIT)
            events, failed = await self._intake.replay(_readable(page))
            after = page[-1].head.webhook_id
            said.cursor = paging.token(asked, [after])
            said.replayed_count += len(page)
            said.event_count += events
            said.failed_count += failed
            yield said
            if pace:
                await self._clock.sleep(timedelta(seconds=len(page) / pace))
        yield said

    async def _behind(self) -> timedelta:
        return max((lag.behind for lag in await self._log.lag(self._topics)), default=timedelta(0))


def _place(given: str, asked: bytes, field: str) -> str:
    (webhook_id,) = paging.place(given, asked, [str], field) or ("",)
    if webhook_id and not valid(webhook_id):
        raise TokenInvalid(field)
    return str(webhook_id)


def _readable(page: Sequence[ArchivedWebhook]) -> list[Posted]:
    """Without those of which erasure left nothing."""
    return [_again(one) for one in page if one.body or not one.head.redacted_ms]


def _again(webhook: ArchivedWebhook) -> Posted:
    return Posted("whatsapp", webhook.head.app, webhook.head.received_ms, webhook.body)


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


def _webhook(head: Head) -> Webhook:
    told = Webhook(
        webhook_id=head.webhook_id,
        app=head.app,
        state=_WIRE_STATES[head.state],
        item_count=head.item_count,
        unrecognised_count=head.unrecognised_count,
        reason=head.reason,
        fields=head.fields,
        waba_ids=head.waba_ids,
        phone_number_ids=head.phone_number_ids,
        size_bytes=head.size_bytes,
    )
    told.receive_time.FromMilliseconds(head.received_ms)
    if head.redacted_ms:
        told.redact_time.FromMilliseconds(head.redacted_ms)
    return told
