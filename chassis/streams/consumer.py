"""Consuming the log: batches in, retries, isolation of the one bad event, claims from the dead."""

import asyncio
import os
import secrets
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Final, TypeVar

import structlog
from opentelemetry.trace import SpanKind
from redis.exceptions import ResponseError

from chassis import names
from chassis.failures import Failure
from chassis.streams import framing
from chassis.streams.dead_letters import DeadLetters
from chassis.streams.log import FIELD, REDIS_TIMEOUT_S, Entry, EventLog
from chassis.telemetry import counter, failed, gauge, histogram
from chassis.transient import transient

T = TypeVar("T")

Handle = Callable[[Sequence[bytes]], Awaitable[None]]
"""Handles a batch of serialised events, wholly or not at all: when it raises, nothing happened."""

_ENTRIES: Final = 200  # read at once, of each stream; fewer where they are large
_EVENTS: Final = 1_000  # handled at once
_READ: Final = 2 * _EVENTS  # about as many are read at once
_BLOCK_MS: Final = 1_000  # also how long stopping may take when nothing comes
_ATTEMPTS: Final = 3  # for one event alone
_DEADLY: Final = 10  # deliveries after which an entry is held to kill its consumers
_CLAIMS: Final = 100
_TELL_S: Final = 10
_BACKOFF_S: Final = (0.05, 0.2, 1.0, 3.0)
_UNHURRIED: Final = 3  # times as far apart are reads for whom nobody waits

_events = counter("merhaba.consumer.events")
_dead = counter("merhaba.consumer.dead_letters")
_claimed = counter("merhaba.consumer.claimed")
_size = histogram("merhaba.consumer.batch.size")
_duration = histogram("merhaba.consumer.batch.duration")
_lag = gauge("merhaba.consumer.lag")
_pending = gauge("merhaba.consumer.pending")

_logger = structlog.get_logger()


