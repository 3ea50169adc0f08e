"""Streams about campaigns, gone on with from their cursor where the sender is away for a moment."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Final, Protocol, TypeVar

import grpc

_AGAIN_S: Final = 1.0
_TRIES: Final = 30  # without a word in between: longer than a rollout takes a replica away


class _Request(Protocol):
    cursor: str


class _Response(Protocol):
    @property
    def cursor(self) -> str: ...


Q = TypeVar("Q", bound=_Request)
R = TypeVar("R", bound=_Response)


async def followed(request: Q, call: Callable[[Q], AsyncIterable[R]]) -> AsyncIterator[R]:
    """All responses to a request; its cursor moves with them."""
    tries = 0
    while True:
        try:
            async for response in call(request):
                request.cursor, tries = response.cursor, 0
                yield response
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or tries >= _TRIES:
                raise
        else:
            return
        tries += 1
        await asyncio.sleep(_AGAIN_S)
