"""A directory on real servers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chassis.clock import ManualClock
from chassis.postgres import Effects, Pool, database, migrate
from chassis.streams import EventLog
from services.profile.app import new_contact_id
from services.profile.directory import Directory
from services.profile.store import ContactStore


@pytest.fixture(scope="session")
def profile_url(postgres_url: str) -> str:
    migrate(postgres_url, "profile", Path(__file__).parent.parent / "migrations")
    return postgres_url


@pytest.fixture
async def pool(profile_url: str) -> AsyncIterator[Pool]:
    async with database(profile_url, "profile", 10) as opened:
        yield opened


@pytest.fixture
def directory(pool: Pool, log: EventLog, manual_clock: ManualClock) -> Directory:
    effects = Effects(pool, log, manual_clock, timedelta(days=30))
    return Directory(ContactStore(pool, effects, manual_clock, new_contact_id))
