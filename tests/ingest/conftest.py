"""The front door's own schema, for processes of it that tests start."""

import pytest

from chassis.postgres import migrate
from services.ingest.tests.process import MIGRATIONS


@pytest.fixture(scope="session")
def migrated(postgres_url: str) -> str:
    migrate(postgres_url, "ingest", MIGRATIONS)
    return postgres_url
