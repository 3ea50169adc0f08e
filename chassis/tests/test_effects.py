"""Effects: each event changes the state once, and what follows from it is on the log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from chassis.app import tasks
from chassis.clock import SystemClock
from chassis.failures import Misconfigured
from chassis.ids import fresh_id
from chassis.postgres import Connection, Effects, Pool, database, migrate
from chassis.streams import Consumer, EventLog, Position, Record
from chassis.testing import wait_until

SCHEMA = "chassis_test"


@pytest.fixture(scope="session")
def migrated(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("migrations")
    (folder / "0001_counts.sql").write_text(
        "CREATE TABLE counts (name text PRIMARY KEY, n int NOT NULL);"
    )
    assert migrate(postgres_url, SCHEMA, folder) >= 2
    assert migrate(postgres_url, SCHEMA, folder) == 0
    return postgres_url


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, SCHEMA, 10) as opened:
        yield opened


@pytest.fixture
def effects(pool: Pool, log: EventLog) -> Effects:
    return Effects(pool, log, SystemClock(), timedelta(days=7))


def adding(name: str) -> tuple[str, object]:
    async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
        await connection.execute(
            "INSERT INTO counts VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET n = counts.n + $2",
            name,
            len(fresh),
        )
        return [Record("out", name, f"{name} {position}".encode()) for position in fresh]

    return name, work


async def counted(pool: Pool, name: str) -> int:
    return await pool.fetchval("SELECT n FROM counts WHERE name = $1", name) or 0


async def published(log: EventLog, name: str) -> list[bytes]:
    """Events of `name` on the log; what other tests left in the outbox may stand there too."""
    starts = [Position(stream, b"0") for stream in log.streams("out")]
    found = await log.read(starts, 10_000, 1)
    return [e for _, events in found for e in events if e.startswith(name.encode())]


async def test_a_repeated_event_changes_nothing_and_says_nothing(
    pool: Pool, log: EventLog, effects: Effects
) -> None:
    name, work = adding(fresh_id("c"))
    ids = [f"{name}/{n}" for n in range(5)]
    assert await effects.apply([*ids, ids[0]], work) == 5
    assert await effects.apply(ids[2:], work) == 0
    assert await effects.apply([*ids, f"{name}/9"], work) == 1
    assert await counted(pool, name) == 6
    assert len(await published(log, name)) == 6


async def test_concurrent_repeats_have_their_effect_once(pool: Pool, effects: Effects) -> None:
    name, work = adding(fresh_id("c"))
    ids = [f"{name}/{n}" for n in range(40)]
    await asyncio.gather(
        *(effects.apply(ids[i % 3 :: 2] + ids[::3][::-1], work) for i in range(12))
    )
    await effects.apply(ids, work)
    assert await counted(pool, name) == 40


async def test_a_failing_step_leaves_no_trace_and_can_be_repeated(
    pool: Pool, effects: Effects
) -> None:
    name, work = adding(fresh_id("c"))

    async def fail(connection: Connection, fresh: Sequence[int]) -> list[Record]:
        await work(connection, fresh)
        raise ValueError("after the write")

    with pytest.raises(ValueError, match="after the write"):
        await effects.apply([f"{name}/1"], fail)
    assert await counted(pool, name) == 0
    assert await effects.apply([f"{name}/1"], work) == 1
    assert await counted(pool, name) == 1


async def test_what_a_crash_left_in_the_outbox_is_swept_up(
    pool: Pool, log: EventLog, effects: Effects
) -> None:
    name, work = adding(fresh_id("c"))

    class Crash(BaseException):
        pass

    async def crash(records: Sequence[Record]) -> None:
        raise Crash

    publish, log.append = log.append, crash
    with pytest.raises(Crash):
        await effects.apply([f"{name}/1"], work)
    log.append = publish
    assert await counted(pool, name) == 1
    assert await published(log, name) == []
    assert await effects.sweep(timedelta(0)) >= 1
    assert await published(log, name) == [f"{name} 0".encode()]
    assert await effects.sweep(timedelta(0)) == 0


async def test_a_consumer_with_effects_counts_each_event_once_under_duplicates_and_failures(
    pool: Pool, log: EventLog, effects: Effects
) -> None:
    name, work = adding(fresh_id("c"))
    hiccups = iter([True, False, True, False, False, True] + [False] * 1000)

    async def handle(events: Sequence[bytes]) -> None:
        await effects.apply([e.decode() for e in events], work)
        if next(hiccups):
            raise OSError("the connection went after the commit")

    async with tasks(Consumer(log, name, ["in"], handle).run, effects.run):
        for _ in range(3):
            await log.append([Record("in", str(n), f"{name}/{n}".encode()) for n in range(200)])

        async def done() -> bool:
            return all(lag.pending == 0 and not lag.behind for lag in await log.lag(["in"]))

        await wait_until(done)

        async def emptied() -> bool:
            return await pool.fetchval("SELECT count(*) FROM outbox") == 0

        await wait_until(emptied)
    assert await counted(pool, name) == 200


async def test_without_postgres_the_setting_is_named() -> None:
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        async with database("postgresql://x@/x?host=/nonexistent", "x"):
            pass
