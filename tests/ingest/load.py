"""A load of signed webhooks, each of its own and each sent once, and what became of every one."""

import asyncio
import hashlib
import hmac
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import orjson

from chassis.ids import fresh_id
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tests.process import ANSWER_S, PATH


@dataclass(slots=True)
class Sent:
    """One webhook and its answer."""

    wamid: str
    at: float
    status: int = 0
    """0: the connection was closed, or could not be made."""
    seconds: float = 0.0
    closes: bool = False
    """Whether the answer ended the connection."""
    torn: bool = False
    """Whether part of an answer came, and not all of it."""


@dataclass
class Load:
    """Webhooks on their way, each of a phone number of its own, by which the archive finds it."""

    port: int
    secret: str
    mark: str = field(default_factory=lambda: fresh_id("waba"))
    sent: list[Sent] = field(default_factory=list)
    on: bool = True
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def request(self, wamid: str) -> bytes:
        said = value(phone=wamid, messages=[message(wamid)])
        body = orjson.dumps(webhook(said, waba=self.mark))
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        return (
            f"POST {PATH} HTTP/1.1\r\nHost: a\r\nX-Hub-Signature-256: sha256={signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    @property
    def accepted(self) -> set[str]:
        return {one.wamid for one in self.sent if one.status == 200}

    def statuses(self) -> Counter[int]:
        return Counter(one.status for one in self.sent)

    async def client(self, first_s: float, pause_s: float) -> None:
        """One client with one connection at a time: a request every so often."""
        await asyncio.sleep(first_s)
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self.on:
            one = Sent(f"{self.mark}.{next(self.numbers)}", monotonic())
            self.sent.append(one)
            try:
                async with asyncio.timeout(ANSWER_S):
                    if line is None:
                        line = await asyncio.open_connection("127.0.0.1", self.port)
                    await self._ask(one, *line)
            except OSError:  # a time-out too: its `seconds` tell
                one.closes = True
            finally:
                one.seconds = monotonic() - one.at
                if line is not None and (one.closes or not one.status):
                    line[1].close()
                    line = None
            await asyncio.sleep(max(one.at + pause_s - monotonic(), 0))
        if line is not None:
            line[1].close()

    async def again(self, one: Sent) -> None:
        """Post a webhook once more on a connection of its own, as Meta does without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._ask(one, reader, writer)
        finally:
            writer.close()

    async def _ask(
        self, one: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(self.request(one.wamid))
        try:
            top = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            one.torn = bool(error.partial)
            return
        lines = top.lower().split(b"\r\n")
        one.closes = b"connection: close" in lines
        for text in lines:
            if text.startswith(b"content-length:"):
                await reader.readexactly(int(text.split(b":")[1]))
        one.status = int(top.split(b" ", 2)[1])


@asynccontextmanager
async def load(port: int, secret: str, per_second: int, clients: int = 60) -> AsyncIterator[Load]:
    """Webhooks for as long as the block runs; when it has ended each was answered, or was not.

    Clients wait for their answers: enough of them keep the rate while the server takes its time.
    """
    running = Load(port, secret)
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(running.client(number / per_second, clients / per_second))
        try:
            yield running
        finally:
            running.on = False
