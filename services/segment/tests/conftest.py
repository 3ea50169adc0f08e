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
from chassis.callers import Caller, Callers
from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.policy import read_policy
from chassis.postgres import Effects, Pool, database, migrate
from chassis.privacy import Erasures
from chassis.rpc import channel, server
from chassis.streams import EventLog, Position, Watch
from chassis.testing import KnownKeys
from merhaba.event.v1 import AttributeChange, ContactCreated, Event, Tracked
from merhaba.profile.v1 import (
    Attribute,
    AttributeType,
    ConsentRecord,
    Contact,
    ContactHistory,
    EventType,
    ItemFailure,
    ListAttributesResponse,
    ListEventTypesResponse,
    ProfileServiceServicer,
    ProfileServiceStub,
    RegistryServiceServicer,
    RegistryServiceStub,
    SetAttributesRequest,
    SetAttributesResponse,
    StageStanding,
    StreamHistoryRequest,
    StreamHistoryResponse,
    add_ProfileServiceServicer_to_server,
    add_RegistryServiceServicer_to_server,
)
from merhaba.segment.v1 import (
    CatalogServiceStub,
    JourneyServiceStub,
    PrivacyServiceStub,
    SegmentServiceStub,
    TriggerServiceStub,
    add_CatalogServiceServicer_to_server,
    add_JourneyServiceServicer_to_server,
    add_PrivacyServiceServicer_to_server,
    add_SegmentServiceServicer_to_server,
    add_TriggerServiceServicer_to_server,
)
from services import POLICY
from services.segment.api.catalog import CatalogApi
from services.segment.api.journey_views import JourneyViews
from services.segment.api.journeys import JourneyApi
from services.segment.api.members import Members
from services.segment.api.occurrences import Occurrences
from services.segment.api.previews import Previews
from services.segment.api.privacy import PrivacyApi
from services.segment.api.segments import SegmentApi
from services.segment.api.trials import Trials
from services.segment.api.triggers import TriggerApi
from services.segment.app import MIGRATIONS
from services.segment.defining.action_checks import Webhooks as WebhookRules
from services.segment.defining.journeys import JourneyDefinitions
from services.segment.defining.segments import SegmentDefinitions
from services.segment.defining.triggers import TriggerDefinitions
from services.segment.engine.definitions import Sources
from services.segment.engine.membership import Membership
from services.segment.engine.rules import Compiler
from services.segment.failures import ServiceUnavailable
from services.segment.jobs.attributes import Attributes
from services.segment.jobs.backfill import Backfills
from services.segment.jobs.catalog import Catalog
from services.segment.jobs.consumer import Intake
from services.segment.jobs.declarations import Declarations
from services.segment.jobs.declared import Declared
from services.segment.jobs.deeds import Deeds
from services.segment.jobs.deeds_store import DeedsStore
from services.segment.jobs.fanouts import Fanouts
from services.segment.jobs.place_definitions import PlaceDefinitions
from services.segment.jobs.rebuild import Rebuilds
from services.segment.jobs.sweeps import Sweeps
from services.segment.jobs.things_intake import ThingsIntake
from services.segment.jobs.things_store import ThingsStore
from services.segment.jobs.webhooks import webhooks
from services.segment.names import Names
from services.segment.roles import SIGHTS
from services.segment.tables.contacts import SegmentStore
from services.segment.tables.definitions import DefinitionsStore
from services.segment.tables.fanouts import FanoutsStore
from services.segment.tables.held import Held
from services.segment.tables.journeys import JourneyStore
from services.segment.tables.stage_map import StageMap
from services.segment.tables.stays import Stays
from services.segment.tables.sweeps import SweepsStore
from services.segment.weather.store import WeatherStore
from services.segment.weather.watch import WeatherWatch

TOKEN = "a token for tests"
SECRETS = {"crm": "a secret for tests"}


