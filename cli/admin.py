"""What operators call on ingest and on the sender: those of the running stack of this folder, or
of INGEST_TARGET and SENDER_TARGET with API_TOKEN. What fails is told in one line."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc

from chassis.rpc import channel
from cli.target import ingest_target, target_of
from cli.told import told
from merhaba.ingest.v1 import IngestAdminServiceStub

_Stub = TypeVar("_Stub")


@asynccontextmanager
async def ingest_admin() -> AsyncIterator[IngestAdminServiceStub]:
    """Ingest."""
    with told():
        async with channel(*ingest_target()) as opened:
            yield IngestAdminServiceStub(opened)


@asynccontextmanager
async def sender(stub: Callable[[grpc.aio.Channel], _Stub]) -> AsyncIterator[_Stub]:
    """One of the sender's services."""
    with told():
        async with channel(*target_of("sender")) as opened:
            yield stub(opened)
