"""When effects of a load come about, as a reader of the log sees them, and how far groups lag."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chassis.streams import EventLog, Position
from merhaba.event.v1 import Event

_CAUSED: Final = ("message_received", "message_sent", "message_delivered", "message_read")
_MOVED: Final = ("segment_entered", "segment_left")
_TOPICS: Final = (
    *("raw", "inbound.message", "inbound.status", "inbound.track"),
    *("contact", "signal", "message"),
)
_EVERY: Final = 8  # decoding all of them would take a core of what is measured
_ENTRIES: Final = 500
_BLOCK_MS: Final = 1_000


@dataclass(slots=True)
class Effects:
    """Ages from the moment a webhook was accepted to its effect's being on the log, in seconds."""

    contacts: list[float] = field(default_factory=list)
    """Of events that profile resolved and stored; every eighth."""
    signals: list[float] = field(default_factory=list)
    """Of entries and exits that an event caused, not time alone."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, log: EventLog) -> None:
        """Read what is new, until cancelled."""
        topics = {p.stream: topic for topic in ("contact", "signal") for p in await log.end(topic)}
        places = {p.stream: p for topic in ("contact", "signal") for p in await log.end(topic)}
        self.ready.set()
        while True:
            for position, events in await log.read([*places.values()], _ENTRIES, _BLOCK_MS):
                places[position.stream] = position
                self._see(topics[position.stream], position, events)

    def _see(self, topic: str, position: Position, events: Sequence[bytes]) -> None:
        # When it stood on the log, by its entry's id: whoever reads may be late itself
        at = min(int(position.id.split(b"-")[0]) / 1e3, time.time())
        for event in map(Event.FromString, events[:: 1 if topic == "signal" else _EVERY]):
            age = at - event.received_time.seconds - event.received_time.nanos / 1e9
            kind = event.WhichOneof("body")
            if topic == "contact" and kind in _CAUSED:
                self.contacts.append(age)
            elif kind in _MOVED and getattr(event, str(kind)).cause_event_id:
                self.signals.append(age)


async def lags(log: EventLog, into: list[float]) -> None:
    """The age of what is oldest that a group has not finished, in seconds, each second. Asked of
    the log itself, so that nobody measured works for it."""
    while True:
        behind = [one.behind.total_seconds() for one in await log.lag(_TOPICS)]
        into.append(max(behind, default=0.0))
        await asyncio.sleep(1)
