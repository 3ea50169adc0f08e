"""gRPC: servers behind the guard, and channels that load balance, retry, time out and follow their
certificates."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

import grpc

from chassis import deadlines
from chassis.callers import Callers
from chassis.clock import Clock, SystemClock
from chassis.contracts import repeatable, takes_request_id
from chassis.guard import Acts, Guard, Quotas
from chassis.telemetry import traceparent
from chassis.tls import Certificates, Pems, TlsFiles, channel_credentials

_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_DEADLINE_S: Final = 10.0
_LOOK_EVERY: Final = timedelta(seconds=5)
_FAREWELL_S: Final = 200.0  # longer than a server lets a connection live
_RETRIES: Final = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_BUDGET: Final = {"maxTokens": 50, "tokenRatio": 0.1}
"""A failed attempt takes a token, a success brings a tenth; below half nothing is tried again: what
is down gets no more than a tenth of its calls on top."""


class Credentials(NamedTuple):
    """What a caller shows, and whom it believes."""

    key: str = ""
    """An API key; a service with a certificate has none."""
    tls: TlsFiles | None = None
    """None: nothing is encrypted."""
    name: str = ""
    """Whom the other side's certificate is to name; empty is the host of the target."""


class _Connection:
    """Where calls go: a channel of gRPC's, made anew when certificates change."""

    def __init__(
        self, make: Callable[[Pems | None], grpc.aio.Channel], tls: TlsFiles | None
    ) -> None:
        self._make = make
        self._certificates = Certificates(tls) if tls else None
        self.made = self._made()
        self._leaving: set[asyncio.Task[None]] = set()

    def _made(self) -> grpc.aio.Channel:
        return self._make(self._certificates.pems if self._certificates else None)

    async def follow(self, clock: Clock) -> None:
        """Look after the certificates, until cancelled. Calls under way finish where they are."""
        while self._certificates is not None:
            await clock.sleep(_LOOK_EVERY)
            if self._certificates.renewed():
                old, self.made = self.made, self._made()
                leaving = asyncio.create_task(old.close(_FAREWELL_S))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        for task in self._leaving:
            task.cancel()
        await self.made.close()


class _Calls:
    """One method, called wherever the connection is now, with what every call carries."""

    def __init__(
        self,
        connection: _Connection,
        open_on: Callable[[grpc.aio.Channel], Any],
        carried: Sequence[tuple[str, str]],
        deadline_s: float | None,
        waits: bool,
        identified: bool,
    ) -> None:
        """`identified`: a call without a `request_id` gets one, so that its repeat is known."""
        self._connection = connection
        self._open_on = open_on
        self._carried = carried
        self._deadline_s = deadline_s
        self._waits = waits
        self._identified = identified
        self._on: grpc.aio.Channel | None = None
        self._calls: Any = None

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        if self._on is not self._connection.made:
            self._on = self._connection.made
            self._calls = self._open_on(self._on)
        if self._identified and not request.request_id:
            request = _identified(request)
        sent = [*(metadata or ())]
        given = {name for name, _ in sent}
        sent += [one for one in self._carried if one[0] not in given]
        if trace := traceparent():
            sent.append(("traceparent", trace))
        return self._calls(
            request,
            timeout=deadlines.within(timeout or self._deadline_s),
            metadata=sent,
            credentials=credentials,
            wait_for_ready=self._waits if wait_for_ready is None else wait_for_ready,
            compression=compression,
        )


