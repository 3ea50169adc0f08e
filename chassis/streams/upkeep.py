"""Upkeep of the log: trimming what everybody has had, and forgetting consumers that are gone."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.streams.log import EventLog
from chassis.transient import transient

_GONE: Final = timedelta(hours=1)
_EVERY_S: Final = 10.0  # at most: what a full load brings meanwhile is a small part of the memory
_SHORT: Final = 0.6  # of Redis' memory in use; above it the retention has to give
_LEAST: Final = timedelta(seconds=10)
_logger = structlog.get_logger()


class Upkeep:
    """Trims the streams of `topics`, only behind the slowest group and past the retention.

    `XADD MAXLEN` would silently drop what is unread or pending; this never does. When memory is
    short, what every group has had goes after ten seconds, before new events must be refused.
    Several replicas may run it: what it does is the same done twice.
    """

    def __init__(self, log: EventLog, topics: Sequence[str], clock: Clock) -> None:
        self._log = log
        self._topics = topics
        self._clock = clock

    async def run(self) -> None:
        """Trim now and then, until cancelled."""
        retention = self._log.settings.log_retention_s
        while True:
            await self._clock.sleep(timedelta(seconds=min(max(retention / 20, 1), _EVERY_S)))
            try:
                await self.trim()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("no upkeep of the log", error=type(error).__name__)

    async def trim(self) -> int:
        """Drop what every group has acknowledged and is past the retention; says how many."""
        retention = timedelta(seconds=self._log.settings.log_retention_s)
        if await self._log.memory_pressure() > _SHORT:
            retention = min(retention, _LEAST)
        oldest = self._clock.now() - retention
        dropped = 0
        for stream in (s for topic in self._topics for s in self._log.streams(topic)):
            dropped += await self._trim(stream, int(oldest.timestamp() * 1000))
            await asyncio.sleep(0)
        return dropped

    async def _trim(self, stream: str, retained_ms: int) -> int:
        redis = self._log.redis
        if not await redis.exists(stream):
            return 0
        keep_from = (retained_ms, 0)
        groups = await redis.xinfo_groups(stream)
        for group in groups:
            # Entries up to the last delivered one were seen; of those, pending ones still count.
            keep_from = min(keep_from, _following(group["last-delivered-id"]))
            oldest = (await redis.xpending(stream, group["name"]))["min"]
            if oldest is not None:
                keep_from = min(keep_from, _numbers(oldest))
            await self._forget_consumers(stream, group["name"])
        if not groups:
            return 0  # nobody has begun to read: nothing is known to be done with
        milliseconds, sequence = keep_from
        return int(await redis.xtrim(stream, minid=f"{milliseconds}-{sequence}", approximate=True))

    async def _forget_consumers(self, stream: str, group: bytes) -> None:
        """A consumer with nothing pending and long silent is a process that is gone.

        One with pending entries is left alone: deleting it would throw them away.
        """
        for consumer in await self._log.redis.xinfo_consumers(stream, group):
            idle = timedelta(milliseconds=consumer["idle"])
            if consumer["pending"] == 0 and idle > _GONE:
                await self._log.redis.xgroup_delconsumer(stream, group, consumer["name"])


def _numbers(entry_id: bytes | str) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence)


def _following(entry_id: bytes | str) -> tuple[int, int]:
    milliseconds, sequence = _numbers(entry_id)
    return milliseconds, sequence + 1
