"""What profile says on the topic `contact`, handed over in batches."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from chassis import telemetry
from chassis.clock import Clock, milliseconds_of
from chassis.streams import EventLog
from services.segment.engine.membership import Membership
from services.segment.engine.model import Happening
from services.segment.engine.rules import Rules
from services.segment.wire import happening

GROUP: Final = "segment"
TOPIC: Final = "contact"
_STILL_TRUE_MS: Final = 20
_ATTRIBUTES: Final = {"service": "segment"}
_age = telemetry.histogram("merhaba.event.age")


class Ears:
    """Knows until when everything that happened has been heard of."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._asked = self._heard = 0

    async def heard(self) -> int:
        """That instant (ms); of a moment ago, for it only grows."""
        now = milliseconds_of(self._clock.now())
        if not 0 <= now - self._asked < _STILL_TRUE_MS:
            lags = await self._log.lag([TOPIC], GROUP)
            behind = max((one.behind for one in lags), default=timedelta())
            self._asked, self._heard = now, now - int(behind / timedelta(milliseconds=1))
        return self._heard


class Intake:
    """Decodes batches of the topic `contact`."""

    def __init__(
        self, membership: Membership, erase: Callable[[Collection[str]], Awaitable[object]]
    ) -> None:
        """`erase` deletes everything of a person known by these ids, for good."""
        self._membership = membership
        self._erase = erase

    async def handle(self, events: Sequence[bytes]) -> None:
        """Apply a batch, wholly or not at all; raises `FieldInvalid` for what cannot be read."""
        first = self._membership.rules
        decoded = _decode(events, first)
        for one in decoded:
            if one.erased:
                await self._erase([one.contact_id])
        with telemetry.batch("segment process", GROUP, [h.traceparent for h in decoded]) as onward:

            def read(rules: Rules) -> list[Happening]:
                found = decoded if rules is first else _decode(events, rules)
                if any(onward):
                    pairs = zip(found, onward, strict=True)
                    found = [msgspec.structs.replace(h, traceparent=trace) for h, trace in pairs]
                return [h for h in found if rules.concerned(h)]

            await self._membership.process(read)
        oldest = min((h.received for h in decoded if h.received), default=None)
        if oldest is not None:
            _age.record(max(self._membership.now - oldest, 0) / 1000, _ATTRIBUTES)


def _decode(events: Sequence[bytes], rules: Rules) -> list[Happening]:
    return [happening(event, rules.wanted, rules.attributes) for event in events]
