"""A directory on real servers."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chassis.answers import Answers
from chassis.clock import ManualClock
from chassis.postgres import Effects, Pool, database, migrate
from chassis.streams import EventLog, Watch
from services.profile.api.contacts import ProfileApi
from services.profile.api.privacy import Rights
from services.profile.app import new_contact_id
from services.profile.jobs.recompute import Recompute
from services.profile.person.directory import Directory
from services.profile.person.identity import BlindIndex
from services.profile.rights.category_store import CategoryStore
from services.profile.rights.erasing import Erasing
from services.profile.rights.erasures import Erasures
from services.profile.rights.exporting import Exporting
from services.profile.rights.holders import Holder
from services.profile.rights.ledger import Ledger
from services.profile.rights.records import Records
from services.profile.tables.contacts import ContactStore
from services.profile.tables.reads import Reads
from services.profile.tables.registry import RegistryStore
from services.profile.vault.envelope import Envelope
from services.profile.vault.keys import Vault
from services.profile.vault.master_keys import LocalMasterKeys


@pytest.fixture(scope="session")
def profile_url(postgres_url: str) -> str:
    migrate(postgres_url, "profile", Path(__file__).parent.parent / "migrations")
    return postgres_url


@pytest.fixture
async def pool(profile_url: str) -> AsyncIterator[Pool]:
    async with database(profile_url, "profile", 10) as opened:
        yield opened


@pytest.fixture
def master_keys() -> str:
    """The setting."""
    return "k1:" + base64.b64encode(b"the first master key of tests...").decode()


@pytest.fixture
def index_key() -> str:
    """The setting."""
    return base64.b64encode(b"the secret of the index in tests").decode()


@pytest.fixture
def vault(master_keys: str) -> Vault:
    return Vault(LocalMasterKeys(master_keys))


@pytest.fixture
def index(index_key: str) -> BlindIndex:
    return BlindIndex(base64.b64decode(index_key))


@pytest.fixture
def reads(pool: Pool, manual_clock: ManualClock) -> Reads:
    return Reads(pool, manual_clock, timedelta(days=30))


@pytest.fixture
def envelope(master_keys: str) -> Envelope:
    return Envelope(LocalMasterKeys(master_keys))


@pytest.fixture
def effects(pool: Pool, log: EventLog, manual_clock: ManualClock, envelope: Envelope) -> Effects:
    return Effects(pool, log, manual_clock, timedelta(days=30), envelope)


@pytest.fixture
def registry(pool: Pool, manual_clock: ManualClock) -> RegistryStore:
    return RegistryStore(pool, manual_clock)


@pytest.fixture
def recompute(
    pool: Pool, effects: Effects, vault: Vault, registry: RegistryStore, manual_clock: ManualClock
) -> Recompute:
    return Recompute(pool, effects, vault, registry, manual_clock)


@pytest.fixture
def watch(log: EventLog, manual_clock: ManualClock) -> Watch:
    return Watch(log, manual_clock)


@pytest.fixture
def store(
    pool: Pool,
    effects: Effects,
    vault: Vault,
    index: BlindIndex,
    registry: RegistryStore,
    manual_clock: ManualClock,
) -> ContactStore:
    return ContactStore(pool, effects, vault, index, registry, manual_clock, new_contact_id)


@pytest.fixture
def directory(store: ContactStore) -> Directory:
    return Directory(store)


@pytest.fixture
def profile_api(
    directory: Directory,
    reads: Reads,
    watch: Watch,
    pool: Pool,
    registry: RegistryStore,
    manual_clock: ManualClock,
) -> ProfileApi:
    answers = Answers(pool, manual_clock)
    return ProfileApi(
        directory, reads, answers, watch, manual_clock, "TR", registry, CategoryStore(pool)
    )


@pytest.fixture
def holders() -> dict[str, Holder]:
    """Other services: nobody, unless a test says so."""
    return {}


@pytest.fixture
def rights(
    pool: Pool,
    effects: Effects,
    vault: Vault,
    index: BlindIndex,
    envelope: Envelope,
    store: ContactStore,
    reads: Reads,
    holders: dict[str, Holder],
    manual_clock: ManualClock,
) -> Rights:
    erasures = Erasures(pool, effects, vault, envelope, index, manual_clock, tuple(holders))
    return Rights(
        Ledger(pool, vault, store),
        Exporting(Records(pool, store, reads), holders),
        erasures,
        Erasing(erasures, holders, manual_clock),
        CategoryStore(pool),
        "A shop",
    )
