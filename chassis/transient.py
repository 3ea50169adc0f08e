"""Which errors pass by themselves, so that waiting helps and giving up would lose something."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

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
    work: Callable[[], Awaitable[object]], clock: Clock, every: timedelta, complaint: str
) -> None:
    """Do `work` until cancelled: again at once while it says that there was some, else after a
    while; as well when it fails by something transient, of which `complaint` is logged."""
    while True:
        try:
            worked = await work()
        except Exception as error:
            if not transient(error):
                raise
            _logger.warning(complaint, error=type(error).__name__)
            worked = False
        if not worked:
            await clock.sleep(every)
