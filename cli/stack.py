"""The whole suite on one machine: servers, every service as its own process, the simulator.

A process that dies is started again, as Kubernetes would.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final

import grpc
from grpc.aio import Channel
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import embedded
from chassis.callers import digest
from chassis.certificates import files_of, issue
from chassis.failures import Misconfigured
from chassis.keys import Key, read_keys, write_keys
from chassis.policy import owner, read_policy
from chassis.rpc import Credentials, channel
from chassis.tls import TlsFiles
from cli.place import Place, Secrets
from services import POLICY

SERVICES: Final = ("ingest", "profile", "segment", "sender", "reports")
_HTTP: Final = {"ingest": "MERHABA_INGEST_PORT", "reports": "MERHABA_DASHBOARD_PORT"}
_WORKERS: Final = "MERHABA_INGEST_WORKERS"  # processes of ingest, which share its HTTP port
_START_TIMEOUT_S: Final = 180
_STOP_TIMEOUT_S: Final = 6
_LOOK_S: Final = 0.2
_RENEW_S: Final = 3_600
_OWN_KEY: Final = "laptop"
_SERVERS: Final = {
    "postgres": ("DATABASE_URL", embedded.start_postgres),
    "redis": ("REDIS_URL", embedded.start_redis),
}
_QUICK_DEATH_S: Final = 5  # dying sooner than this again and again slows the restarts down
_MISCONFIGURED: Final = 2

Say = Callable[[str], None]
"""Tells a person what is happening."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is, and what opens it: all that a script needs."""

    webhook_url: str
    tracking_url: str
    dashboard_url: str
    graph_url: str
    simulator_url: str
    database_url: str
    redis_url: str
    grpc: dict[str, str]
    """Target of each service."""
    pids: dict[str, int]
    """Process of each part; a service that is started again gets another."""
    ca_file: str
    """Whom the services' certificates come from."""
    api_token: str
    """An API key of the role `operator`."""
    app_secret: str
    verify_token: str
    write_key: str
    access_token: str
    control_token: str
    dashboard_token: str
    dashboard_manager_token: str
    data: str
    pid: int

    def channel(
        self, service: str, purpose: str = "", *, waits: bool = False
    ) -> AbstractAsyncContextManager[Channel]:
        """A channel to a service, with the key. `waits`: as of `chassis.rpc.channel`."""
        credentials = Credentials(self.api_token, TlsFiles(Path(self.ca_file)), service)
        may = read_policy(POLICY).called_by("operator")
        methods = [method for method in may if owner(method) == service]
        return channel(self.grpc[service], credentials, methods, purpose, waits=waits)

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Part:
    """One process of the stack and how to start it."""

    name: str
    module: str
    environment: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False

    async def start(self) -> asyncio.subprocess.Process:
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module),
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self.name == "simulator" else output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the stack, which stops its parts in order
                preexec_fn=embedded.die_with_parent(signal.SIGTERM),
            )
        return self.process

    async def keep(self, say: Say) -> None:
        """Start it again whenever it dies; a wrong setting or a quick death is told."""
        delay = 0.1
        while True:
            assert self.process is not None
            started = monotonic()
            code = await self.process.wait()
            if self.stopping:
                return
            say(f"{self.name} ended ({_meaning(code)}); starting it again")
            delay = min(delay * 2, 5) if monotonic() - started < _QUICK_DEATH_S else 0.1
            await asyncio.sleep(delay)
            await self.start()

    async def stop(self) -> None:
        self.stopping = True
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@dataclass(slots=True)
class Stack:
    """A running suite."""

    place: Place
    secrets: Secrets
    say: Say
    parts: dict[str, Part] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    servers: dict[str, embedded.Server] = field(default_factory=dict)
    sockets: Path = Path()

    def addresses(self) -> Addresses:
        """Where everything is now."""
        door = f"http://127.0.0.1:{self.ports['ingest http']}"
        return Addresses(
            webhook_url=f"{door}/webhooks/whatsapp",
            tracking_url=door,
            dashboard_url=f"http://127.0.0.1:{self.ports['reports http']}/",
            graph_url=self.urls["simulator"],
            simulator_url=self.urls["simulator"],
            database_url=self.urls["postgres"],
            redis_url=self.urls["redis"],
            grpc={name: f"127.0.0.1:{self.ports[f'{name} api']}" for name in SERVICES},
            pids={
                **{n: s.process.pid for n, s in self.servers.items()},
                **{n: p.process.pid for n, p in self.parts.items() if p.process is not None},
            },
            ca_file=str(self.place.certificates / "ca.pem"),
            api_token=self.secrets.api_token,
            app_secret=self.secrets.app_secret,
            verify_token=self.secrets.verify_token,
            write_key=self.secrets.write_key,
            access_token=self.secrets.access_token,
            control_token=self.secrets.control_token,
            dashboard_token=self.secrets.dashboard_token,
            dashboard_manager_token=self.secrets.dashboard_manager_token,
            data=str(self.place.folder),
            pid=os.getpid(),
        )

    def environment(self, part: str) -> dict[str, str]:
        """The settings of a service's process. What the caller's environment sets wins, but for
        whom it trusts."""
        service = part.partition("-")[0]
        door = f"http://127.0.0.1:{self.ports['ingest http']}"
        own = {
            "DATABASE_URL": self.urls["postgres"],
            "REDIS_URL": self.urls["redis"],
            "GRPC_HOST": "127.0.0.1",
            "GRPC_PORT": str(self.ports[part]),
            "API_PORT": str(self.ports[f"{part} api"]),
            "CALLS_PER_SECOND": "0",
            "REFLECTION": "true",
            "LOG_RETENTION_S": "600",
            "LOG_CLAIM_IDLE_MS": "5000",
            **{
                f"{name.upper()}_TARGET": f"127.0.0.1:{self.ports[name]}"
                for name in SERVICES
                if name != service
            },
            "CLOUD_API_URL": self.urls["simulator"],
            "CLOUD_API_TOKEN": self.secrets.access_token,
            "APP_SECRETS": self.secrets.app_secret,
            "VERIFY_TOKEN": self.secrets.verify_token,
            "WRITE_KEYS": f"shop:{self.secrets.write_key}",
            "PUBLIC_URL": door,
            "DASHBOARD_TOKEN": self.secrets.dashboard_token,
            "DASHBOARD_MANAGER_TOKEN": self.secrets.dashboard_manager_token,
            "EXPORT_FOLDER": str(self.place.folder / "exports"),
            "ARCHIVE_INDEX_KEY": self.secrets.archive_index_key,
            "LINK_KEY": self.secrets.link_key,
            # The simulator is inside
            "MEDIA_INSIDE": "true",
            "MASTER_KEYS": f"laptop:{self.secrets.master_key}",
            "INDEX_KEY": self.secrets.index_key,
        }
        if service in _HTTP:
            own |= {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(self.ports[f"{service} http"])}
        if f"{service}-2" in self.ports:
            own["HTTP_REUSE_PORT"] = "true"
        ca, cert, key = files_of(self.place.certificates, service)
        trusted = {
            "PLAINTEXT": "false",
            "TLS_CA_FILE": str(ca),
            "TLS_CERT_FILE": str(cert),
            "TLS_KEY_FILE": str(key),
            "KEYS_FILE": str(self.place.keys),
        }
        return {**own, **os.environ, **trusted}


