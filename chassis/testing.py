"""Fixtures for tests on real servers. `pytest_plugins = ["chassis.testing"]` brings them in."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from chassis import embedded
from chassis.callers import Caller
from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.postgres import Pool
from chassis.settings import LogSettings
from chassis.streams import EventLog, event_log


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where the test servers live, for as long as the session."""
    folder = embedded.run_folder()
    folder.chmod(0o755)  # Postgres runs as another user when we are root
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(server_folder: Path) -> Iterator[str]:
    """A real Postgres: the one of TEST_DATABASE_URL, or an embedded one."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    server = embedded.start_postgres(server_folder, server_folder, durable=False)
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def redis_url(server_folder: Path) -> Iterator[str]:
    """A real Redis: the one of TEST_REDIS_URL, or an embedded one."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    server = embedded.start_redis(server_folder, server_folder, maxmemory="512mb")
    yield server.url
    server.stop()


@pytest.fixture
def log_settings(redis_url: str) -> LogSettings:
    """Settings of a log that nobody else uses."""
    return LogSettings(
        redis_url=redis_url,
        log_namespace=fresh_id("test"),
        log_linger_ms=1,
        log_pace_ms=1,
        log_claim_idle_ms=300,
    )


@pytest.fixture
async def log(log_settings: LogSettings) -> AsyncIterator[EventLog]:
    """A log that nobody else uses."""
    async with event_log(log_settings) as opened:
        yield opened


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that stands at 2026-11-22 09:00 UTC until a test moves it."""
    return ManualClock(datetime(2026, 11, 22, 9, tzinfo=UTC))


class KnownKeys(dict[str, Caller]):
    """Keys that a test hands out, and whose they are."""

    def who(self, key: str) -> Caller | None:
        """Whose key it is."""
        return self.get(key)


async def wait_until(
    condition: Callable[[], Awaitable[bool] | bool], timeout_s: float = 10, every_s: float = 0.02
) -> None:
    """Return as soon as the condition holds; fail the test when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        held = condition()
        if isinstance(held, Awaitable):
            held = await held
        if held:
            return
        assert time.monotonic() < deadline, f"not so after {timeout_s} s: {condition}"
        await asyncio.sleep(every_s)


async def tables_of_contacts(pool: Pool) -> list[str]:
    """Tables of the schema that hold contacts, but for those that say who was erased."""
    rows = await pool.fetch(
        "SELECT table_name::text AS name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name = 'contact_id' ORDER BY 1"
    )
    return [row["name"] for row in rows if row["name"] not in {"erasures", "tombstones"}]


async def values_of_contact(pool: Pool, table: str, contact_id: str) -> list[bytes]:
    """Every value in a contact's rows of a table, as JSON; not those that are encoded."""
    rows = await pool.fetch(
        f"SELECT * FROM {table} WHERE contact_id::text = $1",  # noqa: S608 - a name from the schema
        contact_id,
    )
    assert rows, f"{table} holds contacts: this test has to plant a row in it"
    values = [value for row in rows for value in row.values()]
    return [orjson.dumps(v, default=str) for v in values if not isinstance(v, bytes | None)]


async def tables_naming(pool: Pool, *words: str) -> set[str]:
    """Tables of the schema in which a word stands, as text or in bytes."""
    tables = await pool.fetch(
        "SELECT table_name::text AS name FROM information_schema.tables"
        " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
    )
    patterns = [f"%{form}%" for word in words for form in (word, word.encode().hex())]
    found = set()
    for (name,) in tables:
        if await pool.fetchval(
            f"SELECT EXISTS (SELECT FROM {name} AS t WHERE t::text ILIKE ANY($1))",  # noqa: S608 - a name from the schema
            patterns,
        ):
            found.add(name)
    return found
