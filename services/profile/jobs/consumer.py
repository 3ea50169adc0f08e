"""From the log to the directory: bytes to happenings, a batch at a time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from chassis.clock import Clock, milliseconds_of
from chassis.telemetry import batch, histogram
from services.profile.contract.wire import decoded, happening
from services.profile.person.directory import Directory
from services.profile.person.model import Happening

_LARGE: Final = 400  # events; only with a backlog are batches that large

_age = histogram("merhaba.event.age")


def recording(
    directory: Directory, clock: Clock, group: str, spare: asyncio.Semaphore | None = None
) -> Callable[[Sequence[bytes]], Coroutine[Any, Any, None]]:
    """The handler of one group: records what concerns people and leaves out the rest.

    `spare`: connections beyond one for each consumer, if any. While there is one a large batch is
    recorded in two halves at once, so that one thinks while the other waits for Postgres.
    """

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
            if spare is None or spare.locked() or len(found) < _LARGE:
                await directory.record(found)
            else:
                async with spare:
                    await _in_halves(directory, found)
        oldest = min(one.received for one in found)
        _age.record(max(milliseconds_of(clock.now()) - oldest, 0) / 1000, {"service": "profile"})

    return record


async def _in_halves(directory: Directory, found: Sequence[Happening]) -> None:
    """Record happenings, those of a person together. Both halves come to their end, whatever
    becomes of the other: what one has recorded is known for a repeat when all of it comes again.
    """
    halves: tuple[list[Happening], list[Happening]] = ([], [])
    for one in found:
        halves[hash(one.contact_id or one.identities[0]) & 1].append(one)
    done = await asyncio.gather(
        *[directory.record(half) for half in halves if half], return_exceptions=True
    )
    for failure in done:
        if failure is not None:
            raise failure
