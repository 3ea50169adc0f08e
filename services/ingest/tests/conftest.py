"""The whole service in this process, on real servers, reached as its clients reach it."""

import asyncio
import hashlib
import hmac
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.ids import fresh_id
from chassis.postgres import migrate
from chassis.rpc import channel
from chassis.settings import LogSettings
from chassis.streams import EventLog, Position
from chassis.testing import wait_until
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.ingest_admin_service_pb2_grpc import IngestAdminServiceStub
from merhaba.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from services.ingest.app import main

FOLDER = Path(__file__).parents[1] / "migrations"
SECRET = "the secret of an app"
OLD_SECRET = "the secret before its rotation"
API_TOKEN = "a token for tests"


@dataclass
class Front:
    """A running front door."""

    url: str
    session: aiohttp.ClientSession
    api: IngestServiceStub
    admin: IngestAdminServiceStub
    log: EventLog

    async def post(
        self, body: bytes | dict[str, Any], secret: str = SECRET, **headers: str
    ) -> aiohttp.ClientResponse:
        """Post a webhook as Meta does."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        return await self.session.post(
            f"{self.url}/webhooks/whatsapp",
            data=io.BytesIO(raw),
            headers={"X-Hub-Signature-256": f"sha256={signature}", **headers},
        )

    async def track(self, count: int, key: str = "key-of-shop") -> tuple[int, str, str]:
        """Post a batch of so many calls: its status, code and Retry-After."""
        call = {"type": "track", "event": "x", "userId": "c1", "messageId": fresh_id("m")}
        body = json.dumps({"batch": [call] * count, "writeKey": key}).encode()
        async with self.session.post(f"{self.url}/v1/batch", data=body) as response:
            told = (await response.json()).get("code", "")
            return response.status, told, response.headers.get("Retry-After", "")

    async def events(self, topic: str) -> list[Event]:
        """Everything on a topic, in no order."""
        return [Event.FromString(event) for event in await self.records(topic)]

    async def records(self, topic: str) -> list[bytes]:
        starts = [Position(stream, b"0") for stream in self.log.streams(topic)]
        return [e for _, events in await self.log.read(starts, 10_000, 1) for e in events]


@pytest.fixture(scope="session")
def migrated(postgres_url: str) -> str:
    migrate(postgres_url, "ingest", FOLDER)
    return postgres_url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(
    migrated: str, log_settings: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Settings of a service that nobody else uses."""
    values = {
        "DATABASE_URL": migrated,
        "REDIS_URL": log_settings.redis_url,
        "LOG_NAMESPACE": log_settings.log_namespace,
        "LOG_LINGER_MS": "1",
        "LOG_PACE_MS": "1",
        "PLAINTEXT": "true",
        "API_TOKEN": API_TOKEN,
        "APP_SECRETS": f"shop:{SECRET}, shop:{OLD_SECRET}",
        "VERIFY_TOKEN": "verify me",
        "WRITE_KEYS": "shop:key-of-shop,web:key-of-web",
        "ARCHIVE_INDEX_KEY": "key of the index",
        "LINK_KEY": "a key that signs links",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(free_port()),
        "GRPC_HOST": "127.0.0.1",
        "GRPC_PORT": str(free_port()),
        "PUBLIC_URL": "https://go.example",
        "GRACE_S": "1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@asynccontextmanager
async def opened(environment: dict[str, str], log: EventLog) -> AsyncIterator[Front]:
    """Run the service for as long as the block."""
    stop = asyncio.Event()
    running = asyncio.create_task(main(stop))
    url = f"http://127.0.0.1:{environment['HTTP_PORT']}"
    try:
        async with (
            aiohttp.ClientSession() as session,
            channel(f"127.0.0.1:{environment['GRPC_PORT']}", API_TOKEN) as rpc,
        ):

            async def healthy() -> bool:
                if running.done():
                    await running
                try:
                    async with session.get(f"{url}/healthz") as response:
                        return response.status == 200
                except aiohttp.ClientConnectionError:
                    return False

            await wait_until(healthy)
            await rpc.channel_ready()
            yield Front(url, session, IngestServiceStub(rpc), IngestAdminServiceStub(rpc), log)
    finally:
        stop.set()
        await running


@pytest.fixture
async def front(environment: dict[str, str], log: EventLog) -> AsyncIterator[Front]:
    async with opened(environment, log) as running:
        yield running


async def refused(awaitable: Any) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]:
    """The status and the reason of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    status.details[0].Unpack(info)
    return caught.value.code(), info
