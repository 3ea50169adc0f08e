"""What telemetry costs: processor time of all services for a webhook, with traces and metrics at
their defaults and without either, in two suites side by side, so that whatever else the machine
does slows both alike.

Webhooks are user messages of known and new people, so that each goes through ingest, profile,
segment and reports. With telemetry, spans go to a real OTLP endpoint that keeps nothing, and
metrics are kept for Prometheus.
"""

import argparse
import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Final

import orjson
import psutil
import uvloop

from bench.bare import baseline
from bench.load import offer, signed_post
from bench.result import Figure, tell
from bench.running import note, suite
from chassis.settings import LogSettings
from chassis.streams import event_log
from cli.doors import text_message
from cli.play.definitions import NUMBER, WABA
from cli.stack import Addresses

_SERVICES: Final = ("ingest", "profile", "segment", "sender", "reports")
_TOPICS: Final = ("inbound.message", "contact", "signal", "message")
_TURNS: Final = 5
_PEOPLE: Final = 2_000


def bodies(count: int, mark: str) -> Iterator[bytes]:
    """Messages of people who write again and again."""
    for number in range(count):
        phone = f"4477009{number % _PEOPLE:05}"
        yield orjson.dumps(
            text_message(f"wamid.{mark}{number}", phone, NUMBER, WABA, "hello", datetime.now(UTC))
        )


@contextmanager
def environment(given: dict[str, str]) -> Iterator[None]:
    """Variables for what is started meanwhile."""
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


class Measured:
    """A suite under webhooks, and what its services have used of the processor."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._processes = [psutil.Process(addresses.pids[service]) for service in _SERVICES]

    async def handle(self, count: int, mark: str, per_second: float) -> float:
        """Have so many webhooks handled to their end; microseconds of processor for each."""
        addresses = self._addresses
        requests = [
            signed_post(addresses.webhook_url, body, addresses.app_secret)
            for body in bodies(count, mark)
        ]
        before = self._used()
        async with event_log(LogSettings(redis_url=addresses.redis_url)) as log:
            load = await offer(addresses.webhook_url, requests, per_second)
            assert not load.refused
            while any(lag.behind or lag.pending for lag in await log.lag(_TOPICS)):
                await asyncio.sleep(0.2)
        return (self._used() - before) / load.answered * 1e6

    def _used(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


async def main(per_second: float, seconds: float) -> None:
    """Measure and tell."""
    pairs: list[tuple[float, float]] = []
    async with AsyncExitStack() as stack:
        collector, _ = await stack.enter_async_context(baseline("bench.sink", ""))
        silent = Measured((await stack.enter_async_context(suite())).addresses())
        with environment({"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "METRICS_PORT": "0"}):
            telling = Measured((await stack.enter_async_context(suite())).addresses())
        count = int(per_second * seconds)
        for number in range(_TURNS + 1):
            one, other = await asyncio.gather(
                *(suite.handle(count, f"{number}.", per_second) for suite in (telling, silent))
            )
            if number:  # the first warms up
                pairs.append((one, other))
                note(f"{one:.0f} us a webhook with telemetry, {other:.0f} without")
    tell(
        "telemetry",
        [
            Figure("telemetry_cost_pct", (median(a / b for a, b in pairs) - 1) * 100, "%"),
            Figure(
                "us_per_webhook", median(a for a, _ in pairs), "us", median(b for _, b in pairs)
            ),
        ],
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--per-second", type=float, default=250, help="webhooks a second, of each")
    options.add_argument("--seconds", type=float, default=15, help="of each turn")
    given = options.parse_args()
    uvloop.run(main(given.per_second, given.seconds))
