"""The life of a service process: boot as a checklist, serve, drain, stop in reverse."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import grpc
import structlog
import uvloop
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import SecretStr

from chassis.audit import Audit
from chassis.clock import Clock, SystemClock
from chassis.failures import Misconfigured
from chassis.limits import Limits
from chassis.logs import setup_logs, unhandled
from chassis.mesh import Mesh, tls_files
from chassis.policy import read_policy
from chassis.postgres import Effects, Pool, Seal, database, migrate
from chassis.settings import HttpSettings, ServiceSettings, Settings, from_env
from chassis.streams import EventLog, event_log
from chassis.telemetry import telemetry
from chassis.tls import server_credentials
from chassis.vitals import Vitals

_MISCONFIGURED = 2
_PROBES = 20  # of health at once
_BURST_S = 10.0  # of an API key's calls
_GARBAGE = 100_000  # objects more than before, where Python's default is 700
_logger = structlog.get_logger()


Main = Callable[[asyncio.Event], Awaitable[None]]
"""A process: it runs until the event is set, then stops cleanly."""


class DatabaseSettings(Settings):
    """What migrating needs."""

    database_url: SecretStr
    """Postgres: `postgresql://user:password@host:5432/merhaba`."""


def command(schema: str, migrations: Path, main: Main) -> None:
    """`python -m services.x` runs a service; with `migrate` it brings its schema up to date."""
    if sys.argv[1:] != ["migrate"]:
        run(main)
        return
    try:
        settings = from_env(DatabaseSettings)
        steps = migrate(settings.database_url.get_secret_value(), schema, migrations)
    except Misconfigured as error:
        sys.exit(f"Misconfigured: {error}")
    print(f"{schema}: {steps} migrations applied", file=sys.stderr)  # noqa: T201 - a command's answer


@dataclass(frozen=True, slots=True)
class Platform:
    """What a service stands on while it runs."""

    clock: Clock
    pool: Pool
    log: EventLog
    effects: Effects
    audit: Audit
    mesh: Mesh


@asynccontextmanager
async def platform(
    schema: str, settings: ServiceSettings, policy: Path, seal: Seal | None = None
) -> AsyncIterator[Platform]:
    """Logs, telemetry, Postgres, the event log, effects, the audit and the way to the other
    services, for as long as the block runs.

    `policy`: the file that says who may call what. `seal`: for what waits in the database to be
    published.
    """
    setup_logs(schema, settings.log_level)
    clock = SystemClock()
    dsn = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        stack.enter_context(telemetry(schema, settings))
        pool = await stack.enter_async_context(database(dsn, schema, settings.database_pool_size))
        log = await stack.enter_async_context(event_log(settings))
        effects = Effects(pool, log, clock, timedelta(days=settings.remember_days), seal)
        audit = Audit(pool, clock, timedelta(days=settings.audit_kept_days))
        limits = Limits(log, "calls", settings.calls_per_second, _BURST_S, clock)
        mesh = Mesh(schema, settings, read_policy(policy), limits, audit, clock)
        tls = tls_files(settings)
        vitals = Vitals(pool, log, tls and tls.cert, clock)
        await stack.enter_async_context(tasks(effects.run, audit.run, audit.forget, vitals.run))
        yield Platform(clock, pool, log, effects, audit, mesh)


class Front(Protocol):
    """Takes connections before the web framework does."""

    def protocol(self, framework: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """What makes the protocol of a new connection; `framework` makes the web framework's."""
        ...

    async def run(self) -> None:
        """Whatever it has to do besides, until cancelled."""
        ...

    async def drain(self) -> None:
        """Finish its connections."""
        ...


