"""The sender with servers of its own, which a test may do anything to; statuses come by way of
ingest, and profile is a stand-in."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import asyncpg

import chassis.postgres
from bench import audience
from bench.running import replica
from bench.running import suite as started
from chassis.testing import wait_until
from cli import stack
from services.sender.model import State
from services.sender.rulebook.policy_store import PolicyStore
from services.sender.rules.policy import Policy

NUMBER: Final = "7000001"
CAMPAIGN: Final = "spring"
UNWILLING: Final = 50
"""Every so manieth person agreed to nothing."""
_OPEN: Final = (State.PLANNED, State.HELD, State.ATTEMPTING, State.UNKNOWN)


class People(audience.People):
    """Some of whom are not to be written to."""

    def agreed(self, person: int) -> bool:
        """Whether a person agreed to marketing."""
        return person % UNWILLING != 0


@dataclass
class Suite:
    """A running sender; whatever dies is started again."""

    running: stack.Stack
    http: aiohttp.ClientSession

    def kill(self, part: str) -> None:
        """SIGKILL to a part as it is now, if it is there."""
        with suppress(ProcessLookupError):
            os.kill(self.running.addresses().pids[part], signal.SIGKILL)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of the sender's own tables, once Postgres answers."""
        found: list[asyncpg.Record] = []

        async def answered() -> bool:
            try:
                database = await asyncpg.connect(self.running.addresses().database_url)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False
            try:
                found[:] = await database.fetch(query, *arguments)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False
            finally:
                database.terminate()
            return True

        await wait_until(answered, timeout_s=60, every_s=0.2)
        return found

    async def prepare(self, people: int, throughput: float, policy: Policy) -> None:
        """A campaign to so many people, under way, and its number, which does not send yet."""
        to = self.running.addresses()
        database = await asyncpg.connect(to.database_url)
        try:
            async with chassis.postgres.database(to.database_url, "sender", 1) as pool:
                await PolicyStore(pool).change(lambda _: policy, (), 1)
            await audience.number(self.http, to, database, NUMBER, throughput)
            await audience.template(self.http, to)
            await audience.settle(
                self.http, to, range(people), reads=0, replies=0, clicks=0, stops=0, blocks=0
            )
            await audience.campaign(database, CAMPAIGN, NUMBER, range(people))
        finally:
            await database.close()

    async def sends(self) -> None:
        """Let it send."""
        await self.fetch(
            "UPDATE sender.numbers SET paused = false WHERE phone_number_id = $1", NUMBER
        )

    async def open(self) -> int:
        """Messages without an outcome."""
        rows = await self.fetch(
            "SELECT count(*) FROM sender.messages WHERE state = ANY($1::int[])", list(_OPEN)
        )
        return int(rows[0][0])

    async def ledger(self) -> list[dict[str, Any]]:
        """What the simulator accepted."""
        found, _ = await audience.entries(self.http, self.running.addresses())
        return found

    async def control(self, way: str, what: Any) -> Any:
        """Tell the simulator something."""
        return await audience.control(self.http, self.running.addresses(), way, what)

    @asynccontextmanager
    async def senders(self, count: int) -> AsyncIterator[None]:
        """So many processes of the sender altogether, for as long as the block runs."""
        async with AsyncExitStack() as others:
            for _ in range(count - 1):
                await others.enter_async_context(replica(self.running, "sender"))
            yield


@asynccontextmanager
async def suite() -> AsyncIterator[Suite]:
    """A sender, for as long as the block runs."""
    async with (
        started(("ingest", "sender")) as running,
        audience.people(running, People()),  # type: ignore[abstract]  # asked for nothing else
        aiohttp.ClientSession() as http,
    ):
        yield Suite(running, http)
