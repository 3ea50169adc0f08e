"""The sender on real Postgres, Redis and simulator, with small servers of other contracts."""
# ruff: noqa: N802 - the contracts' names

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from pydantic import SecretStr

from chassis.answers import Answers
from chassis.app import tasks
from chassis.callers import Caller, Callers
from chassis.clock import SystemClock, milliseconds_of
from chassis.failures import FieldInvalid, Refused
from chassis.ids import derived_id, fresh_id
from chassis.outbound import outbound
from chassis.policy import read_policy
from chassis.postgres import Effects, Pool, database, migrate
from chassis.privacy import Erasures
from chassis.reads import Reads
from chassis.rpc import channel, server
from chassis.streams import EventLog, Position, Watch
from chassis.testing import KnownKeys, wait_until
from chassis.transient import transient
from merhaba.event.v1 import Event
from merhaba.ingest.v1 import (
    CreateLinksResponse,
    IngestServiceServicer,
    Link,
    add_IngestServiceServicer_to_server,
)
from merhaba.profile.v1 import (
    Address,
    Attribute,
    AttributeType,
    BatchGetContactsResponse,
    BatchGetReachResponse,
    Consent,
    Contact,
    ContactHistory,
    ContactResult,
    Inference,
    ItemFailure,
    JoinedContact,
    ListAttributesResponse,
    ProfileServiceServicer,
    Reach,
    ReachColumn,
    ReachServiceServicer,
    RegistryServiceServicer,
    StreamHistoryResponse,
    add_ProfileServiceServicer_to_server,
    add_ReachServiceServicer_to_server,
    add_RegistryServiceServicer_to_server,
)
from merhaba.segment.v1 import (
    CheckMembershipResponse,
    GetSegmentResponse,
    ListSegmentsResponse,
    Member,
    Membership,
    SegmentServiceServicer,
    StreamMembersResponse,
    add_SegmentServiceServicer_to_server,
)
from merhaba.segment.v1 import Segment as SegmentProto
from merhaba.sender.v1 import (
    CampaignServiceStub,
    FileServiceStub,
    MessageServiceStub,
    NumberServiceStub,
    PolicyServiceStub,
    PrivacyServiceStub,
    RateCardServiceStub,
    SyncTemplatesRequest,
    TemplateServiceStub,
    add_CampaignServiceServicer_to_server,
    add_FileServiceServicer_to_server,
    add_MessageServiceServicer_to_server,
    add_NumberServiceServicer_to_server,
    add_PolicyServiceServicer_to_server,
    add_PrivacyServiceServicer_to_server,
    add_RateCardServiceServicer_to_server,
    add_TemplateServiceServicer_to_server,
)
from services import POLICY
from services.sender.api.backlog import Backlog
from services.sender.api.explaining import Explaining
from services.sender.api.files import FileApi
from services.sender.api.intents import Intents
from services.sender.api.messages import MessageApi
from services.sender.api.numbers import NumberApi
from services.sender.api.policies import PolicyApi
from services.sender.api.privacy import PrivacyApi
from services.sender.api.rate_cards import RateCardApi
from services.sender.api.watching import Watching
from services.sender.body import content_of
from services.sender.campaigns.api import CampaignApi
from services.sender.campaigns.assembly import assembled
from services.sender.campaigns.keeping import Keeper
from services.sender.campaigns.planner import Planner
from services.sender.campaigns.stopping import Stopping
from services.sender.campaigns.store import CampaignStore
from services.sender.delivery.dispatch import Dispatcher, Limits
from services.sender.files.downloads import Downloads
from services.sender.files.library import Files
from services.sender.files.store import FileStore
from services.sender.files.uploads import Uploads
from services.sender.model import NEVER, Message, Number
from services.sender.numbers.keeping import Keeping
from services.sender.numbers.store import NumberStore
from services.sender.outside.cloud_api import CloudApi, cloud_api
from services.sender.outside.neighbours import Neighbours
from services.sender.outside.post import Post
from services.sender.rulebook.policy_store import PolicyStore
from services.sender.rulebook.rate_card_store import RateCardStore
from services.sender.rulebook.recalling import Recalling
from services.sender.rules.policy import Policy
from services.sender.tables.held import Held
from services.sender.tables.naming import Named
from services.sender.tables.outbox import Outbox
from services.sender.tables.people import PeopleStore
from services.sender.templates.api import TemplateApi
from services.sender.templates.registry import Registry
from services.sender.templates.samples import Samples
from services.sender.templates.store import RegistryStore
from services.sender.templates.syncing import Syncing
from services.sender.templates.wire import unsubmitted
from services.sender.throttle import RedisThrottle
from services.sender.vocabulary import Vocabulary
from services.sender.wording.previewing import Previewing
from simulator.app import running
from simulator.settings import Settings

