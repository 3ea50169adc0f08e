"""Servers and callers with certificates of their own authority."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from chassis import certificates
from chassis.app import serving
from chassis.callers import Caller, Callers, call
from chassis.certificates import files_of
from chassis.policy import Policy, read_policy
from chassis.rpc import Credentials, server
from chassis.settings import ServiceSettings
from chassis.testing import KnownKeys
from chassis.tls import TlsFiles
from services import POLICY

CONTRACT = "merhaba.profile.v1.ProfileService"
SERVICES = tuple(read_policy(POLICY).services)
KEY = "an API key"
USUAL = read_policy(POLICY)


class Ports(NamedTuple):
    """Where a server listens."""

    services: str
    api: str
    health: str


Serve = Callable[..., AbstractAsyncContextManager[Ports]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Certificates of every service, from one authority."""
    made = tmp_path / "certificates"
    certificates.issue(made, SERVICES, datetime.now(UTC))
    return made


def as_service(folder: Path, service: str, called: str = "profile") -> Credentials:
    """What a service shows when it calls another."""
    return Credentials(tls=files_of(folder, service), name=called)


def with_key(folder: Path, key: str = KEY) -> Credentials:
    """What a tool shows."""
    return Credentials(key, TlsFiles(folder / "ca.pem"), "profile")


def settings(folder: Path, service: str, ports: Ports) -> ServiceSettings:
    ca, cert, key = files_of(folder, service)
    return ServiceSettings(
        redis_url="redis://unused",
        database_url="postgresql://unused",
        plaintext=False,
        tls_ca_file=str(ca),
        tls_cert_file=str(cert),
        tls_key_file=str(key),
        grpc_host="127.0.0.1",
        grpc_port=int(ports.services.rpartition(":")[2]),
        api_port=int(ports.api.rpartition(":")[2]),
        health_port=int(ports.health.rpartition(":")[2]),
    )


def free() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def who(_request: bytes, _context: Any) -> bytes:
    """Answers who calls."""
    return call.get().caller.name.encode()


@pytest.fixture
def serve(folder: Path) -> Serve:
    """A server of profile's contract in bytes, whose every method answers who calls."""

    @asynccontextmanager
    async def run(
        unary: Any = who,
        stream: Any = None,
        policy: Policy = USUAL,
        drain_s: float = 0,
        grace_s: float = 5,
        **besides: Any,
    ) -> AsyncIterator[Ports]:
        ports = Ports(free(), free(), free())
        keys = KnownKeys({KEY: Caller("desk", "support")})
        own = server("profile", Callers(keys=keys, policy=policy), **besides)
        methods = ("GetContact", "BatchGetContacts", "SetAttributes", "UpsertContacts")
        handlers = dict.fromkeys(methods, grpc.unary_unary_rpc_method_handler(unary))
        if stream is not None:
            handlers["StreamHistory"] = grpc.unary_stream_rpc_method_handler(stream)
        own.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(CONTRACT, handlers),))
        known = settings(folder, "profile", ports).model_copy(
            update={"drain_s": drain_s, "grace_s": grace_s}
        )
        async with serving(own, known, [CONTRACT]):
            yield ports

    return run
