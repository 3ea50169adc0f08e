"""Webhooks over HTTP: posts, and the check of an address.

A post says the same few things each time, and there are thousands a second: a connection of our own
costs a fifth of what a client for everything costs.
"""

import asyncio
import ssl
from collections import defaultdict
from functools import lru_cache
from secrets import token_hex
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import aiohttp
from httptools import HttpParserError, HttpResponseParser


class _Place(NamedTuple):
    """Where an address leads."""

    host: str
    port: int
    tls: bool
    target: str

    @property
    def head(self) -> str:
        return f"POST {self.target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"


@lru_cache(maxsize=1000)
def _place_of(url: str) -> _Place:
    """Raises ValueError for what is no web address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(url)
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Place(parts.hostname, parts.port or (443 if tls else 80), tls, target)


class _Line(asyncio.Protocol):
    """One connection, one post at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[int | None] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def connection_lost(self, _exc: Exception | None) -> None:
        self.open = False
        self._end(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.close()

    def on_message_complete(self) -> None:
        """From the parser."""
        if not self._parser.should_keep_alive():
            self.close()
        self._end(self._parser.get_status_code())

    async def post(self, raw: bytes) -> int | None:
        """The status; None if the connection ended first."""
        self._parser = HttpResponseParser(self)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._answer

    def close(self) -> None:
        self.open = False
        self._transport.abort()

    def _end(self, status: int | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


class Posting:
    """Posts; redirects are not followed, an answer's body is not looked at."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._idle: defaultdict[_Place, list[_Line]] = defaultdict(list)

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int | None:
        """The status, or None when there was no answer in time."""
        line = None
        try:
            place = _place_of(url)
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"{place.head}{told}Content-Length: {len(body)}\r\n\r\n"
            async with asyncio.timeout(self._timeout_s):
                line = await self._line(place)
                status = await line.post(head.encode() + body)
        except (TimeoutError, OSError, ValueError):
            return None
        else:
            if line.open:
                self._idle[place].append(line)
                line = None
            return status
        finally:
            if line is not None:
                line.close()

    async def _line(self, place: _Place) -> _Line:
        idle = self._idle[place]
        while idle:
            line = idle.pop()
            if line.open:
                return line
        context = ssl.create_default_context() if place.tls else None
        _, line = await asyncio.get_running_loop().create_connection(
            _Line, place.host, place.port, ssl=context
        )
        return line

    def close(self) -> None:
        """End what is open."""
        for lines in self._idle.values():
            for line in lines:
                line.close()


async def verify(session: aiohttp.ClientSession, url: str, token: str) -> str | None:
    """Meta's GET check of an address; None if it passed, else why not."""
    challenge = token_hex(8)
    query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token}
    try:
        async with session.get(
            url, params=query, timeout=aiohttp.ClientTimeout(total=10), allow_redirects=False
        ) as answer:
            body = await answer.content.read(1000)
            if answer.status != 200:
                return f"the address answered {answer.status} to the verification request"
            if body.decode(errors="replace") != challenge:
                return "the address did not answer with hub.challenge"
            return None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return f"the address cannot be reached: {type(error).__name__}"
