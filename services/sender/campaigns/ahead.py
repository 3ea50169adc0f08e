"""Several pages under way at once, in their order. Pure."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def ahead(
    source: AsyncIterator[A], work: Callable[[A], Awaitable[B]], depth: int
) -> AsyncGenerator[B, None]:
    """What `work` makes of each, in order, while it works on at most `depth` of them. Whoever stops
    early closes it, and nothing goes on."""
    under_way: deque[asyncio.Future[B]] = deque()
    try:
        async for one in source:
            under_way.append(asyncio.ensure_future(work(one)))
            if len(under_way) >= depth:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
