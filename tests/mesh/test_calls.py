"""Calls between services: bounded in time, repeated with care, spread over replicas."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis import rpc
from chassis.callers import Call, Caller
from chassis.clock import SystemClock
from chassis.failures import Unavailable
from chassis.limits import Limits
from chassis.policy import read_policy
from chassis.rpc import Credentials, channel
from chassis.streams import EventLog
from chassis.testing import wait_until
from merhaba.profile.v1 import ProfileServiceStub, SetAttributesRequest
from services import POLICY
from tests.mesh.conftest import CONTRACT, Serve, as_service, with_key

GET, SET = f"/{CONTRACT}/GetContact", f"/{CONTRACT}/SetAttributes"
BATCH = f"/{CONTRACT}/BatchGetContacts"
CHANGE = f"{CONTRACT}/UpsertContacts"


def opened(target: str, credentials: Credentials | str, *methods: str) -> Any:
    return channel(target, credentials, [m.lstrip("/") for m in methods])


async def test_what_a_call_calls_has_no_longer_than_is_left_to_it(
    serve: Serve, folder: Path
) -> None:
    """Sender calls profile with five seconds; whom profile calls on has less, in streams too."""
    left: list[float] = []

    async def last(_request: bytes, context: Any) -> bytes:
        left.append(context.time_remaining())
        return b""

    async def pieces(_request: bytes, context: Any) -> AsyncIterator[bytes]:
        left.append(context.time_remaining())
        yield b""

    async with (
        serve(last, pieces) as far,
        channel(far.services, as_service(folder, "segment")) as onward,
    ):

        async def middle(_request: bytes, _context: Any) -> bytes:
            await onward.unary_unary(SET)(b"")
            async for _ in onward.unary_stream(f"/{CONTRACT}/StreamHistory")(b""):
                pass
            return b""

        async with (
            serve(middle) as near,
            channel(near.services, as_service(folder, "sender")) as first,
        ):
            await first.unary_unary(BATCH)(b"", timeout=5)
            await onward.unary_unary(SET)(b"")
    assert all(0 < one < 5 for one in left[:2])
    assert 5 < left[2] < 11, "outside of a call there is the usual deadline"


async def test_when_time_is_up_nobody_works_on(serve: Serve, folder: Path) -> None:
    stopped = asyncio.Event()

    async def slow(_request: bytes, _context: Any) -> bytes:
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()
        return b""

    async with serve(slow) as far, channel(far.services, as_service(folder, "sender")) as first:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await first.unary_unary(BATCH)(b"", timeout=0.2)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(stopped.wait(), 5)


async def test_what_is_down_gets_few_repeats(serve: Serve, folder: Path) -> None:
    """Four attempts a call would be 400; the budget lets some through, then none."""
    attempts = 0

    async def failing(_request: bytes, _context: Any) -> bytes:
        nonlocal attempts
        attempts += 1
        raise Unavailable("not now")

    async with (
        serve(failing) as far,
        opened(far.services, as_service(folder, "sender"), BATCH) as calls,
    ):
        get = calls.unary_unary(BATCH)
        await asyncio.gather(*(get(b"") for _ in range(100)), return_exceptions=True)
        assert 100 < attempts <= 100 + 50
        before = attempts
        await asyncio.gather(*(get(b"") for _ in range(10)), return_exceptions=True)
        assert attempts - before == 10


async def test_what_is_tried_again_is_known_by_its_request_id(serve: Serve, folder: Path) -> None:
    """Whoever calls need not give one; what they gave stays."""
    seen: list[str] = []

    async def failing(request: bytes, _context: Any) -> bytes:
        seen.append(SetAttributesRequest.FromString(request).request_id)
        if len(seen) == 1:
            raise Unavailable("not now")
        return b""

    async with (
        serve(failing) as far,
        opened(far.services, as_service(folder, "segment"), SET) as calls,
    ):
        stub: ProfileServiceStub = ProfileServiceStub(calls)
        request = SetAttributesRequest()
        await stub.SetAttributes(request)
        await stub.SetAttributes(SetAttributesRequest(request_id="my own"))
    assert seen == [seen[0], seen[0], "my own"]
    assert seen[0]
    assert not request.request_id, "the caller's request is not touched"


async def test_a_replica_goes_away_and_nobody_notices(serve: Serve, folder: Path) -> None:
    """It says that it drains, is called no more, and is gone before its calls would have to end."""
    answers = {"first": 0, "second": 0}

    def named(name: str) -> Any:
        async def answer(_request: bytes, _context: Any) -> bytes:
            answers[name] += 1
            return b""

        return answer

    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(serve(named("second")))
        async with AsyncExitStack() as dying:
            first = await dying.enter_async_context(serve(named("first"), drain_s=0.5, grace_s=30))
            target = f"ipv4:{first.services},{second.services}"
            calls = opened(target, as_service(folder, "sender"), BATCH)
            get = (await stack.enter_async_context(calls)).unary_unary(BATCH)

            async def both() -> bool:
                await get(b"")
                return all(answers.values())

            await wait_until(both)
            answers.update(first=0, second=0)
            for _ in range(20):
                await get(b"")
            assert answers == {"first": 10, "second": 10}
            over = asyncio.Event()
            asking = asyncio.create_task(_until(over, get))
            began = time.monotonic()
        assert time.monotonic() - began < 10, "open connections are not waited for"
        last = dict(answers)
        over.set()
        await asking
    assert answers["first"] == last["first"]
    assert 2 * last["first"] < last["second"]


async def _until(over: asyncio.Event, get: Any) -> None:
    while not over.is_set():
        await get(b"")


@pytest.mark.parametrize("size", [4 * 1024 * 1024 + 1, 8 * 1024 * 1024])
async def test_a_message_larger_than_four_mebibytes_is_refused(
    serve: Serve, folder: Path, size: int
) -> None:
    async with serve() as far:
        async with channel(far.services, as_service(folder, "sender")) as calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await calls.unary_unary(BATCH)(b"x" * size)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await calls.unary_unary(BATCH)(b"x" * 4_000_000)
        unbounded = [("grpc.max_send_message_length", -1)]
        trusted = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
        named = [("grpc.ssl_target_name_override", "profile"), *unbounded]
        async with grpc.aio.secure_channel(far.api, trusted, options=named) as raw:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw.unary_unary(GET)(b"x" * size)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, "by the server, too"


async def test_pings_come_often_enough_for_proxies_and_not_too_often_for_servers() -> None:
    """What a server takes offence at is half a minute; what proxies cut is some minutes."""
    (every,) = (v for k, v in rpc._options((), "") if k == "grpc.keepalive_time_ms")
    source = Path(rpc.__file__).read_text()
    shortest = re.search(r"min_recv_ping_interval_without_data_ms\", ([\d_]+)", source)
    assert shortest is not None
    assert 2 * int(shortest[1]) <= every <= 240_000


async def test_a_key_that_calls_too_much_is_told_when_to_come_back(
    serve: Serve, folder: Path, log: EventLog
) -> None:
    """Over all replicas together; and services are not counted."""
    limits = [Limits(log, "calls", 2, 5, SystemClock()) for _ in range(2)]
    async with (
        serve(quotas=limits[0]) as one,
        serve(quotas=limits[1]) as two,
        channel(one.api, with_key(folder)) as first,
        channel(two.api, with_key(folder)) as second,
        channel(two.services, as_service(folder, "reports")) as service,
    ):
        taken = 0
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            while True:
                await (first, second)[taken % 2].unary_unary(GET)(b"")
                taken += 1
        assert 10 <= taken <= 10 + 2 * (time.monotonic() - began) + 1
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        details = rpc_status.from_call(caught.value).details  # type: ignore[union-attr]
        reason, wait = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        assert details[0].Unpack(reason)
        assert details[1].Unpack(wait)
        assert (reason.reason, dict(reason.metadata)) == ("QUOTA_EXCEEDED", {"caller": "desk"})
        assert timedelta(0) < wait.retry_delay.ToTimedelta() <= timedelta(seconds=1)
        for _ in range(30):
            await service.unary_unary(GET)(b"")


class Record:
    """An audit that remembers, or cannot be written."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.begun: list[Call] = []
        self.ended: list[tuple[str, str]] = []

    async def begin(self, asked: Call, _request: Any) -> str:
        if self.broken:
            raise Unavailable("no record")
        self.begun.append(asked)
        return str(len(self.begun))

    def end(self, audit_id: str, outcome: str) -> None:
        self.ended.append((audit_id, outcome))


