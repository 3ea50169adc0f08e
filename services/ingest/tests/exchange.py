"""HTTP/1.1 over a bare socket: bytes out as a test wants them, answers in as they come."""

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic, sleep

from services.ingest.tests.process import ANSWER_S, PATH, Door

AGAINST_THE_STREAM_S = 0.002


@dataclass
class Answer:
    """One answer, its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Exchange:
    """What came back on one connection."""

    answers: list[Answer] = field(default_factory=list)
    closed: bool = False
    """Whether the server closed the connection."""
    seconds: float = 0.0
    rest: bytes = b""
    """What came and is no whole answer."""

    @property
    def statuses(self) -> list[int]:
        return [one.status for one in self.answers]


def head(method: str, path: str, *lines: str, version: str = "1.1") -> bytes:
    """The head of a request."""
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: a.b", *lines, "", "")).encode()


def signed(door: Door, body: bytes, *lines: str, version: str = "1.1") -> bytes:
    """A whole webhook as Meta posts it."""
    signature = f"X-Hub-Signature-256: {door.signature(body)}"
    length = f"Content-Length: {len(body)}"
    return head("POST", PATH, signature, length, *lines, version=version) + body


def cut(whole: bytes, places: Iterable[int]) -> list[bytes]:
    """Bytes in pieces, cut at some places."""
    ends = sorted({min(place, len(whole)) for place in places} | {0, len(whole)})
    return [whole[a:b] for a, b in pairwise(ends)]


def exchange(
    door: Door,
    pieces: Sequence[bytes],
    count: int | None = None,
    within_s: float = ANSWER_S,
    pause_s: float = AGAINST_THE_STREAM_S,
) -> Exchange:
    """Send pieces and read until `count` answers have come, or the server has closed. When it
    has done neither in time, `closed` is False."""
    found, started = Exchange(), monotonic()
    with socket.create_connection(("127.0.0.1", door.port), timeout=within_s) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for number, piece in enumerate(pieces):
                if number:
                    sleep(pause_s)  # so that pieces are not read together
                line.sendall(piece)
        except OSError:
            pass  # it is closed already; what it said before is still there to be read
        buffer = b""
        while count is None or len(found.answers) < count:
            line.settimeout(max(started + within_s - monotonic(), 0.001))
            try:
                data = line.recv(65536)
            except TimeoutError:
                break
            except OSError:
                data = b""
            if not data:
                found.closed = True
                break
            buffer = _answers(buffer + data, found.answers)
        found.rest = buffer
    found.seconds = monotonic() - started
    return found


def _answers(data: bytes, into: list[Answer]) -> bytes:
    while True:
        top, separator, rest = data.partition(b"\r\n\r\n")
        if not separator:
            return data
        first, *lines = top.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status == 100:
            data = rest
            continue
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return data
        into.append(Answer(status, headers, rest[:length]))
        data = rest[length:]
