"""The log as it is appended: streams of events, chosen by a filter, resumed by a cursor."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

from chassis import paging
from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from chassis.streams import EventLog, readable
from chassis.streams import Watch as LogWatch
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.ingest_service_pb2 import WatchEventsRequest, WatchEventsResponse
from merhaba.ingest.v1.watched_event_pb2 import EventFilter, WatchedEvent
from services.ingest.api import checks
from services.ingest.config import TOPICS

WATCHED: Final = tuple(topic for topic in TOPICS if not topic.startswith("raw"))
"""Topics that hold events."""

_CONTACTS: Final = 1_000


class Watch:
    """Reads the log for whoever watches."""

    def __init__(self, log: EventLog, clock: Clock, heartbeat: timedelta | None = None) -> None:
        """`heartbeat`: the longest time without a response; None is what the contract promises."""
        self._watch = LogWatch(log, clock, *([heartbeat] if heartbeat else []))
        self._clock = clock

    async def stream(self, request: WatchEventsRequest) -> AsyncIterator[WatchEventsResponse]:
        """Responses until cancelled. Raises `FieldInvalid`, `TokenInvalid`, `CursorExpired`."""
        chosen = _Chosen(request.filter)
        query = paging.query(request, "start_time")
        start_ms = None
        if request.HasField("start_time") and not request.cursor:
            now_ms = milliseconds_of(self._clock.now())
            start_ms = checks.moment_ms(request.start_time, "start_time", now_ms)
        found = self._watch.follow(chosen.topics, query, request.cursor, start_ms, chosen.of)
        async for cursor, events in found:
            yield WatchEventsResponse(cursor=cursor, events=events)


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
        return [
            WatchedEvent(topic=topic, event=event)
            for event in readable(Event, topic, events)
            if self._wants(event)
        ]

    def _wants(self, event: Event) -> bool:
        body = event.WhichOneof("body") or ""
        name = event.tracked.name if body == "tracked" else body
        return (
            (not self._names or name in self._names)
            and (not self._contacts or event.contact_id in self._contacts)
            and (not self._sources or event.source in self._sources)
        )
