"""From the log to the directory: bytes to happenings, a batch at a time."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from chassis.clock import Clock, milliseconds_of
from chassis.telemetry import batch, histogram
from services.profile.directory import Directory
from services.profile.wire import decoded, happening

_age = histogram("merhaba.event.age")


def recording(
    directory: Directory, clock: Clock, group: str
) -> Callable[[Sequence[bytes]], Coroutine[Any, Any, None]]:
    """The handler of one group: records what concerns people and leaves out the rest."""

    async def record(raws: Sequence[bytes]) -> None:
        events = [decoded(raw) for raw in raws]
        with batch("profile process", group, [e.traceparent for e in events]) as onward:
            found = [
                one
                for event, raw, trace in zip(events, raws, onward, strict=True)
                if (one := happening(event, raw, trace)) is not None
            ]
            if not found:
                return
            await directory.record(found)
        oldest = min(one.received for one in found)
        _age.record(max(milliseconds_of(clock.now()) - oldest, 0) / 1000, {"service": "profile"})

    return record
