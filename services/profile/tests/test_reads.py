"""Every read of personal data is on record before its answer leaves."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis import groups
from chassis.answers import Answers
from chassis.app import tasks
from chassis.callers import INTERNAL, Call, Caller, Callers
from chassis.clock import ManualClock
from chassis.failures import Unavailable
from chassis.ids import fresh_id
from chassis.policy import Policy, read_policy
from chassis.postgres import Pool
from chassis.rpc import channel, server
from chassis.testing import KnownKeys
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    ContactFilter,
    ContactRef,
    ContactUpsert,
    GetConsentRequest,
    GetContactRequest,
    ListConsentsRequest,
    ListContactsRequest,
    ListEventsRequest,
    ListPersonalDataReadsRequest,
    PersonalDataRead,
    PrivacyServiceStub,
    ProfileServiceStub,
    ResolveContactRequest,
    StreamHistoryRequest,
    UpsertContactsRequest,
    add_PrivacyServiceServicer_to_server,
    add_ProfileServiceServicer_to_server,
)
from services import POLICY
from services.profile.api.contacts import ProfileApi
from services.profile.api.privacy import PrivacyApi, Rights
from services.profile.person.directory import Directory
from services.profile.tables import reads as audit
from services.profile.tables.reads import ReadQuery, Reads
from services.profile.tests.rpc import TOKEN, served

OWN = "a token of its own"


@pytest.fixture
async def target(
    profile_api: ProfileApi,
    directory: Directory,
    rights: Rights,
    reads: Reads,
    pool: Pool,
    manual_clock: ManualClock,
) -> AsyncIterator[str]:
    keys = KnownKeys({OWN: Caller("segment", INTERNAL)})
    everything = dict.fromkeys(read_policy(POLICY).calls, frozenset({"segment"}))
    callers = Callers(TOKEN, keys, Policy({"segment": {}}, {}, everything))
    own = server("profile", callers)
    answers = Answers(pool, manual_clock)
    add_ProfileServiceServicer_to_server(
        profile_api,
        own,
    )
    add_PrivacyServiceServicer_to_server(
        PrivacyApi(directory, reads, answers, manual_clock, "TR", rights),
        own,
    )
    async with served(own, reads) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def opened(target: str) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(target, TOKEN, purpose="looking after people") as found:
        yield found


@pytest.fixture
def profiles(opened: grpc.aio.Channel) -> ProfileServiceStub:
    return ProfileServiceStub(opened)


@pytest.fixture
def privacy(opened: grpc.aio.Channel) -> PrivacyServiceStub:
    return PrivacyServiceStub(opened)


def external() -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=fresh_id("c"))


async def make(profiles: ProfileServiceStub, *who: Identity) -> list[str]:
    answer = await profiles.UpsertContacts(
        UpsertContactsRequest(contacts=[ContactUpsert(identities=[one]) for one in who])
    )
    return [one.contact_id for one in answer.results]


async def recorded(privacy: PrivacyServiceStub, **query: Any) -> list[PersonalDataRead]:
    request = ListPersonalDataReadsRequest(**query)
    return list((await privacy.ListPersonalDataReads(request)).reads)


async def test_every_way_of_reading_is_recorded_with_caller_purpose_and_fields(
    profiles: ProfileServiceStub, privacy: PrivacyServiceStub
) -> None:
    who = external()
    (contact_id,) = await make(profiles, who)
    ref = ContactRef(contact_id=contact_id)
    assert await recorded(privacy, contact_id=contact_id) == []
    await profiles.ResolveContact(ResolveContactRequest(identities=[who]))
    mask = FieldMask(paths=["attributes.city", "zone", "etag"])
    await profiles.GetContact(GetContactRequest(contact=ref, read_mask=mask))
    await profiles.BatchGetContacts(BatchGetContactsRequest(contacts=[ref], read_mask=mask))
    await profiles.ListContacts(ListContactsRequest(filter=ContactFilter(identities=[who])))
    await profiles.ListEvents(ListEventsRequest(contact_id=contact_id))
    async for _ in profiles.StreamHistory(
        StreamHistoryRequest(contact_ids=[contact_id], read_mask=FieldMask(paths=["events"]))
    ):
        pass
    await privacy.GetConsent(GetConsentRequest(contact=ref, purpose="marketing"))
    await privacy.ListConsents(ListConsentsRequest(contact=ref))
    found = await recorded(privacy, contact_id=contact_id)
    assert [(one.method.rpartition("/")[2], list(one.fields)) for one in reversed(found)] == [
        ("ResolveContact", ["contact_id"]),
        ("GetContact", ["attributes.city", "zone"]),
        ("BatchGetContacts", ["attributes.city", "zone"]),
        ("ListContacts", []),
        ("ListEvents", ["events"]),
        ("StreamHistory", ["events"]),
        ("GetConsent", ["consents"]),
        ("ListConsents", ["consents"]),
    ]
    for one in found:
        assert (one.caller, one.purpose) == (INTERNAL, "looking after people")
        assert one.contact_id == contact_id
        assert list(one.contact_ids) == [contact_id]
        assert one.method.startswith("merhaba.profile.v1.")


async def test_a_batch_is_one_record_of_all_it_held(
    profiles: ProfileServiceStub, privacy: PrivacyServiceStub, pool: Pool
) -> None:
    one, other = await make(profiles, external(), external())
    before = await pool.fetchval("SELECT count(*) FROM reads")
    nobody = ContactRef(identity=external())
    refs = [ContactRef(contact_id=one), nobody, ContactRef(contact_id=other)]
    await profiles.BatchGetContacts(BatchGetContactsRequest(contacts=refs))
    await profiles.BatchGetContacts(BatchGetContactsRequest(contacts=[nobody]))
    assert await pool.fetchval("SELECT count(*) FROM reads") == before + 1
    (read,) = await recorded(privacy, contact_id=one)
    assert read.contact_id == ""
    assert list(read.contact_ids) == [one], "who asks about one person learns of no other"
    everybodys = await recorded(privacy, page_size=1_000)
    (whole,) = [read for read in everybodys if one in read.contact_ids]
    assert list(whole.contact_ids) == [one, other]


async def test_reads_are_listed_in_pages_by_person_caller_and_time(
    profiles: ProfileServiceStub,
    privacy: PrivacyServiceStub,
    target: str,
    manual_clock: ManualClock,
) -> None:
    (contact_id,) = await make(profiles, external())
    get = GetContactRequest(contact=ContactRef(contact_id=contact_id))
    times = []
    for _ in range(5):
        await manual_clock.advance(timedelta(minutes=1))
        times.append(Timestamp())
        times[-1].FromDatetime(manual_clock.now())
        await profiles.GetContact(get)
    async with channel(target, OWN, purpose="segments") as own:
        await ProfileServiceStub(own).GetContact(get)
    seen: list[Timestamp] = []
    token = ""
    while True:
        page = await privacy.ListPersonalDataReads(
            ListPersonalDataReadsRequest(contact_id=contact_id, page_size=2, page_token=token)
        )
        seen += [one.read_time for one in page.reads]
        token = page.next_page_token
        if not token:
            break
    assert seen == [times[4], *reversed(times)]
    (own_read,) = await recorded(privacy, contact_id=contact_id, caller="segment")
    assert own_read.purpose == "segments"
    middle = await recorded(privacy, contact_id=contact_id, start_time=times[1], end_time=times[3])
    assert [one.read_time for one in middle] == [times[2], times[1]]


@pytest.mark.parametrize("purpose", ["", "x" * 201])
async def test_without_a_purpose_nothing_is_read(
    target: str, profiles: ProfileServiceStub, purpose: str
) -> None:
    (contact_id,) = await make(profiles, external())
    ref = ContactRef(contact_id=contact_id)

    async def stream(stub: ProfileServiceStub) -> None:
        async for _ in stub.StreamHistory(StreamHistoryRequest()):
            pass

    async with channel(target, TOKEN, purpose=purpose) as bare:
        stub, consents = ProfileServiceStub(bare), PrivacyServiceStub(bare)
        for call in (
            stub.ResolveContact(ResolveContactRequest()),
            stub.GetContact(GetContactRequest(contact=ref)),
            stub.BatchGetContacts(BatchGetContactsRequest(contacts=[ref])),
            stub.ListContacts(ListContactsRequest()),
            stub.ListEvents(ListEventsRequest(contact_id=contact_id)),
            stream(stub),
            consents.GetConsent(GetConsentRequest(contact=ref, purpose="marketing")),
            consents.ListConsents(ListConsentsRequest(contact=ref)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            info = error_details_pb2.ErrorInfo()
            rpc_status.from_call(raised.value).details[0].Unpack(info)  # type: ignore[union-attr]
            assert (info.reason, info.metadata["field"]) == ("FIELD_INVALID", "metadata.purpose")


class Down:
    """A pool whose database does not answer until it is mended."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.mended = False

    def acquire(self, timeout: float) -> Any:
        if not self.mended:
            raise ConnectionRefusedError
        return self._pool.acquire(timeout=timeout)


