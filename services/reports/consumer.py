"""Events of one topic of the log, into the ledger."""

from collections.abc import Awaitable, Callable, Sequence
from time import time

from chassis import telemetry
from chassis.failures import FieldInvalid
from services.reports import wire
from services.reports.ledger import Ledger

GROUP = "reports"
_age = telemetry.histogram("merhaba.event.age", "s")


class Folding:
    """Handles the batches of one topic."""

    def __init__(
        self, topic: str, ledger: Ledger, erase: Callable[[Sequence[str]], Awaitable[object]]
    ) -> None:
        """`erase` makes facts of a person known by these ids nobody's, for good."""
        self._topic = topic
        self._ledger = ledger
        self._erase = erase

    async def handle(self, events: Sequence[bytes]) -> None:
        """Fold events. Raises `FieldInvalid` when one of them can never be folded."""
        decoded = [wire.event(raw) for raw in events]
        for event in decoded:
            if event.HasField("contact_erased"):
                if not event.contact_id:
                    raise FieldInvalid("contact_id", "missing; say who was erased")
                await self._erase([event.contact_id])
        said = [one for event in decoded if (one := wire.said(self._topic, event)) is not None]
        accepted = min(wire.accepted_ms(event) for event in decoded)
        traces = [event.traceparent for event in decoded]
        with telemetry.batch("reports process", GROUP, traces):
            if said:
                await self._ledger.record(self._topic, said, accepted)
        _age.record(max(time() - accepted / 1000, 0), {"service": GROUP})
