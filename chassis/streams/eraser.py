"""Erasing a person from the log: whole entries, once every group has had them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from chassis.clock import Clock
from chassis.streams import framing
from chassis.streams.log import FIELD, EventLog

Concerns = Callable[[str, bytes], bool]
"""Whether an event of a topic is one to erase."""

_ENTRIES: Final = 8  # read at once; each is 256 KiB at most, or one event
_EVERY: Final = timedelta(milliseconds=100)


class Eraser:
    """Deletes entries from the log."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def erase(
        self, topics: Sequence[str], concerns: Concerns, patience: timedelta
    ) -> tuple[int, int]:
        """Delete the entries now in the log that hold an event which `concerns`; returns how many
        were deleted, and how many could not be because a group has not finished them in time.

        What else is in such an entry goes too: every group has had it.
        """
        deadline = self._clock.now() + patience
        found = {
            stream: ids
            for topic in topics
            for stream in self._log.streams(topic)
            if (ids := await self._find(topic, stream, concerns))
        }
        erased = 0
        while True:
            for stream in list(found):
                finished = await self._finished(stream, found[stream])
                if finished:
                    erased += await self._log.redis.xdel(stream, *finished)
                found[stream] = [one for one in found[stream] if one not in finished]
            left = sum(map(len, found.values()))
            if not left or self._clock.now() >= deadline:
                return erased, left
            await self._clock.sleep(_EVERY)

    async def _find(self, topic: str, stream: str, concerns: Concerns) -> list[bytes]:
        redis = self._log.redis
        newest = await redis.xrevrange(stream, count=1)
        found: list[bytes] = []
        start = b"-"
        while newest:
            page = await redis.xrange(stream, start, newest[0][0], count=_ENTRIES)
            for entry_id, fields in page:
                if any(concerns(topic, event) for event in _events(fields)):
                    found.append(entry_id)
            if len(page) < _ENTRIES:
                break
            start = b"(" + page[-1][0]
        return found

    async def _finished(self, stream: str, entry_ids: Sequence[bytes]) -> set[bytes]:
        """Those that every group has read and acknowledged. Without groups it is all."""
        redis = self._log.redis
        groups: list[dict[str, Any]] = await redis.xinfo_groups(stream)
        finished: set[bytes] = set()
        for entry_id in entry_ids:
            for group in groups:
                if _numbers(entry_id) > _numbers(group["last-delivered-id"]):
                    break
                if await redis.xpending_range(stream, group["name"], entry_id, entry_id, 1):
                    break
            else:
                finished.add(entry_id)
        return finished


def _events(fields: dict[bytes, bytes]) -> list[bytes]:
    try:
        return framing.split(fields[FIELD])
    except ValueError:
        return [fields[FIELD]]  # not made by the log; its one piece is looked at as it is


def _numbers(entry_id: bytes | str) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)
