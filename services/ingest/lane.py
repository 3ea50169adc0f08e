"""The short way of a webhook: requests of the usual form, without a web framework's work on each.

A connection begins here. While its requests are small posts to the webhook's path with a plain
head they are answered here, one after the other; the first that is anything else takes its
connection over to the web framework, bytes and all, for good. So every rule of HTTP that is not
about the usual form has one implementation, and it is not ours.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, Protocol, cast

from aiohttp import web
from httptools import HttpParserError, HttpRequestParser

from services.ingest.answer import text_headers

_HEAD_END: Final = b"\r\n\r\n"
_HEAD_BYTES: Final = 16 * 1024
SMALL_BYTES: Final = 64 * 1024
"""Larger bodies are for the web framework: reading them takes turns with others."""
_EVERY_S: Final = 1.0
# A head that has one of these is not of the usual form.
_UNUSUAL: Final = frozenset(
    {b"transfer-encoding", b"content-encoding", b"expect", b"connection", b"upgrade"}
)


class Door(Protocol):
    """Where webhooks go in."""

    def take(self, body: bytes, signature: str, answer: Callable[[int], None]) -> None:
        """Take a webhook; `answer` is told the status, once."""
        ...


class Lanes:
    """All connections of the HTTP door, and how long they may take."""

    def __init__(
        self,
        door: Door,
        path: str,
        head_s: float,
        body_s: float,
        idle_s: float,
        connections: int,
    ) -> None:
        """`head_s`, `body_s`: how long a request's head and body may take to come; `idle_s`: how
        long a connection may wait for its next request; `connections`: the most that are open."""
        self.door = door
        self.start = f"POST {path} HTTP/1.1\r\n".encode()
        self.head_s = head_s
        self.body_s = body_s
        self.idle_s = idle_s
        self.most = connections
        self.open: set[Lane] = set()
        self.leaving = False
        """Whether each connection ends behind its next answer, so that clients go elsewhere."""
        self.draining = False
        self._second = 0
        self._heads: dict[int, bytes] = {}

    def protocol(self, framework: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """What makes the protocol of a new connection. `framework` takes those over that are not
        for here."""
        return lambda: Lane(
            self, framework, full=len(self.open) + len(framework.connections) >= self.most
        )

    async def run(self) -> None:
        """Close what takes too long, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            now = monotonic()
            for lane in [one for one in self.open if one.deadline < now]:
                lane.late()

    async def drain(self) -> None:
        """Close what waits for a request, and the others after their answer; returns when all are
        closed."""
        self.leaving = self.draining = True
        for lane in list(self.open):
            lane.drain()
        while self.open:
            await asyncio.sleep(0.01)

    def answer(self, status: int, close: bool) -> bytes:
        """The whole answer."""
        now = int(datetime.now(UTC).timestamp())
        if now != self._second:
            self._second = now
            self._heads.clear()
        key = -status if close else status
        found = self._heads.get(key)
        if found is None:
            found = self._heads[key] = _answer(status, close, datetime.fromtimestamp(now, UTC))
        return found


def _answer(status: int, close: bool, date: datetime) -> bytes:
    headers = {
        **text_headers(status),
        "Content-Length": "0",
        "Date": format_datetime(date, usegmt=True),
    }
    if close:
        headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode()


class Lane(asyncio.Protocol):
    """One connection. One request at a time; whoever sends on before its answer is not read from
    for long."""

    def __init__(
        self, lanes: Lanes, framework: Callable[[], asyncio.BaseProtocol], full: bool
    ) -> None:
        self._lanes = lanes
        self._framework = framework
        self._full = full
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._buffer = b""
        self._busy = False  # an answer is awaited
        self._last = False  # the connection ends with the next answer
        self.deadline = monotonic() + lanes.head_s
        # Of the request whose head was read
        self._body_from = 0
        self._length = -1
        self._signature = ""
        self._unusual = False

    # ---- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._full or self._lanes.draining:
            self._transport.write(self._lanes.answer(503, close=True))
            self._transport.close()
            return
        self._lanes.open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._lanes.open.discard(self)

    def eof_received(self) -> bool:
        # Who half-closes still gets the answer that is awaited
        self._last = True
        return self._busy

    def pause_writing(self) -> None:
        # Who does not read its answers is not read from
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            self._buffer += data
        else:
            self._buffer = data
            if not self._busy:
                self.deadline = monotonic() + self._lanes.head_s
        if not self._busy:
            self._read()
        elif len(self._buffer) > SMALL_BYTES:
            self._transport.pause_reading()

    # ---- requests

    def _read(self) -> None:
        """Take the request that is there, if it is there as a whole."""
        if not self._body_from and not self._head():
            return
        buffer = self._buffer
        end = self._body_from + self._length
        if len(buffer) < end:
            return
        body = buffer[self._body_from : end]
        self._buffer = buffer[end:]
        self._body_from = 0
        self._busy = True
        self._lanes.door.take(body, self._signature, self._answered)

    def _head(self) -> bool:
        """Read the head, if it is there; says whether it is one for here."""
        buffer = self._buffer
        end = buffer.find(_HEAD_END)
        if end < 0:
            if len(buffer) > _HEAD_BYTES:
                self._hand_over()
            return False
        end += len(_HEAD_END)
        if not buffer.startswith(self._lanes.start):
            self._hand_over()
            return False
        self._length, self._signature, self._unusual = -1, "", False
        try:
            HttpRequestParser(self).feed_data(buffer[:end])
        except HttpParserError:
            self._unusual = True
        if self._unusual or not 0 <= self._length <= SMALL_BYTES:
            self._hand_over()
            return False
        self._body_from = end
        if len(buffer) < end + self._length:
            self.deadline = monotonic() + self._lanes.body_s
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, from the parser."""
        name = name.lower()
        if name == b"content-length":
            self._length = int(value)
        elif name == b"x-hub-signature-256":
            self._signature = value.decode("latin-1")
        elif name == b"connection" and value.lower() in (b"close", b"keep-alive"):
            self._last = value.lower() == b"close"
        elif name in _UNUSUAL:
            self._unusual = True

    def _answered(self, status: int) -> None:
        self._busy = False
        transport = self._transport
        if transport.is_closing():
            return
        last = self._last or self._lanes.leaving
        transport.write(self._lanes.answer(status, last))
        if last:
            transport.close()
            return
        self.deadline = monotonic() + self._lanes.idle_s
        if self._buffer:
            self.deadline = monotonic() + self._lanes.head_s
            transport.resume_reading()
            # Not from here: answers given at once would go deep into each other
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._buffer and not self._busy and not self._transport.is_closing():
            self._read()

    def _hand_over(self) -> None:
        """Give the connection to the web framework."""
        self._lanes.open.discard(self)
        protocol: Any = self._framework()
        transport, buffer = self._transport, self._buffer
        self._buffer = b""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(buffer)

    # ---- limits

    def late(self) -> None:
        """Close: it took too long."""
        if self._busy:
            return
        if self._buffer:
            self._transport.write(self._lanes.answer(408, close=True))
        self._transport.close()

    def drain(self) -> None:
        """Close unless an answer is awaited, behind which it closes."""
        if not self._busy:
            self._transport.close()
