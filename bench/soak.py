"""The front door for ten minutes: whether its memory stays what it was.

One ingest process under a steady load of signed webhooks of one status each. Its memory is read
every ten seconds; the slope is that of the straight line through what was read after the first two
minutes, in which caches and pools fill.
"""

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from statistics import linear_regression
from typing import Final

import orjson
import psutil
import uvloop

from bench.load import Load, offer, signed_post
from bench.running import note, suite
from bench.whatsapp import status, webhook

_EVERY_S: Final = 10.0
_WARM_S: Final = 120.0
_SLICE_S: Final = 5.0  # made ahead and offered at once, so that the load itself needs little memory


async def main(per_second: float, seconds: float) -> None:
    """Load, watch and tell."""
    async with suite(("ingest",)) as running:
        addresses = running.addresses()
        process = psutil.Process(addresses.pids["ingest"])
        read: list[tuple[float, float]] = []
        watching = asyncio.create_task(_watch(process, read))
        total = Load()
        for start in range(0, int(per_second * seconds), int(per_second * _SLICE_S)):
            requests = [
                signed_post(addresses.webhook_url, body, addresses.app_secret)
                for body in _bodies(start, int(per_second * _SLICE_S))
            ]
            load = await offer(addresses.webhook_url, requests, per_second)
            total.answered += load.answered
            total.refused += load.refused
            total.seconds += load.seconds
        watching.cancel()
        _tell(read, total)


def _bodies(start: int, count: int) -> Iterator[bytes]:
    for number in range(start, start + count):
        told = status(f"wamid.soak{number}", f"4477{number % 10**8:08d}", f"m{number}", "delivered")
        yield orjson.dumps(webhook([told]))


async def _watch(process: psutil.Process, into: list[tuple[float, float]]) -> None:
    """Seconds since the beginning, and megabytes, again and again."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        into.append((clock() - began, process.memory_info().rss / 1e6))
        note(f"{into[-1][0]:4.0f} s {into[-1][1]:7.1f} MB")
        await asyncio.sleep(began + len(into) * _EVERY_S - clock())


def _tell(read: Sequence[tuple[float, float]], load: Load) -> None:
    warm = [one for one in read if one[0] >= _WARM_S]
    slope = linear_regression(*zip(*warm, strict=True)).slope * 60 if len(warm) > 1 else None
    figures = {
        "name": "soak",
        "seconds": round(read[-1][0]),
        "answered_per_s": round(load.answered / load.seconds, 1),
        "refused": load.refused,
        "rss_first_mb": round(read[0][1], 1),
        "rss_last_mb": round(read[-1][1], 1),
        "rss_most_mb": round(max(mb for _, mb in read), 1),
        "slope_mb_per_min": None if slope is None else round(slope, 3),
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000, help="webhooks a second")
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rate, arguments.minutes * 60))
