"""The same log on a Redis Cluster: streams on several nodes, one consumer group each."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis import embedded
from chassis.app import tasks
from chassis.clock import SystemClock
from chassis.settings import LogSettings
from chassis.streams import Consumer, Record, Upkeep, event_log
from chassis.testing import wait_until

SLOTS = 16384


def free_port() -> int:
    """A port whose cluster bus port, 10,000 higher, exists."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


@pytest.fixture
def nodes() -> Iterator[list[int]]:
    """Two servers that could form a cluster; their ports."""
    folder = embedded.run_folder()
    ports = [free_port(), free_port()]
    processes = []
    for port in ports:
        (folder / str(port)).mkdir()
        command = [embedded._redis_program(), "--port", str(port), "--dir", str(folder / str(port))]
        command += ["--cluster-enabled", "yes", "--appendonly", "yes", "--bind", "127.0.0.1"]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
    yield ports
    for process in processes:
        process.kill()
        process.wait()
    shutil.rmtree(folder)


@pytest.fixture
async def cluster_url(nodes: list[int]) -> AsyncIterator[str]:
    clients = [Redis(port=port, protocol=2) for port in nodes]

    async def answer() -> bool:
        try:
            return all([await client.ping() for client in clients])
        except RedisError:
            return False

    await wait_until(answer)
    half = SLOTS // 2
    await clients[0].execute_command("CLUSTER ADDSLOTS", *range(half))
    await clients[1].execute_command("CLUSTER ADDSLOTS", *range(half, SLOTS))
    await clients[0].execute_command("CLUSTER MEET", "127.0.0.1", nodes[1])

    async def formed() -> bool:
        states = [await client.execute_command("CLUSTER INFO") for client in clients]
        return all(state["cluster_state"] == "ok" for state in states)

    await wait_until(formed, timeout_s=20)
    for client in clients:
        await client.aclose()
    yield f"redis+cluster://127.0.0.1:{nodes[0]}"


async def test_the_log_works_on_a_cluster_as_on_one_redis(cluster_url: str) -> None:
    settings = LogSettings(redis_url=cluster_url, log_shards=8, log_linger_ms=1, log_pace_ms=1)
    taken: list[bytes] = []

    async def handle(events: Sequence[bytes]) -> None:
        taken.extend(events)

    async with event_log(settings) as log, tasks(Consumer(log, "g", ["a", "b"], handle).run):
        everything = [
            [Record(topic, f"key {n}", f"{topic} {n}".encode()) for topic in ("a", "b")]
            for n in range(100)
        ]
        await asyncio.gather(*(log.append(records) for records in everything))
        await wait_until(lambda: len(taken) == 200)
        assert len(set(taken)) == 200

        async def settled() -> bool:
            return all(lag.pending == 0 for lag in await log.lag(["a", "b"]))

        await wait_until(settled)
        await Upkeep(log, ["a", "b"], SystemClock()).trim()
        assert await log.memory_pressure() == 0
