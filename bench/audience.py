"""People who are there to be sent messages: known to the simulator, and to a stand-in of profile.

Everything of a person follows from their number, so that a million of them cost nothing.
"""
# ruff: noqa: N802 - the contracts' names

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import aiohttp
import asyncpg
import grpc
import orjson

from chassis.callers import Callers
from chassis.certificates import files_of
from chassis.ids import derived_id
from chassis.policy import read_policy
from chassis.rpc import server
from chassis.tls import server_credentials
from cli.stack import Addresses, Stack
from merhaba.profile.v1 import (
    Address,
    BatchGetContactsResponse,
    BatchGetReachResponse,
    Consent,
    Contact,
    ContactResult,
    Inference,
    ListAttributesResponse,
    ProfileServiceServicer,
    Reach,
    ReachColumn,
    ReachServiceServicer,
    RegistryServiceServicer,
    add_ProfileServiceServicer_to_server,
    add_ReachServiceServicer_to_server,
    add_RegistryServiceServicer_to_server,
)
from merhaba.segment.v1 import (
    GetSegmentResponse,
    Member,
    Segment,
    SegmentServiceServicer,
    StreamMembersResponse,
    add_SegmentServiceServicer_to_server,
)
from merhaba.sender.v1 import SyncTemplatesRequest, TemplateServiceStub
from services import POLICY
from services.sender.model import CampaignPhase, Lane, Message
from services.sender.tables.rows import COLUMNS

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

WABA: Final = "700800900"
TEMPLATE: Final = "sale"
LANGUAGE: Final = "tr"
BODY: Final = orjson.dumps(
    {
        "type": "template",
        "template": {
            "name": TEMPLATE,
            "language": {"code": LANGUAGE},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ayşe"}]}],
        },
    }
)
_TEMPLATE: Final = {
    "name": TEMPLATE,
    "language": LANGUAGE,
    "category": "MARKETING",
    "components": [
        {
            "type": "BODY",
            "text": "Merhaba {{1}}, indirim başladı.",
            "example": {"body_text": [["Ayşe"]]},
        }
    ],
}
_AT_ONCE: Final = 5_000
_PAGE: Final = 1_000
_CONTACT: Final = "c"


def wa_id(person: int) -> str:
    """Their number."""
    return f"9055{person:08d}"


def contact_id(person: int) -> str:
    """Their id."""
    return f"{_CONTACT}{person}"


def message_id(campaign_id: str, person: int) -> str:
    """The campaign's message to them."""
    return derived_id("msg", campaign_id, "", contact_id(person))


class People(ProfileServiceServicer, ReachServiceServicer, RegistryServiceServicer):
    """By the contract of profile: everybody agreed to everything, and has lunch."""

    def __init__(self) -> None:
        # Where it is noon now no hours are quiet; the sign of these names is the other way round.
        self._zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"

    async def BatchGetContacts(self, request: Any, _: Any) -> BatchGetContactsResponse:
        """Whoever is asked for."""
        return BatchGetContactsResponse(results=[self._result(ref) for ref in request.contacts])

    def agreed(self, person: int) -> bool:
        """Whether a person agreed to marketing."""
        return person >= 0

    async def BatchGetReach(self, request: Any, _: Any) -> BatchGetReachResponse:
        """How whoever is asked for can be reached: all alike, but for what they agreed to."""
        count = len(request.contact_ids)
        states = (Consent.STATE_NONE, Consent.STATE_GRANTED)
        reaches = [
            Reach(
                reachable=True,
                market="TR",
                language=LANGUAGE,
                zone=self._zone,
                consents={"marketing": state},
            )
            for state in states
        ]
        places = [int(self.agreed(_person(one))) for one in request.contact_ids]
        return BatchGetReachResponse(
            reaches=reaches,
            places=places,
            last_message_times=[0] * count,
            marketing_consent_times=[0] * count,
            columns=[ReachColumn(values_json=[b""] * count) for _ in request.attribute_names],
        )

    async def ListAttributes(self, _request: Any, _: Any) -> ListAttributesResponse:
        """None is declared."""
        return ListAttributesResponse()

    def _result(self, ref: Any) -> ContactResult:
        person = _person(ref.contact_id)
        found = Contact(contact_id=ref.contact_id, state=Contact.STATE_ACTIVE)
        found.addresses.append(Address(wa_id=wa_id(person), market="TR"))
        agreed = Consent.STATE_GRANTED if self.agreed(person) else Consent.STATE_NONE
        found.consents.append(Consent(purpose="marketing", state=agreed))
        found.language.CopyFrom(Inference(value=LANGUAGE))
        found.zone.CopyFrom(Inference(value=self._zone))
        return ContactResult(contact=found)


def _person(contact_id: str) -> int:
    return int(contact_id.removeprefix(_CONTACT))


class Members(SegmentServiceServicer):
    """By the contract of segment: one segment, of everybody."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def GetSegment(self, request: Any, _: Any) -> GetSegmentResponse:
        """Whichever is asked for."""
        segment = Segment(segment_id=request.segment_id, version=1, live_version=1)
        return GetSegmentResponse(segment=segment)

    async def StreamMembers(self, request: Any, _: Any) -> AsyncIterator[StreamMembersResponse]:
        """Everybody, in the order of their numbers."""
        for start in range(int(request.cursor or 0), self._count, _PAGE):
            end = min(start + _PAGE, self._count)
            yield StreamMembersResponse(
                cursor=str(end),
                members=[Member(contact_id=contact_id(one)) for one in range(start, end)],
                passed_count=end,
                total_count=self._count,
            )


@asynccontextmanager
async def members(running: Stack, count: int) -> AsyncIterator[None]:
    """Segment's stand-in, where the sender looks for segment."""
    standing = server("segment", Callers(policy=read_policy(POLICY)))
    add_SegmentServiceServicer_to_server(Members(count), standing)  # type: ignore[abstract]  # asked for nothing else
    _stand_in(standing, running, "segment")
    await standing.start()
    try:
        yield
    finally:
        await standing.stop(None)


