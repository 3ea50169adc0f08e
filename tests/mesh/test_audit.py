"""The audit: on record before it happens, told newest first, forgotten in time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.app import tasks
from chassis.audit import Audit, resource_of
from chassis.callers import Call, Caller, Callers
from chassis.clock import ManualClock
from chassis.failures import Unavailable
from chassis.ids import fresh_id
from chassis.policy import read_policy
from chassis.postgres import Pool, database, migrate
from chassis.rpc import channel, server
from chassis.testing import wait_until
from merhaba.audit import v1 as contract
from merhaba.audit.v1 import AuditRecord, AuditServiceStub, ListAuditRecordsRequest
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import ContactRef, EraseContactRequest, SetAttributesRequest
from merhaba.segment.v1 import CreateSegmentRequest, Segment
from merhaba.sender.v1 import LaunchCampaignRequest
from services import POLICY

SCHEMA, TOKEN, YEAR = "audit_test", "a token for tests", timedelta(days=365)
LAUNCH = "merhaba.sender.v1.CampaignService/LaunchCampaign"


@pytest.fixture(scope="session")
def migrated(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    migrate(postgres_url, SCHEMA, tmp_path_factory.mktemp("none"))
    return postgres_url


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, SCHEMA, 2) as opened:
        yield opened


@pytest.fixture
async def audit(pool: Pool, manual_clock: ManualClock) -> AsyncIterator[Audit]:
    kept = Audit(pool, manual_clock, YEAR)
    async with tasks(kept.run):
        yield kept


@pytest.fixture
async def told(audit: Audit) -> AsyncIterator[AuditServiceStub]:
    own = server("sender", Callers(TOKEN, policy=read_policy(POLICY)))
    audit.serve(contract, own)
    port = own.add_insecure_port("127.0.0.1:0")
    await own.start()
    async with channel(f"127.0.0.1:{port}", TOKEN) as opened:
        yield AuditServiceStub(opened)
    await own.stop(None)


def by(caller: str, purpose: str = "") -> Call:
    return Call(LAUNCH, Caller(caller, "marketing"), purpose)


async def records(told: AuditServiceStub, **query: Any) -> list[AuditRecord]:
    return list((await told.ListAuditRecords(ListAuditRecordsRequest(**query))).audit_records)


async def test_who_did_what_to_what_and_what_came_of_it(
    audit: Audit, told: AuditServiceStub, manual_clock: ManualClock
) -> None:
    caller, campaign = fresh_id("desk"), fresh_id("campaign")
    request = LaunchCampaignRequest(campaign_id=campaign, request_id="r1")
    begun = await audit.begin(by(caller, "summer"), request)
    (record,) = await records(told, caller=caller)
    time = Timestamp()
    time.FromDatetime(manual_clock.now())
    assert record == AuditRecord(
        audit_id=begun,
        audit_time=time,
        caller=caller,
        role="marketing",
        method=LAUNCH,
        purpose="summer",
        resource=campaign,
        request_id="r1",
    ), "it is on record before anybody knows how it ends"
    audit.end(begun, "FAILED_PRECONDITION")

    async def ended() -> bool:
        (record,) = await records(told, resource=campaign)
        return record.outcome == "FAILED_PRECONDITION"

    await wait_until(ended)


async def test_what_ended_last_is_written_when_the_service_stops(
    pool: Pool, manual_clock: ManualClock
) -> None:
    kept = Audit(pool, manual_clock, YEAR)
    async with tasks(kept.run):
        begun = await kept.begin(by("desk"), LaunchCampaignRequest())
        kept.end(begun, "OK")
    assert await pool.fetchval("SELECT outcome FROM audit WHERE audit_id = $1", begun) == "OK"


async def test_pages_are_of_one_query_newest_first(
    audit: Audit, told: AuditServiceStub, manual_clock: ManualClock
) -> None:
    caller, made = fresh_id("desk"), []
    for _ in range(5):
        made.append(await audit.begin(by(caller), LaunchCampaignRequest()))
        await manual_clock.advance(timedelta(seconds=1))
    request = ListAuditRecordsRequest(caller=caller, page_size=2)
    found: list[str] = []
    while True:
        page = await told.ListAuditRecords(request)
        found += [record.audit_id for record in page.audit_records]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert found == made[::-1]
    request.page_token = (
        await told.ListAuditRecords(ListAuditRecordsRequest(caller=caller, page_size=2))
    ).next_page_token
    request.caller = "another"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await told.ListAuditRecords(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_without_a_record_nothing_is_served(pool: Pool, manual_clock: ManualClock) -> None:
    kept = Audit(pool, manual_clock, YEAR)
    await pool.close()
    async with tasks(kept.run):
        with pytest.raises(Unavailable):
            await kept.begin(by("desk"), LaunchCampaignRequest())


async def test_only_so_many_wait_for_their_record(pool: Pool, manual_clock: ManualClock) -> None:
    kept = Audit(pool, manual_clock, YEAR)
    waiting = [
        asyncio.create_task(kept.begin(by("desk"), LaunchCampaignRequest())) for _ in range(2_000)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await kept.begin(by("desk"), LaunchCampaignRequest())
    for task in waiting:
        task.cancel()
    async with tasks(kept.run):
        await wait_until(lambda: not kept._groups.waiting)


async def test_old_records_are_forgotten(
    audit: Audit, told: AuditServiceStub, manual_clock: ManualClock
) -> None:
    caller = fresh_id("desk")
    await audit.begin(by(caller), LaunchCampaignRequest())
    await manual_clock.advance(YEAR)
    fresh = await audit.begin(by(caller), LaunchCampaignRequest())
    await manual_clock.advance(timedelta(seconds=1))
    while await audit.forget_old():
        pass
    assert [record.audit_id for record in await records(told, caller=caller)] == [fresh]


@pytest.mark.parametrize(
    ("request_", "resource"),
    [
        (LaunchCampaignRequest(campaign_id="c1", request_id="r"), "c1"),
        (EraseContactRequest(request_id="r", contact=ContactRef(contact_id="p1")), "p1"),
        (CreateSegmentRequest(request_id="r", segment=Segment(name="vip")), "vip"),
        (SetAttributesRequest(request_id="r"), ""),
        (
            EraseContactRequest(
                contact=ContactRef(identity=Identity(kind=Identity.KIND_WA_ID, value="905551"))
            ),
            "",
        ),
    ],
)
def test_a_record_names_what_it_is_about_and_nobodys_number(
    request_: Message, resource: str
) -> None:
    assert resource_of(request_) == resource