@asynccontextmanager
async def running(
    place: Place, say: Say, services: Sequence[str] = SERVICES
) -> AsyncIterator[Stack]:
    """Run the suite, or some of its services, for as long as the block runs; ready when it begins.

    Raises `Misconfigured` with the last words of a part that does not come up.
    """
    async with AsyncExitStack() as exits:
        exits.enter_context(place.held())
        stack = Stack(place, place.secrets(), say)
        issue(place.certificates, SERVICES, datetime.now(UTC))
        _keep_own_key(stack)
        # Not in a thread: the servers are to die with this thread, and a worker's may end earlier.
        _start_servers(stack, exits)
        stack.ports = _choose_ports()
        say("simulator")
        await _start_simulator(stack, exits)
        say("migrations")
        await asyncio.gather(*(_migrate(stack, service) for service in services))
        say("services")
        keepers = await exits.enter_async_context(asyncio.TaskGroup())
        exits.push_async_callback(_stop, stack)
        names = [*services, *(_more_workers() if "ingest" in services else ())]
        for name in names:
            part = Part(
                name,
                f"services.{name.partition('-')[0]}",
                stack.environment(name),
                place.logs / f"{name}.log",
            )
            stack.parts[name] = part
            await part.start()
        await asyncio.gather(*(_until_serving(stack, name) for name in names))
        place.addresses.touch(mode=0o600)
        place.addresses.write_text(stack.addresses().as_json())
        exits.callback(place.addresses.unlink)
        keeping = [keepers.create_task(part.keep(say)) for part in stack.parts.values()]
        keeping.append(keepers.create_task(_keep_servers(stack)))
        keeping.append(keepers.create_task(_keep_certificates(stack)))
        try:
            yield stack
        finally:
            for part in stack.parts.values():
                part.stopping = True
            for task in keeping:
                task.cancel()


def _start_servers(stack: Stack, exits: AsyncExitStack) -> None:
    """Postgres and Redis, each embedded unless its URL is set."""
    sockets = embedded.run_folder()
    sockets.chmod(0o755)  # Postgres runs as another user when we are root; its own folder is 0700
    exits.callback(shutil.rmtree, sockets, ignore_errors=True)
    exits.callback(_stop_servers, stack)
    for name, (variable, start) in _SERVERS.items():
        if url := os.environ.get(variable):
            stack.urls[name] = url
            continue
        stack.say(name)
        stack.servers[name] = start(stack.place.folder, sockets)
        stack.urls[name] = stack.servers[name].url
    stack.sockets = sockets


