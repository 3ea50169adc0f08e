"""The calls of IngestService, translated in and out."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import grpc

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Busy, Failure, FieldInvalid, Unavailable
from chassis.ids import derived_id
from chassis.streams import EventLog, Record
from chassis.telemetry import traceparent
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.ingest_service_pb2 import (
    CreateLinksRequest,
    CreateLinksResponse,
    DeleteCatalogItemsRequest,
    DeleteCatalogItemsResponse,
    DeletePlacesRequest,
    DeletePlacesResponse,
    PingLocationsRequest,
    PingLocationsResponse,
    PublishEventsRequest,
    PublishEventsResponse,
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
from merhaba.ingest.v1.publish_result_pb2 import PublishResult
from services.ingest.admission import RETRY_AFTER_S, Admission
from services.ingest.api import checks, things
from services.ingest.api.watch import Watch
from services.ingest.failures import EventNotAccepted, LagTooHigh, LogUnavailable
from services.ingest.fields import event_id
from services.ingest.links import new_link
from services.ingest.model import TRACKED, Link
from services.ingest.store import Links
from services.ingest.track import snake

_ACCEPTED: Final = (
    *("tracked", "identified", "page_viewed", "screen_viewed", "grouped", "aliased"),
    *("location_pinged", "consent_changed"),
)
_CALLER: Final = "api:token"  # one token opens the door: there is no other caller to name

Context = grpc.aio.ServicerContext[Any, Any]


class IngestApi(IngestServiceServicer):
    """What the business tells, and links; imports do not exist yet."""

    def __init__(
        self,
        log: EventLog,
        links: Links,
        admission: Admission,
        clock: Clock,
        public_url: str,
        link_days: int,
    ) -> None:
        self._log = log
        self._admission = admission
        self._watch = Watch(log, clock)
        self._links = links
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._link_life = timedelta(days=link_days)

    async def PublishEvents(
        self, request: PublishEventsRequest, _context: Context
    ) -> PublishEventsResponse:
        """Each event by itself: a refused one stands in its result."""
        checks.batch(request.request_id, request.events, "events")
        now_ms = milliseconds_of(self._clock.now())
        trace = traceparent()
        results: list[PublishResult] = []
        records: list[Record] = []
        for index, given in enumerate(request.events):
            try:
                event = self._accepted(given, f"events[{index}]", now_ms)
            except Failure as failure:
                results.append(PublishResult(failure=checks.refusal(index, failure)))
                continue
            named = given.event_id or f"{request.request_id}/{index}"
            event.event_id = event_id(_CALLER, named)
            event.received_time.FromMilliseconds(now_ms)
            event.source = _CALLER
            event.traceparent = trace
            records.append(Record(TRACKED, event.identities[0].value, event.SerializeToString()))
            results.append(PublishResult(event_id=event.event_id))
        await self._append(records)
        return PublishEventsResponse(results=results)

    def _accepted(self, given: Event, where: str, now_ms: int) -> Event:
        """A copy of what the business may say. Raises when it may not."""
        name = given.WhichOneof("body") or ""
        if name not in _ACCEPTED:
            raise EventNotAccepted(name, ",".join(_ACCEPTED))
        if not given.identities or any(not one.kind or not one.value for one in given.identities):
            raise FieldInvalid(f"{where}.identities", "need at least one, with kind and value")
        if not given.HasField("event_time"):
            raise FieldInvalid(f"{where}.event_time", "is missing")
        checks.moment_ms(given.event_time, f"{where}.event_time", now_ms)
        if given.event_id:
            checks.named(given.event_id, f"{where}.event_id")
        event = Event(event_time=given.event_time, identities=given.identities)
        body = getattr(event, name)
        body.CopyFrom(getattr(given, name))
        for field in ("properties_json", "traits_json", "context_json"):
            if field in body.DESCRIPTOR.fields_by_name:
                checks.json_object(getattr(body, field), f"{where}.{name}.{field}")
        if name == "location_pinged":
            checks.position(body.latitude, body.longitude, f"{where}.{name}")
        if name == "tracked":
            body.name = snake(body.name)
            if not body.name:
                raise FieldInvalid(f"{where}.tracked.name", "is missing")
        return event

    # ---- what the business has, and where people are

    async def UpsertCatalogItems(
        self, request: UpsertCatalogItemsRequest, _context: Context
    ) -> UpsertCatalogItemsResponse:
        """Each item by itself."""
        accepted, failures = await self._each(request, "items", things.upserted_item, _item_key)
        return UpsertCatalogItemsResponse(accepted_count=accepted, failures=failures)

    async def UpdateStock(
        self, request: UpdateStockRequest, _context: Context
    ) -> UpdateStockResponse:
        """Each change by itself."""
        accepted, failures = await self._each(request, "changes", things.stock_change, _item_key)
        return UpdateStockResponse(accepted_count=accepted, failures=failures)

    async def DeleteCatalogItems(
        self, request: DeleteCatalogItemsRequest, _context: Context
    ) -> DeleteCatalogItemsResponse:
        """All or none."""
        checks.batch(request.request_id, request.item_ids, "item_ids")
        checks.named(request.catalog_id, "catalog_id")
        now_ms = milliseconds_of(self._clock.now())
        records: list[Record] = []
        for index, item_id in enumerate(request.item_ids):
            checks.named(item_id, f"item_ids[{index}]")
            event = things.deleted_item(request.catalog_id, item_id, now_ms)
            said = f"{request.catalog_id}\x1f{item_id}".encode()
            records.append(_record(event, request, index, said, _item_key(event), now_ms))
        await self._append(records)
        return DeleteCatalogItemsResponse()

    async def PingLocations(
        self, request: PingLocationsRequest, _context: Context
    ) -> PingLocationsResponse:
        """Each ping by itself."""
        accepted, failures = await self._each(
            request, "pings", things.location_ping, lambda event: event.identities[0].value
        )
        return PingLocationsResponse(accepted_count=accepted, failures=failures)

    async def UpsertPlaces(
        self, request: UpsertPlacesRequest, _context: Context
    ) -> UpsertPlacesResponse:
        """Each place by itself."""
        accepted, failures = await self._each(
            request, "places", things.upserted_place, lambda event: event.place_changed.place_id
        )
        return UpsertPlacesResponse(accepted_count=accepted, failures=failures)

    async def DeletePlaces(
        self, request: DeletePlacesRequest, _context: Context
    ) -> DeletePlacesResponse:
        """All or none."""
        checks.batch(request.request_id, request.place_ids, "place_ids")
        now_ms = milliseconds_of(self._clock.now())
        records: list[Record] = []
        for index, place_id in enumerate(request.place_ids):
            checks.named(place_id, f"place_ids[{index}]")
            event = things.deleted_place(place_id, now_ms)
            records.append(_record(event, request, index, place_id.encode(), place_id, now_ms))
        await self._append(records)
        return DeletePlacesResponse()

    async def _each(
        self,
        request: Any,
        field: str,
        read: Callable[[Any, str, int], Event],
        key: Callable[[Event], str],
    ) -> tuple[int, list[ItemFailure]]:
        """Take the items of a request, each by itself: how many, and what was refused."""
        items = getattr(request, field)
        checks.batch(request.request_id, items, field)
        now_ms = milliseconds_of(self._clock.now())
        records: list[Record] = []
        failures: list[ItemFailure] = []
        for index, item in enumerate(items):
            try:
                event = read(item, f"{field}[{index}]", now_ms)
            except Failure as failure:
                failures.append(checks.refusal(index, failure))
                continue
            said = item.SerializeToString(deterministic=True)
            records.append(_record(event, request, index, said, key(event), now_ms))
        await self._append(records)
        return len(records), failures

    async def _append(self, records: Sequence[Record]) -> None:
        if self._admission.closed == "lag":
            retry_after = timedelta(seconds=RETRY_AFTER_S)
            raise LagTooHigh(self._admission.lag, self._admission.lag_limit, retry_after)
        if self._admission.closed:
            raise LogUnavailable
        try:
            await self._log.append(records)
        except (Busy, Unavailable):
            raise LogUnavailable from None

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
        """All or none, in order; a link that is there already comes back as it is."""
        checks.batch(request.request_id, request.links, "links")
        default = self._clock.now() + self._link_life
        wanted = [
            new_link(
                index,
                spec.url,
                spec.message_id,
                spec.campaign_id,
                spec.contact_id,
                spec.expire_time.ToMilliseconds()
                if spec.HasField("expire_time")
                else milliseconds_of(default),
            )
            for index, spec in enumerate(request.links)
        ]
        return CreateLinksResponse(
            links=[self._link(link) for link in await self._links.register(wanted)]
        )

    def _link(self, link: Link) -> WireLink:
        found = WireLink(
            link_id=link.link_id,
            token=link.token,
            short_url=f"{self._public_url}/l/{link.token}",
            url=link.url,
        )
        found.expire_time.FromMilliseconds(link.expire_ms)
        return found


def _item_key(event: Event) -> str:
    return f"{event.catalog_item_changed.catalog_id}/{event.catalog_item_changed.item_id}"


def _record(event: Event, request: Any, index: int, said: bytes, key: str, now_ms: int) -> Record:
    """An event for the log. Its id follows from the request and what the item said, so that a
    repeat is one, and another item under the same request id is none."""
    method = request.DESCRIPTOR.name.removesuffix("Request")
    digest = hashlib.blake2b(said, digest_size=16).hexdigest()
    event.event_id = derived_id("said", _CALLER, method, request.request_id, str(index), digest)
    event.received_time.FromMilliseconds(now_ms)
    event.source = _CALLER
    event.traceparent = traceparent()
    return Record(TRACKED, key, event.SerializeToString())