TOKEN = "token"
MARKETING = "of somebody who plans campaigns"
CONTROL = {"Authorization": "Bearer control"}
MIGRATIONS = Path(__file__).parents[1] / "migrations"


IMPOSSIBLE = ("", "no id")
"""What profile refuses as no id of a contact."""


class Profile(ProfileServiceServicer, ReachServiceServicer, RegistryServiceServicer):
    """Fixed people, by the contract of profile."""

    def __init__(self) -> None:
        self.people: dict[str, Contact] = {}
        self.happened: dict[str, list[Event]] = {}

    def add(
        self,
        wa_id: str,
        *,
        marketing: bool = True,
        contact_id: str = "",
        language: str = "tr",
        **attributes: Any,
    ) -> str:
        contact = Contact(
            contact_id=contact_id or fresh_id("contact"),
            state=Contact.STATE_ACTIVE,
            addresses=[Address(wa_id=wa_id, market="TR")] if wa_id else [],
            language=Inference(value=language),
            attributes=[
                Attribute(name=name, value_json=msgspec.json.encode(value))
                for name, value in attributes.items()
            ],
        )
        if marketing:
            contact.consents.append(Consent(purpose="marketing", state=Consent.STATE_GRANTED))
        self.people[contact.contact_id] = contact
        return contact.contact_id

    def merge(self, stays: str, *absorbed: str) -> None:
        self.people |= dict.fromkeys(absorbed, self.people[stays])
        self.people[stays].absorbed_contact_ids.extend(absorbed)

    async def BatchGetContacts(self, request: Any, context: Any) -> BatchGetContactsResponse:
        known = {c.addresses[0].wa_id: c for c in self.people.values() if c.addresses}

        ids = [r.contact_id for r in request.contacts if r.WhichOneof("ref") == "contact_id"]
        if not set(ids).isdisjoint(IMPOSSIBLE):
            raise FieldInvalid("contact_id", "not a contact's id")

        def result(ref: Any) -> ContactResult:
            found = self.people.get(ref.contact_id)
            if ref.WhichOneof("ref") == "identity":
                found = known.get(ref.identity.value)
            if found is None:
                return ContactResult(failure=ItemFailure())
            return ContactResult(contact=found)

        return BatchGetContactsResponse(results=[result(ref) for ref in request.contacts])

    async def StreamHistory(
        self, request: Any, context: Any
    ) -> AsyncIterator[StreamHistoryResponse]:
        for contact_id in request.contact_ids:
            events = [
                e for e in self.happened.get(contact_id, ()) if e.tracked.name in request.names
            ]
            history = ContactHistory(contact_id=contact_id, events=events)
            yield StreamHistoryResponse(histories=[history])

    async def ListAttributes(self, request: Any, context: Any) -> ListAttributesResponse:
        kinds = AttributeType.TYPE_STRING, AttributeType.TYPE_STRING, AttributeType.TYPE_INTEGER
        names = zip(("city", "first_name", "points"), kinds, strict=True)
        return ListAttributesResponse(
            attribute_types=[
                AttributeType(name=name, type=kind, personal=name == "first_name")
                for name, kind in names
            ]
        )

    async def BatchGetReach(self, request: Any, context: Any) -> BatchGetReachResponse:
        response = BatchGetReachResponse(columns=[ReachColumn() for _ in request.attribute_names])
        for position, contact_id in enumerate(request.contact_ids):
            found = self.people.get(contact_id) or Contact()
            place = -1
            if found.contact_id:
                place = len(response.reaches)
                response.reaches.append(self._reach(found))
            response.places.append(place)
            heard = found.addresses[0].last_message_time if found.addresses else Timestamp()
            response.last_message_times.append(heard.ToMilliseconds())
            said = [c.record.event_time for c in found.consents if c.purpose == "marketing"]
            response.marketing_consent_times.append(said[0].ToMilliseconds() if said else 0)
            known = {a.name: a.value_json for a in (*found.attributes, *found.traits)}
            for name, column in zip(request.attribute_names, response.columns, strict=True):
                column.values_json.append(known.get(name, b""))
            if place >= 0 and (found.absorbed_contact_ids or found.contact_id != contact_id):
                response.joined.append(
                    JoinedContact(
                        position=position,
                        contact_id=found.contact_id,
                        absorbed_contact_ids=found.absorbed_contact_ids,
                    )
                )
        return response

    def _reach(self, found: Contact) -> Reach:
        address = found.addresses[0] if found.addresses else Address()
        return Reach(
            restricted=found.state == Contact.STATE_RESTRICTED,
            reachable=bool(address.wa_id or address.bsuid),
            market=address.market,
            phone_number_id=address.phone_number_id,
            language=found.language.value,
            zone=found.zone.value,
            consents={c.purpose: c.state for c in found.consents},
        )


