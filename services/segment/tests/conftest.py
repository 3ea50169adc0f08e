"""The whole service around a manual clock, on real servers, and a profile that tells histories."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zlib import crc32

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.answers import Answers
from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.postgres import Effects, Pool, database, migrate
from chassis.privacy import Erasures
from chassis.rpc import channel, server
from chassis.streams import EventLog, Position, Watch
from merhaba.event.v1 import AttributeChange, ContactCreated, Event, Tracked
from merhaba.profile.v1 import (
    Attribute,
    AttributeType,
    Contact,
    ContactHistory,
    EventType,
    ListAttributesResponse,
    ListEventTypesResponse,
    ProfileServiceServicer,
    ProfileServiceStub,
    RegistryServiceServicer,
    RegistryServiceStub,
    StreamHistoryResponse,
    add_ProfileServiceServicer_to_server,
    add_RegistryServiceServicer_to_server,
)
from merhaba.segment.v1 import (
    CatalogServiceStub,
    PrivacyServiceStub,
    SegmentServiceStub,
    TriggerServiceStub,
    add_CatalogServiceServicer_to_server,
    add_PrivacyServiceServicer_to_server,
    add_SegmentServiceServicer_to_server,
    add_TriggerServiceServicer_to_server,
)
from services.segment.api import SegmentApi
from services.segment.app import MIGRATIONS
from services.segment.backfill import Backfills
from services.segment.catalog_api import CatalogApi
from services.segment.consumer import Intake
from services.segment.declared import Declared
from services.segment.definitions import Sources
from services.segment.definitions_store import DefinitionsStore
from services.segment.held import Held
from services.segment.members import Members
from services.segment.membership import Membership
from services.segment.names import Names
from services.segment.place_definitions import PlaceDefinitions
from services.segment.previews import Previews
from services.segment.privacy_api import PrivacyApi
from services.segment.rebuild import Rebuilds
from services.segment.rules import Compiler
from services.segment.segment_definitions import SegmentDefinitions
from services.segment.stays import Stays
from services.segment.store import SegmentStore
from services.segment.things_intake import ThingsIntake
from services.segment.things_store import ThingsStore
from services.segment.trigger_api import TriggerApi
from services.segment.trigger_definitions import TriggerDefinitions

TOKEN = "a token for tests"


class Profile(ProfileServiceServicer):
    """Answers StreamHistory from memory, in parts of two events, and can be away."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.facts: dict[str, list[Attribute]] = {}
        self.survivors: dict[str, str] = {}
        self.restricted: set[str] = set()
        self.away = False
        self.asked: list[list[str]] = []
        self.stalls = False
        self.stalled = 0
        """Streams that stand still."""

    async def StreamHistory(self, request, context):  # noqa: N802
        self.asked.append(list(request.names))
        if request.contact_ids:
            for one in {self.survivors.get(one, one) for one in request.contact_ids}:
                told = [e for e in self.events.get(one, []) if e.tracked.name in request.names]
                facts = self.facts.get(one, [])
                state = Contact.STATE_RESTRICTED if one in self.restricted else Contact.STATE_ACTIVE
                history = ContactHistory(contact_id=one, events=told, attributes=facts, state=state)
                yield StreamHistoryResponse(cursor=one, histories=[history])
            return
        if self.stalls and request.names:
            self.stalled += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.stalled -= 1
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        ids = [
            one
            for one in sorted({*self.events, *self.facts})
            if one > request.cursor
            and crc32(one.encode()) % (request.shard_count or 1) == request.shard
        ]
        for number, contact_id in enumerate(ids):
            events = self.events.get(contact_id, [])
            told = [e for e in events if e.tracked.name in request.names]
            parts = [told[i : i + 2] for i in range(0, len(told), 2)] or [[]]
            for at, part in enumerate(parts):
                history = ContactHistory(
                    contact_id=contact_id,
                    events=part,
                    continued=at < len(parts) - 1,
                    attributes=[] if at else self.facts.get(contact_id, []),
                    state=Contact.STATE_RESTRICTED
                    if contact_id in self.restricted
                    else Contact.STATE_ACTIVE,
                )
                yield StreamHistoryResponse(
                    cursor=contact_id,
                    histories=[history],
                    passed_count=number + 1,
                    total_count=len(ids),
                )


