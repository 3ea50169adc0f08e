"""The audit: every read of personal data, with who read it and what for.

An answer leaves only when its read is on record. Reads are written in groups, while answers are
made; when that fails, or falls too far behind, reads are refused with UNAVAILABLE, and none is
lost.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from chassis.callers import INTERNAL as INTERNAL_ROLE
from chassis.callers import Call, RoleDenied, call_with_purpose
from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Pool
from chassis.transient import keep_at, transient
from services.profile import roles
from services.profile.directory import Ref
from services.profile.model import Identity, ServiceUnavailable

_MOST_WAITING: Final = 2_000
_AT_ONCE: Final = 200
_FORGET_EVERY: Final = timedelta(hours=1)
_FORGOTTEN: Final = 5_000  # rows at once

_logger = structlog.get_logger()


class Read(NamedTuple):
    """A read of personal data, as it is kept."""

    time: int
    read_id: int
    caller: str
    purpose: str
    method: str
    contact_ids: Sequence[str]
    fields: Sequence[str]


class ReadQuery(NamedTuple):
    """Which reads to list."""

    contact_ids: Sequence[str]
    """Of any of these; empty is everybody."""
    caller: str
    start: int
    end: int
    """Excluded."""


class Reader:
    """Who reads in this call, and what it sees."""

    def __init__(self, reads: "Reads", asked: Call) -> None:
        self._reads = reads
        self._asked = asked
        role = asked.caller.role
        self.sight: Final = roles.INTERNAL if role == INTERNAL_ROLE else roles.SIGHTS[role]

    def named(self, ref: Ref) -> Ref:
        """Whom the caller means. Raises `RoleDenied` when it may not ask by identity."""
        if isinstance(ref, Identity) and not self.sight.names_people:
            raise RoleDenied(self._asked.caller.role, "ask for people by their identities")
        return ref

    @asynccontextmanager
    async def read(self, contact_ids: Sequence[str], fields: Sequence[str]) -> AsyncIterator[None]:
        """Make an answer in the block; at its end the read is on record.

        Raises `ServiceUnavailable`, in which case the answer must not leave.
        """
        if not contact_ids:
            yield
            return
        written = self._reads.enqueue(self._asked, contact_ids, fields)
        await asyncio.sleep(0)  # so that Postgres writes while the answer is made
        try:
            yield
        except BaseException:
            written.cancel()
            raise
        await written


class Reads:
    """The record of all reads."""

    def __init__(self, pool: Pool, clock: Clock, keep: timedelta) -> None:
        """`keep`: how long a read stays on record."""
        self._pool = pool
        self._clock = clock
        self._keep = keep
        self._waiting: list[tuple[tuple[object, ...], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    def reader(self) -> Reader:
        """Who reads in the call that this task serves. Raises `FieldInvalid` without a purpose."""
        asked = call_with_purpose()
        return Reader(self, asked)

    def enqueue(
        self, asked: Call, contact_ids: Sequence[str], fields: Sequence[str]
    ) -> asyncio.Future[None]:
        """Begin to write a read; done when it is durable. Raises `ServiceUnavailable`."""
        if len(self._waiting) >= _MOST_WAITING:
            raise _unavailable()
        row = (
            milliseconds_of(self._clock.now()),
            asked.caller.name,
            asked.purpose,
            asked.method,
            contact_ids,
            fields,
        )
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((row, written))
        self._wake.set()
        return written

    async def run(self) -> None:
        """Write reads until cancelled."""
        while True:
            await self._wake.wait()
            group, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            if not self._waiting:
                self._wake.clear()
            failure: Exception | None = None
            try:
                await self._write([row for row, _ in group])
            except Exception as error:
                failure = _unavailable()
                if not transient(error):
                    raise
                _logger.warning("reads are refused: no audit", error=type(error).__name__)
            finally:
                for _, written in group:
                    if written.done():
                        continue
                    if failure is None:
                        written.set_result(None)
                    else:
                        written.set_exception(failure)

    async def _write(self, group: Sequence[tuple[object, ...]]) -> None:
        async with self._pool.acquire(timeout=10) as connection:
            await connection.executemany(
                "INSERT INTO reads (read_time, caller, purpose, method, contact_ids, fields)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                group,
            )

    async def list(
        self, query: ReadQuery, before: tuple[int, int] | None, limit: int
    ) -> Sequence[Read]:
        """Reads, newest first, before one."""
        whose = "contact_ids && $1::uuid[]" if query.contact_ids else "$1::uuid[] IS NULL"
        rows = await self._pool.fetch(
            "SELECT read_time, read_id, caller, purpose, method, contact_ids::text[], fields"  # noqa: S608 - constants
            f" FROM reads WHERE {whose} AND ($2 = '' OR caller = $2)"
            " AND read_time >= $3 AND read_time < $4"
            " AND ($5::bigint IS NULL OR (read_time, read_id) < ($5, $6))"
            " ORDER BY read_time DESC, read_id DESC LIMIT $7",
            query.contact_ids or None,
            query.caller,
            query.start,
            query.end,
            *(before or (None, None)),
            limit,
        )
        return [Read(*row) for row in rows]

    async def forget(self) -> None:
        """Delete what is older than is kept, until cancelled."""
        await keep_at(self.forget_old, self._clock, _FORGET_EVERY, "old reads stay for now")

    async def forget_old(self) -> int:
        """Delete what is older than is kept; returns how many reads that were."""
        oldest = milliseconds_of(self._clock.now() - self._keep)
        total = 0
        while True:
            done = await self._pool.execute(
                "DELETE FROM reads WHERE (read_time, read_id) IN"
                " (SELECT read_time, read_id FROM reads WHERE read_time < $1 LIMIT $2)",
                oldest,
                _FORGOTTEN,
            )
            count = int(done.rsplit(" ", 1)[1])
            total += count
            if count < _FORGOTTEN:
                return total


def _unavailable() -> ServiceUnavailable:
    return ServiceUnavailable("the read cannot be recorded, so it is refused", service="audit")
