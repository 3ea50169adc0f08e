"""Whatever happens to ingest and to the log: a webhook answered 200 is there, once; every other got
an error, and nobody waited for long. Two processes of ingest share the port.

`SURVIVE=long` (`make survive`) makes each misfortune longer and the load heavier.
"""

import asyncio
import random
import resource
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from services.ingest.tests.process import LONG
from tests.ingest.suite import Suite, suite

RATE = 600 if LONG else 250
CHANCE = random.Random(20261122)
pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]


def small_disk(place: Path) -> bool:
    """Make `place` a disk of its own, and a small one; says whether this user may."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Suite]:
    """A suite whose log is on a disk of its own, where one may be mounted."""
    ready: asyncio.Queue[Suite] = asyncio.Queue()
    done = asyncio.Event()
    disks: list[Path] = []

    def prepare(folder: Path) -> None:
        if small_disk(folder / "redis"):
            disks.append(folder / "redis")

    async def keep() -> None:
        async with suite(prepare) as opened:
            opened.disk = disks[0] if disks else None
            ready.put_nowait(opened)
            await done.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERHABA_INGEST_WORKERS", "2")
        patch.setenv("LOG_TIMEOUT_S", "15" if LONG else "3")  # so that the freeze outlasts it
        patch.setenv("LOG_LINGER_MS", "40")  # so that every kill hits some that wait
        # In a task of its own: a fixture may begin and end in different ones
        keeping = asyncio.create_task(keep())
        getting = asyncio.create_task(ready.get())
        try:
            await asyncio.wait([keeping, getting], return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                getting.cancel()
                await keeping
            yield getting.result()
        finally:
            done.set()
            for disk in disks:
                unmount(disk)
            await keeping


async def test_ingest_killed_at_any_moment_loses_and_doubles_nothing(running: Suite) -> None:
    async with running.load(RATE) as posted:
        for _ in range(6 if LONG else 1):
            for victims in (["ingest"], ["ingest-2"], ["ingest", "ingest-2"]):
                await asyncio.sleep(CHANCE.uniform(1.5, 2.5))
                for victim in victims:
                    running.signal(victim, signal.SIGKILL)
        await running.accepts()
        await asyncio.sleep(0.5)
    assert posted.statuses()[200] > RATE, posted.statuses()
    await running.account(posted)


async def test_redis_killed_and_started_again_loses_and_doubles_nothing(running: Suite) -> None:
    async with running.load(RATE) as posted:
        for _ in range(8 if LONG else 2):
            await asyncio.sleep(CHANCE.uniform(0.8, 1.6))
            running.signal("redis", signal.SIGKILL)
        await running.accepts()
        await asyncio.sleep(0.5)
    assert posted.statuses()[200] > RATE, posted.statuses()
    await running.account(posted)


@pytest.mark.parametrize("seconds", [3, 30] if LONG else [5])
async def test_a_frozen_redis_makes_nobody_wait_for_long(running: Suite, seconds: int) -> None:
    async with running.load(RATE, clients=400) as posted:
        await asyncio.sleep(0.7)
        running.signal("redis", signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            running.signal("redis", signal.SIGCONT)
        await running.accepts()
        await asyncio.sleep(0.3)
    assert posted.statuses()[503], "while the log takes nothing, the door says so"
    await running.account(posted)


def filled(place: Path) -> Path:
    """Put something on a disk until nothing more fits; says what."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return ballast


async def test_a_full_disk_under_the_log_is_an_error_and_no_loss(running: Suite) -> None:
    """Where no disk may be mounted, a limit to the size of a file ends Redis in the middle of an
    entry, and the next Redis has none: somebody made room."""
    running.said.clear()
    async with running.load(RATE) as posted:
        for _ in range(4 if LONG else 1):
            await asyncio.sleep(1)
            if running.disk:
                ballast = filled(running.disk)
                await asyncio.sleep(8 if LONG else 1.5)
                ballast.unlink()
            else:
                size = (running.stack.place.folder / "redis/appendonly.aof").stat().st_size
                pid = running.stack.addresses().pids["redis"]
                limits = (size + 50_001, resource.RLIM_INFINITY)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
                await asyncio.sleep(1.5)
            await running.accepts()
        await asyncio.sleep(0.3)
    assert any(text.startswith("redis ended") for text in running.said)
    assert posted.statuses()[200] > RATE / 2, posted.statuses()
    await running.account(posted)
