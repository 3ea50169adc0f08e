"""The whole service around a manual clock, on real servers, and a profile that tells histories."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.postgres import Effects, Pool, database, migrate
from chassis.rpc import channel, server
from chassis.streams import EventLog, Position
from merhaba.event.v1 import AttributeChange, Event, Tracked
from merhaba.profile.v1 import (
    ContactHistory,
    ProfileServiceServicer,
    ProfileServiceStub,
    StreamHistoryResponse,
    add_ProfileServiceServicer_to_server,
)
from merhaba.segment.v1 import (
    PrivacyServiceStub,
    SegmentServiceStub,
    TriggerServiceStub,
    add_PrivacyServiceServicer_to_server,
    add_SegmentServiceServicer_to_server,
    add_TriggerServiceServicer_to_server,
)
from services.segment.api import SegmentApi
from services.segment.app import MIGRATIONS
from services.segment.backfill import Backfills
from services.segment.consumer import Intake
from services.segment.definitions import Sources
from services.segment.definitions_store import DefinitionsStore
from services.segment.membership import Membership
from services.segment.privacy_api import PrivacyApi
from services.segment.rules import Compiler
from services.segment.segment_definitions import SegmentDefinitions
from services.segment.store import SegmentStore
from services.segment.trigger_api import TriggerApi
from services.segment.trigger_definitions import TriggerDefinitions
from services.segment.vocabulary import registry

TOKEN = "a token for tests"


class Profile(ProfileServiceServicer):
    """Answers StreamHistory from memory, in parts of two events, and can be away."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.away = False
        self.asked: list[list[str]] = []

    async def StreamHistory(self, request, context):  # noqa: N802
        self.asked.append(list(request.names))
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        ids = [one for one in sorted(self.events) if one > request.cursor]
        for number, contact_id in enumerate(ids):
            told = [e for e in self.events[contact_id] if e.tracked.name in request.names]
            parts = [told[i : i + 2] for i in range(0, len(told), 2)] or [[]]
            for at, part in enumerate(parts):
                history = ContactHistory(
                    contact_id=contact_id, events=part, continued=at < len(parts) - 1
                )
                yield StreamHistoryResponse(
                    cursor=contact_id,
                    histories=[history],
                    passed_count=number + 1,
                    total_count=len(ids),
                )


@dataclass
class Suite:
    """What a test talks to."""

    pool: Pool
    log: EventLog
    clock: ManualClock
    membership: Membership
    backfills: Backfills
    profile: Profile
    intake: Intake
    effects: Effects
    segments: SegmentServiceStub = None
    triggers: TriggerServiceStub = None
    privacy: PrivacyServiceStub = None
    told: list[Event] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def hear(self, *events: Event) -> None:
        """Events come on the topic `contact`."""
        await self.intake.handle([event.SerializeToString() for event in events])

    async def pass_time(self, **span: float) -> None:
        """The clock moves, and what is due is handled."""
        await self.clock.advance(timedelta(**span))
        while await self.membership.pass_time():
            pass

    async def signals(self, contact_id: str) -> list[Event]:
        """What was said on the topic `signal` about a contact, in order."""
        return [e for e in await self._signals() if e.contact_id == contact_id]

    async def changes(self, segment_id: str) -> list[Event]:
        """What was said there about a segment itself, in order."""
        return [e for e in await self._signals() if e.segment_changed.segment_id == segment_id]

    async def _signals(self) -> list[Event]:
        starts = [Position(stream, b"0") for stream in self.log.streams("signal")]
        found = await self.log.read(starts, 10_000, 1)
        return [Event.FromString(e) for _, batch in found for e in batch]

    async def said(self, contact_id: str) -> list[str]:
        """The kinds of these signals."""
        return [e.WhichOneof("body") for e in await self.signals(contact_id)]

    def tracked(
        self,
        contact_id: str,
        name: str,
        properties: str = "{}",
        ago: timedelta = timedelta(),
        changes: Iterable[tuple[str, str]] = (),
    ) -> Event:
        """A business's event, some time ago."""
        time = stamp(self.now - ago)
        return Event(
            event_id=fresh_id("evt"),
            event_time=time,
            received_time=time,
            contact_id=contact_id,
            changes=[
                AttributeChange(name=n, value_json=v.encode(), change_time=time) for n, v in changes
            ],
            tracked=Tracked(name=name, properties_json=properties.encode()),
        )


def stamp(moment: datetime) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(moment)
    return found


@pytest.fixture(scope="session")
def migrated(postgres_url: str) -> str:
    migrate(postgres_url, "segment_test", MIGRATIONS)
    return postgres_url


@pytest.fixture
async def suite(migrated: str, log: EventLog, manual_clock: ManualClock) -> AsyncIterator[Suite]:
    """The service with nobody in it and no definitions."""
    clock = manual_clock
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(database(migrated, "segment_test", 8))
        # Definitions apply to everybody, so tests cannot share a base of contacts.
        await pool.execute(
            "TRUNCATE segments, segment_versions, triggers, backfills, contact_states,"
            " memberships, occurrences, outbox"
        )
        await pool.execute("UPDATE generation SET number = number + 1")

        def vocabulary(segments):
            return registry(("plant_watered",), {}, segments)

        compiler = Compiler(vocabulary(None))
        effects = Effects(pool, log, clock, timedelta(days=8))
        store = SegmentStore(pool, effects)
        kept = DefinitionsStore(pool, effects)
        membership = Membership(store, clock, compiler, 3600)
        sources = Sources(compiler, vocabulary)
        definitions = SegmentDefinitions(kept, clock, sources)
        triggers = TriggerDefinitions(kept, clock, sources)
        await membership.reload()
        profile = Profile()
        own = server("segment", TOKEN)
        add_ProfileServiceServicer_to_server(profile, own)
        add_SegmentServiceServicer_to_server(
            SegmentApi(definitions, kept, membership, compiler), own
        )
        add_TriggerServiceServicer_to_server(TriggerApi(triggers, kept, membership), own)
        add_PrivacyServiceServicer_to_server(PrivacyApi(store, kept, clock), own)
        port = own.add_insecure_port("127.0.0.1:0")
        await own.start()
        opened = await stack.enter_async_context(channel(f"127.0.0.1:{port}", TOKEN))
        backfills = Backfills(kept, definitions, membership, ProfileServiceStub(opened), clock)
        yield Suite(
            pool,
            log,
            clock,
            membership,
            backfills,
            profile,
            Intake(membership),
            effects,
            SegmentServiceStub(opened),
            TriggerServiceStub(opened),
            PrivacyServiceStub(opened),
        )
        await own.stop(None)
