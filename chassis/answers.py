"""First answers to calls that change something, so that a repeat gets the same one."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Final, TypeVar

import asyncpg
from google.protobuf.message import Message

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid, RequestIdReused
from chassis.postgres import Pool, Seal, delete_before
from chassis.transient import keep_at

R = TypeVar("R", bound=Message)

_KEPT: Final = timedelta(hours=24)
_FORGET_EVERY: Final = timedelta(hours=1)
_USABLE: Final = re.compile(r"[!-~]{1,200}")
_LOOK: Final = "SELECT digest, response FROM requests WHERE request_id = $1"
_KEEP: Final = """
    -- Not waiting for the disk: a crash of the database costs the answers of its last moments,
    -- which effects have to bear anyway
    WITH quickly AS (SELECT set_config('synchronous_commit', 'off', true))
    INSERT INTO requests (request_id, create_time, digest, response)
    SELECT $1, $2, $3, $4 FROM quickly
    -- An update of nothing: only so is the row returned that was there
    ON CONFLICT (request_id) DO UPDATE SET request_id = EXCLUDED.request_id
    RETURNING digest, response
"""


class Answers:
    """Answers by request id, kept for a day. Without a request id every call is a first one.

    Raises `RequestIdReused` when the id came with another request, and `FieldInvalid` when it
    cannot be one.
    """

    def __init__(self, pool: Pool, clock: Clock, seal: Seal | None = None) -> None:
        """`seal`: for answers, and for what tells requests apart, which else could be guessed from
        it; without one they are kept as they are."""
        self._pool = pool
        self._clock = clock
        self._seal = seal

    async def once(
        self, request: Message, request_id: str, respond: Callable[[], Awaitable[R]], kind: type[R]
    ) -> R:
        """The first answer to this request: what `respond` says unless it was said before.

        The answer is kept after the effect. A crash in between, or a repeat that does not wait for
        the first call's end, responds twice: so an effect must bear that.
        """
        if not request_id:
            return await respond()
        digest = _digest(request, request_id)
        row = await self._pool.fetchrow(_LOOK, request_id)
        if row is None:
            return await self._keep(request_id, digest, await respond())
        return kind.FromString(await self._kept(request_id, digest, row))

    async def promise(self, request: Message, request_id: str, answer: R) -> R:
        """The first answer to this request: `answer` unless another was promised before.

        For an effect that harms nobody when it happens twice. It comes after the promise, and after
        every repeat of it, since nothing tells whether it came the first time. One statement.
        """
        if not request_id:
            return answer
        return await self._keep(request_id, _digest(request, request_id), answer)

    async def _keep(self, request_id: str, digest: bytes, answer: R) -> R:
        now_ms = milliseconds_of(self._clock.now())
        sealed, said = digest, answer.SerializeToString()
        if self._seal is not None:
            sealed, said = await self._seal.seal(sealed), await self._seal.seal(said)
        row = await self._pool.fetchrow(_KEEP, request_id, now_ms, sealed, said)
        assert row is not None
        return type(answer).FromString(await self._kept(request_id, digest, row))

    async def _kept(self, request_id: str, digest: bytes, row: asyncpg.Record) -> bytes:
        of, said = row["digest"], row["response"]
        if self._seal is not None:
            of, said = await self._seal.open(of), await self._seal.open(said)
        if of != digest:
            raise RequestIdReused(request_id)
        return bytes(said)

    async def run(self) -> None:
        """Forget old answers now and then, until cancelled."""
        await keep_at(self.forget, self._clock, _FORGET_EVERY, "old answers stay for now")

    async def forget(self) -> int:
        """Forget some answers older than a day; returns how many."""
        before = milliseconds_of(self._clock.now() - _KEPT)
        return await delete_before(self._pool, "requests", "create_time", before)


def _digest(request: Message, request_id: str) -> bytes:
    if not _USABLE.fullmatch(request_id):
        raise FieldInvalid("request_id", "is not 1 to 200 plain characters; a UUID will do")
    named = type(request).__name__.encode() + b"\0"
    return sha256(named + request.SerializeToString(deterministic=True)).digest()
