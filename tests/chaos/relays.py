"""TCP relays between services, so that their connections can be cut without touching either end."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Find = Callable[[str], int | None]
"""The port of a service, once it is known: before, nobody gets through."""
_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # linger for no time: whatever is under way ends with a reset


class _Relay:
    """One listener and where it leads."""

    def __init__(self, find: Find, name: str) -> None:
        self.port = 0
        self._find = partial(find, name)
        self._upstream: int | None = None
        self.whole = True
        self._open: set[asyncio.StreamWriter] = set()
        self._ends: set[asyncio.Task[None]] = set()

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def cut(self) -> None:
        self.whole = False
        for writer in [*self._open]:
            _reset(writer)

    def mend(self) -> None:
        self.whole = True

    async def _relay(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        self._open.add(near_writer)
        try:
            self._upstream = self._upstream or self._find()
            if self._upstream is None or not self.whole:
                _reset(near_writer)
                return
            far, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            self._open.add(far_writer)
            try:
                back = asyncio.create_task(_pump(far, near_writer))
                await _pump(near, far_writer)
                await back
            finally:
                self._open.discard(far_writer)
                far_writer.close()
        except OSError:
            _reset(near_writer)  # nobody listens there just now
        finally:
            self._open.discard(near_writer)
            near_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    if (sock := writer.get_extra_info("socket")) is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Relays:
    """A relay in front of each service, in a thread of their own."""

    def __init__(self, names: Sequence[str], find: Find) -> None:
        self._loop = asyncio.new_event_loop()
        self._relays = {name: _Relay(find, name) for name in names}

    @property
    def targets(self) -> dict[str, str]:
        """The settings by which services find each other through the relays."""
        return {f"{n.upper()}_TARGET": f"127.0.0.1:{r.port}" for n, r in self._relays.items()}

    def cut(self, name: str) -> None:
        """Reset every connection to a service, and every one to come."""
        self._loop.call_soon_threadsafe(self._relays[name].cut)

    def mend(self, name: str) -> None:
        """Let connections through again."""
        self._loop.call_soon_threadsafe(self._relays[name].mend)

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    @contextmanager
    def running(self) -> Iterator["Relays"]:
        """Relay for as long as the block runs."""
        thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)
        thread.start()
        servers = [self._do(relay.listen()) for relay in self._relays.values()]
        try:
            yield self
        finally:
            self._do(self._close(servers))
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    async def _close(self, servers: Sequence[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        for relay in self._relays.values():
            relay.cut()
        own = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not own]
        if rest:
            await asyncio.wait(rest, timeout=5)
