"""IngestService: what the business tells by gRPC."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import grpc
import orjson

from chassis.clock import Clock, milliseconds_of
from chassis.failures import BatchTooLarge, Busy, Failure, FieldInvalid, Unavailable
from chassis.streams import EventLog, Record
from chassis.telemetry import traceparent
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.error_reason_pb2 import ErrorReason
from merhaba.ingest.v1.ingest_service_pb2 import (
    CreateLinksRequest,
    CreateLinksResponse,
    PublishEventsRequest,
    PublishEventsResponse,
)
from merhaba.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer
from merhaba.ingest.v1.item_failure_pb2 import ItemFailure
from merhaba.ingest.v1.link_pb2 import Link as WireLink
from merhaba.ingest.v1.publish_result_pb2 import PublishResult
from services.ingest.failures import EventNotAccepted, LogUnavailable
from services.ingest.fields import event_id
from services.ingest.links import new_link
from services.ingest.model import TRACKED, Link
from services.ingest.store import Links
from services.ingest.track import snake

_MOST: Final = 1_000
_AHEAD: Final = timedelta(hours=1)
_OBJECT_BYTES: Final = 32 * 1024
_ID_LENGTH: Final = 200
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ACCEPTED: Final = (
    *("tracked", "identified", "page_viewed", "screen_viewed", "grouped", "aliased"),
    *("location_pinged", "consent_changed"),
)
_CALLER: Final = "api:token"  # one token opens the door: there is no other caller to name

Context = grpc.aio.ServicerContext[Any, Any]


class IngestApi(IngestServiceServicer):
    """Events and links; what else the contract promises does not exist yet."""

    def __init__(
        self, log: EventLog, links: Links, clock: Clock, public_url: str, link_days: int
    ) -> None:
        self._log = log
        self._links = links
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._link_life = timedelta(days=link_days)

    async def PublishEvents(
        self, request: PublishEventsRequest, _context: Context
    ) -> PublishEventsResponse:
        """Each event by itself: a refused one stands in its result."""
        _check(request.request_id, request.events, "events")
        now_ms = milliseconds_of(self._clock.now())
        trace = traceparent()
        results: list[PublishResult] = []
        records: list[Record] = []
        for index, given in enumerate(request.events):
            try:
                event = self._accepted(given, f"events[{index}]", now_ms)
            except Failure as failure:
                results.append(PublishResult(failure=_item_failure(index, failure)))
                continue
            named = given.event_id or f"{request.request_id}/{index}"
            event.event_id = event_id(_CALLER, named)
            event.received_time.FromMilliseconds(now_ms)
            event.source = _CALLER
            event.traceparent = trace
            key = event.identities[0].value
            records.append(Record(TRACKED, key, event.SerializeToString()))
            results.append(PublishResult(event_id=event.event_id))
        try:
            await self._log.append(records)
        except (Busy, Unavailable):
            raise LogUnavailable from None
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
        if given.event_time.ToMilliseconds() > now_ms + _AHEAD // timedelta(milliseconds=1):
            raise FieldInvalid(f"{where}.event_time", "is more than an hour ahead")
        if len(given.event_id) > _ID_LENGTH:
            raise FieldInvalid(f"{where}.event_id", f"is longer than {_ID_LENGTH} characters")
        event = Event(event_time=given.event_time, identities=given.identities)
        body = getattr(event, name)
        body.CopyFrom(getattr(given, name))
        for field in ("properties_json", "traits_json", "context_json"):
            if field in body.DESCRIPTOR.fields_by_name:
                _check_object(getattr(body, field), f"{where}.{name}.{field}")
        if name == "tracked":
            body.name = snake(body.name)
            if not body.name:
                raise FieldInvalid(f"{where}.tracked.name", "is missing")
        return event

    async def CreateLinks(
        self, request: CreateLinksRequest, _context: Context
    ) -> CreateLinksResponse:
        """All or none, in order; a link that is there already comes back as it is."""
        _check(request.request_id, request.links, "links")
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


def _check(request_id: str, items: Sequence[object], field: str) -> None:
    if not _UUID.fullmatch(request_id):
        raise FieldInvalid("request_id", "is not a UUID")
    if not items:
        raise FieldInvalid(field, "is empty")
    if len(items) > _MOST:
        raise BatchTooLarge(field, _MOST, len(items))


def _check_object(value: bytes, field: str) -> None:
    if len(value) > _OBJECT_BYTES:
        raise FieldInvalid(field, "is larger than 32 KiB", limit=str(_OBJECT_BYTES))
    try:
        is_object = not value or isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise FieldInvalid(field, "is not a JSON object")


def _item_failure(index: int, failure: Failure) -> ItemFailure:
    return ItemFailure(
        index=index,
        reason=ErrorReason.Value(f"ERROR_REASON_{failure.reason}"),
        message=failure.message,
        metadata=failure.facts,
    )