class Profile(ProfileServiceServicer):
    """Answers StreamHistory from memory, in parts of two events, and can be away."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.facts: dict[str, list[Attribute]] = {}
        self.traits: dict[str, list[Attribute]] = {}
        self.consents: dict[str, list[ConsentRecord]] = {}
        self.stages: dict[str, StageStanding] = {}
        self.survivors: dict[str, str] = {}
        self.restricted: set[str] = set()
        self.away = False
        self.breaks_at = ""
        """The contact before whom it goes away, once."""
        self.asked: list[list[str]] = []
        self.requests: list[StreamHistoryRequest] = []
        self.told: list[str] = []
        """Contacts whose histories were told, in turn."""
        self.stalls = False
        self.stalled = 0
        """Streams that stand still."""
        self.oldest: dict[str, datetime] = {}
        """From when on events are kept."""
        self.sets: list[SetAttributesRequest] = []
        self.refused: dict[int, int] = {}
        """Attributes not set, by position, with the reason."""

    async def SetAttributes(self, request, context):  # noqa: N802
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        self.sets.append(request)
        refused = [ItemFailure(index=at, reason=why) for at, why in self.refused.items()]
        return SetAttributesResponse(
            accepted_count=len(request.contacts) - len(refused), failures=refused
        )

    async def StreamHistory(self, request, context):  # noqa: N802
        self.asked.append(list(request.names))
        self.requests.append(request)
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
            for one in sorted({*self.events, *self.facts, *self.traits, *self.consents})
            if one > request.cursor
            and one not in self.survivors
            and crc32(one.encode()) % (request.shard_count or 1) == request.shard
        ]
        if request.contact_ids:
            ids = sorted({self.survivors.get(one, one) for one in request.contact_ids})
            ids = [one for one in ids if one > request.cursor]
        paths = set(request.read_mask.paths)

        def seen(field: str, facts: Iterable[Attribute] = ()) -> list[Attribute]:
            """Those that the mask names; all of a field it names as a whole, or without one."""

            def path(name: str) -> str:
                return name if name.startswith("traits.") else f"attributes.{name}"

            return [one for one in facts if not paths or {field, path(one.name)} & paths]

        since = request.start_time.ToMicroseconds() if request.HasField("start_time") else -(2**60)
        for number, contact_id in enumerate(ids):
            if contact_id == self.breaks_at:
                self.breaks_at = ""
                await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
            events = self.events.get(contact_id, [])
            told = [e for e in events if name_of(e) in request.names]
            told = [e for e in told if e.event_time.ToMicroseconds() >= since]
            told = told if not paths or "events" in paths else []
            given = {*(one.name for one in self.facts.get(contact_id, []))}
            given |= {one.name for one in self.traits.get(contact_id, [])}
            given |= {"stage"} if contact_id in self.stages else set()
            skips = request.attribute_names or request.skip_empty
            skipped = skips and not told and not given & set(request.attribute_names)
            parts = [told[i : i + 2] for i in range(0, len(told), 2)] or [[]]
            for at, part in enumerate(parts):
                history = ContactHistory(
                    contact_id=contact_id,
                    events=part,
                    continued=at < len(parts) - 1,
                    attributes=[] if at else seen("attributes", self.facts.get(contact_id, [])),
                    traits=[] if at else seen("traits", self.traits.get(contact_id, [])),
                    consents=[]
                    if at or (paths and "consents" not in paths)
                    else self.consents.get(contact_id, []),
                    stage=None
                    if at or (paths and "stage" not in paths)
                    else self.stages.get(contact_id),
                    state=Contact.STATE_RESTRICTED
                    if contact_id in self.restricted
                    else Contact.STATE_ACTIVE,
                )
                self.told += [] if skipped else [contact_id]
                yield StreamHistoryResponse(
                    cursor=contact_id,
                    histories=[] if skipped else [history],
                    passed_count=number + 1,
                    total_count=len(ids),
                    oldest_times={
                        name: stamp(self.oldest[name])
                        for name in request.names
                        if name in self.oldest and not number + at
                    },
                )


def name_of(event: Event) -> str:
    """As expressions know it."""
    kind = event.WhichOneof("body") or ""
    return event.tracked.name if kind == "tracked" else kind


class Registered(RegistryServiceServicer):
    """What the business declared to profile."""

    def __init__(self) -> None:
        self.attributes = [AttributeType(name="churn_score", type=AttributeType.TYPE_NUMBER)]
        self.events: list[EventType] = []

    async def ListAttributes(self, request, context):  # noqa: N802
        return ListAttributesResponse(attribute_types=self.attributes)

    async def ListEventTypes(self, request, context):  # noqa: N802
        return ListEventTypesResponse(event_types=self.events)


class Sky:
    """Says what the weather is, by the middle of a cell, and can be away."""

    most = 2

    def __init__(self) -> None:
        self.weather: dict[tuple[float, float], dict[str, float]] = {}
        self.asked: list[list[tuple[float, float]]] = []
        self.away = False

    async def current(self, points):
        self.asked.append(list(points))
        if self.away:
            raise ServiceUnavailable("the sky")
        return [self.weather.get(point, {"temperature_c": 10.0}) for point in points]


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
    catalogue: Catalog = None
    fanouts: Fanouts = None
    weather: WeatherWatch = None
    sky: Sky = None
    told: list[Event] = field(default_factory=list)
    journeys: JourneyServiceStub = None
    deeds: Deeds = None
    sweeps: Sweeps = None

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def hear(self, *events: Event) -> None:
        """Events come on the topic `contact`."""
        await self.intake.handle([event.SerializeToString() for event in events])

    async def pass_time(self, **span: float) -> None:
        """The clock moves, what edits left is done, and what is due is handled."""
        await self.clock.advance(timedelta(**span))
        while await self.sweeps.work() or await self.membership.pass_time():
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
            "TRUNCATE segments, segment_versions, triggers, trigger_versions, deeds, backfills,"
            " contact_states,"
            " memberships, occurrences, rebuilds, outbox, erasures, tombstones,"
            " places, catalog_items, stays, requests, declared_names,"
            " whereabouts, weather_cells, looks, fanouts, journeys, journey_versions,"
            " journey_instances, journey_visits, journey_ways, contact_stages, stage_moves, sweeps"
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
        triggers = TriggerDefinitions(kept, clock, sources, WebhookRules(frozenset(SECRETS), True))
        calls = await stack.enter_async_context(webhooks(SECRETS, inside=True))
        await membership.reload()
        profile, registered = Profile(), Registered()
        desks = KnownKeys({role: Caller(f"{role}-desk", role) for role in SIGHTS})
        own = server("segment", Callers(TOKEN, desks, read_policy(POLICY)))
        port = own.add_insecure_port("127.0.0.1:0")
        opened = await stack.enter_async_context(channel(f"127.0.0.1:{port}", TOKEN))
        histories = ProfileServiceStub(opened)
        stays = Stays(pool, clock, timedelta(days=90))
        things, fanouts, sky = ThingsStore(pool), FanoutsStore(pool), Sky()
        catalogue = Catalog(things, fanouts, membership, clock)
        add_ProfileServiceServicer_to_server(profile, own)
        add_RegistryServiceServicer_to_server(registered, own)
        declarations = Declarations(kept, pool, clock, names, compiler)
        declared = Declared(declarations, RegistryServiceStub(opened), clock)
        add_SegmentServiceServicer_to_server(
            SegmentApi(
                definitions,
                kept,
                membership,
                compiler,
                Members(kept, membership, histories, stays, names.personal),
                Previews(kept, definitions, compiler, histories, clock, sample=100),
                Watch(log, clock),
                Answers(pool, clock),
                declared,
            ),
            own,
        )
        add_CatalogServiceServicer_to_server(CatalogApi(things), own)
        add_TriggerServiceServicer_to_server(
            TriggerApi(
                triggers,
                kept,
                membership,
                declared,
                Occurrences(pool, membership),
                Trials(triggers, membership, compiler, histories, clock, names.personal),
                Answers(pool, clock),
            ),
            own,
        )
        people = JourneyStore(pool)
        rules = WebhookRules(frozenset(SECRETS), True)
        add_JourneyServiceServicer_to_server(
            JourneyApi(
                JourneyDefinitions(kept, clock, sources, rules),
                kept,
                people,
                JourneyViews(people, StageMap(pool), clock),
                membership,
                declared,
                Answers(pool, clock),
                clock,
            ),
            own,
        )
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
            ThingsIntake(PlaceDefinitions(kept, clock, sources), catalogue),
            stays,
            f"127.0.0.1:{port}",
            registered,
            catalogue,
            Fanouts(fanouts, membership, clock),
            WeatherWatch(WeatherStore(pool), sky, membership, clock, timedelta(minutes=30)),
            sky,
            journeys=JourneyServiceStub(opened),
            deeds=Deeds(DeedsStore(pool), membership, calls.call, Attributes(histories).put, clock),
            sweeps=Sweeps(SweepsStore(pool), membership, clock),
        )
        await own.stop(None)