class Consumer:
    """One member of a group, reading topics and handing their events over in batches.

    All streams are read together where Redis allows it (one server), one by one on a cluster.
    """

    def __init__(
        self,
        log: EventLog,
        group: str,
        topics: Sequence[str],
        handle: Handle,
        part: int = 0,
        parts: int = 1,
        *,
        hurry: bool = True,
    ) -> None:
        """`part` of `parts`: consumers of one process that divide the streams among them, so that
        what is of one key does not wait for itself; where there are fewer, some share one. `hurry`:
        whether anything waits for what comes of it; else batches are larger and cost less."""
        self._log = log
        self._group = group
        self._topics = topics
        self._part, self._parts = part, parts
        self._handle = handle
        self._pace_s = log.settings.log_pace_ms / 1000 * (1 if hurry else _UNHURRIED)
        self._letters = DeadLetters(log)
        self._name = f"{log.settings.instance}-{os.getpid()}-{secrets.token_hex(3)}"
        self._attributes = {names.MESSAGING_GROUP: group}
        self._held: dict[tuple[str, bytes], float] = {}

    async def run(self) -> None:
        """Consume until cancelled; what was taken is finished or left for another to claim."""
        await self._forever(self._ensure)
        streams = [s for topic in self._topics for s in self._log.streams(topic)]
        streams = streams[self._part % len(streams) :: self._parts]
        parts = [[s] for s in streams] if self._log.clustered else [streams]
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(self._read(part), name=f"{self._group} reads")
            tasks.create_task(self._claim(streams), name=f"{self._group} claims")
            tasks.create_task(self._renew(), name=f"{self._group} renews")
            tasks.create_task(self._tell(), name=f"{self._group} tells")

    async def _ensure(self) -> None:
        await self._log.ensure_group(self._group, self._topics)

    async def _read(self, streams: Sequence[str]) -> None:
        most = _ENTRIES
        while True:
            started = monotonic()
            entries = await self._forever(
                partial(self._log.read_group, self._group, self._name, streams, most, _BLOCK_MS)
            )
            if entries:
                events = await self._process(entries)
                if events < _EVENTS and len(entries) < most:  # else more is there already
                    await asyncio.sleep(max(started + self._pace_s - monotonic(), 0))
                most = min(max(most * _READ // max(events, 1), 1), 2 * most, _ENTRIES)

    async def _process(self, entries: Sequence[Entry]) -> int:
        """Have them handled; returns how many events they held."""
        started = perf_counter()
        held = {(entry.stream, entry.id): started for entry in entries}
        self._held |= held
        events = [(entry.stream, event) for entry in entries for event in await self._split(entry)]
        for start in range(0, len(events), _EVENTS):
            await self._attempt(events[start : start + _EVENTS])
        await self._forever(lambda: self._log.acknowledge(self._group, entries))
        for entry in held:
            del self._held[entry]
        _events.add(len(events), self._attributes)
        _size.record(len(events), self._attributes)
        _duration.record(perf_counter() - started, self._attributes)
        return len(events)

    async def _split(self, entry: Entry) -> list[bytes]:
        """The events of an entry; one that was not made by the log is given up as a whole."""
        if entry.body is None:
            return []  # trimmed meanwhile: nothing is left to do but to acknowledge it
        try:
            return framing.split(entry.body)
        except ValueError as error:
            await self._give_up(entry.stream, entry.body, str(error))
            return []

    async def _attempt(self, events: list[tuple[str, bytes]]) -> None:
        """Handle events; when they fail as a batch, find the ones to blame by halving."""
        failures = waits = 0
        while True:
            try:
                await self._handle([event for _, event in events])
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is judged here
                if transient(error):
                    _logger.warning("waiting", group=self._group, error=type(error).__name__)
                    await asyncio.sleep(_BACKOFF_S[min(waits, len(_BACKOFF_S) - 1)])
                    waits += 1
                    continue
                if len(events) > 1:
                    middle = len(events) // 2
                    await self._attempt(events[:middle])
                    await self._attempt(events[middle:])
                    return
                failures += 1
                if failures >= _ATTEMPTS or isinstance(error, Failure):
                    stream, event = events[0]
                    await self._give_up(stream, event, _reason(error))
                    return
                await asyncio.sleep(_BACKOFF_S[failures - 1])
            else:
                return

    async def _give_up(self, stream: str, event: bytes, reason: str) -> None:
        await self._forever(lambda: self._letters.put(self._group, stream, reason, event))
        _dead.add(1, self._attributes)
        failed("give up", SpanKind.CONSUMER, reason.partition(":")[0], self._attributes)
        _logger.error("dead letter", group=self._group, reason=reason)

    async def _claim(self, streams: Sequence[str]) -> None:
        """Take over entries whose consumer has been silent for too long."""
        idle = self._log.settings.log_claim_idle_ms
        while True:
            await asyncio.sleep(idle / 3000)
            for stream in streams:
                for entry, times in await self._forever(partial(self._stuck, stream, idle)):
                    await self._reprocess(entry, times)

    async def _stuck(self, stream: str, idle: int) -> list[tuple[Entry, int]]:
        """Entries taken over, each with how often it was delivered before."""
        redis = self._log.redis
        pending = await redis.xpending_range(stream, self._group, "-", "+", _CLAIMS, idle=idle)
        deliveries = {
            one["message_id"]: one["times_delivered"]
            for one in pending
            if (stream, one["message_id"]) not in self._held
        }
        if not deliveries:
            return []
        taken = await redis.xclaim(stream, self._group, self._name, idle, list(deliveries))
        bodies = {entry_id: fields[FIELD] for entry_id, fields in taken if fields}
        for entry_id in deliveries.keys() - bodies.keys():
            if not await redis.xrange(stream, entry_id, entry_id):
                # Trimmed meanwhile. Redis 6 would keep it pending for ever.
                await self._log.acknowledge(self._group, [Entry(stream, entry_id, None)])
        _claimed.add(len(bodies), self._attributes)
        return [(Entry(stream, i, body), deliveries[i]) for i, body in bodies.items()]

    async def _renew(self) -> None:
        """Say of what takes long that it is being worked on, so that nobody else claims it."""
        idle = self._log.settings.log_claim_idle_ms
        while True:
            await asyncio.sleep(idle / 3000)
            for stream in {stream for stream, _ in self._held}:
                await self._forever(partial(self._touch, stream))

    async def _touch(self, stream: str) -> None:
        redis = self._log.redis
        own = await redis.xpending_range(
            stream, self._group, "-", "+", _ENTRIES + _CLAIMS, consumername=self._name
        )
        # Only what is still this one's: after a long pause others may have taken it.
        if ids := [one["message_id"] for one in own if (stream, one["message_id"]) in self._held]:
            await redis.xclaim(stream, self._group, self._name, 0, ids, justid=True)

    async def _tell(self) -> None:
        """How far the group is behind, and how long what this member has in hand has been there."""
        own = {**self._attributes, names.PART: str(self._part)}
        while True:
            now = perf_counter()
            _pending.set(now - min(self._held.values(), default=now), own)
            for topic in self._topics if self._part == 0 else ():
                lags = await self._forever(partial(self._log.lag, [topic], self._group))
                behind = max((one.behind for one in lags), default=timedelta())
                _lag.set(behind.total_seconds(), {**self._attributes, names.MESSAGING_TOPIC: topic})
            await asyncio.sleep(_TELL_S)

    async def _reprocess(self, entry: Entry, times: int) -> None:
        if times < _DEADLY:
            await self._process([entry])
            return
        for event in await self._split(entry):
            await self._give_up(entry.stream, event, f"its consumer died {times} times")
        await self._forever(partial(self._log.acknowledge, self._group, [entry]))

    async def _forever(self, do: Callable[[], Awaitable[T]]) -> T:
        """Do it, however long Redis stays away; make the group again when Redis lost it."""
        attempt, lost = 0, False
        while True:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    if lost:
                        await self._ensure()
                        lost = False
                    return await do()
            except Exception as error:
                if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
                    _logger.warning("the log lost its groups; making them again")
                    lost = True
                    continue
                if not transient(error):
                    raise
                _logger.warning("no event log", group=self._group, error=type(error).__name__)
                await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1


def _reason(error: Exception) -> str:
    """Why, for the dead letter: a failure's own words, of other errors only the kind and place."""
    if isinstance(error, Failure):
        return f"{error.reason}: {error.message}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name} ({Path(frame.filename).name}:{frame.lineno})"
