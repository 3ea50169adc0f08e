"""What operators call on ingest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.rpc import channel
from cli.target import ingest_target
from cli.told import told
from merhaba.ingest.v1 import IngestAdminServiceStub


@asynccontextmanager
async def ingest_admin() -> AsyncIterator[IngestAdminServiceStub]:
    """The running stack of this folder, or INGEST_TARGET with API_TOKEN; what fails is told in one
    line."""
    with told():
        async with channel(*ingest_target()) as opened:
            yield IngestAdminServiceStub(opened)
