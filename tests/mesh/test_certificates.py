"""Services know each other by certificates, which change while they run."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import certificates
from chassis.certificates import files_of
from chassis.clock import ManualClock
from chassis.failures import Misconfigured
from chassis.rpc import Credentials, channel
from chassis.settings import ServiceSettings, from_env
from chassis.testing import wait_until
from chassis.tls import Certificates, TlsFiles
from tests.mesh.conftest import CONTRACT, KEY, SERVICES, Serve, as_service, with_key

NOW = datetime.now(UTC)


async def ask(target: str, credentials: Credentials | str, method: str = "GetContact") -> str:
    async with channel(target, credentials) as opened:
        answer: bytes = await opened.unary_unary(f"/{CONTRACT}/{method}")(b"", timeout=5)
        return answer.decode()


async def refusal(target: str, credentials: Credentials | str, method: str = "GetContact") -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(target, credentials, method)
    return caught.value.code().name


async def test_a_service_is_known_by_its_certificate(serve: Serve, folder: Path) -> None:
    async with serve() as ports:
        assert await ask(ports.services, as_service(folder, "reports")) == "reports"
        assert await ask(ports.services, as_service(folder, "segment"), "SetAttributes") == (
            "segment"
        )


async def test_a_service_may_call_what_the_policy_names_and_no_more(
    serve: Serve, folder: Path
) -> None:
    async with serve() as ports:
        code = await refusal(ports.services, as_service(folder, "reports"), "SetAttributes")
        assert code == "PERMISSION_DENIED"
        code = await refusal(ports.services, as_service(folder, "ingest"))
        assert code == "PERMISSION_DENIED"


async def test_nobody_gets_in_without_a_certificate_of_our_authority(
    serve: Serve, folder: Path, tmp_path: Path
) -> None:
    """Neither in the clear, nor over TLS with a key, nor with another authority's certificate."""
    other = tmp_path / "elsewhere"
    certificates.issue(other, SERVICES, NOW)
    ca, cert, key = (folder / "ca.pem", *files_of(other, "reports")[1:])
    async with serve() as ports:
        assert await refusal(ports.services, "a token") == "UNAVAILABLE"
        assert await refusal(ports.services, with_key(folder)) == "UNAVAILABLE"
        forged = Credentials(tls=TlsFiles(ca, cert, key), name="profile")
        assert await refusal(ports.services, forged) == "UNAVAILABLE"


async def test_who_calls_makes_sure_whom_it_calls(serve: Serve, folder: Path) -> None:
    async with serve() as ports:
        wrong = as_service(folder, "reports", called="sender")
        assert await refusal(ports.services, wrong) == "UNAVAILABLE"


async def test_people_and_tools_carry_a_key_over_tls(serve: Serve, folder: Path) -> None:
    async with serve() as ports:
        assert await ask(ports.api, with_key(folder)) == "desk"
        assert await refusal(ports.api, with_key(folder), "UpsertContacts") == "PERMISSION_DENIED"
        assert await refusal(ports.api, with_key(folder, "another")) == "UNAUTHENTICATED"
        assert await refusal(ports.api, KEY) == "UNAVAILABLE", "not in the clear"


async def test_a_certificate_is_not_even_looked_at_where_keys_are_carried(
    serve: Serve, folder: Path
) -> None:
    async with serve() as ports:
        assert await refusal(ports.api, as_service(folder, "reports")) == "UNAUTHENTICATED"


async def test_probes_learn_of_health_without_a_certificate_and_of_nothing_else(
    serve: Serve,
) -> None:
    async with serve() as ports, grpc.aio.insecure_channel(ports.health) as opened:
        health: Any = health_pb2_grpc.HealthStub(opened)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=CONTRACT))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await refusal(ports.health, "a token") == "UNIMPLEMENTED"


