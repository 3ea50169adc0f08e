"""The log as it is appended, for whoever watches: chosen, resumed by a cursor, with heartbeats."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message

from chassis import paging
from chassis.clock import Clock, milliseconds_of, moment_of
from chassis.failures import CursorExpired, TokenInvalid
from chassis.streams.log import EventLog, Position

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Choose = Callable[[str, Sequence[bytes]], list[T]]
"""Given a topic and events of it: what of them is wanted, in whatever form."""

_HEARTBEAT: Final = timedelta(seconds=4)  # leaves a second to be at most 5 on the way
_CLUSTER_PAUSE_MS: Final = 100
_PATIENCE_S: Final = 10.0
_ENTRIES: Final = 8  # of each stream at once; an entry is 256 KiB at most, or one event
_RESPONSE_BYTES: Final = 1024 * 1024
_SKEW_MS: Final = 60_000  # between our clock and the log's
_ID: Final = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)
_BEGINNING: Final = b"0-0"
_LAST_NUMBER: Final = 2**64 - 1
_logger = structlog.get_logger()


def readable(kind: type[M], topic: str, raws: Sequence[bytes]) -> Iterator[M]:
    """Events as messages of `kind`. One that cannot be decoded is left out, and that is told: every
    group that reads the topic has it as a dead letter."""
    for raw in raws:
        try:
            yield kind.FromString(raw)
        except DecodeError:
            _logger.warning("an event that cannot be decoded was left out", topic=topic)


class Watch:
    """Reads the log without a group: whoever watches takes nothing from anybody."""

    def __init__(self, log: EventLog, clock: Clock, heartbeat: timedelta = _HEARTBEAT) -> None:
        """`heartbeat`: the longest time without a response."""
        self._log = log
        self._clock = clock
        self._heartbeat = heartbeat

    async def follow(
        self,
        topics: Sequence[str],
        query: bytes,
        cursor: str,
        start_ms: int | None,
        choose: Choose[T],
    ) -> AsyncIterator[tuple[str, list[T]]]:
        """What is wanted of topics, each time with the cursor behind it, until cancelled.

        Begins behind `cursor`, which is good for `query` alone, or at `start_ms`, or now. The first
        is empty, and so are heartbeats. Raises `TokenInvalid` and `CursorExpired`.
        """
        topic_of = {stream: topic for topic in topics for stream in self._log.streams(topic)}
        places = await self._begin(topic_of, query, cursor, start_ms)
        yield places.cursor(query), []
        said = self._clock.now()
        while True:
            before_ms = milliseconds_of(self._clock.now())
            found = await self._read(places, self._heartbeat - (self._clock.now() - said))
            pending: list[T] = []
            size = 0
            for position, events in found:
                wanted = choose(topic_of[position.stream], events)
                more = sum(len(event) for event in events) if wanted else 0
                if pending and size + more > _RESPONSE_BYTES:
                    yield places.cursor(query), pending
                    pending, size, said = [], 0, self._clock.now()
                places.advance(position)
                pending += wanted
                size += more
            places.caught_up(found, before_ms)
            if pending or self._clock.now() - said >= self._heartbeat:
                yield places.cursor(query), pending
                said = self._clock.now()

    async def _read(self, places: "_Places", rest: timedelta) -> list[tuple[Position, list[bytes]]]:
        """What follows, at once or as soon as there is something within `rest`."""
        wait_ms = max(rest // timedelta(milliseconds=1), 1)
        positions = places.positions()
        async with asyncio.timeout(wait_ms / 1000 + _PATIENCE_S):
            if not self._log.clustered:
                return await self._log.read(positions, _ENTRIES, wait_ms)
            # Streams of a cluster are on several nodes, which no one command can wait for
            found = [e for one in positions for e in await self._log.read([one], _ENTRIES, 1)]
            if not found:
                await asyncio.sleep(min(wait_ms, _CLUSTER_PAUSE_MS) / 1000)
            return found

    async def _begin(
        self, topic_of: dict[str, str], query: bytes, cursor: str, start_ms: int | None
    ) -> "_Places":
        now_ms = milliseconds_of(self._clock.now())
        place = paging.place(cursor, query, [str, int], "cursor")
        if place is not None:
            ids = place[0].split(",")
            if len(ids) != len(topic_of) or not all(map(_is_id, ids)):
                raise TokenInvalid("cursor")
            places = _Places(dict(zip(topic_of, map(str.encode, ids), strict=True)), place[1])
            await self._check_held(places, now_ms)
            return places
        if start_ms is not None:
            before = f"{max(start_ms, 1) - 1}-{_LAST_NUMBER}".encode()
            return _Places(dict.fromkeys(topic_of, before), min(start_ms, now_ms) - _SKEW_MS)
        topics = dict.fromkeys(topic_of.values())
        ends = [position for topic in topics for position in await self._log.end(topic)]
        return _Places({end.stream: end.id for end in ends}, now_ms - _SKEW_MS)

    async def _check_held(self, places: "_Places", now_ms: int) -> None:
        """Raise when something may have been trimmed that was not seen. What is younger than the
        log's retention never is."""
        if places.seen_ms >= now_ms - self._log.settings.log_retention_s * 1000:
            return
        oldest_ms: list[int] = []
        lost = False
        for stream, position in places.positions():
            held = await self._log.read([Position(stream, _BEGINNING)], 1, 1)
            if held:
                first = held[0][0].id
                oldest_ms.append(_numbers(first)[0])
                # An entry that was seen and is still there: what follows it is there as well
                lost |= _numbers(first) > _numbers(position)
            else:
                lost |= position != _BEGINNING
        if lost:
            raise CursorExpired(moment_of(min(oldest_ms, default=now_ms)))


class _Places:
    """Where a watcher stands in each stream of the log, and until when it has seen everything."""

    def __init__(self, ids: dict[str, bytes], seen_ms: int) -> None:
        self._ids = ids
        self._seen_ms = dict.fromkeys(ids, seen_ms)

    @property
    def seen_ms(self) -> int:
        return min(self._seen_ms.values())

    def positions(self) -> list[Position]:
        return [Position(*place) for place in self._ids.items()]

    def advance(self, position: Position) -> None:
        self._ids[position.stream] = position.id
        at_ms, _ = _numbers(position.id)
        self._seen_ms[position.stream] = max(self._seen_ms[position.stream], at_ms)

    def caught_up(self, found: Sequence[tuple[Position, list[bytes]]], at_ms: int) -> None:
        """A stream that gave less than it was asked for had nothing more at that time."""
        given = Counter(position.stream for position, _ in found)
        for stream, seen_ms in self._seen_ms.items():
            if given[stream] < _ENTRIES:
                self._seen_ms[stream] = max(seen_ms, at_ms - _SKEW_MS)

    def cursor(self, query: bytes) -> str:
        ids = ",".join(one.decode() for one in self._ids.values())
        return paging.token(query, [ids, self.seen_ms])


def _is_id(value: str) -> bool:
    return bool(_ID.fullmatch(value)) and max(_numbers(value.encode())) <= _LAST_NUMBER


def _numbers(entry_id: bytes) -> tuple[int, int]:
    at_ms, _, number = entry_id.decode().partition("-")
    return int(at_ms), int(number)
