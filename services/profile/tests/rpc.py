"""A server of profile's contracts, as other services and people reach it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from chassis.app import serving, tasks
from chassis.rpc import channel
from chassis.settings import ServiceSettings
from services.profile.tables.reads import Reads

TOKEN = "a token for tests"


@asynccontextmanager
async def served(own: grpc.aio.Server, reads: Reads) -> AsyncIterator[int]:
    """Serve for as long as the block runs, with reads put on record; the port."""
    settings = ServiceSettings(
        redis_url="redis://unused",
        database_url="postgresql://unused",
        api_token=TOKEN,
        grpc_host="127.0.0.1",
        grpc_port=0,
    )
    async with tasks(reads.run), serving(own, settings, []) as port:
        yield port


@asynccontextmanager
async def reached(own: grpc.aio.Server, reads: Reads) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to it, of a service of the suite."""
    async with (
        served(own, reads) as port,
        channel(f"127.0.0.1:{port}", TOKEN, purpose="tests") as opened,
    ):
        yield opened