async def test_what_is_older_than_tls_1_2_is_refused(serve: Serve, folder: Path) -> None:
    async with serve() as ports:
        host, _, port = ports.api.partition(":")
        for version, spoken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(folder / "ca.pem")
            context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server who refuses
            context.set_alpn_protocols(["h2"])
            with pytest.warns(DeprecationWarning) if not spoken else nullcontext():
                context.minimum_version = context.maximum_version = version
            shaken = asyncio.open_connection(
                host, int(port), ssl=context, server_hostname="profile"
            )
            if not spoken:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await shaken
                continue
            _, writer = await shaken
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
            writer.close()


async def test_new_certificates_are_taken_up_without_a_restart_and_calls_go_on(
    serve: Serve, folder: Path
) -> None:
    """Everything is replaced, the authority too: who still shows the old is a stranger. A stream
    that is open stays open, and the same channel goes on."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def history(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        begun.set()
        await go_on.wait()
        yield b"last"

    clock = ManualClock(NOW)
    old = as_service(folder, "sender")
    async with serve(stream=history) as ports, channel(ports.services, old, clock=clock) as opened:
        get = opened.unary_unary(f"/{CONTRACT}/BatchGetContacts")
        assert await get(b"") == b"sender"
        pieces: list[bytes] = []

        async def read() -> None:
            async for piece in opened.unary_stream(f"/{CONTRACT}/StreamHistory")(b""):
                pieces.append(piece)

        reading = asyncio.create_task(read())
        await begun.wait()
        kept = folder.with_name("kept")
        folder.rename(kept)
        certificates.issue(folder, SERVICES, NOW)

        async def moved() -> bool:
            await clock.advance(timedelta(seconds=5))
            try:
                return bool(await get(b"", timeout=1) == b"sender")
            except grpc.aio.AioRpcError:
                return False

        await wait_until(moved)
        stale = Credentials(tls=files_of(kept, "sender"), name="profile")
        assert await refusal(ports.services, stale) == "UNAVAILABLE"
        assert await ask(ports.services, as_service(folder, "reports")) == "reports"
        go_on.set()
        await reading
        assert pieces == [b"first", b"last"]


def test_half_of_a_change_is_waited_out(folder: Path) -> None:
    files = files_of(folder, "sender")
    assert files.cert is not None
    assert files.key is not None
    held = Certificates(files)
    before, old_key = held.pems, files.key.read_bytes()
    other = folder.with_name("other")
    certificates.issue(other, ["sender"], NOW)
    files.key.write_bytes(files_of(other, "sender").key.read_bytes())  # type: ignore[union-attr]
    assert not held.renewed()
    assert held.pems == before
    files.cert.write_bytes(files_of(other, "sender").cert.read_bytes())  # type: ignore[union-attr]
    assert held.renewed()
    assert held.pems.key != old_key
    assert not held.renewed()


def test_certificates_are_made_once_and_again_before_they_end(folder: Path) -> None:
    def serials() -> list[int]:
        return [
            x509.load_pem_x509_certificate((folder / f"{s}.pem").read_bytes()).serial_number
            for s in SERVICES
        ]

    first = serials()
    certificates.issue(folder, SERVICES, NOW + timedelta(days=19))
    assert serials() == first
    certificates.issue(folder, SERVICES, NOW + timedelta(days=21))
    assert not set(serials()) & set(first)


def test_only_the_owner_may_read_a_key(folder: Path) -> None:
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("given", ["TLS_CERT_FILE", "TLS_CA_FILE", ""])
def test_a_service_without_certificates_does_not_start(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLAINTEXT", raising=False)
    for name in ("REDIS_URL", "DATABASE_URL", given or "API_TOKEN"):
        monkeypatch.setenv(name, "something")
    with pytest.raises(Misconfigured, match="TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE"):
        from_env(ServiceSettings)


def test_talking_in_the_clear_takes_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.setenv(name, "something")
    monkeypatch.setenv("PLAINTEXT", "true")
    monkeypatch.delenv("API_TOKEN", raising=False)
    with pytest.raises(Misconfigured, match=r"^API_TOKEN: not set"):
        from_env(ServiceSettings)
