"""Which errors pass by themselves, so that waiting helps and giving up would lose something."""

import asyncpg
import grpc
import redis.exceptions

from chassis.failures import Busy, Unavailable

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
