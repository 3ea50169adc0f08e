"""The whole suite under webhooks: what goes through, how fast it answers, where the time goes.

Statuses of messages that the suite itself sent, and a tenth as many user messages, are posted as
signed webhooks on schedule for a minute, everything included on this machine: services, Postgres,
Redis, and the load itself. Baseline: a bare aiohttp handler that checks the signature and answers,
under the same load in the same run.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import aiohttp
import orjson
import psutil
import uvloop

from bench.bare import baseline
from bench.load import FLAT_OUT, Load, offer, signed_post
from bench.result import Figure, percentile, tell
from bench.suite import note, suite
from bench.whatsapp import status, webhook
from chassis.settings import LogSettings
from chassis.streams import EventLog, event_log
from cli import stack
from cli.clients import Clients, clients
from cli.doors import Doors, text_message
from cli.play import definitions, story
from cli.play.definitions import NUMBER, WABA
from merhaba.event.v1 import Event
from merhaba.ingest.v1 import GetLagRequest
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


@dataclass(slots=True)
class Watch:
    """Ages of effects, as a reader of the log sees them, in seconds."""

    ages: dict[str, list[float]] = field(default_factory=lambda: {"contact": [], "signal": []})
    on: bool = False

    async def run(self, log: EventLog, topic: str) -> None:
        positions = {p.stream: p for p in await log.end(topic)}
        while True:
            found = await log.read(list(positions.values()), 500, 1000)
            now = time.time()
            for position, events in found:
                positions[position.stream] = position
                if not self.on:
                    continue
                self.ages[topic] += [
                    now - e.received_time.seconds - e.received_time.nanos / 1e9
                    for e in map(Event.FromString, events)
                    if _caused(e)
                ]


def _caused(event: Event) -> bool:
    """Whether an event follows from one of the load (and not from time alone)."""
    kind = event.WhichOneof("body")
    if kind in ("segment_entered", "segment_left"):
        return bool(getattr(event, kind).cause_event_id)
    return kind in ("message_received", "message_sent", "message_delivered", "message_read")


async def main(per_second: float, seconds: float) -> None:
    """Measure at one offered rate."""
    async with suite() as running:
        await _measure(running, per_second, seconds)


async def _measure(running: stack.Stack, per_second: float, seconds: float) -> None:
    addresses = running.addresses()
    total = int(per_second * seconds)
    people = int(total * (1 - _MESSAGE_SHARE) / len(_STATUSES)) + 1
    settings = LogSettings(redis_url=addresses.redis_url)
    async with (
        aiohttp.ClientSession() as session,
        clients(addresses) as services,
        event_log(settings) as log,
        asyncio.TaskGroup() as tasks,
    ):
        doors = Doors(session, addresses)
        await _prepare(services, doors, session, addresses, people)
        sent = await _sent_messages(session, addresses)
        note(f"{len(sent)} messages were sent; their statuses are the load")
        bodies = list(_bodies(sent, total))
        requests = [signed_post(addresses.webhook_url, b, addresses.app_secret) for b in bodies]

        note("baseline: a bare handler under the same load, then as much as it takes")
        async with baseline("bench.bare", addresses.app_secret) as (url, _):
            least = [signed_post(url, b, addresses.app_secret) for b in bodies[: int(total / 4)]]
            beside = await offer(url, least, per_second)
            flat_out = await offer(url, least, FLAT_OUT)

        note(f"{per_second:.0f} webhooks a second for {seconds:.0f} s")
        watch = Watch()
        readers = [tasks.create_task(watch.run(log, topic)) for topic in watch.ages]
        lags: list[float] = []
        lagging = tasks.create_task(_lags(services, lags))
        processes = _processes(running)
        before = {name: _cpu(found) for name, found in processes.items()}
        watch.on = True
        load = await offer(addresses.webhook_url, requests, per_second)
        spent = {name: _cpu(found) - before[name] for name, found in processes.items()}
        memory = {name: sum(map(_memory, found)) for name, found in processes.items()}
        drained_at = time.perf_counter()
        await story.until_processed(services, 60, lambda _: None)
        drained = time.perf_counter() - drained_at
        for task in (*readers, lagging):
            task.cancel()
        _tell(load, beside, flat_out, watch, lags, spent, memory, drained)


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
                    request_id=f"walk-{name}", segment=Segment(name=name, expression=expression)
                )
            )
        ).segment.segment_id
        for name, expression in _SEGMENTS.items()
    }
    numbers = [f"4477{n:08d}" for n in range(people)]
    for start in range(0, people, 5000):
        await story.control(
            session,
            addresses,
            "people",
            [
                {"wa_id": wa_id, "identity_mode": "phone", "silent": True}
                for wa_id in numbers[start : start + 5000]
            ],
        )
    for start in range(0, people, 500):
        await doors.track(
            [
                {
                    "type": "identify",
                    "messageId": f"walk:{wa_id}",
                    "userId": wa_id,
                    "traits": {"phone": f"+{wa_id}", "country": "GB"},
                }
                for wa_id in numbers[start : start + 500]
            ]
        )
    await story.until_processed(services, 240, lambda _: None)
    made = await services.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id="walk",
            campaign=Campaign(
                name="Walk",
                waba_id=WABA,
                phone_number_ids=[NUMBER],
                audience=Audience(segment=SegmentAudience(segment_id=segments["reachable"])),
                variants=[definitions.thanks("only")],
            ),
        )
    )
    campaign_id = made.campaign.campaign_id
    await services.campaigns.LaunchCampaign(
        LaunchCampaignRequest(request_id="walk-launch", campaign_id=campaign_id)
    )
    began = time.monotonic()
    while True:
        answer = await services.campaigns.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
        if answer.campaign.state == Campaign.STATE_COMPLETED:
            break
        if time.monotonic() - began > 300:
            raise TimeoutError(f"the campaign did not end: {answer.progress}")
        await asyncio.sleep(0.5)
    took = time.monotonic() - began
    note(f"sent {people / took:.0f} messages a second while preparing")
    await story.until_processed(services, 240, lambda _: None)


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


def _bodies(sent: Sequence[tuple[str, str, str]], total: int) -> Iterator[bytes]:
    """Webhooks in the order in which they are posted; each happens once."""
    chance = random.Random(1)
    statuses = [(message, what) for what in _STATUSES for message in sent]
    taken = iter(statuses)
    for position in range(total):
        wamid, wa_id, message_id = sent[chance.randrange(len(sent))]
        if chance.random() < _MESSAGE_SHARE:
            body = text_message(
                f"wamid.walk{position}", wa_id, NUMBER, WABA, "Merhaba!", datetime.now(UTC)
            )
        else:
            (wamid, wa_id, message_id), what = next(taken)
            body = webhook([status(wamid, wa_id, message_id, what)])
        yield orjson.dumps(body)


async def _lags(services: Clients, into: list[float]) -> None:
    while True:
        answer = await services.ingest.GetLag(GetLagRequest())
        into.append(
            max(
                (g.oldest_duration.seconds + g.oldest_duration.nanos / 1e9 for g in answer.groups),
                default=0.0,
            )
        )
        await asyncio.sleep(1)


def _processes(running: stack.Stack) -> dict[str, list[psutil.Process]]:
    found = {}
    for name, pid in running.addresses().pids.items():
        process = psutil.Process(pid)
        found[name] = [process, *process.children(recursive=True)]
    return found


def _cpu(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _memory(process: psutil.Process) -> float:
    """Megabytes, with what several processes share counted in parts."""
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def _tell(
    load: Load,
    beside: Load,
    flat_out: Load,
    watch: Watch,
    lags: list[float],
    spent: dict[str, float],
    memory: dict[str, float],
    drained: float,
) -> None:
    half = len(lags) // 2

    def ms(values: Sequence[float], share: float) -> float:
        return percentile(values, share) * 1000

    figures = [
        Figure(
            "webhooks_per_s",
            load.answered / load.seconds,
            "1/s",
            flat_out.answered / flat_out.seconds,
        ),
        Figure("answer_p50_ms", ms(load.latencies, 0.5), "ms", ms(beside.latencies, 0.5)),
        Figure("answer_p99_ms", ms(load.latencies, 0.99), "ms", ms(beside.latencies, 0.99)),
        Figure("profile_p99_ms", ms(watch.ages["contact"], 0.99), "ms"),
        Figure("profile_p50_ms", ms(watch.ages["contact"], 0.5), "ms"),
        Figure("signal_p99_ms", ms(watch.ages["signal"], 0.99), "ms"),
        Figure("signals", len(watch.ages["signal"]), "1"),
        Figure("refused", load.refused, "1"),
        Figure("lag_first_half_s", percentile(lags[:half], 0.5), "s"),
        Figure("lag_second_half_s", percentile(lags[half:], 0.5), "s"),
        Figure("lag_max_s", max(lags, default=0), "s"),
        Figure("drained_s", drained, "s"),
        Figure("rss_mb", sum(memory.values()), "MB"),
        Figure("cpu_cores", sum(spent.values()) / load.seconds, "cores"),
    ]
    figures += [
        Figure(f"cpu_us_per_webhook_{name}", spent[name] / load.answered * 1e6, "us")
        for name in spent
    ]
    figures += [Figure(f"rss_mb_{name}", memory[name], "MB") for name in memory]
    tell("walk", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1500, help="webhooks a second")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rate, arguments.seconds))
