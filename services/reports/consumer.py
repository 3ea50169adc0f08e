"""Events of one topic of the log, into the ledger."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import time
from typing import Final

from chassis import telemetry
from chassis.failures import FieldInvalid
from merhaba.event.v1 import Event
from services.reports import wire
from services.reports.conversions.reading import Reader
from services.reports.ledger import Ledger
from services.reports.model import MessageFact, Said

GROUP: Final = "reports"
_AT_ONCE: Final = 250
_APART: Final = 500
_NOTHING = partial(Reader, ())


async def _nowhere(_events: Sequence[Event]) -> None:
    """For a topic that says nothing of gates."""


_age = telemetry.histogram("merhaba.event.age")


class Folding:
    """Handles the batches of one topic."""

    def __init__(
        self,
        topic: str,
        ledger: Ledger,
        erase: Callable[[Sequence[str]], Awaitable[object]],
        reader: Callable[[], Reader] = _NOTHING,
        gates: Callable[[Sequence[Event]], Awaitable[object]] = _nowhere,
    ) -> None:
        """`erase` makes facts of a person known by these ids nobody's, for good. `reader`: by the
        definitions of success as they are now. `gates` keeps what they said of messages."""
        self._topic = topic
        self._ledger = ledger
        self._erase = erase
        self._reader = reader
        self._gates = gates

    async def handle(self, events: Sequence[bytes]) -> None:
        """Fold events. Raises `FieldInvalid` when one of them can never be folded."""
        decoded: list[Event] = []
        said: list[Said] = []
        for start in range(0, len(events), _AT_ONCE):
            some = [wire.event(raw) for raw in events[start : start + _AT_ONCE]]
            said += [one for event in some if (one := wire.said(self._topic, event)) is not None]
            decoded += some
            await asyncio.sleep(0)  # whoever asks something is not to wait for all of them
        for event in decoded:
            if event.HasField("contact_erased"):
                if not event.contact_id:
                    raise FieldInvalid("contact_id", "missing; say who was erased")
                await self._erase([event.contact_id])
        if self._topic == "contact":
            self._count(decoded, said)
        elif self._topic == "message":
            await self._gates(decoded)
        accepted = min(wire.accepted_ms(event) for event in decoded)
        traces = [event.traceparent for event in decoded]
        with telemetry.batch("reports process", GROUP, traces):
            told = await asyncio.gather(
                *(self._ledger.record(self._topic, part, accepted) for part in _parts(said)),
                return_exceptions=True,  # each is to have ended before all is tried again
            )
            for error in told:
                if error is not None:
                    raise error
        _age.record(max(time() - accepted / 1000, 0), {"service": GROUP})

    def _count(self, events: Sequence[Event], said: Sequence[Said]) -> None:
        """Say of the business's own events what they count as by the definitions of success."""
        reader = self._reader()
        told: dict[str, list[Said]] = {}  # an event may stand in a batch twice
        for one in said:
            told.setdefault(one.event_id, []).append(one)
        for event in events:
            name = event.tracked.name
            if event.HasField("tracked") and event.contact_id and reader.concerns(name):
                for one in told[event.event_id]:
                    one.conversions = reader.read(
                        name,
                        event.event_id,
                        event.contact_id,
                        one.time,
                        wire.properties(event.tracked.properties_json),
                    )


def _parts(said: Sequence[Said]) -> list[list[Said]]:
    """Many events as two parts, so that Postgres writes the one while the other is folded; what is
    of one message stays together. Facts are the same in whatever order."""
    if len(said) < _APART:
        return [list(said)] if said else []
    parts: tuple[list[Said], list[Said]] = ([], [])
    for one in said:
        fact = one.fact
        parts[isinstance(fact, MessageFact) and hash(fact.message_id) & 1].append(one)
    return [part for part in parts if part]