class HistoryTooShort(Refused):
    """As segment says that it forgot who was a member at a moment."""


class Segment(SegmentServiceServicer):
    """Fixed members, ten at a time, by the contract of segment."""

    def __init__(self) -> None:
        self.members: dict[str, list[str]] = {}
        self.archived: set[str] = set()
        self.forgotten = False
        self.version = 1

    async def StreamMembers(
        self, request: Any, context: Any
    ) -> AsyncIterator[StreamMembersResponse]:
        if request.segment_id not in self.members:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such segment")
        members = self.members[request.segment_id]
        if self.forgotten and request.cursor:
            raise HistoryTooShort("members are known only from later on")
        for start in range(int(request.cursor or 0), len(members), 10):
            part = members[start : start + 10]
            yield StreamMembersResponse(
                cursor=str(start + len(part)), members=[Member(contact_id=m) for m in part]
            )

    async def ListSegments(self, request: Any, context: Any) -> ListSegmentsResponse:
        """A segment's name is its id with an n before it."""
        return ListSegmentsResponse(
            segments=[
                SegmentProto(segment_id=one, name=f"n{one}")
                for one in self.members
                if f"n{one}" in request.names
            ]
        )

    async def CheckMembership(self, request: Any, context: Any) -> CheckMembershipResponse:
        return CheckMembershipResponse(
            memberships=[
                Membership(
                    contact_id=contact_id,
                    segment_id=segment_id,
                    member=contact_id in self.members[segment_id],
                )
                for contact_id in request.contact_ids
                for segment_id in request.segment_ids
            ]
        )

    async def GetSegment(self, request: Any, context: Any) -> GetSegmentResponse:
        if request.segment_id not in self.members:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such segment")
        return GetSegmentResponse(
            segment=SegmentProto(
                segment_id=request.segment_id,
                version=self.version,
                live_version=self.version,
                state=SegmentProto.STATE_ARCHIVED
                if request.segment_id in self.archived
                else SegmentProto.STATE_ACTIVE,
            )
        )


class Ingest(IngestServiceServicer):
    """Links, by the contract of ingest."""

    async def CreateLinks(self, request: Any, context: Any) -> CreateLinksResponse:
        return CreateLinksResponse(
            links=[Link(token=derived_id("l", s.url, s.message_id)) for s in request.links]
        )


@pytest.fixture(scope="session")
def migrated(postgres_url: str) -> str:
    migrate(postgres_url, "sender", MIGRATIONS)
    return postgres_url


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "sender", 8) as opened:
        yield opened


