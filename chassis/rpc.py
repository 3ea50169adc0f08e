"""gRPC: one guard around every served call, and channels that load balance, retry and time out."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry.trace import SpanKind, Status, StatusCode

from chassis import names
from chassis.callers import Call, Callers, call
from chassis.failures import (
    AlreadyExists,
    Busy,
    Conflict,
    Denied,
    Failure,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
    Unimplemented,
)
from chassis.telemetry import WORDLESS, histogram, parent, traceparent, tracer
from chassis.transient import transient

_CODES: Final[dict[type[Failure], int]] = {
    NotFound: code_pb2.NOT_FOUND,
    Invalid: code_pb2.INVALID_ARGUMENT,
    Conflict: code_pb2.ABORTED,
    AlreadyExists: code_pb2.ALREADY_EXISTS,
    Refused: code_pb2.FAILED_PRECONDITION,
    Denied: code_pb2.PERMISSION_DENIED,
    Busy: code_pb2.RESOURCE_EXHAUSTED,
    Unavailable: code_pb2.UNAVAILABLE,
    Unimplemented: code_pb2.UNIMPLEMENTED,
}
_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_DEADLINE_S: Final = 10.0
_OPEN: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")

_served = histogram("rpc.server.call.duration", "s")
_logger = structlog.get_logger()

Handler = Any  # grpc.RpcMethodHandler is generic for type checkers and not at run time


def status_of(failure: Failure, domain: str) -> status_pb2.Status:
    """A failure as `google.rpc.Status` with its reason and, when waiting helps, how long."""
    code = next(code for kind, code in _CODES.items() if isinstance(failure, kind))
    details: list[any_pb2.Any] = [any_pb2.Any()]
    details[0].Pack(
        error_details_pb2.ErrorInfo(reason=failure.reason, domain=domain, metadata=failure.facts)
    )
    if isinstance(failure, Busy):
        wait = duration_pb2.Duration()
        wait.FromTimedelta(failure.retry_after)
        details.append(any_pb2.Any())
        details[1].Pack(error_details_pb2.RetryInfo(retry_delay=wait))
    return status_pb2.Status(code=code, message=failure.message, details=details)


class Guard(grpc.aio.ServerInterceptor):
    """Around every call: who may call, the trace, failures to statuses, how long it took.

    An exception that is no `Failure` answers INTERNAL with a fixed text: grpc would send its own
    words, and with them secrets, to the caller.
    """

    def __init__(self, service: str, callers: Callers) -> None:
        self._domain = f"{service}.merhaba"
        self._callers = callers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return handler
        metadata = dict(handler_call_details.invocation_metadata or ())
        who = self._callers.who(str(metadata.get("authorization", "")))
        asked = who and Call(method.lstrip("/"), who, str(metadata.get("purpose", "")))
        trace = str(metadata.get("traceparent", ""))
        if handler.request_streaming:
            return handler  # the contracts have none: batches instead
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method, trace, asked),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, method, trace, asked),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _unary(self, serve: Any, method: str, trace: str, asked: Call | None) -> Any:
        async def guarded(request: Any, context: Any) -> Any:
            async with self._around(context, method, trace, asked):
                return await serve(request, context)

        return guarded

    def _stream(self, serve: Any, method: str, trace: str, asked: Call | None) -> Any:
        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._around(context, method, trace, asked):
                async for response in serve(request, context):
                    yield response

        return guarded

    @asynccontextmanager
    async def _around(
        self, context: Any, method: str, trace: str, asked: Call | None
    ) -> AsyncIterator[None]:
        started = perf_counter()
        attributes = {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: method.lstrip("/")}
        status: status_pb2.Status | None = None
        with tracer.start_as_current_span(
            method.lstrip("/"),
            context=parent(trace),
            kind=SpanKind.SERVER,
            attributes=attributes,
            **WORDLESS,
        ) as span:
            try:
                if asked is None:
                    status = status_pb2.Status(
                        code=code_pb2.UNAUTHENTICATED,
                        message="send the metadata `authorization: Bearer <API_TOKEN>`",
                    )
                else:
                    self._callers.check(asked.caller, asked.method)
                    call.set(asked)  # every call is a task of its own
                    yield
            except Failure as failure:
                status = status_of(failure, self._domain)
            except (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError):
                raise
            except Exception as error:  # noqa: BLE001 - nothing of it may reach the caller
                status = self._unexpected(error, method)
            code = "OK" if status is None else code_pb2.Code.Name(status.code)
            _served.record(perf_counter() - started, {**attributes, names.RPC_STATUS: code})
            if status is not None:
                span.set_attribute(names.RPC_STATUS, code)
                span.set_status(Status(StatusCode.ERROR, code))
                await context.abort_with_status(rpc_status.to_status(status))

    def _unexpected(self, error: Exception, method: str) -> status_pb2.Status:
        if isinstance(error, NotImplementedError):  # what generated servicers raise
            failure: Failure = Unimplemented("promised by the contract, not there in this version")
            return status_of(failure, self._domain)
        if transient(error):
            _logger.warning("a part does not answer", method=method, error=type(error).__name__)
            failure = Unavailable("a part this depends on does not answer; try again")
            return status_of(failure, self._domain)
        _logger.error("internal error", method=method, exc_info=error)
        return status_pb2.Status(code=code_pb2.INTERNAL, message="internal error")


class _Details:
    """What every call carries: the token, the trace and, when it brings none, a purpose and a
    deadline."""

    def __init__(self, api_token: str, purpose: str, deadline_s: float | None, waits: bool) -> None:
        self._authorization = ("authorization", f"Bearer {api_token}")
        self._purpose = purpose
        self._deadline_s = deadline_s
        self._waits = waits

    def completed(self, details: Any) -> grpc.aio.ClientCallDetails:
        metadata = [*(details.metadata or ()), self._authorization]
        if self._purpose and all(name != "purpose" for name, _ in metadata):
            metadata.append(("purpose", self._purpose))
        if trace := traceparent():
            metadata.append(("traceparent", trace))
        return grpc.aio.ClientCallDetails(
            details.method,
            details.timeout or self._deadline_s,
            grpc.aio.Metadata(*metadata),
            details.credentials,
            self._waits,
        )


class _UnaryCalls(_Details, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(self.completed(client_call_details), request)


class _StreamCalls(_Details, grpc.aio.UnaryStreamClientInterceptor):
    """Apart from `_UnaryCalls` because a channel takes each interceptor for one kind of call."""

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(self.completed(client_call_details), request)


@asynccontextmanager
async def channel(
    target: str, api_token: str, retried: Sequence[str] = (), purpose: str = ""
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a service, balanced over all its replicas.

    `purpose` says, in a few words, what its calls read personal data for.
    Calls get a deadline of 10 s unless they bring one; streams have none. Only methods of the
    services named in `retried` (`merhaba.profile.v1.ProfileService`), which must be safe to
    repeat, are tried again, on UNAVAILABLE alone, and wait, within their deadline, for a replica
    to come up.
    """
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "retryThrottling": {"maxTokens": 50, "tokenRatio": 0.1},
    }
    if retried:
        config["methodConfig"] = [
            {"name": [{"service": s} for s in retried], "retryPolicy": policy}
        ]
    options = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", 1),
        # A connection of one's own: of a shared one, another channel's failed attempts are ours too.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ]
    interceptors: list[grpc.aio.ClientInterceptor] = [
        _UnaryCalls(api_token, purpose, _DEADLINE_S, waits=bool(retried)),
        _StreamCalls(api_token, purpose, None, waits=False),
    ]
    async with grpc.aio.insecure_channel(
        target, options=options, interceptors=interceptors
    ) as opened:
        yield opened


def server(service: str, callers: Callers | str) -> grpc.aio.Server:
    """A server whose every call goes through the guard. `callers`: a token alone lets in who has
    it.

    Connections end after two minutes (plus a grace), so that clients find new replicas: nothing
    else makes them look while old connections live.
    """
    return grpc.aio.server(
        interceptors=[Guard(service, Callers(callers) if isinstance(callers, str) else callers)],
        options=[
            ("grpc.max_connection_age_ms", 120_000),
            ("grpc.max_connection_age_grace_ms", 60_000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # a taken port is an error, not a silent second listener
        ],
        maximum_concurrent_rpcs=1_000,
    )