CALL = Call("merhaba.profile.v1.ProfileService/GetContact", Caller("desk", INTERNAL), "tests")


async def test_a_read_that_cannot_be_recorded_is_refused_and_the_next_one_tries_again(
    pool: Pool, manual_clock: ManualClock
) -> None:
    down = Down(pool)
    reads = Reads(down, manual_clock, timedelta(days=30))  # type: ignore[arg-type]
    contact_id = "01900000-0000-7000-8000-" + fresh_id("x").encode().hex()[-12:]
    async with tasks(reads.run):
        with pytest.raises(Unavailable):
            async with audit.Reader(reads, CALL).read([contact_id], ["zone"]):
                pass
        down.mended = True
        async with audit.Reader(reads, CALL).read([contact_id], ["zone"]):
            pass
    found = await Reads(pool, manual_clock, timedelta(days=30)).list(
        ReadQuery([contact_id], "", 0, 1 << 62), None, 10
    )
    assert [one.caller for one in found] == ["desk"]


async def test_too_many_reads_at_once_are_refused(
    pool: Pool, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_MOST_WAITING", 3)
    reads = Reads(pool, manual_clock, timedelta(days=30))  # nobody writes yet
    contact_id = "01900000-0000-7000-8000-000000000001"

    async def one() -> None:
        async with audit.Reader(reads, CALL).read([contact_id], []):
            pass

    waiting = [asyncio.create_task(one()) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await one()
    async with tasks(reads.run):
        await asyncio.gather(*waiting)
        await one()


async def test_old_reads_are_forgotten(pool: Pool, manual_clock: ManualClock) -> None:
    reads = Reads(pool, manual_clock, timedelta(days=30))
    contact_id = "01900000-0000-7000-8000-" + fresh_id("x").encode().hex()[-12:]
    query = ReadQuery([contact_id], "", 0, 1 << 62)
    async with tasks(reads.run):
        for _ in range(2):
            async with audit.Reader(reads, CALL).read([contact_id], []):
                pass
            await manual_clock.advance(timedelta(days=20))
        await reads.forget_old()
        assert len(await reads.list(query, None, 10)) == 1
