"""The whole suite under webhooks: how many a second it sustains, how fast it answers, and where the
time goes.

Statuses of messages that the suite itself sent, and a tenth as many user messages, are posted as
signed webhooks on an open-loop schedule. Everything is on and on this machine: services with mTLS
between them, telemetry at its default to a collector that keeps nothing, the durable log, Postgres,
and the load itself. Short turns find the highest rate at which nothing falls behind; at that rate
the figures are taken. Baseline: a bare aiohttp handler that checks the signature and answers, under
the same load in the same run.
"""

import argparse
import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from time import monotonic
from typing import Final

import aiohttp
import orjson
import uvloop

from bench.bare import baseline
from bench.disks import Written, written
from bench.effects import Effects, lags
from bench.load import FLAT_OUT, Load, offer, signed_post
from bench.processes import Processes, Spent
from bench.result import Figure, percentile, tell
from bench.running import note, suite
from bench.whatsapp import status, webhook
from chassis.settings import LogSettings
from chassis.streams import event_log
from cli import stack
from cli.clients import Clients, clients
from cli.doors import Doors, text_message
from cli.play import definitions, story
from cli.play.definitions import NUMBER, WABA
from merhaba.segment.v1 import CreateSegmentRequest, Segment
from merhaba.sender.v1 import (
    Audience,
    Campaign,
    CreateCampaignRequest,
    GetCampaignRequest,
    LaunchCampaignRequest,
    SegmentAudience,
)

_STATUSES: Final = ("sent", "delivered", "read")
_MESSAGE_SHARE: Final = 1 / 11  # Meta's own load standard: 300 messages beside 3,000 statuses
_SEGMENTS: Final = {
    "reachable": 'profile.country == "GB"',
    "wrote_lately": 'events("message_received").within("30s").exists()',
    "readers": 'events("message_read").within("1h").count() >= 1',
}
_RATES: Final = (1_000, 1_300, 1_600, 1_900, 2_200, 2_600, 3_000, 3_630)  # all webhooks
_TURN_S: Final = 20.0
_BARE_S: Final = 5.0
_PREPARE_S: Final = 900.0
_DRAIN_S: Final = 120.0
_BEHIND_S: Final = 1.0  # more in the second half than in the first: it grows
_P99_S: Final = 0.25


@dataclass(slots=True)
class Turn:
    """What came of one rate."""

    per_second: float
    load: Load
    effects: Effects
    lags: list[float]
    spent: Spent
    written: Written
    drained_s: float

    def halves(self) -> tuple[float, float]:
        """Median age of the oldest event nobody has finished, in each half, in seconds."""
        middle = len(self.lags) // 2
        return percentile(self.lags[:middle], 0.5), percentile(self.lags[middle:], 0.5)

    def sustained(self) -> bool:
        """Whether everything was answered in time and nothing fell behind."""
        first, second = self.halves()
        return (
            not self.load.refused
            and percentile(self.load.latencies, 0.99) <= _P99_S
            and second - first < _BEHIND_S
            and self.drained_s < _TURN_S / 4
        )


async def main(rates: Sequence[float], seconds: float) -> None:
    """Measure at the highest of `rates` (ascending) that is sustained."""
    async with baseline("bench.sink", "") as (collector, _):
        os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        async with suite() as running:
            addresses = running.addresses()
            async with aiohttp.ClientSession() as session, clients(addresses) as services:
                await _measure(running, session, services, rates, seconds)


