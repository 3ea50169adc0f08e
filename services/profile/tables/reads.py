"""The audit of reads: of whom, and which fields; what the reader may see, and whom others read of.

An answer leaves only when its read is on record. Reads are written in groups, while answers are
made; when that fails, or falls too far behind, reads are refused, and none is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, NamedTuple

from chassis import reads
from chassis.callers import INTERNAL as INTERNAL_ROLE
from chassis.callers import Call, RoleDenied, call_with_purpose
from chassis.clock import Clock
from chassis.failures import Unavailable
from chassis.groups import Groups
from chassis.postgres import Pool
from services.profile.person import roles
from services.profile.person.directory import Ref
from services.profile.person.model import Identity


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

        Raises `Unavailable`, in which case the answer must not leave.
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


class Reads(reads.Reads):
    """The record of all reads."""

    def __init__(self, pool: Pool, clock: Clock, keep: timedelta) -> None:
        """`keep`: how long a read stays on record."""
        super().__init__(pool, clock, keep, ("contact_ids", "fields"))
        self._groups = Groups(self._write, _unavailable, "reads are refused: no audit")

    def reader(self) -> Reader:
        """Who reads in the call that this task serves. Raises `FieldInvalid` without a purpose."""
        asked = call_with_purpose()
        return Reader(self, asked)

    def enqueue(
        self, asked: Call, contact_ids: Sequence[str], fields: Sequence[str]
    ) -> asyncio.Future[None]:
        """Begin to write a read; done when it is durable. Raises `Unavailable`."""
        return self._groups.enqueue(self._row(asked, contact_ids, fields))

    async def run(self) -> None:
        """Write reads until cancelled."""
        await self._groups.run()

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


def _unavailable() -> Unavailable:
    return Unavailable("the read cannot be recorded, so it is refused; try again")
