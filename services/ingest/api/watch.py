"""The log as it is appended: streams of events, chosen by a filter, resumed by a cursor."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from chassis import paging
from chassis.clock import Clock, milliseconds_of, moment_of
from chassis.failures import FieldInvalid, TokenInvalid
from chassis.streams import EventLog, Position
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.ingest_service_pb2 import WatchEventsRequest, WatchEventsResponse
from merhaba.ingest.v1.watched_event_pb2 import EventFilter, WatchedEvent
from services.ingest.api import checks
from services.ingest.config import TOPICS
from services.ingest.failures import CursorExpired
from services.ingest.wire import topic_of

WATCHED: Final = tuple(topic for topic in TOPICS if not topic.startswith("raw"))
"""Topics that hold events."""

_HEARTBEAT: Final = timedelta(seconds=4)  # leaves a second to be at most 5 on the way
_CLUSTER_PAUSE_MS: Final = 100
_PATIENCE_S: Final = 10.0
_ENTRIES: Final = 8  # of each stream at once; an entry is 256 KiB at most, or one event
_RESPONSE_BYTES: Final = 1024 * 1024
_CONTACTS: Final = 1_000
_SKEW_MS: Final = 60_000  # between our clock and the log's
_ID: Final = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)
_BEGINNING: Final = b"0-0"
_LAST_NUMBER: Final = 2**64 - 1
_logger = structlog.get_logger()


class Watch:
    """Reads the log without a group: whoever watches takes nothing from anybody."""

    def __init__(self, log: EventLog, clock: Clock, heartbeat: timedelta = _HEARTBEAT) -> None:
        """`heartbeat`: the longest time without a response."""
        self._log = log
        self._clock = clock
        self._heartbeat = heartbeat

    async def stream(self, request: WatchEventsRequest) -> AsyncIterator[WatchEventsResponse]:
        """Responses until cancelled. Raises `FieldInvalid`, `TokenInvalid`, `CursorExpired`."""
        chosen = _Chosen(request.filter)
        query = paging.query(request, "start_time")
        places = await self._begin(request, chosen.topics, query)
        yield WatchEventsResponse(cursor=places.cursor(query))
        said = self._clock.now()
        while True:
            before_ms = milliseconds_of(self._clock.now())
            found = await self._read(places, self._heartbeat - (self._clock.now() - said))
            response = WatchEventsResponse()
            size = 0
            for position, events in found:
                wanted = chosen.of(topic_of(position.stream), events)
                more = sum(len(event) for event in events) if wanted else 0
                if response.events and size + more > _RESPONSE_BYTES:
                    response.cursor = places.cursor(query)
                    yield response
                    response, size, said = WatchEventsResponse(), 0, self._clock.now()
                places.advance(position)
                response.events.extend(wanted)
                size += more
            places.caught_up(found, before_ms)
            if response.events or self._clock.now() - said >= self._heartbeat:
                response.cursor = places.cursor(query)
                yield response
                said = self._clock.now()

    async def _read(self, places: "_Places", rest: timedelta) -> list[tuple[Position, list[bytes]]]:
        """What follows, at once or as soon as there is something within `rest`."""
        wait_ms = max(rest // timedelta(milliseconds=1), 1)
        positions = places.positions()
        async with asyncio.timeout(wait_ms / 1000 + _PATIENCE_S):
            if not self._log.clustered:
                return await self._log.read(positions, _ENTRIES, wait_ms)
            # Streams of a cluster are on several nodes, which no one command can wait for
            found = [e for one in positions for e in await self._log.read([one], _ENTRIES, 1)]
            if not found:
                await asyncio.sleep(min(wait_ms, _CLUSTER_PAUSE_MS) / 1000)
            return found

    async def _begin(
        self, request: WatchEventsRequest, topics: Sequence[str], query: bytes
    ) -> "_Places":
        now_ms = milliseconds_of(self._clock.now())
        streams = [stream for topic in topics for stream in self._log.streams(topic)]
        place = paging.place(request.cursor, query, [str, int], "cursor")
        if place is not None:
            ids = place[0].split(",")
            if len(ids) != len(streams) or not all(map(_is_id, ids)):
                raise TokenInvalid("cursor")
            places = _Places(dict(zip(streams, map(str.encode, ids), strict=True)), place[1])
            await self._check_held(places, now_ms)
            return places
        if request.HasField("start_time"):
            start_ms = max(checks.moment_ms(request.start_time, "start_time", now_ms), 1)
            before = f"{start_ms - 1}-{_LAST_NUMBER}".encode()
            return _Places(dict.fromkeys(streams, before), min(start_ms, now_ms) - _SKEW_MS)
        ends = [position for topic in topics for position in await self._log.end(topic)]
        return _Places({end.stream: end.id for end in ends}, now_ms - _SKEW_MS)

    async def _check_held(self, places: "_Places", now_ms: int) -> None:
        """Raise when something may have been trimmed that was not seen. What is younger than the
        log's retention never is."""
        if places.seen_ms >= now_ms - self._log.settings.log_retention_s * 1000:
            return
        oldest_ms: list[int] = []
        lost = False
        for stream, position in places.positions():
            held = await self._log.read([Position(stream, _BEGINNING)], 1, 1)
            if held:
                first = held[0][0].id
                oldest_ms.append(_numbers(first)[0])
                # An entry that was seen and is still there: what follows it is there as well
                lost |= _numbers(first) > _numbers(position)
            else:
                lost |= position != _BEGINNING
        if lost:
            raise CursorExpired(moment_of(min(oldest_ms, default=now_ms)))