def _stop_servers(stack: Stack) -> None:
    for server in stack.servers.values():
        server.stop()


async def _keep_servers(stack: Stack) -> None:
    """Start an embedded server again when it dies."""
    while True:
        await asyncio.sleep(_LOOK_S)
        for name, server in stack.servers.items():
            if (code := server.process.poll()) is not None:
                stack.say(f"{name} ended ({_meaning(code)}); starting it again")
                _, start = _SERVERS[name]
                try:
                    stack.servers[name] = start(stack.place.folder, stack.sockets)
                except Misconfigured as error:
                    stack.say(f"{error}; trying again")  # its orphans hold on for a moment


def _keep_own_key(stack: Stack) -> None:
    """The key with which `merhaba` calls is among those that services know."""
    policy, now = read_policy(POLICY), datetime.now(UTC)
    known, own = read_keys(stack.place.keys, policy), digest(stack.secrets.api_token)
    made = Key(_OWN_KEY, "operator", own, now, now + timedelta(days=365))
    write_keys(stack.place.keys, [*(key for key in known if key.name != _OWN_KEY), made])


async def _keep_certificates(stack: Stack) -> None:
    """Make certificates anew before they end; services notice."""
    while True:
        await asyncio.sleep(_RENEW_S)
        issue(stack.place.certificates, SERVICES, datetime.now(UTC))


def _more_workers() -> list[str]:
    """Names of ingest's processes beside the first."""
    return [f"ingest-{number + 2}" for number in range(int(os.environ.get(_WORKERS, "1")) - 1)]


def _choose_ports() -> dict[str, int]:
    """A free port for each listener, or the one its setting names."""
    chosen: dict[str, int] = {}
    held: list[socket.socket] = []
    grpc_ports = (*SERVICES, *_more_workers())
    names = (*grpc_ports, *(f"{n} api" for n in grpc_ports), *(f"{n} http" for n in _HTTP))
    for name in names:
        wanted = os.environ.get(_HTTP.get(name.removesuffix(" http"), ""), "")
        if name.endswith(" http") and wanted:
            chosen[name] = int(wanted)  # when it is taken, the service says so by name
            continue
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        held.append(probe)
        chosen[name] = probe.getsockname()[1]
    for probe in held:
        probe.close()
    return chosen


async def _start_simulator(stack: Stack, exits: AsyncExitStack) -> None:
    part = Part(
        "simulator",
        "simulator",
        {
            "SIMULATOR_SPEED": "120",
            **os.environ,
            "APP_SECRET": stack.secrets.app_secret,
            "VERIFY_TOKEN": stack.secrets.verify_token,
            "ACCESS_TOKEN": stack.secrets.access_token,
            "CONTROL_TOKEN": stack.secrets.control_token,
            "WEBHOOK_URL": f"http://127.0.0.1:{stack.ports['ingest http']}/webhooks/whatsapp",
        },
        stack.place.logs / "simulator.log",
    )
    process = await part.start()
    stack.parts["simulator"] = part
    exits.push_async_callback(part.stop)
    assert process.stdout is not None
    async with asyncio.timeout(_START_TIMEOUT_S):
        line = await process.stdout.readline()
    if not line:
        raise Misconfigured(f"the simulator does not start: {part.last_words()}")
    stack.urls["simulator"] = json.loads(line)["url"]


async def _migrate(stack: Stack, service: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"services.{service}", "migrate"),
        env={**os.environ, "DATABASE_URL": stack.urls["postgres"]},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        words = said.decode(errors="replace").strip().splitlines()[-1:]
        raise Misconfigured(f"{service} cannot migrate its schema: {' '.join(words)}")


async def _until_serving(stack: Stack, name: str) -> None:
    part = stack.parts[name]
    assert part.process is not None
    service = name.partition("-")[0]
    trusted = Credentials(tls=TlsFiles(stack.place.certificates / "ca.pem"), name=service)
    async with channel(f"127.0.0.1:{stack.ports[f'{name} api']}", trusted) as opened:
        health: Any = health_pb2_grpc.HealthStub(opened)
        deadline = monotonic() + _START_TIMEOUT_S
        while True:
            if part.process.returncode is not None:
                raise Misconfigured(f"{name} does not start: {part.last_words()}")
            try:
                answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.aio.AioRpcError:
                if monotonic() > deadline:
                    raise Misconfigured(f"{name} does not serve: {part.last_words()}") from None
            await asyncio.sleep(0.1)


async def _stop(stack: Stack) -> None:
    """Everything at once: each part finishes what it took; the rest stays on the log."""
    stack.say("stopping")
    await asyncio.gather(*(part.stop() for part in stack.parts.values()))


def _meaning(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"code {code}"