@asynccontextmanager
async def people(running: Stack, who: People | None = None) -> AsyncIterator[None]:
    """Profile's stand-in, where the sender looks for profile."""
    standing = server("profile", Callers(policy=read_policy(POLICY)))
    found = who or People()  # type: ignore[abstract]  # asked for nothing else
    add_ProfileServiceServicer_to_server(found, standing)
    add_ReachServiceServicer_to_server(found, standing)
    add_RegistryServiceServicer_to_server(found, standing)
    _stand_in(standing, running, "profile")
    await standing.start()
    try:
        yield
    finally:
        await standing.stop(None)


def _stand_in(standing: grpc.aio.Server, running: Stack, service: str) -> None:
    """Have the other services find it where they look for a service, with its certificate."""
    files = files_of(running.place.certificates, service)
    address = f"127.0.0.1:{running.ports[service]}"
    standing.add_secure_port(address, server_credentials(files, clients=True))


async def control(http: aiohttp.ClientSession, to: Addresses, way: str, what: Any) -> Any:
    """Tell the simulator something; `way` is method and path."""
    method, path = way.split(" ")
    async with http.request(
        method,
        f"{to.simulator_url}/control/{path}",
        json=what,
        headers={"Authorization": f"Bearer {to.control_token}"},
    ) as response:
        response.raise_for_status()
        return await response.json()


async def template(http: aiohttp.ClientSession, to: Addresses) -> None:
    """The template, at Meta and in the sender's registry."""
    async with http.post(
        f"{to.graph_url}/v26.0/{WABA}/message_templates",
        json=_TEMPLATE,
        headers={"Authorization": f"Bearer {to.access_token}"},
    ) as response:
        response.raise_for_status()
    async with to.channel("sender") as opened:
        await TemplateServiceStub(opened).SyncTemplates(SyncTemplatesRequest(waba_id=WABA))


async def number(
    http: aiohttp.ClientSession, to: Addresses, database: Database, name: str,
    throughput: float, *, accepts: float = 100_000,
) -> None:  # fmt: skip
    """A business number that does not send yet; the simulator `accepts` so many a second."""
    given = {"phone_number_id": name, "waba_id": WABA, "display_phone_number": f"90{name}"}
    await control(http, to, "POST numbers", [{**given, "throughput": accepts}])
    await database.execute(
        "INSERT INTO sender.numbers (phone_number_id, waba_id, display_phone_number, throughput,"
        " throughput_limit, messaging_limit, quality_rating, paused, create_time, update_time,"
        " sync_time, ask_time) VALUES ($1, $2, $3, $4, $4, 'TIER_UNLIMITED', 'GREEN', true, 1, 1,"
        " 1, $5)",
        *(name, WABA, f"90{name}", throughput, 1 << 61),
    )


async def sends(database: Database, names: Sequence[str], sending: bool) -> None:
    """Let numbers send, or no more."""
    await database.execute(
        "UPDATE sender.numbers SET paused = $2 WHERE phone_number_id = ANY($1::text[])",
        *(list(names), not sending),
    )


async def settle(
    http: aiohttp.ClientSession, to: Addresses, persons: Sequence[int], **behaviour: Any
) -> None:
    """People who do as told; nothing, so that only sending is measured, unless anything is said."""
    how = behaviour or {"silent": True}
    for start in range(0, len(persons), _AT_ONCE):
        some = persons[start : start + _AT_ONCE]
        told = [{"wa_id": wa_id(person), "identity_mode": "phone", **how} for person in some]
        await control(http, to, "POST people", told)


async def campaign(
    database: Database, campaign_id: str, number_id: str, persons: Sequence[int]
) -> None:
    """A campaign under way whose messages wait, planned by COPY."""
    await database.execute(
        "INSERT INTO sender.campaigns (campaign_id, name, state, definition, planned, recipients,"
        " create_time, update_time) VALUES ($1, $1, $2, '', false, $3, 1, 1)",
        *(campaign_id, int(CampaignPhase.RUNNING), len(persons)),
    )
    now = int(datetime.now(UTC).timestamp() * 1000)
    fixed = Message(
        message_id="",
        contact_id="",
        campaign_id=campaign_id,
        occurrence_id="",
        phone_number_id=number_id,
        template=TEMPLATE,
        language=LANGUAGE,
        variant="only",
        propensity=1.0,
        purpose="",
        context_wamid="",
        body=BODY,
        lane=Lane.BULK,
        not_after=0,
        plan_time=now,
        received_time=now,
        traceparent="",
        category="marketing",
    )
    fields = Message.__struct_fields__
    row = [getattr(fixed, field) for field in fields]
    places = [fields.index(field) for field in ("message_id", "contact_id", "due_time")]

    def rows() -> Any:
        for order, person in enumerate(persons):
            values = (message_id(campaign_id, person), contact_id(person), now - 10**9 + order)
            for place, value in zip(places, values, strict=True):
                row[place] = value
            yield tuple(row)

    await database.copy_records_to_table(
        "messages", schema_name="sender", columns=COLUMNS.split(", "), records=rows()
    )
    await database.execute("ANALYZE sender.messages")


async def entries(
    http: aiohttp.ClientSession, to: Addresses, after: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """What the simulator's ledger has accepted since, and where to go on."""
    found: list[dict[str, Any]] = []
    while True:
        page = await control(http, to, f"GET ledger?after={after}&limit=10000", None)
        if not page["entries"]:
            return found, after
        found += page["entries"]
        after = page["next"]
