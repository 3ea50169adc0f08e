"""Which errors pass by themselves, so that waiting helps and giving up would lose something."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import redis.exceptions
import structlog

from chassis.clock import Clock
from chassis.failures import Busy, Unavailable

_logger = structlog.get_logger()

_PASSING = (
    Unavailable,
    Busy,
    OSError,
    TimeoutError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # also a connection that broke in the middle of a protocol step
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
)
_REDIS_PASSING = ("LOADING", "OOM", "MISCONF", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN")
_GRPC_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


def transient(error: BaseException) -> bool:
    """Whether the same step may succeed later with nobody changing anything."""
    if isinstance(error, redis.exceptions.ResponseError):
        return str(error).startswith(_REDIS_PASSING)
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _GRPC_PASSING
    return isinstance(error, _PASSING)


async def keep_at(
    work: Callable[[], Awaitable[object]],
    clock: Clock,
    every: timedelta,
    complaint: str,
    called: asyncio.Event | None = None,
) -> None:
    """Do `work` until cancelled: again at once while it says that there was some, else after a
    while, or when it is called; as well when it fails by something transient, of which `complaint`
    is logged."""
    while True:
        if called is not None:
            called.clear()  # before it looks: a call meanwhile is about what it may have missed
        try:
            worked = await work()
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning(complaint, error=type(error).__name__)
            worked = False
        if not worked and called is not None:
            await _either(clock.sleep(every), called.wait())
        elif not worked:
            await clock.sleep(every)


async def _either(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when one of them does; what they raise is raised."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in tasks:
            one.cancel()