class Registered(RegistryServiceServicer):
    """What the business declared to profile."""

    def __init__(self) -> None:
        self.attributes = [AttributeType(name="churn_score", type=AttributeType.TYPE_NUMBER)]
        self.events: list[EventType] = []

    async def ListAttributes(self, request, context):  # noqa: N802
        return ListAttributesResponse(attribute_types=self.attributes)

    async def ListEventTypes(self, request, context):  # noqa: N802
        return ListEventTypesResponse(event_types=self.events)


@dataclass
class Suite:
    """What a test talks to."""

    pool: Pool
    log: EventLog
    clock: ManualClock
    membership: Membership
    backfills: Backfills
    rebuilds: Rebuilds
    profile: Profile
    intake: Intake
    effects: Effects
    segments: SegmentServiceStub = None
    triggers: TriggerServiceStub = None
    privacy: PrivacyServiceStub = None
    catalog: CatalogServiceStub = None
    things: ThingsIntake = None
    stays: Stays = None
    target: str = ""
    registered: Registered = None
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

    def created(self, contact_id: str) -> Event:
        """Somebody is there from now on."""
        time = stamp(self.now)
        return Event(
            event_id=fresh_id("evt"),
            event_time=time,
            received_time=time,
            contact_id=contact_id,
            contact_created=ContactCreated(),
        )

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
            " memberships, occurrences, rebuilds, outbox, erasures, tombstones,"
            " places, catalog_items, stays, requests, declared_names"
        )
        await pool.execute("UPDATE generation SET number = number + 1")

        names = Names(("plant_watered",))
        compiler = Compiler(names.anything)
        effects = Effects(pool, log, clock, timedelta(days=8))
        store = SegmentStore(pool, effects, names)
        kept = DefinitionsStore(pool, effects)
        held = Held(pool, clock)
        membership = Membership(store, clock, compiler, 3600)
        sources = Sources(compiler, names.registry)
        definitions = SegmentDefinitions(kept, clock, sources)
        triggers = TriggerDefinitions(kept, clock, sources)
        await membership.reload()
        profile, registered = Profile(), Registered()
        own = server("segment", TOKEN)
        port = own.add_insecure_port("127.0.0.1:0")
        opened = await stack.enter_async_context(channel(f"127.0.0.1:{port}", TOKEN))
        histories = ProfileServiceStub(opened)
        stays = Stays(pool, clock, timedelta(days=90))
        things = ThingsStore(pool)
        add_ProfileServiceServicer_to_server(profile, own)
        add_RegistryServiceServicer_to_server(registered, own)
        declared = Declared(pool, names, RegistryServiceStub(opened), clock)
        add_SegmentServiceServicer_to_server(
            SegmentApi(
                definitions,
                kept,
                membership,
                compiler,
                Members(kept, membership, histories, stays),
                Previews(kept, definitions, compiler, histories, clock, sample=100),
                Watch(log, clock),
                Answers(pool, clock),
                declared,
            ),
            own,
        )
        add_CatalogServiceServicer_to_server(CatalogApi(things), own)
        add_TriggerServiceServicer_to_server(TriggerApi(triggers, kept, membership, declared), own)
        add_PrivacyServiceServicer_to_server(
            PrivacyApi(held, Erasures(pool, "segment", clock), clock), own
        )
        await own.start()
        backfills = Backfills(kept, definitions, membership, histories, clock)
        rebuilds = Rebuilds(store, membership, histories, clock)
        yield Suite(
            pool,
            log,
            clock,
            membership,
            backfills,
            rebuilds,
            profile,
            Intake(membership, held.erase),
            effects,
            SegmentServiceStub(opened),
            TriggerServiceStub(opened),
            PrivacyServiceStub(opened),
            CatalogServiceStub(opened),
            ThingsIntake(PlaceDefinitions(kept, clock, sources), things),
            stays,
            f"127.0.0.1:{port}",
            registered,
        )
        await own.stop(None)