@dataclass
class Suite:
    """A running sender and what stands around it."""

    pool: Pool
    log: EventLog
    effects: Effects
    profile: Profile
    segment: Segment
    outbox: Outbox
    shelf: RegistryStore
    campaigns: CampaignStore
    people: PeopleStore
    held: Held
    dispatcher: Dispatcher
    planner: Planner
    planning: Callable[[], Awaitable[None]]
    keeper: Keeper
    stopping: Stopping
    campaign_api: CampaignApi
    limits: Limits
    graph_url: str
    http: aiohttp.ClientSession
    neighbours: Neighbours
    messages: MessageServiceStub
    campaign: CampaignServiceStub
    templates: TemplateServiceStub
    numbers: NumberServiceStub
    file: FileServiceStub
    graph: CloudApi
    number_store: NumberStore
    keeping: Keeping
    files: Files
    uploads: Uploads
    privacy: PrivacyServiceStub
    policy: PolicyServiceStub
    rate_cards: RateCardServiceStub
    recalling: Recalling
    target: str
    syncing: Syncing
    waba_id: str = ""
    number_id: str = ""

    async def control(self, method: str, path: str, body: Any) -> Any:
        async with self.http.request(
            method, f"{self.graph_url}/control/{path}", json=body, headers=CONTROL
        ) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return answer

    async def faults(self, **rates: Any) -> None:
        await self.control("POST", "faults", rates)

    async def ledger(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        after = 0
        while True:
            page = await self.control("GET", f"ledger?after={after}&limit=1000", None)
            entries += page["entries"]
            if not page["entries"]:
                return [e for e in entries if e["phone_number_id"] == self.number_id]
            after = page["next"]

    async def rows(self, **conditions: str) -> list[Message]:
        return await self.outbox.find(conditions, [], (1 << 62, ""), 100_000)

    async def states(self, campaign_id: str) -> dict[str, int]:
        rows = await self.pool.fetch(
            "SELECT state, count(*) FROM messages WHERE campaign_id = $1 GROUP BY 1", campaign_id
        )
        return {row[0]: row[1] for row in rows}

    async def refusal(self, call: Any) -> tuple[str, str]:
        """Status and reason of a call that is refused."""
        return (await self.refused(call))[:2]

    async def refused(self, call: Any) -> tuple[str, str, dict[str, str]]:
        """Status, reason and metadata of a call that is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        found = rpc_status.from_call(caught.value)
        assert found is not None
        info = error_details_pb2.ErrorInfo()
        found.details[0].Unpack(info)
        return caught.value.code().name, info.reason, dict(info.metadata)

    async def paced(self, throughput: float) -> None:
        """The number keeps to so many messages a second."""
        await self.pool.execute(
            "UPDATE numbers SET throughput = $2 WHERE phone_number_id = $1",
            *(self.number_id, throughput),
        )

    async def erase(self, contact_id: str) -> None:
        """As the service does when it hears that somebody was erased."""
        await self.held.erase(Named([contact_id]))

    def sending(self, *more: Callable[[], Any]) -> Any:
        """Dispatcher, planner and recalls, running for the block."""
        return tasks(
            self.dispatcher.run,
            self.planning,
            self.keeper.run,
            self.stopping.run,
            self.recalling.run,
            *more,
        )

    async def plan(self) -> None:
        """Start, plan and end whatever is to be, with nobody sending."""
        while await self.keeper.step() or await self.planner.step():
            pass

    async def settled(self, campaign_id: str, count: int, timeout_s: float = 15) -> None:
        """Return when so many messages exist and none is planned, held or attempting."""

        async def done() -> bool:
            found = await self.states(campaign_id)
            return sum(found.values()) == count and not any(found.get(s) for s in (1, 2, 3))

        await wait_until(done, timeout_s)

    async def events(self, topic: str = "message") -> list[Event]:
        starts = [Position(stream, b"0") for stream in self.log.streams(topic)]
        found = await self.log.read(starts, 10_000, 1)
        return [Event.FromString(e) for _, events in found for e in events]

    async def told(self, message_id: str) -> list[str]:
        found = []
        for event in await self.events():
            body = event.WhichOneof("body")
            if body is None or body == "campaign_changed":
                continue
            if getattr(event, body).message.message_id == message_id:
                found.append(body)
        return found


@pytest.fixture
def running_limits() -> Limits:
    return Limits(concurrency=100, lease_ms=60_000, call_ms=10_000)


@pytest.fixture
def unknown_ms() -> int:
    return 60_000


@pytest.fixture
def call_timeout_s() -> float:
    return 5.0


@pytest.fixture
async def suite(
    pool: Pool, log: EventLog, running_limits: Limits, unknown_ms: int, call_timeout_s: float
) -> AsyncIterator[Suite]:
    """Everything but the dispatcher and planner running: a test starts what it needs."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        graph_url = await stack.enter_async_context(
            running(
                Settings(
                    app_secret=SecretStr("app"),
                    verify_token=SecretStr("verify"),
                    access_token=SecretStr("graph"),
                    control_token=SecretStr("control"),
                    simulator_speed=1000,
                )
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        effects = Effects(pool, log, clock, timedelta(days=30))
        profile, segment, others = Profile(), Segment(), server("others", TOKEN)
        add_ProfileServiceServicer_to_server(profile, others)
        add_ReachServiceServicer_to_server(profile, others)
        add_RegistryServiceServicer_to_server(profile, others)
        add_SegmentServiceServicer_to_server(segment, others)
        add_IngestServiceServicer_to_server(Ingest(), others)
        others_port = others.add_insecure_port("127.0.0.1:0")
        await others.start()
        stack.push_async_callback(others.stop, None)
        beside = await stack.enter_async_context(channel(f"127.0.0.1:{others_port}", TOKEN))
        neighbours = Neighbours(beside, beside, beside)
        graph = await stack.enter_async_context(
            cloud_api(
                graph_url,
                "v26.0",
                {"default": "graph", "brand": "graph", "stale": "gone"},
                call_timeout_s,
            )
        )
        outbox = Outbox(pool, effects)
        shelf = RegistryStore(pool, effects, clock)
        number_store = NumberStore(pool, effects)
        file_store = FileStore(pool)
        outside = await stack.enter_async_context(
            outbound(aiohttp.ClientTimeout(total=10), 8, inside=True)
        )
        files = Files(file_store, outside, clock, transient)
        uploads = Uploads(file_store, graph, clock, 10)
        keeping = Keeping(number_store, graph, clock, transient, lambda *_: None)
        throttle = RedisThrottle(log)
        stopping = Stopping(pool, clock)
        dispatcher = Dispatcher(
            outbox,
            neighbours,
            Post(graph, number_store, uploads, clock, transient),
            throttle,
            clock,
            random.Random(1).random,
            running_limits,
            transient,
            stopping.stops,
        )
        recalling = Recalling(pool, clock, dispatcher.wake)
        registry = Registry(shelf, graph, Samples(files, file_store, graph, 10))
        syncing = Syncing(shelf, graph, clock, timedelta(hours=6), lambda *_: None)
        intents = Intents(outbox, neighbours, number_store, shelf, files, clock)
        campaigns = assembled(
            pool,
            effects,
            neighbours,
            file_store,
            outbox,
            intents.contact,
            throttle,
            clock,
            dispatcher.wake,
        )
        explaining = Explaining(outbox, neighbours, campaigns.store, intents, throttle, clock)
        previewing = Previewing(
            shelf,
            campaigns.store,
            neighbours,
            Vocabulary(beside),
            file_store,
            unsubmitted,
            lambda body: content_of(body).template,
            clock,
        )
        keys = KnownKeys({MARKETING: Caller("planner", "marketing")})
        own = server("sender", Callers(TOKEN, keys, read_policy(POLICY)))
        add_MessageServiceServicer_to_server(
            MessageApi(
                *(outbox, intents, explaining, number_store, graph, dispatcher),
                Watching(Watch(log, clock, timedelta(seconds=1)), outbox),
                Reads(pool, clock, timedelta(days=1), ("message_id",)),
                Backlog(outbox.waiting, clock),
            ),
            own,
        )
        add_CampaignServiceServicer_to_server(campaigns.api, own)
        add_TemplateServiceServicer_to_server(
            TemplateApi(registry, shelf, syncing, Answers(pool, clock), previewing.preview), own
        )
        add_NumberServiceServicer_to_server(
            NumberApi(number_store, keeping, throttle, graph.authorised), own
        )
        add_FileServiceServicer_to_server(
            FileApi(files, file_store, number_store, uploads, Downloads(graph, outside)), own
        )
        policies = PolicyStore(pool)
        add_PolicyServiceServicer_to_server(PolicyApi(policies, recalling.call, clock), own)
        cards = RateCardApi(RateCardStore(pool), recalling.call, clock)
        add_RateCardServiceServicer_to_server(cards, own)
        held = Held(pool, effects, clock)
        erasures = Erasures(pool, "sender", clock)
        add_PrivacyServiceServicer_to_server(PrivacyApi(held, erasures, clock), own)
        port = own.add_insecure_port("127.0.0.1:0")
        await own.start()
        stack.push_async_callback(own.stop, None)
        opened = await stack.enter_async_context(
            channel(f"127.0.0.1:{port}", TOKEN, purpose="a test")
        )
        # What other tests left belongs to numbers of other simulators.
        await pool.execute("UPDATE numbers SET paused = true")
        await pool.execute("UPDATE campaigns SET state = 7, swept = true")
        await pool.execute("DELETE FROM rate_cards")
        # Tests run at any hour and write to the same people often.
        await policies.change(
            lambda _: Policy(frequency_caps=(), quiet_hours=(), unknown_ms=unknown_ms), (), 0
        )
        yield Suite(
            pool,
            log,
            effects,
            profile,
            segment,
            outbox,
            shelf,
            campaigns.store,
            PeopleStore(effects),
            held,
            dispatcher,
            campaigns.planner,
            campaigns.plan,
            campaigns.keeper,
            stopping,
            campaigns.api,
            running_limits,
            graph_url,
            http,
            neighbours,
            MessageServiceStub(opened),
            CampaignServiceStub(opened),
            TemplateServiceStub(opened),
            NumberServiceStub(opened),
            FileServiceStub(opened),
            graph,
            number_store,
            keeping,
            files,
            uploads,
            PrivacyServiceStub(opened),
            PolicyServiceStub(opened),
            RateCardServiceStub(opened),
            recalling,
            f"127.0.0.1:{port}",
            syncing,
        )


def digits() -> str:
    return str(random.SystemRandom().randrange(10**14, 10**15))


BODY = {
    "type": "BODY",
    "text": "Merhaba {{1}}, yeni sezon geldi.",
    "example": {"body_text": [["Ayşe"]]},
}


@pytest.fixture
async def ready(suite: Suite) -> Suite:
    """A number that sends fast, and approved templates `welcome` (marketing) and `order`."""
    suite.waba_id, suite.number_id = digits(), digits()
    await suite.control(
        "POST",
        "numbers",
        [
            {
                "phone_number_id": suite.number_id,
                "waba_id": suite.waba_id,
                "display_phone_number": "90" + digits()[:10],
                "throughput": 100_000,
            }
        ],
    )
    async with suite.http.post(
        f"{suite.graph_url}/v26.0/{suite.waba_id}/message_templates",
        json={"name": "welcome", "language": "tr", "category": "MARKETING", "components": [BODY]},
        headers={"Authorization": "Bearer graph"},
    ) as response:
        assert response.status == 200
    async with suite.http.post(
        f"{suite.graph_url}/v26.0/{suite.waba_id}/message_templates",
        json={
            "name": "order",
            "language": "tr",
            "category": "UTILITY",
            "components": [
                BODY,
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {
                            "type": "URL",
                            "text": "Aç",
                            "url": "http://127.0.0.1:1/r/{{1}}",
                            "example": ["http://127.0.0.1:1/r/x"],
                        }
                    ],
                },
            ],
        },
        headers={"Authorization": "Bearer graph"},
    ) as response:
        assert response.status == 200
    now = milliseconds_of(SystemClock().now())
    await suite.number_store.add(
        Number(
            phone_number_id=suite.number_id,
            waba_id=suite.waba_id,
            portfolio_id="",
            display_phone_number="",
            verified_name="",
            throughput_level="STANDARD",
            throughput=5_000,
            messaging_limit="",
            quality_rating="GREEN",
            paused=False,
            state_reason="",
            create_time=now,
            update_time=now,
            sync_time=now,
        ),
        NEVER,
    )
    synced = await suite.templates.SyncTemplates(SyncTemplatesRequest(waba_id=suite.waba_id))
    assert synced.added == 2
    return suite
