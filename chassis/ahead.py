"""Reading ahead: what comes next is fetched while something is worked on."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """What a source gives, always one ahead. Whoever takes no more closes this, and so the
    source."""

    async def following() -> list[T]:
        async for item in source:
            return [item]
        return []

    fetching = asyncio.create_task(following())
    try:
        while found := await fetching:
            fetching = asyncio.create_task(following())
            yield found[0]
    finally:
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        await source.aclose()