async def _measure(
    running: stack.Stack,
    session: aiohttp.ClientSession,
    services: Clients,
    rates: Sequence[float],
    seconds: float,
) -> None:
    addresses = running.addresses()
    turns = 0 if len(rates) == 1 else sum(rates) * _TURN_S
    total = int(turns + max(rates) * seconds)
    people = int(total * (1 - _MESSAGE_SHARE) / len(_STATUSES)) + 1
    await _prepare(services, Doors(session, addresses), session, addresses, people)
    sent = await _sent_messages(session, addresses)
    note(f"{len(sent)} messages were sent; their statuses are the load")
    bodies = _bodies(sent)

    async def turn(per_second: float, lasting: float) -> Turn:
        some = islice(bodies, int(per_second * lasting))
        requests = [signed_post(addresses.webhook_url, b, addresses.app_secret) for b in some]
        found = await _turn(running, services, requests, per_second)
        first, second = found.halves()
        p99_ms = percentile(found.load.latencies, 0.99) * 1000
        note(
            f"{per_second:.0f}/s for {lasting:.0f} s: p99 {p99_ms:.0f} ms, behind {first:.2f} s and"
            f" then {second:.2f} s, {found.load.refused} refused"
        )
        return found

    left = [*rates]
    if len(left) > 1:
        for number, rate in enumerate(rates):
            if not (await turn(rate, _TURN_S)).sustained():
                left = [*rates[: max(number, 1)]]
                break
    chosen = left.pop()
    note("baseline: a bare handler under the same load, then as much as it takes")
    async with baseline("bench.bare", addresses.app_secret) as (url, _):
        some = [*islice(_bodies(sent), int(chosen * _BARE_S))]
        least = [signed_post(url, body, addresses.app_secret) for body in some]
        beside = await offer(url, least, chosen)
        flat_out = await offer(url, least, FLAT_OUT)
    found = await turn(chosen, seconds)
    while not found.sustained() and left:
        found = await turn(left.pop(), seconds)
    _tell(found, beside, flat_out)


async def _turn(
    running: stack.Stack, services: Clients, requests: Sequence[bytes], per_second: float
) -> Turn:
    addresses = running.addresses()
    effects, behind = Effects(), list[float]()
    async with event_log(LogSettings(redis_url=addresses.redis_url)) as log:
        watching = asyncio.create_task(effects.watch(log))
        await effects.ready.wait()
        lagging = asyncio.create_task(lags(log, behind))
        before, processes = await written(addresses), Processes(addresses.pids)
        try:
            load = await offer(addresses.webhook_url, requests, per_second)
            spent = processes.spent()
            began = monotonic()
            await story.until_processed(services, _DRAIN_S, lambda _: None)
            drained_s = monotonic() - began
            told = (await written(addresses)).since(before)
            return Turn(per_second, load, effects, behind, spent, told, drained_s)
        finally:
            watching.cancel()
            lagging.cancel()


async def _prepare(
    services: Clients,
    doors: Doors,
    session: aiohttp.ClientSession,
    addresses: stack.Addresses,
    people: int,
) -> None:
    """So many contacts, each sent one message by a campaign; the simulator says nothing of it."""
    note(f"making {people} contacts and sending each a message")
    await definitions.number(services, addresses, session, throughput=1000)
    await definitions.templates(services, addresses)
    segments = {
        name: (
            await services.segments.CreateSegment(
                CreateSegmentRequest(
                    request_id=f"suite-{name}", segment=Segment(name=name, expression=expression)
                )
            )
        ).segment.segment_id
        for name, expression in _SEGMENTS.items()
    }
    numbers = [f"4477{n:08d}" for n in range(people)]
    for start in range(0, people, 5000):
        some = [
            {"wa_id": wa_id, "identity_mode": "phone", "silent": True}
            for wa_id in numbers[start : start + 5000]
        ]
        await story.control(session, addresses, "people", some)
    for start in range(0, people, 500):
        await doors.track(
            [
                {
                    "type": "identify",
                    "messageId": f"suite:{wa_id}",
                    "userId": wa_id,
                    "traits": {"phone": f"+{wa_id}", "country": "GB"},
                }
                for wa_id in numbers[start : start + 500]
            ]
        )
    await story.until_processed(services, _PREPARE_S, lambda _: None)
    made = await services.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id="suite",
            campaign=Campaign(
                name="Suite",
                waba_id=WABA,
                phone_number_ids=[NUMBER],
                audience=Audience(segment=SegmentAudience(segment_id=segments["reachable"])),
                variants=[definitions.thanks("only")],
            ),
        )
    )
    campaign_id = made.campaign.campaign_id
    await services.campaigns.LaunchCampaign(
        LaunchCampaignRequest(request_id="suite-launch", campaign_id=campaign_id)
    )
    began = monotonic()
    async with asyncio.timeout(_PREPARE_S):
        while True:
            asked = GetCampaignRequest(campaign_id=campaign_id)
            answer = await services.campaigns.GetCampaign(asked)
            if answer.campaign.state == Campaign.STATE_COMPLETED:
                break
            await asyncio.sleep(0.5)
    note(f"sent {people / (monotonic() - began):.0f} messages a second while preparing")
    await story.until_processed(services, _PREPARE_S, lambda _: None)


