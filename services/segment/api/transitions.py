"""Entries and exits as they happen: the topic `signal`, for whoever watches."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from chassis import paging
from chassis.failures import FieldInvalid
from chassis.streams import Watch, readable
from merhaba.event.v1 import Event
from merhaba.segment.v1 import WatchTransitionsRequest
from services.segment.wire import contact_id

_TOPIC: Final = "signal"
_MOST_SEGMENTS: Final = 100
_MOST_CONTACTS: Final = 1_000


async def transitions(
    watch: Watch, request: WatchTransitionsRequest
) -> AsyncIterator[tuple[str, list[Event]]]:
    """Those that are wanted, each time with the cursor behind them, until cancelled; none are a
    heartbeat. Raises `FieldInvalid`, `TokenInvalid` and `CursorExpired`."""
    chosen = _Chosen(request)
    query = paging.query(request)
    async for found in watch.follow([_TOPIC], query, request.cursor, None, chosen.of):
        yield found


class _Chosen:
    """What of the topic is wanted."""

    def __init__(self, request: WatchTransitionsRequest) -> None:
        for field, most in (("segment_ids", _MOST_SEGMENTS), ("contact_ids", _MOST_CONTACTS)):
            if len(getattr(request, field)) > most:
                raise FieldInvalid(field, f"are more than {most}", limit=str(most))
        self._segments = frozenset(request.segment_ids)
        self._contacts = frozenset(
            contact_id(one, f"contact_ids[{at}]") for at, one in enumerate(request.contact_ids)
        )

    def of(self, topic: str, raws: Sequence[bytes]) -> list[Event]:
        """Those that are wanted."""
        return [event for event in readable(Event, topic, raws) if self._wants(event)]

    def _wants(self, event: Event) -> bool:
        kind = event.WhichOneof("body")
        if kind not in ("segment_entered", "segment_left"):
            return False
        return (not self._segments or getattr(event, kind).segment_id in self._segments) and (
            not self._contacts or event.contact_id in self._contacts
        )
