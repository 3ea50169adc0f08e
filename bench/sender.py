"""Sending: how many a second, how exactly a limit is kept and used, how soon a reply leaves.

One process of the sender with the simulator, Postgres and Redis, all of them real processes on
this machine; profile is a stand-in inside this one. What left and when is told by the simulator's
own ledger. Baseline: a bare aiohttp client that posts the same bodies to the same simulator, in the
same run. `--long` has a million messages wait while replies are timed.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Final
from uuid import uuid4

import aiohttp
import asyncpg
import orjson
import psutil
import uvloop

from bench import audience
from bench.result import Figure, percentile, tell
from bench.running import note, replica, suite
from cli.stack import Addresses, Stack
from merhaba.sender.v1 import Content, Destination, MessageServiceStub, SendMessageRequest

# Numbers, by what is tried with them; those of a limit are called as it is.
_ANY: Final = "1"
_BARE: Final = "2"
_TALK: Final = "3"
_FAST: Final = tuple(f"{n}" for n in range(11, 19))
_CONNECTIONS: Final = 100
_FASTEST: Final = 1_000.0  # what Meta lets a number do at most; together it is not met
_WARM_S: Final = 3.0
_TURNS: Final = 3
_REPLIES: Final = 150


class Bench:
    """A running sender and what stands around it."""

    def __init__(
        self,
        running: Stack,
        http: aiohttp.ClientSession,
        database: audience.Database,
    ) -> None:
        self.running = running
        self.addresses: Addresses = running.addresses()
        self.http = http
        self.database = database
        self.next_person = 0
        self.seen = 0  # of the ledger

    def persons(self, count: int) -> range:
        """So many who were not written to yet."""
        start, self.next_person = self.next_person, self.next_person + count
        return range(start, self.next_person)

    async def waiting(self, name: str, limit: float, count: int, reached: int) -> range:
        """A number before which so many messages wait, of which so many may be sent here."""
        persons = self.persons(count)
        await audience.number(self.http, self.addresses, self.database, name, limit)
        await audience.settle(self.http, self.addresses, persons[:reached])
        await audience.campaign(self.database, f"of {name}", name, persons)
        return persons

    async def accepted(self, after: int) -> tuple[list[float], int]:
        """When each message since was accepted."""
        found, after = await audience.entries(self.http, self.addresses, after)
        return [entry["accepted"] for entry in found], after

    async def sent_for(self, names: Sequence[str], seconds: float) -> tuple[list[float], int]:
        """When messages of numbers were accepted, while they sent for so long, without the first
        moments and what was under way at the end; and how many there were with these."""
        _, after = await self.accepted(self.seen)
        await audience.sends(self.database, names, True)
        await asyncio.sleep(_WARM_S + seconds)
        end = time.time()
        await audience.sends(self.database, names, False)
        await asyncio.sleep(2)
        times, self.seen = await self.accepted(after)
        return sorted(t for t in times if end - seconds <= t < end), len(times)


async def main(long: bool) -> None:
    """Measure."""
    async with suite(("sender",)) as running, audience.people(running):
        addresses = running.addresses()
        async with aiohttp.ClientSession() as http:
            database = await asyncpg.connect(addresses.database_url)
            try:
                await audience.control(http, addresses, "PUT webhook", {"url": ""})
                await _measure(Bench(running, http, database), long)
            finally:
                await database.close()


async def _measure(bench: Bench, long: bool) -> None:
    await audience.number(bench.http, bench.addresses, bench.database, _ANY, 1)
    await audience.template(bench.http, bench.addresses)
    figures = [
        *await _flat_out(bench),
        *await _limited(bench, "80", 80, 15),
    ]
    async with replica(bench.running, "sender"):
        figures += await _limited(bench, "400", 400, 15)
    for figure in figures:
        note(f"{figure.name} {figure.value:.1f}")
    figures += await _replies(bench, 1_000_000 if long else 50_000)
    tell("sender", [*_worst(figures), *figures])


# --- as fast as it goes -----------------------------------------------------------------------


async def _flat_out(bench: Bench) -> list[Figure]:
    note("a bare client and the sender, by turns, as fast as they can")
    await audience.number(bench.http, bench.addresses, bench.database, _BARE, 1)
    for name in _FAST:
        await bench.waiting(name, _FASTEST, 15_000, 15_000)
    rates: list[float] = []
    bare: list[float] = []
    sent = 0
    spent: Counter[str] = Counter()
    for _ in range(_TURNS):
        bare.append(await _bare(bench, 6_000))
        before = _cpu(bench)
        times, total = await bench.sent_for(_FAST, 8)
        rates.append((len(times) - 1) / (times[-1] - times[0]))
        spent.update({name: after - before[name] for name, after in _cpu(bench).items()})
        sent += total
    return [
        Figure("messages_per_s", median(rates), "1/s", median(bare)),
        Figure("client_ratio", median(rates) / median(bare), "1"),
        *(
            Figure(f"cpu_us_per_message_{name}", seconds / sent * 1e6, "us")
            for name, seconds in spent.items()
        ),
    ]


async def _bare(bench: Bench, count: int) -> float:
    """Messages a second of a client that does nothing else."""
    persons = bench.persons(count)
    await audience.settle(bench.http, bench.addresses, persons)
    said = orjson.loads(audience.BODY)
    bodies = iter(
        [
            orjson.dumps(
                {
                    "messaging_product": "whatsapp",
                    "recipient_type": "individual",
                    "to": f"+{audience.wa_id(person)}",
                    **said,
                    "biz_opaque_callback_data": audience.message_id("bare", person),
                }
            )
            for person in persons
        ]
    )
    url = f"{bench.addresses.graph_url}/v26.0/{_BARE}/messages"
    headers = {
        "Authorization": f"Bearer {bench.addresses.access_token}",
        "Content-Type": "application/json",
    }

    async def work(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                response.raise_for_status()

    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        started = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(_CONNECTIONS)))
        return count / (time.perf_counter() - started)


def _cpu(bench: Bench) -> dict[str, float]:
    """Seconds of processor that each part has used."""
    found = {}
    for name, pid in bench.running.addresses().pids.items():
        process = psutil.Process(pid)
        used = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        found[name] = sum(times.user + times.system for times in used)
    return found


# --- at a limit -------------------------------------------------------------------------------


async def _limited(bench: Bench, name: str, limit: int, seconds: float) -> list[Figure]:
    note(f"{limit} a second, for {seconds:.0f} s")
    count = int(limit * (seconds + 10))
    await bench.waiting(name, limit, count, count)
    times, _ = await bench.sent_for([name], seconds)
    used = (len(times) - 1) / (times[-1] - times[0]) / limit * 100
    told = await audience.control(
        bench.http, bench.addresses, f"GET ledger/seconds?phone_number_id={name}", None
    )
    over = max(0.0, (told["most_in_any_second"] / limit - 1) * 100)
    return [
        Figure(f"over_limit_{name}_pct", over, "%"),
        Figure(f"limit_used_{name}_pct", used, "%"),
    ]


def _worst(figures: Sequence[Figure]) -> list[Figure]:
    over = [f.value for f in figures if f.name.startswith("over_limit_")]
    used = [f.value for f in figures if f.name.startswith("limit_used_")]
    return [
        Figure("over_limit_max_pct", max(over), "%"),
        Figure("limit_used_pct", min(used), "%"),
    ]


# --- a reply while bulk waits -----------------------------------------------------------------


async def _replies(bench: Bench, waiting: int) -> list[Figure]:
    note(f"replies while {waiting} messages wait")
    name = _TALK
    count = waiting + 10_000
    await bench.waiting(name, 80, count, 10_000)
    persons = bench.persons(_REPLIES)
    await audience.settle(bench.http, bench.addresses, persons)
    now = int(time.time() * 1000)
    await bench.database.executemany(
        "INSERT INTO sender.windows VALUES ($1, $2, $3)",
        [(audience.contact_id(person), name, now) for person in persons],
    )
    said = [
        {"wa_id": audience.wa_id(person), "phone_number_id": name, "text": "Merhaba"}
        for person in persons
    ]
    await audience.control(bench.http, bench.addresses, "POST say", said)
    await audience.sends(bench.database, [name], True)
    await asyncio.sleep(_WARM_S)
    _, after = await bench.accepted(bench.seen)
    asked = await _answer(bench, name, persons)
    await asyncio.sleep(1)
    still = await bench.database.fetchval(
        "SELECT count(*) FROM sender.messages WHERE phone_number_id = $1 AND state = 1", name
    )
    assert still >= waiting, f"only {still} waited"
    entries, _ = await audience.entries(bench.http, bench.addresses, after)
    left = {e["callback_data"]: e["accepted"] for e in entries if e["type"] == "text"}
    assert len(left) == len(asked), f"{len(left)} of {len(asked)} replies left"
    delays = [(left[one] - at) * 1000 for one, at in asked.items()]
    return [
        Figure("reply_p50_ms", percentile(delays, 0.5), "ms"),
        Figure("reply_p99_ms", percentile(delays, 0.99), "ms"),
        Figure("waiting", still, "1"),
    ]


async def _answer(bench: Bench, name: str, persons: Sequence[int]) -> dict[str, float]:
    """Answer everybody, some ten a second; when each was asked for, by message."""
    asked: dict[str, float] = {}
    async with bench.addresses.channel("sender") as opened:
        stub: MessageServiceStub = MessageServiceStub(opened)
        for person in persons:
            content = Content()
            content.text.body = "Nasıl yardımcı olabilirim?"
            started = time.time()
            answer = await stub.SendMessage(
                SendMessageRequest(
                    request_id=str(uuid4()),
                    destination=Destination(contact_id=audience.contact_id(person)),
                    content=content,
                    phone_number_id=name,
                )
            )
            asked[answer.message.ref.message_id] = started
            await asyncio.sleep(max(0.0, started + 0.1 - time.time()))
    return asked


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="a million messages wait")
    uvloop.run(main(parser.parse_args().long))
