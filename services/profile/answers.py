"""First answers to calls that change something, so that a repeat gets the same one."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Final, TypeVar

import structlog
from google.protobuf.message import Message

from chassis.clock import Clock, milliseconds_of
from chassis.failures import RequestIdReused
from chassis.postgres import Pool
from chassis.transient import transient

R = TypeVar("R", bound=Message)

_KEPT: Final = timedelta(hours=24)
_FORGET_EVERY: Final = timedelta(hours=1)

_logger = structlog.get_logger()


class Answers:
    """Answers by request id, kept for a day.

    An answer is kept after its effect. A crash in between costs only the first answer: the effect
    is not repeated, because event ids follow from the request id.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def once(
        self, request: Message, request_id: str, respond: Callable[[], Awaitable[R]], kind: type[R]
    ) -> R:
        """The first answer to this request. Raises `RequestIdReused` when it is another request.

        Without a request id every call is a first one.
        """
        if not request_id:
            return await respond()
        named = type(request).__name__.encode() + b"\0"
        digest = sha256(named + request.SerializeToString(deterministic=True)).digest()
        row = await self._pool.fetchrow(
            "SELECT digest, response FROM requests WHERE request_id = $1", request_id
        )
        if row is not None:
            if row["digest"] != digest:
                raise RequestIdReused(request_id)
            return kind.FromString(row["response"])
        response = await respond()
        await self._pool.execute(
            "INSERT INTO requests VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            request_id,
            milliseconds_of(self._clock.now()),
            digest,
            response.SerializeToString(),
        )
        return response

    async def run(self) -> None:
        """Forget old answers now and then, until cancelled."""
        while True:
            await self._clock.sleep(_FORGET_EVERY)
            try:
                await self._pool.execute(
                    "DELETE FROM requests WHERE create_time < $1",
                    milliseconds_of(self._clock.now() - _KEPT),
                )
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("kept old answers", error=type(error).__name__)
