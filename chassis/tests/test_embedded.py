"""Embedded servers: ordinary processes that keep what they acknowledged."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from chassis import embedded
from chassis.failures import Misconfigured


@pytest.fixture
def folder() -> Iterator[Path]:
    made = embedded.run_folder()
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def test_postgres_keeps_what_it_committed_when_killed(folder: Path) -> None:
    server = embedded.start_postgres(folder, folder)
    try:
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        connection.terminate()
    finally:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
    again = embedded.start_postgres(folder, folder)
    try:
        connection = await asyncpg.connect(again.url)
        assert await connection.fetchval("SELECT n FROM kept") == 42
        await connection.close()
    finally:
        again.stop()


async def test_redis_keeps_what_it_acknowledged_when_killed(folder: Path) -> None:
    server = embedded.start_redis(folder, folder)
    redis = Redis.from_url(server.url)
    assert (await redis.config_get("appendfsync"))["appendfsync"] == "always"
    assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    await redis.xadd("s", {"e": "1"})
    await redis.aclose()
    server.process.kill()
    server.process.wait()
    again = embedded.start_redis(folder, folder)
    redis = Redis.from_url(again.url)
    assert await redis.xlen("s") == 1
    await redis.aclose()
    again.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_server_dies_with_the_process_that_started_it(folder: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from chassis import embedded\n"
        "f = Path(sys.argv[1]); s = embedded.start_redis(f, f)\n"
        "print(s.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=False
    )
    pid = int(done.stdout)
    for _ in range(500):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":
            return
        os.sched_yield()
        subprocess.run(["/bin/sleep", "0.01"], check=True)
    pytest.fail("the server outlived its starter")


def test_folders_only_root_may_enter_get_a_stand_in_and_are_not_opened() -> None:
    user = None if os.geteuid() != 0 else embedded._unprivileged()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as private:
        Path(private).chmod(0o700)
        path = Path(private) / "data"
        path.mkdir()
        found = embedded._reachable(path, user, copy=False)
        try:
            assert Path(private).stat().st_mode & 0o777 == 0o700
            assert (found == path) == (user is None)
        finally:
            if found != path:
                shutil.rmtree(found)


def test_what_does_not_start_says_why(folder: Path) -> None:
    (folder / "redis").mkdir()
    (folder / "redis" / "appendonly.aof").write_text("this is not a log")
    with pytest.raises(Misconfigured, match="redis does not start"):
        embedded.start_redis(folder, folder)
