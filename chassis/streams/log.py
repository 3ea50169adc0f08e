"""Writing to the log and reading from it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple
from zlib import crc32

import structlog
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from chassis.failures import Busy, Misconfigured, Unavailable
from chassis.groups import settle
from chassis.settings import LogSettings
from chassis.streams import framing
from chassis.streams.pace import WriteTimes
from chassis.telemetry import counter, histogram

FIELD: Final = b"e"  # the one field of an entry: an EventBatch
_ENTRY_BYTES: Final = 256 * 1024
_ENOUGH: Final = 64  # events waiting: no need to wait for more
_PENDING_BYTES: Final = 64 * 1024 * 1024  # of one process, waiting to be written
_WAIT_TIMEOUT_MS: Final = 1000
REDIS_TIMEOUT_S: Final = 15.0  # a Redis that is silent for longer is treated as gone
_CLUSTER_SCHEME: Final = "redis+cluster://"

_appended = counter("merhaba.log.appended")
_flushes = histogram("merhaba.log.flush.duration")
_logger = structlog.get_logger()


Done = Callable[[Unavailable | None], None]
"""Told once what became of a write: None when it is durable, else why it may not be."""


class Record(NamedTuple):
    """One event on its way to the log."""

    topic: str
    """Topic, with its lane: `inbound.status`."""
    key: str
    """What keeps order within a shard: an identity or a contact id."""
    event: bytes
    """A serialised `merhaba.event.v1.Event` (or a webhook's envelope, on `raw`)."""


class Entry(NamedTuple):
    """One entry as a consumer sees it. `body` is None when it was trimmed meanwhile."""

    stream: str
    id: bytes
    body: bytes | None


class Position(NamedTuple):
    """A place in one stream, to read on from."""

    stream: str
    id: bytes


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is behind on one stream."""

    stream: str
    group: str
    behind: timedelta
    """Age of the oldest entry that the group has not finished; zero when it has finished all."""
    pending: int
    """Entries delivered and not yet acknowledged."""


class EventLog:
    """The log of one suite: topics, each in `shards` streams."""

    def __init__(self, redis: "Redis | RedisCluster", settings: LogSettings) -> None:
        self.redis: Any = redis
        self.settings = settings
        self.clustered = isinstance(redis, RedisCluster)
        self._pending: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self._pending_bytes = 0
        self._callers: list[Done] = []
        self._wake = asyncio.Event()
        self._enough = asyncio.Event()
        self._waiting = 0
        self._since = 0.0  # when the first of them came, by the loop's clock
        self.writes = WriteTimes()
        """How long writes take."""

    def streams(self, topic: str) -> list[str]:
        """The Redis keys of a topic, one a shard; each has a hash tag of its own."""
        return [self._stream(topic, shard) for shard in range(self.settings.log_shards)]

    def key(self, name: str) -> str:
        """A key of the log's own bookkeeping."""
        return f"{self.settings.log_namespace}:{name}"

    def _stream(self, topic: str, shard: int) -> str:
        return f"{self.settings.log_namespace}:{{{topic}:{shard}}}"

    async def check_shards(self) -> None:
        """Refuse to start with another number of shards than the log was made with."""
        key, wanted = self.key("shards"), self.settings.log_shards
        await self.redis.set(key, wanted, nx=True)
        found = int(await self.redis.get(key))
        if found != wanted:
            raise Misconfigured(f"LOG_SHARDS: is {wanted}, but this log was made with {found}")

    async def append(self, records: Sequence[Record]) -> None:
        """Write events; they are durable when this returns.

        Events of concurrent callers share entries. Raises `Busy` when too much waits to be
        written already, `Unavailable` when Redis did not take them: then some may stand in the
        log, and repeating the call is safe because consumers know events by their ids.
        """
        if not records:
            return
        written = asyncio.get_running_loop().create_future()
        self.post(records, partial(settle, written))
        await written

    def post(self, records: Sequence[Record], done: Done) -> None:
        """Write events as `append` does, without waiting: `done` is told. Raises `Busy`."""
        size = sum([len(record.event) for record in records])
        if self._pending_bytes + size > _PENDING_BYTES:
            raise Busy("the event log is slower than what comes in", timedelta(seconds=2))
        shards = self.settings.log_shards
        pending = self._pending
        for topic, key, event in records:
            shard = crc32(key.encode()) % shards if shards > 1 else 0
            pending[topic, shard].append(event)
        self._pending_bytes += size
        self._waiting += len(records)
        if self._waiting >= _ENOUGH:
            self._enough.set()
        if not self._callers:
            self._since = asyncio.get_running_loop().time()
        self._callers.append(done)
        self._wake.set()

    async def run(self) -> None:
        """Write what was appended, batch after batch, until cancelled."""
        linger = self.settings.log_linger_ms / 1000
        patience = self.settings.log_timeout_s
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(linger):
                    await self._enough.wait()
            batch, callers, size = self._pending, self._callers, self._pending_bytes
            self._pending, self._callers, self._waiting = defaultdict(list), [], 0
            self._wake.clear()
            self._enough.clear()
            since, self._since = self._since, 0.0
            started = perf_counter()
            # Until it is certain: nobody may be told that it is durable when it is not
            failure: Unavailable | None = Unavailable("the event log's writer was stopped")
            try:
                with self.writes.one():
                    # Who waited behind a write that hung does not wait as long once more
                    async with asyncio.timeout_at(max(since + patience, loop.time() + 1)):
                        await self._write(batch)
                failure = None
            except Exception as error:
                failure = Unavailable(f"the event log did not take it: {type(error).__name__}")
                failure.__cause__ = error
                if not isinstance(error, RedisError | OSError | TimeoutError):
                    _logger.exception("the event log's writer failed")
            finally:
                self._pending_bytes -= size
                for done in callers:
                    # Not called here: what goes wrong in one of them is nobody else's
                    loop.call_soon(done, failure)
            if failure is None:
                _flushes.record(perf_counter() - started)
                _appended.add(sum(len(events) for events in batch.values()))

    async def _write(self, batch: Mapping[tuple[str, int], list[bytes]]) -> None:
        async with self.redis.pipeline(transaction=False) as pipe:
            for (topic, shard), events in batch.items():
                stream = self._stream(topic, shard)
                for chunk in _chunks(events):
                    pipe.xadd(stream, {FIELD: framing.join(chunk)})
            replicas = self.settings.log_wait_replicas
            if replicas:
                pipe.execute_command("WAIT", replicas, _WAIT_TIMEOUT_MS)
            results = await pipe.execute()
        if replicas and results[-1] < replicas:
            raise TimeoutError(f"{results[-1]} of {replicas} replicas have it")

    async def ensure_group(self, group: str, topics: Sequence[str]) -> None:
        """Make the group on every stream, from the beginning: an entry before it is not lost."""
        for stream in (s for topic in topics for s in self.streams(topic)):
            try:
                await self.redis.xgroup_create(stream, group, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def read_group(
        self, group: str, consumer: str, streams: Sequence[str], count: int, block_ms: int | None
    ) -> list[Entry]:
        """New entries for a consumer of a group; waits up to `block_ms` for the first."""
        found = await self.redis.xreadgroup(
            group, consumer, dict.fromkeys(streams, ">"), count=count, block=block_ms
        )
        return [
            Entry(_text(stream), entry_id, fields.get(FIELD) if fields else None)
            for stream, entries in found or ()
            for entry_id, fields in entries
        ]

    async def read(
        self, positions: Sequence[Position], count: int, block_ms: int
    ) -> list[tuple[Position, list[bytes]]]:
        """Entries after `positions`, without a group: for watching, not for work."""
        found = await self.redis.xread(dict(positions), count=count, block=block_ms)
        return [
            (Position(_text(stream), entry_id), framing.split(fields[FIELD]))
            for stream, entries in found or ()
            for entry_id, fields in entries
        ]

    async def end(self, topic: str) -> list[Position]:
        """The present end of each stream of a topic."""
        return [
            Position(stream, newest[0][0] if newest else b"0-0")
            for stream in self.streams(topic)
            for newest in [await self.redis.xrevrange(stream, count=1)]
        ]

    async def acknowledge(self, group: str, entries: Sequence[Entry]) -> None:
        """Tell the log that a group is done with `entries`."""
        ids: dict[str, list[bytes]] = defaultdict(list)
        for entry in entries:
            ids[entry.stream].append(entry.id)
        async with self.redis.pipeline(transaction=False) as pipe:
            for stream, which in ids.items():
                pipe.xack(stream, group, *which)
            await pipe.execute()

    async def lag(self, topics: Sequence[str], of: str = "") -> list[Lag]:
        """How far every group of `topics` is behind, or that one alone.

        Told from entry ids, which are milliseconds of Redis' clock: `lag` of XINFO is missing in
        Redis 6 and wrong after trimming in 7. Costs three round trips, however many there are.
        """
        seconds, microseconds = await self.redis.time()
        now = seconds * 1000 + microseconds // 1000
        groups = [
            (stream, group)
            for stream, found in (await self._groups(topics)).items()
            for group in found
            if not of or _text(group["name"]) == of
        ]
        lags: list[Lag] = []
        for (stream, group), unfinished in zip(groups, await self._unfinished(groups), strict=True):
            ages = [max(now - _milliseconds(entry_id), 1) for entry_id in unfinished]
            behind = timedelta(milliseconds=max(ages, default=0))
            lags.append(Lag(stream, _text(group["name"]), behind, group["pending"]))
        return lags

    async def _groups(self, topics: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The groups of each stream there is."""
        streams = [stream for topic in topics for stream in self.streams(topic)]
        async with self.redis.pipeline(transaction=False) as pipe:
            for stream in streams:
                pipe.xinfo_groups(stream)
            told = await pipe.execute(raise_on_error=False)
        for one in told:
            if isinstance(one, Exception) and "no such key" not in str(one):
                raise one
        return {s: one for s, one in zip(streams, told, strict=True) if isinstance(one, list)}

    async def _unfinished(self, groups: Sequence[tuple[str, dict[str, Any]]]) -> list[list[bytes]]:
        """Of each group the oldest entry that is unread, and the oldest pending, if there are."""
        if not groups:
            return []
        async with self.redis.pipeline(transaction=False) as pipe:
            for stream, group in groups:
                pipe.xrange(stream, f"({_text(group['last-delivered-id'])}", "+", count=1)
                pipe.xpending(stream, group["name"])
            # As Redis says it, without the pipeline's words before: consumers know a lost group
            told = await pipe.execute(raise_on_error=False)
        for one in told:
            if isinstance(one, Exception):
                raise one
        return [
            [entry_id for entry_id, _ in unread] + ([pending["min"]] if pending["min"] else [])
            for unread, pending in zip(told[::2], told[1::2], strict=True)
        ]

    async def pulse(self) -> None:
        """Write the least that there is, as durably as anything."""
        await self.redis.set(self.key("pulse"), 1, ex=60)

    async def memory_pressure(self) -> float:
        """Share of Redis' `maxmemory` in use, 0 to 1; 0 where there is no maximum."""
        where = {"target_nodes": RedisCluster.PRIMARIES} if self.clustered else {}
        info = await self.redis.info("memory", **where)
        nodes = [info] if "used_memory" in info else info.values()
        return max(n["used_memory"] / n["maxmemory"] if n["maxmemory"] else 0.0 for n in nodes)


def _chunks(events: list[bytes]) -> list[list[bytes]]:
    """`events` in runs of at most `_ENTRY_BYTES` (one larger event stands alone)."""
    chunks: list[list[bytes]] = [[]]
    size = 0
    for event in events:
        if chunks[-1] and size + len(event) > _ENTRY_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(event)
        size += len(event)
    return chunks


def _milliseconds(entry_id: bytes | str) -> int:
    return int(_text(entry_id).split("-", 1)[0])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def connect(url: str) -> "Redis | RedisCluster":
    """A client of one Redis or of a cluster, by the URL's scheme.

    Commands are not retried here: who writes twice must know it. Nor have they a time-out here:
    the client's own goes through `asyncio.wait_for`, which before Python 3.12 can swallow a
    cancellation (and costs a task a command); callers use `asyncio.timeout`.
    """
    options: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": 5, "socket_timeout": None}
    if url.startswith(_CLUSTER_SCHEME):
        return RedisCluster.from_url("redis://" + url.removeprefix(_CLUSTER_SCHEME), **options)
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)


@asynccontextmanager
async def event_log(settings: LogSettings) -> AsyncIterator[EventLog]:
    """The log, connected and writing, for as long as the block runs."""
    redis = connect(settings.redis_url)
    if settings.log_wait_replicas and isinstance(redis, RedisCluster):
        raise Misconfigured("LOG_WAIT_REPLICAS: needs a single Redis, not a cluster; leave it at 0")
    log = EventLog(redis, settings)
    try:
        await log.check_shards()
    except (RedisError, OSError) as error:
        await redis.aclose()
        raise Misconfigured(f"REDIS_URL: no Redis answers there ({type(error).__name__})") from None
    except Misconfigured:
        await redis.aclose()
        raise
    writer = asyncio.create_task(log.run(), name="event log writer")
    try:
        yield log
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        await redis.aclose()
