"""A running ingest of its own for each test."""

from services.ingest.tests.conftest import environment, front, migrated  # noqa: F401 - fixtures
