"""How commands end that cannot go on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import typer

from chassis.failures import Failure, Misconfigured


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
        typer.echo(f"merhaba: {said}", err=True)
        sys.exit(2)
    except* KeyboardInterrupt:
        sys.exit(130)
