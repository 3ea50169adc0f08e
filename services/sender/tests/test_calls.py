"""Posts over connections that stay open, against servers that behave and servers that do not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from services.sender.outside.calls import Calls, Lost, Reply, calls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


@dataclass
class Server:
    """What was asked, over how many connections."""

    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Server]:
    """A server that does one thing with each request."""
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                server.asked.append(head + await reader.readexactly(length))
                await answer(reader, writer, server.asked[-1])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v26.0"
    try:
        yield server
    finally:
        listening.close()


def with_bytes(*parts: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.005)

    return answer


async def post(opened: Calls, body: bytes = b"{}") -> Reply:
    return await opened.post("1/messages", {"Authorization": "Bearer t"}, body)


async def lost(opened: Calls) -> tuple[str, bool]:
    with pytest.raises(Lost) as caught:
        await post(opened)
    return caught.value.why, caught.value.left


async def test_posts_share_a_connection_one_after_the_other_and_say_what_was_asked() -> None:
    async with answering(with_bytes(OK)) as server, calls(server.url, 5) as opened:
        for n in range(3):
            reply = await post(opened, b'{"n":%d}' % n)
            assert (reply.status, reply.body) == (200, b"{}")
    assert server.connections == 1
    head, _, body = server.asked[2].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v26.0/1/messages HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer t" in head
    assert body == b'{"n":2}'


async def test_posts_at_once_have_a_connection_each() -> None:
    together = asyncio.Barrier(5)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        await together.wait()
        writer.write(OK)

    async with answering(answer) as server, calls(server.url, 5) as opened:
        await asyncio.gather(*(post(opened) for _ in range(5)))
        assert server.connections == 5


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 400 Bad Request\r\nRetry-After: 7\r\nContent-Le", b"ngth: 3\r\n\r\n{", b"1}"],
        [
            b"HTTP/1.1 400 Bad\r\nretry-after: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\n{\r\n",
            b"2\r\n1}\r\n0\r\n\r\n",
        ],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 400 Bad\r\nRetry-After: 7\r\n"
         b"Content-Length: 3\r\n\r\n{1}"],
    ],
)  # fmt: skip
async def test_an_answer_is_whole_however_it_comes(parts: list[bytes]) -> None:
    async with answering(with_bytes(*parts)) as server, calls(server.url, 5) as opened:
        for _ in range(2):
            assert await post(opened) == Reply(400, b"{1}", "7")
    assert server.connections == 1


async def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    async with answering(with_bytes(closing)) as server, calls(server.url, 5) as opened:
        for _ in range(2):
            assert (await post(opened)).status == 200
    assert server.connections == 2


async def test_where_nobody_listens_nothing_left() -> None:
    async with answering(with_bytes(OK)) as server:
        pass
    async with calls(server.url, 5) as opened:
        assert await lost(opened) == ("connect", False)


async def test_what_left_and_was_not_answered_may_have_been_accepted() -> None:
    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.close()

    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter, ___: bytes) -> None:
        await asyncio.sleep(10)

    whys = {
        "disconnected": cut,
        "timeout": silent,
        "not_http": with_bytes(b"SSH-2.0-OpenSSH_9.2\r\n"),
        "too_large": with_bytes(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 2_000_000
        ),
    }
    for why, answer in whys.items():
        async with answering(answer) as server, calls(server.url, 0.2) as opened:
            assert await lost(opened) == (why, True)


async def test_an_answer_that_breaks_off_is_none() -> None:
    async def torn(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(OK[:-1])
        await writer.drain()
        writer.close()

    async with answering(torn) as server, calls(server.url, 5) as opened:
        assert await lost(opened) == ("disconnected", True)


async def test_who_stops_waiting_leaves_no_answer_to_the_next() -> None:
    held = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> None:
        if asked.endswith(b"slow"):
            await held.wait()
            writer.write(OK.replace(b"{}", b"no"))
        else:
            writer.write(OK)

    async with answering(answer) as server, calls(server.url, 5) as opened:
        slow = asyncio.create_task(post(opened, b"slow"))
        while not server.asked:
            await asyncio.sleep(0.005)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        held.set()
        assert (await post(opened)).body == b"{}"


async def test_no_header_can_bring_another_one_with_it() -> None:
    async with answering(with_bytes(OK)) as server, calls(server.url, 5) as opened:
        with pytest.raises(ValueError, match="header"):
            await opened.post("1/messages", {"Authorization": "Bearer t\r\nX: y"}, b"{}")
        await opened.post("1/x HTTP/1.1\r\nX: y", {}, b"{}")
    assert b"X: y" not in server.asked[0]
