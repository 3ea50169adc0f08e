"""The front door alone: one ingest process with the durable log, beside a bare handler and PyWa.

Flat out against those two in the same run; then Meta's load for a minute; then batched
webhooks of 1,000 statuses each; then a user message behind 100,000 queued statuses.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median

import orjson
import psutil
import uvloop

from bench.bare import baseline
from bench.load import FLAT_OUT, Load, offer, signed_post
from bench.result import Figure, percentile, tell
from bench.running import note, suite
from bench.whatsapp import status, webhook
from chassis.settings import LogSettings
from chassis.streams import EventLog, Position, event_log
from cli import stack
from cli.doors import text_message
from cli.play.definitions import NUMBER, WABA
from merhaba.event.v1 import Event

_FLAT_OUT = 20_000
_TURNS = 3
_BATCHED = 60
_ITEMS = 1_000
_QUEUED = 100_000


def singles(count: int, mark: str) -> Iterator[bytes]:
    """Webhooks of one status each; each happens once."""
    for number in range(count):
        yield orjson.dumps(
            webhook([status(f"wamid.{mark}{number}", "447700900001", f"m{number}", "delivered")])
        )


@dataclass
class Flat:
    """One server flat out, several times."""

    rates: list[float] = field(default_factory=list)
    """Webhooks answered a second, of each turn."""
    cpu_us: list[float] = field(default_factory=list)
    """What its process spent on one webhook, of each turn."""

    async def turn(self, url: str, pid: int, requests: list[bytes]) -> None:
        """Send everything, as fast as it is answered."""
        before = _cpu_s(pid)
        load = await offer(url, requests, FLAT_OUT)
        assert not load.refused
        self.rates.append(load.answered / load.seconds)
        self.cpu_us.append((_cpu_s(pid) - before) / load.answered * 1e6)

    def rate(self) -> float:
        return median(self.rates)

    def cost(self) -> float:
        return median(self.cpu_us)


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def main(per_second: float, seconds: float) -> None:
    """Measure everything and tell it."""
    async with suite(("ingest",)) as running:
        tell("ingest", await _measure(running, per_second, seconds))


async def _measure(running: stack.Stack, per_second: float, seconds: float) -> list[Figure]:
    addresses = running.addresses()
    url, secret, pid = addresses.webhook_url, addresses.app_secret, addresses.pids["ingest"]

    def requests(bodies: Iterator[bytes], to: str) -> list[bytes]:
        return [signed_post(to, body, secret) for body in bodies]

    note("flat out in turns: a bare handler, ingest, PyWa")
    bare, own, pywa = Flat(), Flat(), Flat()
    async with (
        baseline("bench.bare", secret) as (bare_url, bare_pid),
        baseline("bench.pywa", secret) as (pywa_url, pywa_pid),
    ):
        for turn in range(_TURNS):
            mark = f"flat{turn}."
            await bare.turn(bare_url, bare_pid, requests(singles(_FLAT_OUT, mark), bare_url))
            await own.turn(url, pid, requests(singles(_FLAT_OUT, mark), url))
            await pywa.turn(pywa_url, pywa_pid, requests(singles(_FLAT_OUT // 4, mark), pywa_url))
        beside = await offer(
            bare_url, requests(singles(int(per_second * 5), "c"), bare_url), per_second
        )
    figures = [
        Figure("durable_ratio", own.rate() / bare.rate(), "1", 1.0),
        Figure("pywa_ratio", own.rate() / pywa.rate(), "1", 1.0),
        Figure("flat_out_per_s", own.rate(), "1/s", bare.rate()),
        Figure("flat_out_cpu_us", own.cost(), "us", bare.cost()),
        Figure("pywa_flat_out_per_s", pywa.rate(), "1/s"),
    ]
    if not seconds:
        return figures

    note(f"{per_second:.0f} webhooks a second for {seconds:.0f} s")
    before = _cpu_s(pid)
    load = await offer(url, requests(singles(int(per_second * seconds), "l"), url), per_second)
    spent = _cpu_s(pid) - before

    note(f"{_BATCHED} webhooks of {_ITEMS} statuses")
    batched = await offer(url, requests(_batches(_BATCHED, "t"), url), FLAT_OUT)
    priority = await _priority(url, secret, LogSettings(redis_url=addresses.redis_url))

    def ms(one: Load, share: float) -> float:
        return percentile(one.latencies, share) * 1000

    return [
        *figures,
        Figure("offered_per_s", load.offered / load.seconds, "1/s"),
        Figure("answered_per_s", load.answered / load.seconds, "1/s"),
        Figure("answer_p50_ms", ms(load, 0.5), "ms", ms(beside, 0.5)),
        Figure("answer_p99_ms", ms(load, 0.99), "ms", ms(beside, 0.99)),
        Figure("refused", load.refused + batched.refused, "1"),
        Figure("batched_items_per_s", batched.answered / batched.seconds * _ITEMS, "1/s"),
        Figure("priority_ms", priority, "ms"),
        Figure("cpu_us_per_webhook", spent / max(load.answered, 1) * 1e6, "us"),
        Figure("rss_mb", psutil.Process(pid).memory_info().rss / 1e6, "MB"),
    ]


def _batches(count: int, mark: str) -> Iterator[bytes]:
    for number in range(count):
        items = [
            status(f"wamid.{mark}{number}.{item}", "447700900001", f"m{item}", "delivered")
            for item in range(_ITEMS)
        ]
        yield orjson.dumps(webhook(items))


async def _priority(url: str, secret: str, settings: LogSettings) -> float:
    """Milliseconds until a consumer of user messages has one that came behind many statuses."""
    note(f"a user message behind {_QUEUED} statuses")
    async with event_log(settings) as log:
        await offer(
            url,
            [signed_post(url, body, secret) for body in _batches(_QUEUED // _ITEMS, "q")],
            FLAT_OUT,
        )
        ends = {p.stream: p for p in await log.end("inbound.message")}
        wamid = f"wamid.urgent{time.time_ns()}"
        body = orjson.dumps(
            text_message(wamid, "447700900002", NUMBER, WABA, "Merhaba", datetime.now(UTC))
        )
        began = time.perf_counter()
        reading = asyncio.create_task(_until_read(log, ends, wamid))
        await offer(url, [signed_post(url, body, secret)], FLAT_OUT)
        await reading
        return (time.perf_counter() - began) * 1000


async def _until_read(log: EventLog, positions: dict[str, Position], wamid: str) -> None:
    while True:
        for position, events in await log.read(list(positions.values()), 100, 1000):
            positions[position.stream] = position
            if any(Event.FromString(e).message_received.wamid == wamid for e in events):
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=3300, help="webhooks a second")
    parser.add_argument("--seconds", type=float, default=60, help="0: flat out only")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rate, arguments.seconds))
