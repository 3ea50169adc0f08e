"""One whole suite as processes, started as a script would start it, with every trace recorded."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psycopg
import pytest
from psycopg import sql

from cli.clients import Clients, clients
from cli.doors import Doors
from cli.stack import SERVICES, Addresses
from tests.collector import Collector, collecting
from tests.e2e.command import merhaba

_PATIENCE_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the one running suite stay together when tests are shared out, and the first of them
    may wait for it as long as a busy machine takes to start it."""
    for item in items:
        if "addresses" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("suite"))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_PATIENCE_S))


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as kept:
        yield kept


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="suite-", dir="/var/tmp"))
    folder.chmod(0o755)  # Postgres runs as another user when we are root
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def expand(database_url: str) -> None:
    """What a later version's migrations may do to every table while this one runs: so all that is
    tried here is tried on a newer schema."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '10s'")
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables JOIN pg_class ON relname = tablename"
            " AND relnamespace = schemaname::regnamespace"
            " WHERE schemaname = ANY(%s) AND NOT relispartition AND tablename NOT LIKE %s",
            [list(SERVICES), "%yoyo%"],
        ).fetchall()
        assert tables
        for schema, table in tables:
            statement = sql.SQL("ALTER TABLE {} ADD COLUMN of_later text NOT NULL DEFAULT 'x'")
            connection.execute(statement.format(sql.Identifier(schema, table)))


@pytest.fixture(scope="session")
def addresses(data_folder: Path, collector: Collector) -> Iterator[Addresses]:
    started = merhaba(
        "up",
        "--json",
        data=data_folder,
        timeout=_PATIENCE_S / 2,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        TRACE_SAMPLE_RATIO="1",
        LOG_CLAIM_IDLE_MS="2000",
        CALL_TIMEOUT_S="3",
        DRAIN_S="0.5",
        MERHABA_INGEST_WORKERS="2",
    )
    assert started.returncode == 0, started.stderr
    found = Addresses(**json.loads(started.stdout.strip().splitlines()[-1]))
    expand(found.database_url)
    yield found
    stopped = merhaba("down", data=data_folder)
    assert stopped.stdout == "stopped\n", stopped.stderr


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def doors(session: aiohttp.ClientSession, addresses: Addresses) -> Doors:
    return Doors(session, addresses)


@pytest.fixture
async def services(addresses: Addresses) -> AsyncIterator[Clients]:
    async with clients(addresses) as opened:
        yield opened
