"""Events of one topic of the log, into the ledger."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import time

from chassis import telemetry
from chassis.failures import FieldInvalid
from merhaba.event.v1 import Event
from services.reports import wire
from services.reports.conversions.reading import Reader
from services.reports.ledger import Ledger
from services.reports.model import Said

GROUP = "reports"
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
        decoded = [wire.event(raw) for raw in events]
        for event in decoded:
            if event.HasField("contact_erased"):
                if not event.contact_id:
                    raise FieldInvalid("contact_id", "missing; say who was erased")
                await self._erase([event.contact_id])
        said = [one for event in decoded if (one := wire.said(self._topic, event)) is not None]
        if self._topic == "contact":
            self._count(decoded, said)
        elif self._topic == "message":
            await self._gates(decoded)
        accepted = min(wire.accepted_ms(event) for event in decoded)
        traces = [event.traceparent for event in decoded]
        with telemetry.batch("reports process", GROUP, traces):
            if said:
                await self._ledger.record(self._topic, said, accepted)
        _age.record(max(time() - accepted / 1000, 0), {"service": GROUP})

    def _count(self, events: Sequence[Event], said: Sequence[Said]) -> None:
        """Say of the business's own events what they count as by the definitions of success."""
        reader = self._reader()
        told = {one.event_id: one for one in said}
        for event in events:
            name = event.tracked.name
            if event.HasField("tracked") and event.contact_id and reader.concerns(name):
                one = told[event.event_id]
                one.conversions = reader.read(
                    name,
                    event.event_id,
                    event.contact_id,
                    one.time,
                    wire.properties(event.tracked.properties_json),
                )
