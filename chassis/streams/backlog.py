"""How the log stands, for people: what is not read yet, by whom, and how much memory it takes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from redis.asyncio import RedisCluster

from chassis.streams.log import EventLog

_COUNTED: Final = 1_000
# In pages, since entries are large and all of a page is in memory at once.
_COUNT: Final = """
local after, count = ARGV[1], 0
repeat
    local page = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', 100)
    count = count + #page
    if #page > 0 then after = page[#page][1] end
until #page < 100 or count >= tonumber(ARGV[2])
return count
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a group has before it on one stream."""

    stream: str
    group: str
    behind: timedelta
    """Age of the oldest entry that the group has not finished; zero when it has finished all."""
    unread: int
    """Entries not yet delivered to anybody of the group. Redis 7 knows; where it does not, they are
    counted, up to 1,000."""
    pending: int
    """Entries delivered and not yet acknowledged."""
    consumers: int
    """Members of the group, with those that went away in the last hour."""


class Memory(NamedTuple):
    """Of a Redis, or of the fullest one of a cluster."""

    used_bytes: int
    limit_bytes: int
    """0: there is none."""


async def backlogs(log: EventLog, topics: list[str]) -> list[Backlog]:
    """What every group of `topics` has before it."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    told: list[Backlog] = []
    for lag in await log.lag(topics):
        groups = found.get(lag.stream)
        if groups is None:
            named = await log.redis.xinfo_groups(lag.stream)
            groups = found[lag.stream] = {group["name"].decode(): group for group in named}
        group = groups[lag.group]
        unread = group.get("lag")
        if unread is None:
            unread = 0
            if lag.behind:
                after = group["last-delivered-id"]
                unread = await log.redis.eval(_COUNT, 1, lag.stream, after, _COUNTED)
        told.append(
            Backlog(lag.stream, lag.group, lag.behind, unread, lag.pending, group["consumers"])
        )
    return told


async def memory(log: EventLog) -> Memory:
    """How much memory the log's Redis uses, and may use."""
    where = {"target_nodes": RedisCluster.PRIMARIES} if log.clustered else {}
    info = await log.redis.info("memory", **where)
    nodes = [info] if "used_memory" in info else info.values()
    all_of_them = [Memory(node["used_memory"], node["maxmemory"]) for node in nodes]
    return max(all_of_them, key=lambda one: one.used_bytes / (one.limit_bytes or float("inf")))
