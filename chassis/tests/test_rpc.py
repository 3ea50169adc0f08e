"""The guard around every gRPC call, and the life of a server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from chassis.app import serving
from chassis.failures import Busy, Failure, Misconfigured, NotFound, Unavailable
from chassis.rpc import channel, server
from chassis.settings import ServiceSettings, from_env
from chassis.testing import wait_until

TOKEN = "a token for tests"
UNARY, ONCE = "test.Service/Unary", "test.Service/Once"
CONTRACT = FileDescriptorProto(
    name="test.proto",
    package="test",
    message_type=[DescriptorProto(name="Any")],
    service=[
        ServiceDescriptorProto(
            name="Service",
            method=[
                MethodDescriptorProto(
                    name=name,
                    input_type=".test.Any",
                    output_type=".test.Any",
                    options=MethodOptions(idempotency_level=level),
                )
                for name, level in {
                    "Unary": MethodOptions.IDEMPOTENT,
                    "Once": MethodOptions.IDEMPOTENCY_UNKNOWN,
                }.items()
            ],
        )
    ],
)
descriptor_pool.Default().Add(CONTRACT)


class ThingNotFound(NotFound):
    """There is no such thing."""


def settings(**changes: object) -> ServiceSettings:
    return ServiceSettings(
        redis_url="redis://unused",
        database_url="postgresql://unused",
        api_token=TOKEN,
        grpc_host="127.0.0.1",
        grpc_port=0,
        **changes,
    )


class Servicer:
    """A service without generated code: what it does is up to the request."""

    async def unary(self, request: bytes, context: object) -> bytes:
        return await self._answer(request)

    async def stream(self, request: bytes, context: object) -> AsyncIterator[bytes]:
        yield b"first"
        yield await self._answer(request)

    async def _answer(self, request: bytes) -> bytes:
        if request == b"missing":
            raise ThingNotFound("there is no such thing; list them first", thing_id="t1")
        if request == b"busy":
            raise Busy("too many", timedelta(seconds=7))
        if request == b"broken":
            raise RuntimeError("postgresql://user:secret@host")
        return request


@asynccontextmanager
async def served(**changes: object) -> AsyncIterator[str]:
    servicer = Servicer()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(servicer.unary),
        "Stream": grpc.unary_stream_rpc_method_handler(servicer.stream),
    }
    own = server("test", TOKEN)
    own.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    async with serving(own, settings(**changes), ["test.Service"]) as port:
        yield f"127.0.0.1:{port}"


async def call(target: str, request: bytes, token: str = TOKEN) -> bytes:
    async with channel(target, token) as opened:
        return await opened.unary_unary("/test.Service/Unary")(request)


async def stream(target: str, request: bytes) -> list[bytes]:
    async with channel(target, TOKEN) as opened:
        return [part async for part in opened.unary_stream("/test.Service/Stream")(request)]


async def test_a_call_with_the_token_is_answered() -> None:
    async with served() as target:
        assert await call(target, b"hello") == b"hello"
        assert await stream(target, b"hello") == [b"first", b"hello"]


async def test_a_call_without_the_token_is_denied() -> None:
    async with served() as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(target, b"hello", "another")
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("ask", [call, stream])
async def test_a_failure_reaches_the_caller_with_its_reason(ask) -> None:
    async with served() as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(target, b"missing")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "there is no such thing; list them first"
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "THING_NOT_FOUND",
        "test.merhaba",
        {"thing_id": "t1"},
    )


async def test_a_busy_service_says_how_long_to_wait() -> None:
    async with served() as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(target, b"busy")
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    info = error_details_pb2.RetryInfo()
    rpc_status.from_call(caught.value).details[1].Unpack(info)
    assert info.retry_delay.seconds == 7


@pytest.mark.parametrize("ask", [call, stream])
async def test_an_unexpected_error_tells_the_caller_nothing_of_itself(ask) -> None:
    async with served() as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(target, b"broken")
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error"


async def test_health_needs_no_token() -> None:
    async with served() as target, grpc.aio.insecure_channel(target) as opened:
        answer = await health_pb2_grpc.HealthStub(opened).Check(
            health_pb2.HealthCheckRequest(service="test.Service")
        )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"GRPC_PORT: 127.0.0.1:{port} is taken"):
            async with serving(
                server("test", TOKEN), settings().model_copy(update={"grpc_port": port}), []
            ):
                pass


def test_a_missing_setting_is_named_and_no_value_is_shown(monkeypatch) -> None:
    for name in ("REDIS_URL", "DATABASE_URL", "API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("API_TOKEN", "do not show me")
    monkeypatch.setenv("LOG_SHARDS", "many")
    with pytest.raises(Misconfigured) as caught:
        from_env(ServiceSettings)
    assert "REDIS_URL: not set" in str(caught.value)
    assert "DATABASE_URL: not set" in str(caught.value)
    assert "LOG_SHARDS: " in str(caught.value)
    assert "do not show me" not in str(caught.value)
    assert "many" not in str(caught.value)


def test_every_kind_of_failure_has_a_status() -> None:
    from chassis.guard import CODES

    assert set(Failure.__subclasses__()) == set(CODES)


@asynccontextmanager
async def counting(name: str, counts: dict[str, int], failures: int = 0) -> AsyncIterator[int]:
    """A server that counts its calls and answers the first few with UNAVAILABLE."""

    async def unary(request: bytes, context: object) -> bytes:
        counts[name] = counts.get(name, 0) + 1
        if counts[name] <= failures:
            raise Unavailable("not yet")
        return request

    own = server("test", TOKEN)
    handlers = dict.fromkeys(("Unary", "Once"), grpc.unary_unary_rpc_method_handler(unary))
    own.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    async with serving(own, settings(), ["test.Service"]) as port:
        yield port


async def test_calls_are_spread_over_all_replicas() -> None:
    counts: dict[str, int] = {}
    async with counting("a", counts) as first, counting("b", counts) as second:
        target = f"ipv4:127.0.0.1:{first},127.0.0.1:{second}"
        async with channel(target, TOKEN, [UNARY]) as opened:
            ask = opened.unary_unary("/test.Service/Unary")

            async def both_called() -> bool:
                await ask(b"x")
                return len(counts) == 2

            await wait_until(both_called)
            before = dict(counts)
            for _ in range(40):
                await ask(b"x")
    assert {name: counts[name] - before[name] for name in counts} == {"a": 20, "b": 20}


async def test_only_what_is_safe_to_repeat_is_tried_again() -> None:
    counts: dict[str, int] = {}
    async with counting("a", counts, failures=2) as port:
        async with channel(f"127.0.0.1:{port}", TOKEN, [UNARY, ONCE]) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await opened.unary_unary(f"/{ONCE}")(b"x")
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert counts == {"a": 1}
        async with channel(f"127.0.0.1:{port}", TOKEN, [UNARY]) as opened:
            assert await opened.unary_unary("/test.Service/Unary")(b"x") == b"x"
    assert counts == {"a": 3}


@pytest.mark.parametrize("waits", [True, False])
async def test_whoever_waits_for_a_replica_does_so_until_the_deadline(waits: bool) -> None:
    """Others hear at once that there is none."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{nobody.getsockname()[1]}"
        async with channel(target, TOKEN, [UNARY], waits=waits) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await opened.unary_unary(f"/{UNARY}")(b"x", timeout=0.3 if waits else 5)
    expected = grpc.StatusCode.DEADLINE_EXCEEDED if waits else grpc.StatusCode.UNAVAILABLE
    assert caught.value.code() == expected


async def test_a_stopping_server_says_so_and_finishes_what_runs() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: bytes, context: object) -> bytes:
        begun.set()
        await go_on.wait()
        return request

    own = server("test", TOKEN)
    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(slow)}
    own.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    serve = serving(own, settings(drain_s=0.3, grace_s=5), ["test.Service"])
    target = f"127.0.0.1:{await serve.__aenter__()}"
    async with channel(target, TOKEN) as opened, grpc.aio.insecure_channel(target) as unguarded:
        running = asyncio.ensure_future(opened.unary_unary("/test.Service/Unary")(b"x"))
        await begun.wait()
        stopping = asyncio.create_task(serve.__aexit__(None, None, None))
        health = health_pb2_grpc.HealthStub(unguarded)

        async def not_serving() -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(service="test.Service"))
            return answer.status == health_pb2.HealthCheckResponse.NOT_SERVING

        await wait_until(not_serving)
        go_on.set()
        assert await running == b"x"
        await stopping