async def test_what_people_change_is_on_record_before_it_happens(
    serve: Serve, folder: Path
) -> None:
    """Support may change nothing; here it may."""
    record, served = Record(), 0

    async def answer(_request: bytes, _context: Any) -> bytes:
        nonlocal served
        served += 1
        if served <= 2:
            assert len(record.begun) == served
        if served == 2:
            raise Unavailable("not now")
        return b""

    given = {**read_policy(POLICY).calls, CHANGE: frozenset({"support"})}
    policy = replace(read_policy(POLICY), calls=given)
    async with serve(answer, acts=record, policy=policy) as far:
        async with channel(far.api, with_key(folder), purpose="a move") as calls:
            change = calls.unary_unary(f"/{CHANGE}")
            await change(b"")
            with pytest.raises(grpc.aio.AioRpcError):
                await change(b"")
            await wait_until(lambda: len(record.ended) == 2)
            assert record.ended == [("1", "OK"), ("2", "UNAVAILABLE")]
            (first, _) = record.begun
            assert first == Call(CHANGE, Caller("desk", "support"), "a move")
            await calls.unary_unary(GET)(b"")
            assert len(record.begun) == 2, "reads are not"
            record.broken = True
            before = served
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await change(b"")
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert served == before, "no record, no change"
        async with channel(far.services, as_service(folder, "segment")) as calls:
            await calls.unary_unary(SET)(b"")
