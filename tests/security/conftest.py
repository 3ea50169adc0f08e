"""One suite that tests may throw anything at."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.suite import Suite, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the one running suite stay together when tests are shared out."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "suite" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("any"))


@pytest.fixture(scope="session")
def suite(postgres_url: str, redis_url: str) -> Iterator[Suite]:
    with running(postgres_url, redis_url) as started:
        yield started
