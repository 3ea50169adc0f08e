"""Whatever is called with whatever in its fields: an answer in time, and never an error of ours."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from chassis.policy import owner, read_policy
from services import POLICY
from tests.security.anything import Anything
from tests.security.suite import SERVICES, TOKEN, Suite

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("SURVIVE") == "long"
ROUNDS = 300 if LONG else 6
ANSWER_S = 20.0
"""Whoever waits longer for an answer hangs."""
LISTENED_S = 0.2
"""For so long a stream that has no end is listened to."""
METADATA: Final = (("authorization", f"Bearer {TOKEN}"), ("purpose", "trying anything"))
OURS: Final = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
GROWTH_BYTES: Final = 400 * 1024 * 1024


def methods() -> dict[str, MethodDescriptor]:
    """Every RPC that there is, as `contract/Method`."""
    found = {}
    for file in sorted((ROOT / "protos").rglob("*_service.proto")):
        module = ".".join(file.relative_to(ROOT / "protos").with_suffix("").parts) + "_pb2"
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                found[f"{service.full_name}/{method.name}"] = method
    return found


def served() -> dict[str, list[str]]:
    """Methods by the service that answers them. The audit's every service answers."""
    policy = read_policy(POLICY)
    by_service: dict[str, list[str]] = {service: [] for service in SERVICES}
    for method in policy.calls:
        for service in SERVICES if owner(method) == "audit" else [owner(method)]:
            if service in by_service:
                by_service[service].append(method)
    return by_service


def asked(channel: grpc.Channel, name: str, method: MethodDescriptor, request: Any) -> Any:
    """The answer or the status of a call; of a stream, its first answer."""
    answer_class = GetMessageClass(method.output_type)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(
        f"/{name}",
        request_serializer=method_serializer,
        response_deserializer=answer_class.FromString,
    )
    try:
        if not method.server_streaming:
            return call(request, timeout=ANSWER_S, metadata=METADATA)
        stream = call(request, timeout=LISTENED_S, metadata=METADATA)
        try:
            return next(iter(stream), None)
        finally:
            stream.cancel()
    except grpc.RpcError as error:
        return error


def method_serializer(request: Any) -> bytes:
    return bytes(request.SerializeToString())


@pytest.fixture(scope="module")
def channels(suite: Suite) -> Iterator[dict[str, grpc.Channel]]:
    opened = {s: grpc.insecure_channel(f"127.0.0.1:{suite.grpc[s]}") for s in SERVICES}
    yield opened
    for channel in opened.values():
        channel.close()


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.parametrize("service", SERVICES)
def test_no_request_is_answered_with_an_error_of_ours(
    suite: Suite, channels: dict[str, grpc.Channel], service: str
) -> None:
    described, chance = methods(), Random() if LONG else Random(service)
    anything = Anything(chance, formed=False)
    before = suite.memory()
    wrong = []
    for _ in range(ROUNDS):
        for name in sorted(served()[service]):
            method = described[name]
            request = anything.request(method.input_type)
            answer = asked(channels[service], name, method, request)
            if not isinstance(answer, grpc.RpcError):
                if answer is not None:
                    anything.learn(answer)
                continue
            code = answer.code()
            late = code == grpc.StatusCode.DEADLINE_EXCEEDED and not method.server_streaming
            if code in OURS or late:
                wrong.append(f"{name}: {code.name} {answer.details()}\n{str(request)[:1_500]}")
    assert not wrong, f"{len(wrong)} of these:\n{wrong[0]}\n{suite.said()[-6_000:]}"
    assert suite.serves(service)
    assert suite.memory() - before < GROWTH_BYTES
