"""Migrations: once each, again after a kill, and never in the way of others for long."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psycopg
import pytest

from chassis.ids import fresh_id
from chassis.postgres import migrate
from chassis.testing import wait_until

PROGRAM = "import sys; from pathlib import Path; from chassis.postgres import migrate"
CALL = "migrate(sys.argv[1], sys.argv[2], Path(sys.argv[3]))"


@pytest.fixture
def schema() -> str:
    return fresh_id("migrated")


def step(folder: Path, number: int, text: str) -> None:
    (folder / f"{number:04}_step.sql").write_text(text)


def beside(url: str, schema: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", f"{PROGRAM}; {CALL}", url, schema, folder],
        stderr=subprocess.DEVNULL,
    )


async def running(url: str, statement: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()",
            f"%{statement}%",
        )
        return bool(found)
    finally:
        await connection.close()


async def test_what_a_killed_one_left_undone_the_next_one_does(
    postgres_url: str, schema: str, tmp_path: Path
) -> None:
    step(tmp_path, 1, "CREATE TABLE one (id int);")
    step(tmp_path, 2, f"SELECT pg_sleep(30), '{schema}';")
    killed = beside(postgres_url, schema, tmp_path)
    await wait_until(lambda: running(postgres_url, f"pg_sleep(30), '{schema}'"), 30)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    step(tmp_path, 2, "CREATE TABLE two (id int);")
    await asyncio.to_thread(migrate, postgres_url, schema, tmp_path)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"SELECT * FROM {schema}.one, {schema}.two")
    assert await asyncio.to_thread(migrate, postgres_url, schema, tmp_path) == 0


async def test_two_at_once_do_each_step_once(
    postgres_url: str, schema: str, tmp_path: Path
) -> None:
    step(tmp_path, 1, "CREATE TABLE one (id int); INSERT INTO one VALUES (1);")
    both = [beside(postgres_url, schema, tmp_path) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(f"SELECT * FROM {schema}.one").fetchall() == [(1,)]


async def test_an_index_is_built_beside_writers_and_built_again_when_that_was_broken_off(
    postgres_url: str, schema: str, tmp_path: Path
) -> None:
    step(tmp_path, 1, "CREATE TABLE one (id int);")
    await asyncio.to_thread(migrate, postgres_url, schema, tmp_path)
    building = (
        "DROP INDEX CONCURRENTLY IF EXISTS one_by_id;\n"
        "CREATE INDEX CONCURRENTLY one_by_id ON one (id);\n"
    )
    step(tmp_path, 2, f"-- transactional: false\n{building}")
    with psycopg.connect(postgres_url) as writer:
        writer.execute(f"INSERT INTO {schema}.one VALUES (1)")  # a transaction that goes on
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await asyncio.to_thread(migrate, postgres_url, schema, tmp_path)
    # Whatever else goes on in the database is waited for, and waits for nothing meanwhile
    patient = f"SET lock_timeout = '2min';\n{building}RESET lock_timeout;"
    step(tmp_path, 2, f"-- transactional: false\n{patient}")
    assert await asyncio.to_thread(migrate, postgres_url, schema, tmp_path) == 1
    with psycopg.connect(postgres_url) as connection:
        valid = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass",
            [f"{schema}.one_by_id"],
        ).fetchall()
        assert valid == [(True,)]


async def test_a_table_in_use_is_not_queued_for_and_the_step_may_be_tried_again(
    postgres_url: str, schema: str, tmp_path: Path
) -> None:
    step(tmp_path, 1, "CREATE TABLE one (id int);")
    await asyncio.to_thread(migrate, postgres_url, schema, tmp_path)
    step(tmp_path, 2, "ALTER TABLE one ADD COLUMN said text NOT NULL DEFAULT '';")
    with psycopg.connect(postgres_url) as reader:
        reader.execute(f"SELECT * FROM {schema}.one")  # a transaction that goes on
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await asyncio.to_thread(migrate, postgres_url, schema, tmp_path)
    assert await asyncio.to_thread(migrate, postgres_url, schema, tmp_path) == 1
