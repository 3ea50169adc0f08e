"""Short links alone: one ingest process that leads people on and tells of each click, beside a bare
aiohttp handler that answers 302 and knows nothing."""

import argparse
from statistics import median
from uuid import uuid4

import psutil
import uvloop

from bench.bare import baseline
from bench.load import FLAT_OUT, Load, offer, plain_get
from bench.result import Figure, percentile, tell
from bench.running import note, suite
from chassis.ids import fresh_id
from chassis.settings import LogSettings
from chassis.streams import EventLog, Position, event_log
from chassis.testing import wait_until
from cli.stack import Addresses
from merhaba.ingest.v1 import CreateLinksRequest, IngestServiceStub, LinkSpec

_CALL = 1_000
_TURNS = 3
_PEOPLE = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15"
    f" (KHTML, like Gecko) Version/17.{minor} Mobile/15E148 Safari/604.1"
    for minor in range(10)
] + [
    f"Mozilla/5.0 (Linux; Android 14; SM-S9{model}B) AppleWebKit/537.36 (KHTML, like Gecko)"
    f" Chrome/126.0.0.0 Mobile Safari/537.36"
    for model in range(90)
]


async def made(addresses: Addresses, count: int) -> list[str]:
    """Tokens of links, each for a message of its own."""
    async with addresses.channel("ingest") as rpc:
        api = IngestServiceStub(rpc)
        tokens: list[str] = []
        for start in range(0, count, _CALL):
            specs = [
                LinkSpec(
                    url=f"https://shop.example/{number % 5}",
                    message_id=fresh_id("msg"),
                    campaign_id="bench",
                    contact_id=str(uuid4()),
                )
                for number in range(start, min(start + _CALL, count))
            ]
            request = CreateLinksRequest(request_id=str(uuid4()), links=specs)
            tokens += [link.token for link in (await api.CreateLinks(request)).links]
        return tokens


def requests(base: str, tokens: list[str]) -> list[bytes]:
    """People opening links."""
    return [
        plain_get(
            f"{base}/l/{token}",
            {
                "User-Agent": _PEOPLE[number % len(_PEOPLE)],
                "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
                "Accept-Language": "tr-TR,tr;q=0.9,en;q=0.8",
            },
        )
        for number, token in enumerate(tokens)
    ]


async def clicks(log: EventLog) -> int:
    """How many clicks are on the log."""
    positions = [Position(stream, b"0") for stream in log.streams("inbound.track")]
    return sum(len(events) for _, events in await log.read(positions, 1_000_000, 1))


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def main(count: int) -> None:
    """Measure and tell."""
    async with suite(("ingest",)) as running, baseline("bench.redirect", "") as (bare_url, least):
        addresses = running.addresses()
        url, pid = addresses.webhook_url.partition("/webhooks")[0], addresses.pids["ingest"]
        bare: list[Load] = []
        own: list[Load] = []
        spent, spent_bare = 0.0, 0.0
        for turn in range(_TURNS):
            note(f"turn {turn + 1} of {_TURNS}: {count} opened links, a bare handler and ingest")
            tokens = await made(addresses, count)
            before = _cpu_s(least)
            bare.append(await offer(bare_url, requests(bare_url, tokens), FLAT_OUT))
            spent_bare += _cpu_s(least) - before
            before = _cpu_s(pid)
            own.append(await offer(url, requests(url, tokens), FLAT_OUT))
            spent += _cpu_s(pid) - before
        async with event_log(LogSettings(redis_url=addresses.redis_url)) as log:

            async def told() -> bool:
                return await clicks(log) == count * _TURNS

            await wait_until(told, 30)
        _tell(bare, own, spent, spent_bare)


def _tell(bare: list[Load], own: list[Load], spent: float, spent_bare: float) -> None:
    def rate(loads: list[Load]) -> float:
        return median(load.answered / load.seconds for load in loads)

    def ms(loads: list[Load], share: float) -> float:
        return median(percentile(load.latencies, share) for load in loads) * 1000

    answered = sum(load.answered for load in own)
    tell(
        "links",
        [
            Figure("redirects_per_s", rate(own), "1/s", rate(bare)),
            Figure("redirect_ratio", rate(own) / rate(bare), "1", 1.0),
            Figure("flat_out_p50_ms", ms(own, 0.5), "ms", ms(bare, 0.5)),
            Figure("flat_out_p99_ms", ms(own, 0.99), "ms", ms(bare, 0.99)),
            Figure("cpu_us_per_click", spent / answered * 1e6, "us", spent_bare / answered * 1e6),
            Figure("refused", sum(load.refused for load in own), "1"),
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--links", type=int, default=10_000, help="links opened in each turn")
    uvloop.run(main(parser.parse_args().links))
