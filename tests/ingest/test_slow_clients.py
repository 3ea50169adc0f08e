"""Clients that are slow, silent or too many are let go in bounded time, at nobody else's cost."""

import socket
import threading
from collections.abc import Iterator
from time import monotonic, sleep

import pytest

from chassis.ids import fresh_id
from services.ingest.tests.exchange import exchange, head, signed
from services.ingest.tests.process import PATH, Door, door
from services.ingest.tests.test_raw_http import telling

HEAD_S, BODY_S, IDLE_S, MOST = 0.5, 0.5, 1.5, 40
ROOM_S = 2.5
"""How much later than promised is still in time: deadlines are looked at once a second."""


@pytest.fixture(scope="module")
def front(migrated: str, redis_url: str) -> Iterator[Door]:
    settings = {
        "HTTP_HEAD_S": str(HEAD_S),
        "HTTP_BODY_S": str(BODY_S),
        "HTTP_IDLE_S": str(IDLE_S),
        "HTTP_CONNECTIONS": str(MOST),
    }
    with door(migrated, redis_url, **settings) as running:
        yield running


def dribbled(front: Door, first: bytes, slowly: bytes, before: int = 0) -> tuple[float, list[int]]:
    """Send bytes one by one; returns how long the server took it after `before` answers, and the
    statuses it answered."""
    pieces = [first, *(slowly[at : at + 1] for at in range(len(slowly)))]
    found = exchange(front, pieces, None, within_s=12, pause_s=0.1)
    assert found.closed, "it is still listening"
    return found.seconds, found.statuses[before:]


SLOW_HEADS = {
    "of a webhook": (b"", f"POST {PATH} HTTP/1.1\r\nHost: ".encode() + b"a" * 200, 0),
    "of anything": (b"GET /he", b"althz HTTP/1.1\r\nX: " + b"a" * 200, 0),
    "after a request": (head("GET", "/healthz"), b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 200, 1),
}


@pytest.mark.parametrize("which", SLOW_HEADS)
def test_a_head_that_dribbles_in_is_not_waited_for(front: Door, which: str) -> None:
    first, slowly, before = SLOW_HEADS[which]
    took, statuses = dribbled(front, first, slowly[:80], before)
    assert took < HEAD_S + ROOM_S + (IDLE_S if before else 0), "the head was waited for"
    assert statuses in ([], [408])


@pytest.mark.parametrize("length", [5_000, 500_000])
@pytest.mark.parametrize("path", [PATH, "/v1/batch"])
def test_a_body_that_dribbles_in_is_not_waited_for(front: Door, path: str, length: int) -> None:
    top = head("POST", path, f"Content-Length: {length}", "X-Hub-Signature-256: sha256=0")
    took, statuses = dribbled(front, top, b"{" * 80)
    assert took < BODY_S + ROOM_S
    assert statuses in ([], [408])


@pytest.mark.parametrize("first", [b"", head("GET", "/healthz")], ids=["silent", "kept alive"])
def test_an_idle_connection_is_closed_in_time(front: Door, first: bytes) -> None:
    found = exchange(front, [first], None, within_s=IDLE_S + ROOM_S + 1)
    assert found.closed
    assert found.seconds < IDLE_S + ROOM_S


def opened(front: Door, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", front.port), timeout=5) for _ in range(count)]


def answers(line: socket.socket, request: bytes) -> bool:
    try:
        line.sendall(request)
        return line.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def test_beyond_the_most_connections_one_is_refused_and_the_others_go_on(front: Door) -> None:
    ask = head("GET", "/healthz")
    lines = opened(front, MOST)
    try:
        assert all(answers(line, ask) for line in lines[:3])
        sleep(0.1)
        found = exchange(front, [ask], None, within_s=3)
        assert found.closed
        assert found.statuses in ([], [503])
        assert answers(lines[0], ask)
        for line in lines[10:]:
            line.close()
        deadline = monotonic() + 3
        while (again := exchange(front, [ask], 1, within_s=3)).statuses != [200]:
            assert monotonic() < deadline, again
            sleep(0.05)
    finally:
        for line in lines:
            line.close()


def test_slow_clients_cost_the_others_nothing(front: Door) -> None:
    lines = opened(front, MOST - 10)
    try:
        for number, line in enumerate(lines):
            part = head("POST", PATH, "Content-Length: 100") + b"{"
            line.sendall(part if number % 2 else b"POST ")
        wamids = [fresh_id("wamid") for _ in range(20)]
        for wamid in wamids:
            found = exchange(front, [signed(front, telling(wamid))], 1, within_s=2)
            assert found.statuses == [200]
        assert set(wamids) <= set(front.event_ids("inbound.message"))
    finally:
        for line in lines:
            line.close()


def test_who_does_not_read_answers_is_not_read_from(front: Door) -> None:
    """A writer without a reader: its requests stay with itself, not in our memory."""
    flood = signed(front, telling("wamid.flood")) * 50
    sent = 0
    with socket.create_connection(("127.0.0.1", front.port), timeout=0.7) as line:
        # As little as may be held on the way, so that what else is held is seen
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            while sent < 100_000_000:
                sent += line.send(flood)
        except OSError:
            pass  # it is full, or closed
    assert sent < 100_000_000, "it reads on and on"
    assert front.works()


def test_many_at_once_are_all_served(front: Door) -> None:
    results: list[bool] = []

    def one() -> None:
        wamid = fresh_id("wamid")
        found = exchange(front, [signed(front, telling(wamid))], 1)
        results.append(found.statuses == [200])

    threads = [threading.Thread(target=one) for _ in range(MOST // 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * len(threads)
