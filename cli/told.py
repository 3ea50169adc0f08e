"""How commands tell times, and how they end when they cannot go on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.failures import Failure, Misconfigured
from cli.terminal import echo


@contextmanager
def told() -> Iterator[None]:
    """What a person can act on is told in one line, with exit code 2."""
    try:
        yield
    except* (Misconfigured, Failure, grpc.aio.AioRpcError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        said = error.details() if isinstance(error, grpc.aio.AioRpcError) else error
        echo(f"merhaba: {said}", err=True)
        sys.exit(2)
    except* KeyboardInterrupt:
        sys.exit(130)


def time_told(moment: Timestamp) -> str:
    """To the second, in UTC."""
    return f"{moment.ToDatetime(UTC):%Y-%m-%d %H:%M:%S}Z"
