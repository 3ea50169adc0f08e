"""The calls of IngestService, translated in and out."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.answers import Answers
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure
from chassis.ids import derived_id
from chassis.streams import EventLog, Record
from chassis.telemetry import traceparent
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.ingest_service_pb2 import (
    CancelImportRequest,
    CancelImportResponse,
    CreateLinksRequest,
    CreateLinksResponse,
    DeleteCatalogItemsRequest,
    DeleteCatalogItemsResponse,
    DeletePlacesRequest,
    DeletePlacesResponse,
    GetImportRequest,
    GetImportResponse,
    ImportChunkRequest,
    ImportChunkResponse,
    ListImportRejectsRequest,
    ListImportRejectsResponse,
    ListImportsRequest,
    ListImportsResponse,
    PingLocationsRequest,
    PingLocationsResponse,
    PublishEventsRequest,
    PublishEventsResponse,
    StartImportRequest,
    StartImportResponse,
    UpdateStockRequest,
    UpdateStockResponse,
    UpsertCatalogItemsRequest,
    UpsertCatalogItemsResponse,
    UpsertPlacesRequest,
    UpsertPlacesResponse,
    WatchEventsRequest,
    WatchEventsResponse,
)
from merhaba.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer
from merhaba.ingest.v1.item_failure_pb2 import ItemFailure
from merhaba.ingest.v1.link_pb2 import Link as WireLink
from merhaba.ingest.v1.link_pb2 import LinkSpec
from merhaba.ingest.v1.publish_result_pb2 import PublishResult
from services.ingest.api import checks, events, things
from services.ingest.api.acceptance import CALLER, Acceptance
from services.ingest.api.imports import ImportCalls
from services.ingest.api.watch import Watch
from services.ingest.fields import event_id
from services.ingest.links import Link, Links, Wish
from services.ingest.model import TRACKED

Context = grpc.aio.ServicerContext[Any, Any]
R = TypeVar("R", bound=Message)


class IngestApi(IngestServiceServicer):
    """What the business tells, and links."""

    def __init__(
        self,
        log: EventLog,
        links: Links,
        answers: Answers,
        acceptance: Acceptance,
        imports: ImportCalls,
        clock: Clock,
    ) -> None:
        self._acceptance = acceptance
        self._imports = imports
        self._watch = Watch(log, clock)
        self._links = links
        self._answers = answers
        self._clock = clock

    async def PublishEvents(
        self, request: PublishEventsRequest, _context: Context
    ) -> PublishEventsResponse:
        """Each event by itself: a refused one stands in its result."""
        checks.batch(request.request_id, request.events, "events")
        now_ms = milliseconds_of(self._clock.now())
        trace = traceparent()
        results: list[PublishResult] = []
        records: dict[int, Record] = {}
        for index, given in enumerate(request.events):
            try:
                event = events.accepted(given, f"events[{index}]", now_ms)
            except Failure as failure:
                results.append(PublishResult(failure=checks.refusal(index, failure)))
                continue
            event.event_id = _published_id(request, index)
            event.received_time.FromMilliseconds(now_ms)
            event.source = CALLER
            event.traceparent = trace
            key = events.person_key(event)
            records[index] = Record(TRACKED, key, event.SerializeToString())
            results.append(PublishResult())
        # Ids follow from the request: what is kept of a thousand events is next to nothing
        answer = await self._append(request, PublishEventsResponse(results=results), records)
        for index, result in enumerate(answer.results):
            if not result.HasField("failure"):
                result.event_id = _published_id(request, index)
        return answer

    # ---- what the business has, and where people are

    async def UpsertCatalogItems(
        self, request: UpsertCatalogItemsRequest, _context: Context
    ) -> UpsertCatalogItemsResponse:
        """Each item by itself."""
        return await self._each(
            request, "items", things.upserted_item, things.item_key, UpsertCatalogItemsResponse
        )

    async def UpdateStock(
        self, request: UpdateStockRequest, _context: Context
    ) -> UpdateStockResponse:
        """Each change by itself."""
        return await self._each(
            request, "changes", things.stock_change, things.item_key, UpdateStockResponse
        )

    async def DeleteCatalogItems(
        self, request: DeleteCatalogItemsRequest, _context: Context
    ) -> DeleteCatalogItemsResponse:
        """All or none."""
        checks.batch(request.request_id, request.item_ids, "item_ids")
        checks.named(request.catalog_id, "catalog_id")
        now_ms = milliseconds_of(self._clock.now())
        records: dict[int, Record] = {}
        for index, item_id in enumerate(request.item_ids):
            checks.named(item_id, f"item_ids[{index}]")
            event = things.deleted_item(request.catalog_id, item_id, now_ms)
            said = f"{request.catalog_id}\x1f{item_id}".encode()
            records[index] = _record(event, request, index, said, things.item_key(event), now_ms)
        return await self._append(request, DeleteCatalogItemsResponse(), records)

    async def PingLocations(
        self, request: PingLocationsRequest, _context: Context
    ) -> PingLocationsResponse:
        """Each ping by itself."""
        return await self._each(
            request,
            "pings",
            things.location_ping,
            events.person_key,
            PingLocationsResponse,
        )

    async def UpsertPlaces(
        self, request: UpsertPlacesRequest, _context: Context
    ) -> UpsertPlacesResponse:
        """Each place by itself."""
        return await self._each(
            request,
            "places",
            things.upserted_place,
            things.place_key,
            UpsertPlacesResponse,
        )

    async def DeletePlaces(
        self, request: DeletePlacesRequest, _context: Context
    ) -> DeletePlacesResponse:
        """All or none."""
        checks.batch(request.request_id, request.place_ids, "place_ids")
        now_ms = milliseconds_of(self._clock.now())
        records: dict[int, Record] = {}
        for index, place_id in enumerate(request.place_ids):
            checks.named(place_id, f"place_ids[{index}]")
            event = things.deleted_place(place_id, now_ms)
            records[index] = _record(event, request, index, place_id.encode(), place_id, now_ms)
        return await self._append(request, DeletePlacesResponse(), records)

    async def _each(
        self,
        request: Any,
        field: str,
        read: Callable[[Any, str, int], Event],
        key: Callable[[Event], str],
        answer: Callable[..., R],
    ) -> R:
        """Take the items of a request, each by itself, and answer how many, and what was
        refused."""
        items = getattr(request, field)
        checks.batch(request.request_id, items, field)
        now_ms = milliseconds_of(self._clock.now())
        records: dict[int, Record] = {}
        failures: list[ItemFailure] = []
        for index, item in enumerate(items):
            try:
                event = read(item, f"{field}[{index}]", now_ms)
            except Failure as failure:
                failures.append(checks.refusal(index, failure))
                continue
            said = item.SerializeToString(deterministic=True)
            records[index] = _record(event, request, index, said, key(event), now_ms)
        told = answer(accepted_count=len(records), failures=failures)
        return await self._append(request, told, records)

    async def _append(self, request: Any, answer: R, records: Mapping[int, Record]) -> R:
        """The first answer to a request, once what it accepts, by position, is on the log."""
        self._acceptance.check()
        first = await self._answers.promise(request, request.request_id, answer)
        # What was too far ahead at first need not be so any more
        refused = _refused(first)
        await self._acceptance.append([one for at, one in records.items() if at not in refused])
        return first

    # ---- the log as it is appended

    async def WatchEvents(
        self, request: WatchEventsRequest, _context: Context
    ) -> AsyncIterator[WatchEventsResponse]:
        """Until the caller ends it. The first response tells where the stream begins."""
        async for response in self._watch.stream(request):
            yield response

    # ---- links

    async def CreateLinks(
        self, request: CreateLinksRequest, _context: Context
    ) -> CreateLinksResponse:
        """All or none, in order."""
        checks.batch(request.request_id, request.links, "links")
        wishes = [_wish(spec) for spec in request.links]
        for index, wish in enumerate(wishes):
            wish.check(index)
        # A link follows from its request, the key and the default expiry: only that is kept
        promised = CreateLinksResponse(links=[_expiring(self._links.default_expiry())])
        first = await self._answers.promise(request, request.request_id, promised)
        made = await self._links.make(wishes, first.links[0].expire_time.seconds)
        return CreateLinksResponse(links=[_link(link) for link in made])

    # ---- files

    async def StartImport(
        self, request: StartImportRequest, _context: Context
    ) -> StartImportResponse:
        """A new import, or the unfinished one of the same file and mapping."""
        return await self._imports.start(request)

    async def ImportChunk(
        self, request: ImportChunkRequest, _context: Context
    ) -> ImportChunkResponse:
        """Each row by itself; what was taken before is not taken again."""
        return await self._imports.chunk(request)

    async def GetImport(self, request: GetImportRequest, _context: Context) -> GetImportResponse:
        """How far an import is."""
        return await self._imports.get(request.import_id)

    async def ListImports(
        self, request: ListImportsRequest, _context: Context
    ) -> ListImportsResponse:
        """Newest first."""
        return await self._imports.list(request)

    async def ListImportRejects(
        self, request: ListImportRejectsRequest, _context: Context
    ) -> ListImportRejectsResponse:
        """In the order of the file. The read is audited."""
        return await self._imports.rejects(request)

    async def CancelImport(
        self, request: CancelImportRequest, _context: Context
    ) -> CancelImportResponse:
        """What was accepted stays accepted."""
        return await self._imports.cancel(request)


def _wish(spec: LinkSpec) -> Wish:
    expire_s = spec.expire_time.seconds if spec.HasField("expire_time") else None
    return Wish(spec.url, spec.message_id, spec.campaign_id, spec.contact_id, expire_s)


def _expiring(expire_s: int) -> WireLink:
    return WireLink(expire_time=Timestamp(seconds=expire_s))


def _link(link: Link) -> WireLink:
    made = _expiring(link.expire_s)
    made.link_id, made.token = link.link_id, link.token
    made.short_url, made.url = link.short_url, link.url
    return made


def _published_id(request: PublishEventsRequest, index: int) -> str:
    return event_id(CALLER, request.events[index].event_id or f"{request.request_id}/{index}")


def _refused(answer: Any) -> set[int]:
    """Positions of what was refused."""
    if isinstance(answer, PublishEventsResponse):
        return {at for at, result in enumerate(answer.results) if result.HasField("failure")}
    return {failure.index for failure in getattr(answer, "failures", ())}


def _record(event: Event, request: Any, index: int, said: bytes, key: str, now_ms: int) -> Record:
    """An event for the log. Its id follows from the request and what the item said, so that a
    repeat is one, and another item under the same request id is none."""
    method = request.DESCRIPTOR.name.removesuffix("Request")
    digest = hashlib.blake2b(said, digest_size=16).hexdigest()
    event.event_id = derived_id("said", CALLER, method, request.request_id, str(index), digest)
    event.received_time.FromMilliseconds(now_ms)
    event.source = CALLER
    event.traceparent = traceparent()
    return Record(TRACKED, key, event.SerializeToString())
