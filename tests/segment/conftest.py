"""A segment service with servers of its own, for tests in which it dies; it is started again."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from bench.running import suite
from chassis.settings import LogSettings
from chassis.streams import EventLog, event_log
from cli.stack import Stack


class Alone:
    """The service, and the log it reads."""

    def __init__(self, running: Stack, log: EventLog) -> None:
        self.running = running
        self.log = log

    def kill(self) -> None:
        """SIGKILL to the service as it is now, if it is there."""
        with suppress(ProcessLookupError):
            os.kill(self.running.addresses().pids["segment"], signal.SIGKILL)


@pytest.fixture
async def alone() -> AsyncIterator[Alone]:
    async with suite(("segment",)) as running:
        settings = LogSettings(redis_url=running.addresses().redis_url)
        async with event_log(settings) as log:
            yield Alone(running, log)