async def _sent_messages(
    session: aiohttp.ClientSession, addresses: stack.Addresses
) -> list[tuple[str, str, str]]:
    """(wamid, recipient, our message id) of everything the simulator accepted."""
    found: list[tuple[str, str, str]] = []
    after = 0
    while True:
        async with session.get(
            f"{addresses.simulator_url}/control/ledger?after={after}&limit=10000",
            headers={"Authorization": f"Bearer {addresses.control_token}"},
        ) as response:
            page = await response.json()
        found += [(e["wamid"], e["to"], e["callback_data"]) for e in page["entries"]]
        if not page["entries"]:
            return found
        after = page["next"]


def _bodies(sent: Sequence[tuple[str, str, str]]) -> Iterator[bytes]:
    """Webhooks in the order in which they are posted; each happens once."""
    chance = random.Random(1)
    statuses = ((message, what) for what in _STATUSES for message in sent)
    position = 0
    for (wamid, wa_id, message_id), what in statuses:
        while chance.random() < _MESSAGE_SHARE:
            _, writer, _ = sent[chance.randrange(len(sent))]
            own, now = f"wamid.suite{position}", datetime.now(UTC)
            yield orjson.dumps(text_message(own, writer, NUMBER, WABA, "Merhaba!", now))
            position += 1
        yield orjson.dumps(webhook([status(wamid, wa_id, message_id, what)]))


def _tell(found: Turn, beside: Load, flat_out: Load) -> None:
    load = found.load
    first, second = found.halves()

    def ms(values: Sequence[float], share: float) -> float:
        return percentile(values, share) * 1000

    def answered(what: Load) -> float:
        return what.answered / what.seconds

    figures = [
        Figure("webhooks_per_s", answered(load), "1/s", answered(flat_out)),
        Figure("statuses_per_s", answered(load) * (1 - _MESSAGE_SHARE), "1/s"),
        Figure("sustained", float(found.sustained()), "1"),
        Figure("seconds", load.seconds, "s"),
        Figure("answer_p50_ms", ms(load.latencies, 0.5), "ms", ms(beside.latencies, 0.5)),
        Figure("answer_p99_ms", ms(load.latencies, 0.99), "ms", ms(beside.latencies, 0.99)),
        Figure("profile_p50_ms", ms(found.effects.contacts, 0.5), "ms"),
        Figure("profile_p99_ms", ms(found.effects.contacts, 0.99), "ms"),
        Figure("signal_p99_ms", ms(found.effects.signals, 0.99), "ms"),
        Figure("signals", len(found.effects.signals), "1"),
        Figure("refused", load.refused, "1"),
        Figure("lag_first_half_s", first, "s"),
        Figure("lag_second_half_s", second, "s"),
        Figure("lag_max_s", max(found.lags, default=0), "s"),
        Figure("drained_s", found.drained_s, "s"),
        Figure("rss_mb", sum(found.spent.memory_mb.values()), "MB"),
        Figure("cpu_cores", sum(found.spent.cpu_s.values()) / load.seconds, "cores"),
    ]
    figures += [
        Figure(f"cpu_us_per_webhook_{name}", seconds / load.answered * 1e6, "us")
        for name, seconds in found.spent.cpu_s.items()
    ]
    bytes_of = asdict(found.written)
    figures += [
        Figure(f"{n}_bytes_per_webhook", b / load.answered, "B") for n, b in bytes_of.items()
    ]
    figures += [Figure(f"rss_mb_{name}", mb, "MB") for name, mb in found.spent.memory_mb.items()]
    tell("suite", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rate", type=float, help="webhooks a second; else the highest is looked for"
    )
    parser.add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    uvloop.run(main([arguments.rate] if arguments.rate else _RATES, arguments.seconds))