class _Channel(grpc.aio.Channel):
    """What stubs are made of. Not gRPC's own interceptors: those take a task for each call."""

    def __init__(
        self,
        connection: _Connection,
        carried: Sequence[tuple[str, str]],
        repeated: Collection[str],
        waits: bool,
    ) -> None:
        self._connection = connection
        self._carried = carried
        self._repeated = repeated
        self._waits = waits

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Calls of a method."""
        return self._calls("unary_unary", _DEADLINE_S, method, *arguments, **options)

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Calls of a method that answers piece by piece."""
        return self._calls("unary_stream", None, method, *arguments, **options)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """None: the contracts take batches instead."""
        raise NotImplementedError(method)

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """None: the contracts take batches instead."""
        raise NotImplementedError(method)

    def _calls(
        self, kind: str, deadline_s: float | None, method: str, *arguments: Any, **options: Any
    ) -> _Calls:
        name = method.lstrip("/")
        repeated = name in self._repeated
        return _Calls(
            self._connection,
            lambda made: getattr(made, kind)(method, *arguments, **options),
            self._carried,
            deadline_s,
            repeated and self._waits,
            repeated and takes_request_id(name),
        )

    async def __aenter__(self) -> "_Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:  # noqa: ARG002 - gRPC's own
        """End every call."""
        await self._connection.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Of the present connection."""
        return self._connection.made.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Of the present connection."""
        await self._connection.made.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return once there is a connection."""
        await self._connection.made.channel_ready()


@asynccontextmanager
async def channel(
    target: str,
    credentials: Credentials | str,
    methods: Collection[str] = (),
    purpose: str = "",
    clock: Clock | None = None,
    *,
    waits: bool = False,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a service, balanced over all its replicas.

    `credentials`: a key alone goes without encryption. `purpose` says, in a few words, what its
    calls read personal data for.
    Calls get a deadline of 10 s unless they bring one; streams have none; none has more than is
    left to the call that is being served. Of the `methods` that will be called
    (`merhaba.profile.v1.ProfileService/GetContact`), those that their contract says are safe to
    repeat are tried again, on UNAVAILABLE alone; where the caller `waits`, they wait within their
    deadline for a replica to come up, and else they are told at once that there is none.
    Raises `Misconfigured` when the certificates cannot be used.
    """
    if isinstance(credentials, str):
        credentials = Credentials(credentials)
    repeated = frozenset(repeatable(methods))
    options = _options(sorted(repeated), credentials.name)

    def make(pems: Pems | None) -> grpc.aio.Channel:
        if pems is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, channel_credentials(pems), options=options)

    carried = [("authorization", f"Bearer {credentials.key}")] if credentials.key else []
    if purpose:
        carried.append(("purpose", purpose))
    connection = _Connection(make, credentials.tls)
    following = asyncio.create_task(connection.follow(clock or SystemClock()))
    try:
        yield _Channel(connection, carried, repeated, waits)
    finally:
        following.cancel()
        await connection.close()


def _identified(request: Any) -> Any:
    """The same, with a request id of its own."""
    copied = type(request)()
    copied.CopyFrom(request)
    copied.request_id = str(uuid4())
    return copied


def _options(repeated: Sequence[str], name: str) -> list[tuple[str, Any]]:
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        # A replica that drains says so, and gets no more calls while its running ones finish.
        "healthCheckConfig": {"serviceName": ""},
        "retryThrottling": _BUDGET,
    }
    if repeated:
        named = [dict(zip(("service", "method"), m.split("/"), strict=True)) for m in repeated]
        config["methodConfig"] = [{"name": named, "retryPolicy": _RETRIES}]
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", 1),
        # A connection of one's own: of a shared one, another channel's failed attempts are ours.
        ("grpc.use_local_subchannel_pool", 1),
        # What was away for long is found again soon, so that a call can wait for it within its
        # deadline: gRPC would wait for up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # More often than a proxy cuts what is idle, and not so often that a server takes offence.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ]
    if name:
        options.append(("grpc.ssl_target_name_override", name))
    return options


def server(
    service: str,
    callers: Callers | str,
    quotas: Quotas | None = None,
    acts: Acts | None = None,
) -> grpc.aio.Server:
    """A server whose every call goes through the guard. `callers`: a token alone lets in who has
    it.

    Connections end after two minutes (plus a grace), so that clients find new replicas: nothing
    else makes them look while old connections live.
    """
    known = Callers(callers) if isinstance(callers, str) else callers
    return grpc.aio.server(
        interceptors=[Guard(service, known, quotas, acts)],
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
