"""What commands call: services of the running stack of this folder, or of PROFILE_TARGET (for
profile) with API_TOKEN. What fails is told in one line."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc

from chassis.rpc import channel
from cli.target import target_of
from cli.told import told

_Stub = TypeVar("_Stub")
_Page = TypeVar("_Page")


@asynccontextmanager
async def calling(
    service: str, stub: Callable[[grpc.aio.Channel], _Stub], purpose: str = ""
) -> AsyncIterator[_Stub]:
    """One contract of a service. `purpose`: what its calls read personal data for."""
    with told():
        async with channel(*target_of(service), purpose=purpose) as opened:
            yield stub(opened)


async def pages(call: Callable[[Any], Awaitable[_Page]], request: Any) -> AsyncIterator[_Page]:
    """Every page of a list, from the one that `request` asks for on."""
    asked = type(request)()
    asked.CopyFrom(request)
    while True:
        page: Any = await call(asked)
        yield page
        asked.page_token = page.next_page_token
        if not asked.page_token:
            return
