"""Every service in one process, reached over sockets, for tests that throw anything at all of them.

`python -m tests.security.suite`, with the addresses and secrets that `Suite` makes.
"""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import quote, urlsplit

import grpc
import psutil
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc
from psycopg import sql

from chassis.ids import fresh_id

SERVICES: Final = ("profile", "segment", "ingest", "sender", "reports")
HTTP: Final = ("ingest", "reports")
TOKEN: Final = "a token for tests, long enough"
MANAGER: Final = "a token of a manager, long enough"
WRITE_KEY: Final = "key-of-shop"
APP_SECRET: Final = "the secret of an app"
VERIFY_TOKEN: Final = "verify-me"
_STARTS_S: Final = 90


class Suite:
    """All services, over sockets, and the process that they are in."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.grpc = {service: _free_port() for service in SERVICES}
        self.http = {service: _free_port() for service in HTTP}
        self.process: subprocess.Popen[bytes] | None = None
        self._log: Any = TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self.environment = {
            "DATABASE_URL": database_url,
            "DATABASE_POOL_SIZE": "6",
            "REDIS_URL": redis_url,
            "LOG_NAMESPACE": fresh_id("test"),
            "LOG_LINGER_MS": "1",
            "PLAINTEXT": "true",
            "API_TOKEN": TOKEN,
            "APP_SECRETS": APP_SECRET,
            "VERIFY_TOKEN": VERIFY_TOKEN,
            "WRITE_KEYS": f"shop:{WRITE_KEY}",
            "ARCHIVE_INDEX_KEY": "key of the index",
            "LINK_KEY": "a key that signs short links",
            "MASTER_KEYS": "k1:" + base64.b64encode(b"the first master key of tests...").decode(),
            "INDEX_KEY": base64.b64encode(b"the secret of the index in tests").decode(),
            "DASHBOARD_TOKEN": TOKEN,
            "DASHBOARD_MANAGER_TOKEN": MANAGER,
            # Nobody listens there, and nobody has to: what is sent to Meta is not looked at here
            "CLOUD_API_URL": "http://127.0.0.1:9",
            "CLOUD_API_TOKEN": "of nobody",
            "CALL_TIMEOUT_S": "2",
            "HTTP_HOST": "127.0.0.1",
            "GRPC_HOST": "127.0.0.1",
            "GRACE_S": "1",
            **{f"{name.upper()}_TARGET": f"127.0.0.1:{port}" for name, port in self.grpc.items()},
        }

    def start(self) -> None:
        """Ready when this returns."""
        ports = {"grpc": self.grpc, "http": self.http}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.suite", json.dumps(ports)],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = monotonic() + _STARTS_S
        for service in SERVICES:
            while not self.serves(service):
                assert self.process.poll() is None and monotonic() < deadline, self.said()
                sleep(0.05)

    def serves(self, service: str) -> bool:
        """What the health check says."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc[service]}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def said(self) -> str:
        """What the process said of late."""
        return self.log()[-20_000:]

    def log(self) -> str:
        """All that it ever said."""
        self._log.seek(0)
        return str(self._log.read().decode(errors="replace"))

    def memory(self) -> int:
        """Bytes that the process holds."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        finally:
            self.process.kill()
            self._log.close()


@contextmanager
def running(postgres_url: str, redis_url: str) -> Iterator[Suite]:
    """A suite with a database of its own, which a test may leave in any state."""
    name = fresh_id("any").replace("-", "_")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    parts = urlsplit(postgres_url)
    suite = Suite(parts._replace(path=f"/{quote(name)}").geturl(), redis_url)
    try:
        suite.start()
        yield suite
    finally:
        suite.stop()
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _main(stop: asyncio.Event) -> None:
    from chassis.postgres import migrate

    ports = json.loads(sys.argv[1])
    # Before any of them begins: meanwhile nothing else would get a turn
    mains = {name: import_module(f"services.{name}.app").main for name in SERVICES}
    for service in SERVICES:
        migrations = Path(__file__).parents[2] / "services" / service / "migrations"
        migrate(os.environ["DATABASE_URL"], service, migrations)
    async with AsyncExitStack() as exits:
        group = await exits.enter_async_context(asyncio.TaskGroup())
        for service, main in mains.items():
            os.environ["GRPC_PORT"] = str(ports["grpc"][service])
            os.environ["HTTP_PORT"] = str(ports["http"].get(service, 0))
            group.create_task(main(stop))
            await asyncio.sleep(0)  # it reads its settings in its first step


if __name__ == "__main__":
    from chassis.app import run

    run(_main)
