"""One whole suite as processes, started as a script would start it, with every trace recorded."""

import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import psycopg
import pytest
from psycopg import sql

from cli.clients import Clients, clients
from cli.doors import Doors
from cli.stack import SERVICES, Addresses
from tests.chaos.relays import Relays
from tests.chaos.suite import inner_port
from tests.collector import Collector, collecting
from tests.e2e.command import merhaba

# A minute of misfortunes, and what comes after it, is for `make survive` and `make chaos`.
collect_ignore = [] if os.environ.get("SURVIVE") == "long" else ["test_chaos.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the one running suite stay together when tests are shared out."""
    for item in items:
        if "addresses" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("suite"))


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as kept:
        yield kept


@pytest.fixture(scope="session")
def relays(data_folder: Path) -> Iterator[Relays]:
    """Between all services, so that connections can be cut."""
    with Relays(SERVICES, partial(inner_port, data_folder)).running() as running:
        yield running


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
def addresses(data_folder: Path, collector: Collector, relays: Relays) -> Iterator[Addresses]:
    started = merhaba(
        "up",
        "--json",
        data=data_folder,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        TRACE_SAMPLE_RATIO="1",
        LOG_CLAIM_IDLE_MS="2000",
        CALL_TIMEOUT_S="3",
        DRAIN_S="0.5",
        MERHABA_INGEST_WORKERS="2",
        **relays.targets,
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
