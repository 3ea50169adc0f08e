"""The guard around every served gRPC call: who calls, may they, how much, until when, on record."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from time import perf_counter
from typing import Any, Final, Protocol

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry.trace import SpanKind, Status, StatusCode

from chassis import deadlines, names
from chassis.callers import INTERNAL, Call, Caller, Callers, call
from chassis.contracts import reads_only
from chassis.failures import (
    AlreadyExists,
    Busy,
    Conflict,
    Denied,
    Failure,
    FieldInvalid,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
    Unimplemented,
)
from chassis.malformed import malformed
from chassis.telemetry import WORDLESS, failed, histogram, parent, tracer
from chassis.transient import transient

CODES: Final[dict[type[Failure], int]] = {
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
_OPEN: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")

_STRANGER: Final = status_pb2.Status(
    code=code_pb2.UNAUTHENTICATED,
    message="show a certificate of the suite, or send the metadata `authorization: Bearer <key>`",
)

_served = histogram("rpc.server.call.duration")
_logger = structlog.get_logger()

Handler = Any  # grpc.RpcMethodHandler is generic for type checkers and not at run time


class QuotaExceeded(Busy):
    """The caller called more than it may."""

    def __init__(self, caller: str, wait: timedelta) -> None:
        super().__init__(
            "more calls than this key may make; wait as told, or ask for more", wait, caller=caller
        )


class Quotas(Protocol):
    """How much callers may call."""

    async def wait(self, key: str, per_s: int, items: int) -> timedelta:
        """Take so many calls from what a caller may: 0, or how long to wait, and then none is
        taken. `per_s`: 0 is what every caller may."""
        ...


class Acts(Protocol):
    """The record of what people and tools have done."""

    async def begin(self, asked: Call, request: Any) -> str:
        """Put a call on record before it is served; returns the record's id. Raises `Unavailable`
        when it cannot be, and then it must not be served."""
        ...

    def end(self, audit_id: str, outcome: str) -> None:
        """Say what became of it, soon."""
        ...


def status_of(failure: Failure, domain: str) -> status_pb2.Status:
    """A failure as `google.rpc.Status` with its reason and, when waiting helps, how long."""
    code = next(code for kind, code in CODES.items() if isinstance(failure, kind))
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
    """Around every call: who calls and may they, the trace, the deadline for what it calls in turn,
    failures to statuses, how long it took.

    An exception that is no `Failure` answers INTERNAL with a fixed text: grpc would send its own
    words, and with them secrets, to the caller.
    """

    def __init__(
        self,
        service: str,
        callers: Callers,
        quotas: Quotas | None = None,
        acts: Acts | None = None,
    ) -> None:
        self._domain = f"{service}.merhaba"
        self._callers = callers
        self._quotas = quotas
        self._acts = acts

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
        said = {str(k): str(v) for k, v in handler_call_details.invocation_metadata or ()}
        if handler.request_streaming:
            return handler  # the contracts have none: batches instead
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method.lstrip("/"), said),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, method.lstrip("/"), said),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _unary(self, serve: Any, method: str, said: Mapping[str, str]) -> Any:
        async def guarded(request: Any, context: Any) -> Any:
            async with self._around(request, context, method, said):
                return await serve(request, context)

        return guarded

    def _stream(self, serve: Any, method: str, said: Mapping[str, str]) -> Any:
        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._around(request, context, method, said):
                async for response in serve(request, context):
                    yield response

        return guarded

    @asynccontextmanager
    async def _around(
        self, request: Any, context: Any, method: str, said: Mapping[str, str]
    ) -> AsyncIterator[None]:
        started = perf_counter()
        attributes = {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: method}
        status: status_pb2.Status | None = None
        with tracer.start_as_current_span(
            method,
            context=parent(said.get("traceparent", "")),
            kind=SpanKind.SERVER,
            attributes=attributes,
            **WORDLESS,
        ) as span:
            act = None
            try:
                caller = self._caller(context, said)
                if caller is None:
                    status = _STRANGER
                else:
                    asked = Call(method, caller, said.get("purpose", ""))
                    await self._admit(asked)
                    act = await self._on_record(asked, request)
                    deadlines.ends_in(context.time_remaining())
                    call.set(asked)  # every call is a task of its own
                    yield
            except Failure as failure:
                status = status_of(failure, self._domain)
            except (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError):
                self._ended(act, "CANCELLED")
                raise
            except Exception as error:  # noqa: BLE001 - nothing of it may reach the caller
                status = self._unexpected(error, method, request)
            code = "OK" if status is None else code_pb2.Code.Name(status.code)
            self._ended(act, code)
            _served.record(perf_counter() - started, {**attributes, names.RPC_STATUS: code})
            if status is not None:
                span.set_attribute(names.RPC_STATUS, code)
                span.set_status(Status(StatusCode.ERROR, code))
                await context.abort_with_status(rpc_status.to_status(status))

    def _caller(self, context: Any, said: Mapping[str, str]) -> Caller | None:
        """Whoever showed a certificate is whom it names, whatever else they carry."""
        certified = context.auth_context().get("x509_subject_alternative_name")
        if certified is None:
            return self._callers.bearer(said.get("authorization", ""))
        return self._callers.certified([name.decode() for name in certified])

    async def _admit(self, asked: Call) -> None:
        """Raises `RoleDenied` or `QuotaExceeded`. Services are not counted."""
        try:
            self._callers.check(asked.caller, asked.method)
        except Denied:
            _logger.warning("denied", caller=asked.caller.name, method=asked.method)
            raise
        if asked.caller.role == INTERNAL or self._quotas is None:
            return
        name, _, per_s = asked.caller
        if wait := await self._quotas.wait(name, per_s, 1):
            raise QuotaExceeded(name, wait)

    async def _on_record(self, asked: Call, request: Any) -> str | None:
        """What people and tools change is on record before it happens."""
        if self._acts is None or asked.caller.role == INTERNAL or reads_only(asked.method):
            return None
        return await self._acts.begin(asked, request)

    def _ended(self, act: str | None, outcome: str) -> None:
        if act is not None and self._acts is not None:
            self._acts.end(act, outcome)

    def _unexpected(self, error: Exception, method: str, request: Any) -> status_pb2.Status:
        if isinstance(error, NotImplementedError):  # what generated servicers raise
            failure: Failure = Unimplemented("promised by the contract, not there in this version")
            return status_of(failure, self._domain)
        if transient(error):
            _logger.warning("a part does not answer", method=method, error=type(error).__name__)
            failure = Unavailable("a part this depends on does not answer; try again")
            return status_of(failure, self._domain)
        if isinstance(request, Message) and (wrong := malformed(request)):
            _logger.warning("malformed request", method=method, exc_info=error)
            return status_of(FieldInvalid(*wrong), self._domain)
        failed(method, SpanKind.SERVER, type(error).__name__, {names.RPC_METHOD: method})
        _logger.error("internal error", method=method, exc_info=error)
        return status_pb2.Status(code=code_pb2.INTERNAL, message="internal error")
