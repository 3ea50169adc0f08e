"""The front door as a process of its own, reached over sockets only, as the internet reaches it."""

import hashlib
import hmac
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any

import grpc
import orjson
import psutil
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.ids import fresh_id
from chassis.streams import framing
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.dead_letter_pb2 import DeadLetterFilter
from merhaba.ingest.v1.ingest_admin_service_pb2 import ListDeadLettersRequest, ListWebhooksRequest
from merhaba.ingest.v1.ingest_admin_service_pb2_grpc import IngestAdminServiceStub
from merhaba.ingest.v1.webhook_pb2 import Webhook, WebhookFilter
from services.ingest.tests.bodies import message, value, webhook

MIGRATIONS = Path(__file__).parents[1] / "migrations"
PATH = "/webhooks/whatsapp"
ANSWER_S = 20
"""Whoever waits longer for an answer hangs."""
LONG = os.environ.get("SURVIVE") == "long"
"""Whether there is time for the long variants: `make survive`."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Door:
    """One process of the front door, and the log behind it."""

    environment: dict[str, str]
    app: str
    """The name under which the archive has what is posted here."""
    port: int = 0
    grpc_port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    log: Any = field(default_factory=TemporaryFile)
    redis: Any = field(init=False)

    def __post_init__(self) -> None:
        self.redis = redis.Redis.from_url(self.environment["REDIS_URL"], protocol=2)

    def start(self, port: int = 0) -> None:
        """Start it on a port; ready when this returns."""
        self.port, self.grpc_port = port or free_port(), free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.ingest"],
            env={
                **os.environ,
                **self.environment,
                "HTTP_PORT": str(self.port),
                "GRPC_PORT": str(self.grpc_port),
            },
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        deadline = monotonic() + 120
        while not self.serves():
            assert self.process.poll() is None and monotonic() < deadline, self.said()
            sleep(0.02)

    def said(self) -> str:
        """What it said of late."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-20_000:]

    def serves(self) -> bool:
        """What the health check of Kubernetes says."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> int:
        """Ask it to end, and wait; returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(ANSWER_S)
        finally:
            self.process.kill()
            self.log.close()

    def cpu_s(self) -> float:
        """Seconds of a processor it has used."""
        assert self.process is not None
        used = psutil.Process(self.process.pid).cpu_times()
        return float(used.user + used.system)

    # ---- what is posted

    @property
    def secret(self) -> str:
        return self.environment["APP_SECRETS"].partition(":")[2]

    def signature(self, body: bytes) -> str:
        return "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)

    def post(self, to: HTTPConnection, body: bytes) -> int:
        """Post a webhook with a right signature; returns the status."""
        try:
            to.request("POST", PATH, body, {"X-Hub-Signature-256": self.signature(body)})
            response = to.getresponse()
            response.read()
        except BaseException:
            to.close()  # the next request has a connection of its own
            raise
        return response.status

    def works(self) -> bool:
        """Whether a good webhook goes through and onto the log."""
        wamid = fresh_id("wamid")
        to = self.connect()
        try:
            status = self.post(to, orjson.dumps(webhook(value(messages=[message(wamid)]))))
        finally:
            to.close()
        return status == 200 and wamid in self.event_ids("inbound.message", 50)

    # ---- what came of it

    def records(self, topic: str, newest: int | None = None) -> list[bytes]:
        """Everything on a topic, or what is in so many of the newest entries of each shard."""
        namespace = self.environment["LOG_NAMESPACE"]
        return [
            event
            for shard in range(2)
            for _, fields in self.redis.xrevrange(f"{namespace}:{{{topic}:{shard}}}", count=newest)
            for event in framing.split(fields[b"e"])
        ]

    def event_ids(self, topic: str, newest: int | None = None) -> list[str]:
        """As `records`, what it is that happened."""
        return [Event.FromString(event).event_id for event in self.records(topic, newest)]

    @contextmanager
    def admin(self) -> Iterator[tuple[Any, list[tuple[str, str]]]]:
        """A stub of the operators' API, and the metadata that opens it."""
        metadata = [("authorization", f"Bearer {self.environment['API_TOKEN']}")]
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            yield IngestAdminServiceStub(channel), metadata

    def archived(self) -> list[Webhook]:
        """Every webhook in the archive that was posted here."""
        request = ListWebhooksRequest(page_size=1_000, filter=WebhookFilter(apps=[self.app]))
        found: list[Webhook] = []
        with self.admin() as (stub, metadata):
            while True:
                page = stub.ListWebhooks(request, metadata=metadata)
                found += page.webhooks
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token

    def dead_letters(self) -> int:
        """How many items ingest itself gave up on."""
        request = ListDeadLettersRequest(page_size=1_000, filter=DeadLetterFilter(group="ingest"))
        count = 0
        with self.admin() as (stub, metadata):
            while True:
                page = stub.ListDeadLetters(request, metadata=metadata)
                count += len(page.dead_letters)
                if not page.next_page_token:
                    return count
                request.page_token = page.next_page_token


def new_door(database_url: str, redis_url: str, **more: str) -> Door:
    """A front door that shares its log with nobody, not started."""
    app = fresh_id("app")
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "LOG_NAMESPACE": fresh_id("test"),
        "LOG_LINGER_MS": "1",
        "LOG_PACE_MS": "1",
        "PLAINTEXT": "true",
        "API_TOKEN": "a token for tests",
        "APP_SECRETS": f"{app}:the secret of an app",
        "VERIFY_TOKEN": "verify me",
        "WRITE_KEYS": "shop:key-of-shop",
        "ARCHIVE_INDEX_KEY": "key of the index",
        "LINK_KEY": "a key that signs short links",
        "HTTP_HOST": "127.0.0.1",
        "GRPC_HOST": "127.0.0.1",
        "GRACE_S": "3",
        **more,
    }
    return Door(environment, app)


@contextmanager
def door(database_url: str, redis_url: str, **more: str) -> Iterator[Door]:
    """A front door, running for as long as the block does."""
    made = new_door(database_url, redis_url, **more)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def until(condition: Any, within_s: float = 10) -> None:
    """Return as soon as it holds."""
    deadline = monotonic() + within_s
    while not condition():
        assert monotonic() < deadline, f"not so after {within_s} s: {condition}"
        sleep(0.02)
