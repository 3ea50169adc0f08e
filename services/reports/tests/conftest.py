"""A ledger on a real Postgres, fed as the consumers feed it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from chassis.clock import ManualClock
from chassis.postgres import Effects, Pool, database, migrate
from chassis.streams import EventLog
from chassis.testing import wait_until
from merhaba.event.v1 import Event
from services.reports.answers.answering import Answers
from services.reports.answers.kept import Kept
from services.reports.app import MIGRATIONS
from services.reports.chronicle.gates import Gates
from services.reports.consumer import Folding
from services.reports.freshness import Freshness
from services.reports.held import Held
from services.reports.ledger import Ledger
from services.reports.store import PostgresStore

Feed = Callable[[str, Sequence[Event]], Awaitable[None]]


@pytest.fixture(scope="session")
def reports_url(postgres_url: str) -> str:
    migrate(postgres_url, "reports", MIGRATIONS)
    return postgres_url


@pytest.fixture
async def pool(reports_url: str) -> AsyncIterator[Pool]:
    async with database(reports_url, "reports", 6) as opened:
        yield opened


@pytest.fixture
def store(pool: Pool, log: EventLog, manual_clock: ManualClock) -> PostgresStore:
    effects = Effects(pool, log, manual_clock, timedelta(days=30))
    return PostgresStore(pool, effects, timedelta(days=7))


@pytest.fixture
def ledger(store: PostgresStore, manual_clock: ManualClock) -> Ledger:
    return Ledger(store, Freshness(manual_clock.now()), manual_clock, "Europe/Istanbul")


@pytest.fixture
def answers(pool: Pool) -> Answers:
    return Answers(pool)


@pytest.fixture
def kept(pool: Pool, manual_clock: ManualClock) -> Kept:
    return Kept(pool, manual_clock)


@pytest.fixture
def settled(store: PostgresStore, pool: Pool) -> Callable[[], Awaitable[None]]:
    """Waits until everything that was said of contacts is counted."""

    async def done() -> bool:
        await store.revise()
        return not await pool.fetchval("SELECT EXISTS (SELECT FROM revisions)")

    return lambda: wait_until(done)


@pytest.fixture
def held(pool: Pool, manual_clock: ManualClock) -> Held:
    return Held(pool, manual_clock, lambda: secrets.token_hex(32))


@pytest.fixture
def feed(ledger: Ledger, held: Held, pool: Pool, settled: Callable[[], Awaitable[None]]) -> Feed:
    """Hands events to the consumer of a topic, as one batch, and waits until they count."""

    async def handle(topic: str, events: Sequence[Event]) -> None:
        folding = Folding(topic, ledger, held.erase, gates=Gates(pool).keep)
        await folding.handle([one.SerializeToString() for one in events])
        await settled()

    return handle


@pytest.fixture
async def feed_together(feed: Feed) -> Callable[[Sequence[tuple[str, Sequence[Event]]]], Awaitable]:
    """Hands over several batches at once, as several replicas would."""

    async def handle(batches: Sequence[tuple[str, Sequence[Event]]]) -> None:
        await asyncio.gather(*(feed(topic, events) for topic, events in batches if events))

    return handle
