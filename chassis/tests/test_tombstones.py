"""Tombstones: whoever is buried is not made again, by nobody, at no moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.postgres import Pool, database, migrate
from chassis.tombstones import bury, erased

SCHEMA = "chassis_tombstones_test"
TABLES = """
-- depends:
CREATE TABLE tombstones (contact_id text PRIMARY KEY, erase_time timestamptz NOT NULL);
CREATE TABLE things (contact_id text NOT NULL);
"""


@pytest.fixture(scope="session")
def schema(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("migrations")
    (folder / "0001_tombstones_test.sql").write_text(TABLES)
    migrate(postgres_url, SCHEMA, folder)
    return postgres_url


@pytest.fixture
async def pool(schema: str) -> AsyncIterator[Pool]:
    async with database(schema, SCHEMA, 8) as opened:
        yield opened


async def known(pool: Pool, *contact_ids: str) -> frozenset[str]:
    async with pool.acquire() as connection, connection.transaction():
        return await erased(connection, contact_ids)


async def test_of_several_those_are_told_who_were_erased(
    pool: Pool, manual_clock: ManualClock
) -> None:
    anne, also, bob = (fresh_id("c") for _ in range(3))
    await bury(pool, [anne, also], manual_clock.now())
    await bury(pool, [anne], manual_clock.now())
    assert await known(pool, anne, also, bob) == {anne, also}
    assert await known(pool) == frozenset()


async def test_what_was_begun_before_the_burial_has_ended_when_it_returns(
    pool: Pool, manual_clock: ManualClock
) -> None:
    anne = fresh_id("c")
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def make() -> None:
        async with pool.acquire() as connection, connection.transaction():
            assert not await erased(connection, [anne])
            asked.set()
            await go_on.wait()
            await connection.execute("INSERT INTO things VALUES ($1)", anne)

    async with asyncio.TaskGroup() as group:
        group.create_task(make())
        await asked.wait()
        burial = group.create_task(bury(pool, [anne], manual_clock.now()))
        later = group.create_task(known(pool, anne))
        go_on.set()
        await burial
        assert await pool.fetchval("SELECT count(*) FROM things WHERE contact_id = $1", anne) == 1
        await later
    assert await known(pool, anne) == {anne}


async def test_whoever_makes_rows_while_somebody_is_erased_leaves_none(
    pool: Pool, manual_clock: ManualClock
) -> None:
    async def make(contact_id: str) -> None:
        async with pool.acquire() as connection, connection.transaction():
            if not await erased(connection, [contact_id]):
                await connection.execute("INSERT INTO things VALUES ($1)", contact_id)

    async def erase(contact_id: str) -> None:
        await bury(pool, [contact_id], manual_clock.now())
        await pool.execute("DELETE FROM things WHERE contact_id = $1", contact_id)

    people = [fresh_id("c") for _ in range(50)]
    await asyncio.gather(
        *(work for one in people for work in (make(one), erase(one), make(one), make(one)))
    )
    left = "SELECT count(*) FROM things WHERE contact_id = ANY($1::text[])"
    assert await pool.fetchval(left, people) == 0


async def test_a_tombstone_is_kept_for_a_year(pool: Pool, manual_clock: ManualClock) -> None:
    anne = fresh_id("c")
    await bury(pool, [anne], manual_clock.now())
    await bury(pool, [fresh_id("c")], manual_clock.now() + timedelta(days=365))
    assert await known(pool, anne) == {anne}
    await bury(pool, [fresh_id("c")], manual_clock.now() + timedelta(days=367))
    assert await known(pool, anne) == frozenset()
