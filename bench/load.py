"""An open-loop HTTP load: requests leave on schedule, whether earlier ones were answered or not.

Latency counts from the moment a request was due, so a slow server cannot hide behind a client
that waits for it.
"""

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

_CONNECTIONS = 128

FLAT_OUT = 1e9
"""A rate nobody keeps up with: each connection always has a request on its way."""


def signed_post(url: str, body: bytes, secret: str) -> bytes:
    """A whole request as bytes, made before the clock runs."""
    parts = urlsplit(url)
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def plain_get(url: str, headers: Mapping[str, str]) -> bytes:
    """A whole GET request as bytes."""
    parts = urlsplit(url)
    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{said}\r\n".encode()


@dataclass(slots=True)
class Load:
    """What came of a load."""

    offered: int = 0
    answered: int = 0
    refused: int = 0
    """Answers that are neither 2xx nor a redirect."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from due to answered, of each that was not refused."""
    seconds: float = 0.0


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request on its way at a time."""

    def __init__(self, owner: "_Client") -> None:
        self._owner = owner
        self._due = 0.0
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self._due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(rest) < length:
            return
        self._buffer = b""
        self._owner.answered(self, head.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3")), self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(exc)


class _Client:
    """A few connections and the requests that wait for a free one."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._free: deque[_Connection] = deque()
        self._waiting: deque[tuple[bytes, float]] = deque()
        self.closing = False

    async def open(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_CONNECTIONS):
            _, connection = await loop.create_connection(lambda: _Connection(self), host, port)
            self._free.append(connection)

    def offer(self, request: bytes, due: float) -> None:
        self._load.offered += 1
        if self._free:
            self._free.popleft().send(request, due)
        else:
            self._waiting.append((request, due))

    def answered(self, connection: _Connection, well: bool, due: float) -> None:
        if well:
            self._load.answered += 1
            self._load.latencies.append(perf_counter() - due)
        else:
            self._load.refused += 1
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self, error: Exception | None) -> None:
        if not self.closing:
            raise RuntimeError(f"the server closed a connection: {error}")

    def idle(self) -> bool:
        return len(self._free) == _CONNECTIONS and not self._waiting

    def close(self) -> None:
        self.closing = True
        for connection in self._free:
            assert connection.transport is not None
            connection.transport.close()


async def offer(url: str, requests: Sequence[bytes], per_second: float) -> Load:
    """Send every request once, `per_second` of them each second; returns when all are answered."""
    parts = urlsplit(url)
    load = Load()
    client = _Client(load)
    assert parts.hostname is not None
    assert parts.port is not None
    await client.open(parts.hostname, parts.port)
    started = perf_counter()
    for position, request in enumerate(requests):
        due = started + position / per_second
        if (wait := due - perf_counter()) > 0:
            await asyncio.sleep(wait)
        client.offer(request, due)
    async with asyncio.timeout(60):
        while not client.idle():
            await asyncio.sleep(0.005)
    load.seconds = perf_counter() - started
    client.close()
    return load
