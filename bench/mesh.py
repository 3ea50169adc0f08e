"""What mutual TLS costs: the same calls with certificates and in the clear, in turns.

Server and callers share the machine, as in a suite on two cores. A call is one message of 300
bytes; a batch a hundred of them in one message of a stream.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import grpc
import psutil
import uvloop

from bench.result import Figure, tell
from chassis import certificates
from chassis.callers import Callers
from chassis.certificates import files_of
from chassis.policy import read_policy
from chassis.rpc import Credentials, channel, server
from chassis.tls import server_credentials
from services import POLICY

CONTRACT: Final = "merhaba.profile.v1.ProfileService"
CALL, STREAM = f"/{CONTRACT}/BatchGetContacts", f"/{CONTRACT}/StreamHistory"
TOKEN: Final = "a token of a benchmark"  # noqa: S105 - of nobody
ITEM: Final = b"x" * 300
BATCH: Final = ITEM * 100
TURNS: Final = 5
AT_ONCE: Final = 32


async def _unary(request: bytes, _context: Any) -> bytes:
    return request


async def _stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    for _ in range(int(request)):
        yield BATCH


def serve(folder: Path, secured: int, plain: int) -> None:
    """A server with both ports, in a process of its own."""

    async def run() -> None:
        callers = Callers(TOKEN, policy=read_policy(POLICY))
        own = server("profile", callers)
        handlers: dict[str, Any] = {
            "BatchGetContacts": grpc.unary_unary_rpc_method_handler(_unary),
            "StreamHistory": grpc.unary_stream_rpc_method_handler(_stream),
        }
        own.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(CONTRACT, handlers),))
        credentials = server_credentials(files_of(folder, "profile"), clients=True)
        own.add_secure_port(f"127.0.0.1:{secured}", credentials)
        own.add_insecure_port(f"127.0.0.1:{plain}")
        await own.start()
        await own.wait_for_termination()

    uvloop.run(run())


class Cost(NamedTuple):
    """Of one way to call."""

    per_s: float
    us: float
    """Processor time of both sides, in microseconds."""


async def calls(opened: grpc.aio.Channel, seconds: float) -> int:
    """How many calls there were."""
    ask: Any = opened.unary_unary(CALL)
    end, count = time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await ask(ITEM)
            count += 1

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return count


async def events(opened: grpc.aio.Channel, seconds: float) -> int:
    """How many events came, in batches of a hundred."""
    stream: Any = opened.unary_stream(STREAM)
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        async for _ in stream(b"500"):
            count += len(BATCH) // len(ITEM)
    return count


async def cost(
    work: Callable[[grpc.aio.Channel, float], Awaitable[int]],
    opened: grpc.aio.Channel,
    seconds: float,
    other: psutil.Process,
) -> Cost:
    """What `work` costs: mainly processor time, which others on the machine cannot take."""
    sides = (other, psutil.Process())
    before, began = sum(map(_cpu, sides)), time.perf_counter()
    count = await work(opened, seconds)
    passed, spent = time.perf_counter() - began, sum(map(_cpu, sides)) - before
    return Cost(count / passed, spent / count * 1e6)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[int, int, psutil.Process]]:
    """Ports with and without TLS, and the process behind them."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    process = get_context("spawn").Process(target=serve, args=(folder, *ports), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield ports[0], ports[1], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join()


async def measure(seconds: float) -> None:
    """Both in turns, and what one costs more than the other."""
    found: dict[tuple[str, bool], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        certificates.issue(place, ["profile", "sender"], datetime.now(UTC))
        own = Credentials(tls=files_of(place, "sender"), name="profile")
        async with (
            serving(place) as (secured, plain, process),
            channel(f"127.0.0.1:{secured}", own) as mtls,
            channel(f"127.0.0.1:{plain}", TOKEN) as clear,
        ):
            for opened in (mtls, clear):
                first: Any = opened.unary_unary(CALL)
                await first(ITEM, wait_for_ready=True, timeout=30)
            for turn in range(TURNS):
                print(f"turn {turn + 1} of {TURNS}", file=sys.stderr, flush=True)
                for opened, safe in ((mtls, True), (clear, False)):
                    for name, work in (("call", calls), ("event", events)):
                        told = await cost(work, opened, seconds, process)
                        found.setdefault((name, safe), []).append(told)
    middle = {
        key: Cost(median(c.per_s for c in costs), median(c.us for c in costs))
        for key, costs in found.items()
    }
    figures = [
        Figure("mtls_cost_pct", _more(middle, "call"), "%"),
        Figure("mtls_stream_cost_pct", _more(middle, "event"), "%"),
    ]
    for name in ("call", "event"):
        with_tls, bare = middle[name, True], middle[name, False]
        figures += [
            Figure(f"us_per_{name}", with_tls.us, "µs", bare.us),
            Figure(f"{name}s_per_s", with_tls.per_s, "1/s", bare.per_s),
        ]
    tell("mesh", figures)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _more(costs: dict[tuple[str, bool], Cost], what: str) -> float:
    """How much more processor time it takes with TLS, in percent."""
    return (costs[what, True].us / costs[what, False].us - 1) * 100


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    uvloop.run(measure(asked.parse_args().seconds))