class _Places:
    """Where a stream of responses stands in each stream of the log, and until when it has seen
    everything."""

    def __init__(self, ids: dict[str, bytes], seen_ms: int) -> None:
        self._ids = ids
        self._seen_ms = dict.fromkeys(ids, seen_ms)

    @property
    def seen_ms(self) -> int:
        return min(self._seen_ms.values())

    def positions(self) -> list[Position]:
        return [Position(*place) for place in self._ids.items()]

    def advance(self, position: Position) -> None:
        self._ids[position.stream] = position.id
        at_ms, _ = _numbers(position.id)
        self._seen_ms[position.stream] = max(self._seen_ms[position.stream], at_ms)

    def caught_up(self, found: Sequence[tuple[Position, list[bytes]]], at_ms: int) -> None:
        """A stream that gave less than it was asked for had nothing more at that time."""
        given = Counter(position.stream for position, _ in found)
        for stream, seen_ms in self._seen_ms.items():
            if given[stream] < _ENTRIES:
                self._seen_ms[stream] = max(seen_ms, at_ms - _SKEW_MS)

    def cursor(self, query: bytes) -> str:
        ids = ",".join(one.decode() for one in self._ids.values())
        return paging.token(query, [ids, self.seen_ms])


class _Chosen:
    """A filter, made ready for many events."""

    def __init__(self, wanted: EventFilter) -> None:
        if unknown := set(wanted.topics) - set(WATCHED):
            problem = f"{min(unknown)} is none of {', '.join(WATCHED)}"
            raise FieldInvalid("filter.topics", problem)
        if len(wanted.contact_ids) > _CONTACTS:
            raise FieldInvalid(
                "filter.contact_ids", f"are more than {_CONTACTS}", limit=str(_CONTACTS)
            )
        self.topics = [topic for topic in WATCHED if not wanted.topics or topic in wanted.topics]
        self._names = frozenset(wanted.names)
        self._contacts = frozenset(wanted.contact_ids)
        self._sources = frozenset(wanted.sources)

    def of(self, topic: str, events: Sequence[bytes]) -> list[WatchedEvent]:
        """Those of `events` that are wanted."""
        found: list[WatchedEvent] = []
        for said in events:
            try:
                event = Event.FromString(said)
            except DecodeError:
                # Every group that reads it has it as a dead letter
                _logger.warning("an event that cannot be decoded was left out", topic=topic)
                continue
            if self._wants(event):
                found.append(WatchedEvent(topic=topic, event=event))
        return found

    def _wants(self, event: Event) -> bool:
        body = event.WhichOneof("body") or ""
        name = event.tracked.name if body == "tracked" else body
        return (
            (not self._names or name in self._names)
            and (not self._contacts or event.contact_id in self._contacts)
            and (not self._sources or event.source in self._sources)
        )


def _is_id(value: str) -> bool:
    return bool(_ID.fullmatch(value)) and max(_numbers(value.encode())) <= _LAST_NUMBER


def _numbers(entry_id: bytes) -> tuple[int, int]:
    at_ms, _, number = entry_id.decode().partition("-")
    return int(at_ms), int(number)