@asynccontextmanager
async def serving_http(
    app: web.Application, settings: HttpSettings, front: Front | None = None
) -> AsyncIterator[int]:
    """Serve HTTP for as long as the block runs; yields the port. Running requests are finished.

    Raises `Misconfigured` naming the port when it is taken.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=settings.grace_s,
        keepalive_timeout=settings.http_idle_s,
    )
    await runner.setup()
    framework = runner.server
    assert framework is not None
    try:
        try:
            listener = await asyncio.get_running_loop().create_server(
                front.protocol(framework) if front else framework,
                settings.http_host,
                settings.http_port,
                backlog=1024,
                reuse_port=settings.http_reuse_port or None,
            )
        except OSError:
            raise Misconfigured(
                f"HTTP_PORT: {settings.http_host}:{settings.http_port} is taken; stop what listens"
                " there or choose another"
            ) from None
        try:
            async with tasks(*([front.run] if front else [])):
                yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            if front:
                with suppress(TimeoutError):
                    async with asyncio.timeout(settings.grace_s):
                        await front.drain()
    finally:
        await runner.cleanup()


def run(main: Main) -> None:
    """Run a process until SIGTERM or SIGINT. A wrong setting ends it with the setting's name."""
    try:
        uvloop.run(_until_signal(main))
    except* Misconfigured as group:
        for error in _leaves(group):
            print(f"Misconfigured: {error}", file=sys.stderr)  # noqa: T201 - its last words
        sys.exit(_MISCONFIGURED)


async def _until_signal(main: Main) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(unhandled)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await main(stop)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


@asynccontextmanager
async def tasks(*runners: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run background work beside the block; a failure of one ends the block, its end ends them."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_await(runner)) for runner in runners]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def _await(runner: Callable[[], Awaitable[None]]) -> None:
    await runner()


@asynccontextmanager
async def serving(
    server: grpc.aio.Server, settings: ServiceSettings, services: Sequence[str]
) -> AsyncIterator[int]:
    """Serve gRPC for as long as the block runs; yields the port.

    Health says SERVING from the start of the block. At its end health says NOT_SERVING, calls are
    still taken for `drain_s` while load balancers notice, and running ones have `grace_s`.
    Raises `Misconfigured` naming the port when it is taken, or what is wrong with certificates.
    """
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = (*services, health.SERVICE_NAME)
    if settings.reflection:
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
    port = _listen(server, settings)
    probed = grpc.aio.server(maximum_concurrent_rpcs=_PROBES)
    if settings.health_port is not None:
        health_pb2_grpc.add_HealthServicer_to_server(checks, probed)
        _add_port(probed, settings, "HEALTH_PORT", settings.health_port, None)
    await server.start()
    await probed.start()
    # What booting made lives as long as the process: no need to look through it ever again. And
    # what requests make is freed by counting references, so look for cycles less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 20)
    for name in (*services, ""):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    _logger.info("serving", port=port, encrypted=not settings.plaintext)
    try:
        yield port
    finally:
        await checks.enter_graceful_shutdown()
        await asyncio.sleep(settings.drain_s)
        await server.stop(settings.grace_s)
        await probed.stop(None)
        _logger.info("stopped")


def _listen(server: grpc.aio.Server, settings: ServiceSettings) -> int:
    """Open the ports for services and for API keys; returns the first."""
    tls = tls_files(settings)
    if tls is None:
        return _add_port(server, settings, "GRPC_PORT", settings.grpc_port, None)
    known = server_credentials(tls, clients=True)
    port = _add_port(server, settings, "GRPC_PORT", settings.grpc_port, known)
    if settings.api_port is not None:
        anybody = server_credentials(tls, clients=False)
        _add_port(server, settings, "API_PORT", settings.api_port, anybody)
    return port


def _add_port(
    server: grpc.aio.Server,
    settings: ServiceSettings,
    setting: str,
    port: int,
    credentials: grpc.ServerCredentials | None,
) -> int:
    address = f"{settings.grpc_host}:{port}"
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        raise Misconfigured(
            f"{setting}: {address} is taken; stop what listens there or choose another"
        ) from None
