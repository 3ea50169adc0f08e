"""The front door alone: one ingest process with the durable log, beside a bare handler.

Flat out against the bare handler in the same run; then Meta's load for a minute; then batched
webhooks of 1,000 statuses each; then a user message behind 100,000 queued statuses.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson
import psutil
import uvloop

from bench.bare import bare
from bench.load import FLAT_OUT, Load, offer, signed_post
from bench.result import Figure, percentile, tell
from bench.suite import note, suite
from bench.whatsapp import status, webhook
from chassis.settings import LogSettings
from chassis.streams import EventLog, Position, event_log
from cli import stack
from cli.doors import text_message
from cli.play.definitions import NUMBER, WABA
from merhaba.event.v1 import Event

_FLAT_OUT = 20_000
_BATCHED = 60
_ITEMS = 1_000
_QUEUED = 100_000


def singles(count: int, mark: str) -> Iterator[bytes]:
    """Webhooks of one status each; each happens once."""
    for number in range(count):
        yield orjson.dumps(
            webhook([status(f"wamid.{mark}{number}", "447700900001", f"m{number}", "delivered")])
        )


async def main(per_second: float, seconds: float) -> None:
    """Measure everything and tell it."""
    async with suite(("ingest",)) as running:
        await _measure(running, per_second, seconds)


async def _measure(running: stack.Stack, per_second: float, seconds: float) -> None:
    addresses = running.addresses()
    url, secret = addresses.webhook_url, addresses.app_secret
    process = psutil.Process(addresses.pids["ingest"])

    def requests(bodies: Iterator[bytes], to: str) -> list[bytes]:
        return [signed_post(to, body, secret) for body in bodies]

    note("flat out: a bare handler, then ingest")
    async with bare(secret) as least:
        flat = await offer(least, requests(singles(_FLAT_OUT, "b"), least), FLAT_OUT)
        own = await offer(url, requests(singles(_FLAT_OUT, "f"), url), FLAT_OUT)
        beside = await offer(least, requests(singles(int(per_second * 5), "c"), least), per_second)
    note(f"{per_second:.0f} webhooks a second for {seconds:.0f} s")
    before = process.cpu_times()
    load = await offer(url, requests(singles(int(per_second * seconds), "l"), url), per_second)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system

    note(f"{_BATCHED} webhooks of {_ITEMS} statuses")
    batched = await offer(url, requests(_batches(_BATCHED, "t"), url), FLAT_OUT)
    priority = await _priority(url, secret, LogSettings(redis_url=addresses.redis_url))
    _tell(flat, own, beside, load, batched, priority, spent, process.memory_info().rss / 1e6)


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


def _tell(
    flat: Load,
    own: Load,
    beside: Load,
    load: Load,
    batched: Load,
    priority: float,
    spent: float,
    rss: float,
) -> None:
    def rate(one: Load) -> float:
        return one.answered / one.seconds

    def ms(one: Load, share: float) -> float:
        return percentile(one.latencies, share) * 1000

    tell(
        "ingest",
        [
            Figure("durable_ratio", rate(own) / rate(flat), "1", 1.0),
            Figure("flat_out_per_s", rate(own), "1/s", rate(flat)),
            Figure("offered_per_s", load.offered / load.seconds, "1/s"),
            Figure("answered_per_s", rate(load), "1/s", rate(beside)),
            Figure("answer_p50_ms", ms(load, 0.5), "ms", ms(beside, 0.5)),
            Figure("answer_p99_ms", ms(load, 0.99), "ms", ms(beside, 0.99)),
            Figure("refused", load.refused + own.refused + batched.refused, "1"),
            Figure("batched_items_per_s", rate(batched) * _ITEMS, "1/s"),
            Figure("priority_ms", priority, "ms"),
            Figure("cpu_us_per_webhook", spent / max(load.answered, 1) * 1e6, "us"),
            Figure("rss_mb", rss, "MB"),
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=3300, help="webhooks a second")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rate, arguments.seconds))
