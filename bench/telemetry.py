"""What telemetry costs: processor time of all services for a webhook, with traces and metrics at
their defaults and without either, in turns.

Webhooks are user messages of known and new people, so that each goes through ingest, profile,
segment and reports. With telemetry, spans and metrics go to a real OTLP endpoint that keeps
nothing, and metrics are served to Prometheus besides.
"""

import argparse
import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
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

_SERVICES: Final = ("ingest", "profile", "segment", "sender", "reports")
_TOPICS: Final = ("inbound.message", "contact", "signal", "message")
_TURNS: Final = 3
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


async def turn(mark: str, per_second: float, seconds: float) -> float:
    """Microseconds of processor of all services for a webhook, until all of it is handled."""
    async with suite() as running:
        addresses = running.addresses()
        processes = [psutil.Process(addresses.pids[service]) for service in _SERVICES]

        def used() -> float:
            return sum(sum(process.cpu_times()[:2]) for process in processes)

        count = int(per_second * seconds)
        requests = [
            signed_post(addresses.webhook_url, body, addresses.app_secret)
            for body in bodies(count, mark)
        ]
        async with event_log(LogSettings(redis_url=addresses.redis_url)) as log:
            await offer(addresses.webhook_url, requests[: count // 5], per_second)  # to warm up
            before = used()
            load = await offer(addresses.webhook_url, requests[count // 5 :], per_second)
            assert not load.refused
            while any(lag.behind or lag.pending for lag in await log.lag(_TOPICS)):
                await asyncio.sleep(0.2)
        return (used() - before) / load.answered * 1e6


async def main(per_second: float, seconds: float) -> None:
    """Measure and tell."""
    off: list[float] = []
    on: list[float] = []
    async with baseline("bench.sink", "") as (collector, _):
        default = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "METRICS_PORT": "0"}
        for number in range(_TURNS):
            for told, variables in ((off, {}), (on, default)):
                with environment(variables):
                    told.append(await turn(f"{number}{len(variables)}.", per_second, seconds))
                how = "with" if variables else "without"
                note(f"{how} telemetry: {told[-1]:.0f} us a webhook")
    with_us, without_us = median(on), median(off)
    tell(
        "telemetry",
        [
            Figure("telemetry_cost_pct", (with_us / without_us - 1) * 100, "%"),
            Figure("us_per_webhook", with_us, "us", without_us),
        ],
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--per-second", type=float, default=500, help="webhooks a second")
    options.add_argument("--seconds", type=float, default=15, help="of each turn")
    given = options.parse_args()
    uvloop.run(main(given.per_second, given.seconds))
