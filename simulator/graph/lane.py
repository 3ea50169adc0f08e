"""The short way of a send: requests of the usual form, without a web framework's work on each.

A connection begins here. While its requests are posts of messages with a plain head they are
answered here, one after the other; the first that is anything else takes its connection over to
the web framework, bytes and all. The framework closes it behind its answer, so that the caller's
next message comes here again.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from httptools import HttpParserError, HttpRequestParser

from simulator.graph.sends import Reply, Sends

_HEAD_END: Final = b"\r\n\r\n"
_HEAD_BYTES: Final = 16 * 1024
_BODY_BYTES: Final = 1024 * 1024
_SEND: Final = re.compile(rb"POST /v\d+\.\d+/(\d{1,32})/(marketing_)?messages HTTP/1\.1\r\n")
# A head that has one of these is not of the usual form.
_UNUSUAL: Final = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})
_REASONS: Final = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
                   404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error",
                   503: "Service Unavailable"}  # fmt: skip


class Lanes:
    """All connections that are not the framework's."""

    def __init__(self, sends: Sends) -> None:
        self.sends = sends
        self.open: set[Lane] = set()

    def protocol(self, framework: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """What makes the protocol of a new connection. `framework` takes those over that are not
        for here."""
        return lambda: Lane(self, framework)

    def close(self) -> None:
        """Cut what is left."""
        for lane in list(self.open):
            lane.close()


class Lane(asyncio.Protocol):
    """One connection. One request at a time; whoever sends on before its answer is not read from
    for long."""

    def __init__(self, lanes: Lanes, framework: Callable[[], asyncio.BaseProtocol]) -> None:
        self._lanes = lanes
        self._framework = framework
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._buffer = b""
        self._waiting: asyncio.Task[None] | None = None
        self._last = False  # the connection ends with the next answer
        self._known = b""  # the latest head: a client sends nearly always the same one
        # Of the request whose head was read
        self._body_from = 0
        self._length = -1
        self._number = ""
        self._marketing = False
        self._authorization = ""
        self._unusual = False

    # ---- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lanes.open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._lanes.open.discard(self)
        # A caller that went away must not hold a place in the queue.
        if self._waiting is not None:
            self._waiting.cancel()

    def pause_writing(self) -> None:
        # Who does not read its answers is not read from
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._waiting is None:
            self._read()
        elif len(self._buffer) > _BODY_BYTES:
            self._transport.pause_reading()

    def close(self) -> None:
        """Cut the connection."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._transport.abort()

    # ---- requests

    def _read(self) -> None:
        """Answer the requests that are there as a whole."""
        while self._body_from or self._head():
            buffer, end = self._buffer, self._body_from + self._length
            if len(buffer) < end:
                return
            raw = buffer[self._body_from : end]
            self._buffer = buffer[end:]
            self._body_from = 0
            sends = self._lanes.sends
            if not sends.at_once:
                self._waiting = asyncio.create_task(self._send_later(raw))
                return
            reply = sends.send(self._number, self._marketing, self._authorization, raw)
            if reply.cut_after_s is not None:
                self._waiting = asyncio.create_task(self._cut(reply.cut_after_s))
                return
            self._answer(reply)

    def _head(self) -> bool:
        """Read the head, if it is there; says whether it is one for here."""
        buffer, known = self._buffer, self._known
        if known and buffer.startswith(known):
            self._body_from = len(known)
            return True
        end = buffer.find(_HEAD_END)
        if end < 0:
            if len(buffer) > _HEAD_BYTES:
                self._hand_over()
            return False
        end += len(_HEAD_END)
        found = _SEND.match(buffer)
        if found is None:
            self._hand_over()
            return False
        self._length, self._authorization, self._unusual = -1, "", False
        try:
            HttpRequestParser(self).feed_data(buffer[:end])
        except HttpParserError:
            self._unusual = True
        if self._unusual or not 0 <= self._length <= _BODY_BYTES:
            self._hand_over()
            return False
        self._number = found[1].decode()
        self._marketing = found[2] is not None
        self._body_from = end
        self._known = buffer[:end]
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, from the parser."""
        name = name.lower()
        if name == b"content-length":
            self._length = int(value)
        elif name == b"authorization":
            self._authorization = value.decode("latin-1")
        elif name == b"connection":
            self._last = value.lower() == b"close"
        elif name in _UNUSUAL:
            self._unusual = True

    async def _send_later(self, raw: bytes) -> None:
        sends = self._lanes.sends
        await sends.ready()
        reply = sends.send(self._number, self._marketing, self._authorization, raw)
        if reply.cut_after_s is not None:
            await self._cut(reply.cut_after_s)
            return
        self._waiting = None
        self._answer(reply)
        self._transport.resume_reading()
        self._read()

    async def _cut(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._transport.abort()

    def _answer(self, reply: Reply) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        head = (
            f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Error')}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(reply.body)}\r\n"
            f"{'Connection: close' if self._last else 'Connection: keep-alive'}\r\n\r\n"
        )
        transport.write(head.encode() + reply.body)
        if self._last:
            transport.close()

    def _hand_over(self) -> None:
        """Give the connection to the web framework."""
        self._lanes.open.discard(self)
        protocol: Any = self._framework()
        transport, buffer = self._transport, self._buffer
        self._buffer = b""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(buffer)
