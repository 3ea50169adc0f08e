"""Posts to one host over connections that stay open, with as little around them as HTTP/1.1 allows.

A general client costs more for a message than everything else the sender does for it. And it says
less: whether anything left is what decides if a message may be sent again.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from time import monotonic
from typing import Final, NamedTuple, cast
from urllib.parse import quote, urlsplit

from httptools import HttpParserError, HttpResponseParser

_IDLE_S: Final = 10.0  # shorter than any server waits: it must not close while we write
_CONNECT_S: Final = 5.0
_LARGEST: Final = 1024 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes
    retry_after: str


class Lost(Exception):
    """No whole answer came."""

    def __init__(self, why: str, *, left: bool) -> None:
        """`left`: some of the request may have left this machine."""
        super().__init__(why)
        self.why = why
        self.left = left


class _Connection(asyncio.Protocol):
    """One connection with one request on its way at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._parser = HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._size = 0
        self._retry_after = ""

    @property
    def usable(self) -> bool:
        """Whether another request may go over it."""
        transport = self._transport
        fresh = monotonic() - self.idle_since < _IDLE_S
        return transport is not None and not transport.is_closing() and fresh

    async def ask(self, request: bytes, deadline: float) -> Reply:
        """Send a request; raises Lost."""
        assert self._transport is not None  # it was connected
        loop = asyncio.get_running_loop()
        self._reply = loop.create_future()
        self._transport.write(request)
        timer = loop.call_later(max(0.0, deadline - monotonic()), self._fail, "timeout")
        try:
            return await self._reply
        except asyncio.CancelledError:
            self.close()  # its answer is nobody's
            raise
        finally:
            timer.cancel()
            self._reply = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(Lost(why, left=True))
        self.close()

    # --- what the transport and the parser call -------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._fail("not_http")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("disconnected" if exc is None else type(exc).__name__)

    def on_message_begin(self) -> None:
        self._parts, self._size, self._retry_after = [], 0, ""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        self._parts.append(body)
        if self._size > _LARGEST:
            self._fail("too_large")

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return  # the answer is still to come
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self.idle_since = monotonic()
        if self._reply is None or self._reply.done():
            self.close()  # an answer to nothing
            return
        status = self._parser.get_status_code()
        self._reply.set_result(Reply(status, b"".join(self._parts), self._retry_after))


class Calls:
    """Posts to one host. As many connections as there are posts at once; who calls bounds them."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """`url`: scheme, host, perhaps port and path. `timeout_s`: of a whole post."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._head = f"Host: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._path = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._free: deque[_Connection] = deque()

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The whole answer, whatever its status; raises Lost."""
        deadline = monotonic() + self._timeout_s
        said = _said(tuple(headers.items()))
        head = (
            f"POST {self._path}/{_quoted(path)} HTTP/1.1\r\n{self._head}{said}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection = self._idle() or await self._connect(deadline)
        reply = await connection.ask(head.encode("latin-1") + body, deadline)
        if connection.usable:
            self._free.append(connection)
        return reply

    def _idle(self) -> _Connection | None:
        """The one that was used last: those that are not needed grow old."""
        while self._free:
            if (connection := self._free.pop()).usable:
                return connection
            connection.close()
        return None

    async def _connect(self, deadline: float) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(_CONNECT_S, deadline - monotonic())):
                _, connection = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._tls
                )
        except (OSError, TimeoutError) as error:
            raise Lost("connect", left=False) from error
        connection.idle_since = monotonic()
        return connection

    def close(self) -> None:
        """Close what is idle; posts under way end by themselves."""
        while self._free:
            self._free.pop().close()


@lru_cache(1024)
def _quoted(path: str) -> str:
    return quote(path)


@lru_cache(128)
def _said(headers: tuple[tuple[str, str], ...]) -> str:
    lines = [f"{name}: {value}" for name, value in headers]
    if any(not line.isprintable() for line in lines):
        raise ValueError("a header has a character that headers cannot have")
    return "".join([f"{line}\r\n" for line in lines])


@asynccontextmanager
async def calls(url: str, timeout_s: float) -> AsyncIterator[Calls]:
    """Posts to a host, for as long as the block runs."""
    opened = Calls(url, timeout_s)
    try:
        yield opened
    finally:
        opened.close()
