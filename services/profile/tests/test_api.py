"""ProfileService and PrivacyService over a real server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.answers import Answers
from chassis.clock import ManualClock
from chassis.failures import (
    BatchTooLarge,
    EtagMismatch,
    Failure,
    FieldInvalid,
    RequestIdReused,
    TokenInvalid,
)
from chassis.ids import fresh_id
from chassis.postgres import Pool
from chassis.rpc import server
from merhaba.event.v1 import AttributeChange, ConsentChanged, Event, Identity
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    Consent,
    Contact,
    ContactAttributes,
    ContactFilter,
    ContactHistory,
    ContactRef,
    ContactUpsert,
    ErrorReason,
    GetConsentRequest,
    GetContactRequest,
    ListConsentsRequest,
    ListContactsRequest,
    ListEventsRequest,
    PrivacyServiceStub,
    ProfileServiceStub,
    RecordConsentRequest,
    ResolveContactRequest,
    SetAttributesRequest,
    StreamHistoryRequest,
    UpsertContactsRequest,
    add_PrivacyServiceServicer_to_server,
    add_ProfileServiceServicer_to_server,
)
from services.profile.api.contacts import ProfileApi
from services.profile.api.privacy import PrivacyApi, Rights
from services.profile.jobs.consumer import recording
from services.profile.person import model
from services.profile.person.directory import Directory
from services.profile.tables.reads import Reads
from services.profile.tests.rpc import TOKEN, reached


@pytest.fixture
async def target(
    profile_api: ProfileApi,
    directory: Directory,
    rights: Rights,
    reads: Reads,
    pool: Pool,
    manual_clock: ManualClock,
) -> AsyncIterator[grpc.aio.Channel]:
    answers = Answers(pool, manual_clock)
    own = server("profile", TOKEN)
    add_ProfileServiceServicer_to_server(
        profile_api,
        own,
    )
    add_PrivacyServiceServicer_to_server(
        PrivacyApi(directory, reads, answers, manual_clock, "TR", rights),
        own,
    )
    async with reached(own, reads) as opened:
        yield opened


@pytest.fixture
def profiles(target: grpc.aio.Channel) -> ProfileServiceStub:
    return ProfileServiceStub(target)


@pytest.fixture
def privacy(target: grpc.aio.Channel) -> PrivacyServiceStub:
    return PrivacyServiceStub(target)


def reason(error: grpc.aio.AioRpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(error).details[0].Unpack(info)  # type: ignore[union-attr]
    return info.reason


def external(value: str = "") -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=value or fresh_id("c"))


def phone(number: str) -> Identity:
    return Identity(kind="KIND_WA_ID", value=number)


def fresh_phone() -> str:
    return f"90533{int.from_bytes(fresh_id('x').encode()[-4:], 'big') % 10_000_000:07d}"


def told(name: str, json: bytes, time: datetime | None = None) -> AttributeChange:
    return AttributeChange(name=name, value_json=json, change_time=time)


async def upsert(profiles: ProfileServiceStub, *contacts: ContactUpsert) -> list[str]:
    answer = await profiles.UpsertContacts(
        UpsertContactsRequest(request_id=fresh_id("r"), contacts=contacts)
    )
    assert not [r.failure for r in answer.results if r.HasField("failure")]
    return [result.contact_id for result in answer.results]


async def get(profiles: ProfileServiceStub, contact_id: str, *paths: str) -> Contact:
    ref, mask = ContactRef(contact_id=contact_id), FieldMask(paths=paths)
    answer = await profiles.GetContact(GetContactRequest(contact=ref, read_mask=mask))
    return answer.contact


def event(*who: Identity, time: int, **body: object) -> bytes:
    made = Event(event_id=fresh_id("e"), source="test", identities=who, **body)  # type: ignore[arg-type]
    made.event_time.seconds = made.received_time.seconds = time
    return made.SerializeToString()


def test_every_failure_is_a_reason_of_the_contract() -> None:
    failures = [
        each
        for each in vars(model).values()
        if isinstance(each, type)
        and issubclass(each, Failure)
        and each.__module__ == model.__name__
    ]
    assert failures
    shared = (
        FieldInvalid("", ""),
        BatchTooLarge("", 0, 0),
        RequestIdReused(""),
        TokenInvalid(""),
        EtagMismatch(""),
    )
    reasons = set(ErrorReason.keys())
    for failure in (*shared, *(each("") for each in failures)):
        assert f"ERROR_REASON_{failure.reason}" in reasons


async def test_an_upserted_contact_is_found_by_every_identity(profiles: ProfileServiceStub) -> None:
    who, number = external(), fresh_phone()
    upserted = ContactUpsert(
        identities=[who, phone(f"0{number[2:]}")],
        attributes=[told("city", b'"Izmir"'), told("age", b"41"), told("zone", b'"Europe/Paris"')],
    )
    (contact_id,) = await upsert(profiles, upserted)
    for identity in (who, phone(number), phone(f"+{number}")):
        answer = await profiles.ResolveContact(ResolveContactRequest(identities=[identity]))
        assert answer.contact_id == contact_id
    contact = await get(profiles, contact_id)
    assert {a.name: a.value_json for a in contact.attributes} == {
        "age": b"41",
        "city": b'"Izmir"',
        "zone": b'"Europe/Paris"',
    }
    assert (contact.zone.value, contact.zone.source) == ("Europe/Paris", "declared")
    assert (contact.language.value, contact.language.source) == ("tr", "phone")
    (address,) = contact.addresses
    assert (address.wa_id, address.market) == (number, "TR")
    assert len(contact.identities) == 2
    assert contact.state == Contact.STATE_ACTIVE


async def test_a_repeated_request_gets_its_first_answer(profiles: ProfileServiceStub) -> None:
    request = UpsertContactsRequest(
        request_id=fresh_id("r"), contacts=[ContactUpsert(identities=[external()])]
    )
    first = await profiles.UpsertContacts(request)
    assert first.results[0].created
    assert await profiles.UpsertContacts(request) == first
    request.contacts[0].identities[0].value = "another"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await profiles.UpsertContacts(request)
    assert reason(raised.value) == "REQUEST_ID_REUSED"


async def test_a_refused_item_costs_the_others_nothing(profiles: ProfileServiceStub) -> None:
    nobody = "00000000-0000-7000-8000-000000000001"
    (known,) = await upsert(profiles, ContactUpsert(identities=[external()]))
    answer = await profiles.UpsertContacts(
        UpsertContactsRequest(
            contacts=[
                ContactUpsert(identities=[external()]),
                ContactUpsert(identities=[phone("12")]),
                ContactUpsert(contact_id=nobody),
                ContactUpsert(contact_id=known, etag="r99"),
                ContactUpsert(identities=[external()], attributes=[told("a", b"{")]),
                ContactUpsert(identities=[external()], attributes=[told("A b", b"1")]),
                ContactUpsert(),
                ContactUpsert(contact_id=known, attributes=[told("cty", b'"Izmir"')]),
                ContactUpsert(contact_id=known, attributes=[told("age", b'"old"')]),
                ContactUpsert(contact_id=known, attributes=[told("age", b"1")]),
            ]
        )
    )
    assert [ErrorReason.Name(result.failure.reason)[13:] for result in answer.results] == [
        *("UNSPECIFIED", "FIELD_INVALID", "CONTACT_NOT_FOUND", "ETAG_MISMATCH", "VALUE_INVALID"),
        *("FIELD_INVALID", "FIELD_INVALID", "UNKNOWN_ATTRIBUTE", "VALUE_INVALID", "UNSPECIFIED"),
    ]
    assert answer.results[7].failure.metadata == {"name": "cty", "suggestion": "city"}
    assert answer.results[8].failure.metadata == {"name": "age", "expected": "of type INTEGER"}
    assert [result.failure.index for result in answer.results if result.HasField("failure")] == [
        *range(1, 9)
    ]
    assert answer.results[9].contact_id == known


async def test_an_upsert_of_two_contacts_identities_joins_them(
    profiles: ProfileServiceStub,
) -> None:
    who = [external(), external()]
    both = await upsert(profiles, *(ContactUpsert(identities=[one]) for one in who))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await profiles.ResolveContact(ResolveContactRequest(identities=who))
    assert reason(raised.value) == "IDENTITIES_CONFLICT"
    (stays,) = await upsert(profiles, ContactUpsert(identities=who))
    assert stays in both
    refs = [ContactRef(contact_id=i) for i in both]
    answer = await profiles.BatchGetContacts(BatchGetContactsRequest(contacts=refs))
    assert {result.contact.contact_id for result in answer.results} == {stays}
    assert set(answer.results[0].contact.absorbed_contact_ids) == set(both) - {stays}


async def test_a_mask_says_what_is_written(
    profiles: ProfileServiceStub, manual_clock: ManualClock
) -> None:
    given = [told("city", b'"Izmir"'), told("age", b"41")]
    who = external()
    (contact_id,) = await upsert(profiles, ContactUpsert(identities=[who], attributes=given))
    await manual_clock.advance(timedelta(seconds=1))
    mask = FieldMask(paths=["attributes.age", "attributes.city"])
    change = ContactUpsert(
        contact_id=contact_id,
        attributes=[told("age", b"42"), told("plan", b'"x"')],
        update_mask=mask,
    )
    await upsert(profiles, change)
    contact = await get(profiles, contact_id)
    assert {a.name: a.value_json for a in contact.attributes} == {"age": b"42"}


async def test_the_later_fact_holds_whatever_is_told_last(
    profiles: ProfileServiceStub, manual_clock: ManualClock
) -> None:
    (contact_id,) = await upsert(profiles, ContactUpsert(identities=[external()]))
    await manual_clock.advance(timedelta(seconds=1))
    now = manual_clock.now()
    for json, time in ((b'"new"', now), (b'"old"', now - timedelta(days=1))):
        contact = ContactAttributes(
            contact=ContactRef(contact_id=contact_id), attributes=[told("plan", json, time)]
        )
        answer = await profiles.SetAttributes(
            SetAttributesRequest(contacts=[contact], source="crm")
        )
        assert answer.accepted_count == 1
        await manual_clock.advance(timedelta(seconds=1))
    (attribute,) = (await get(profiles, contact_id, "attributes.plan")).attributes
    assert (attribute.value_json, attribute.source) == (b'"new"', "crm")
    assert attribute.change_time.ToDatetime(UTC) == now
    listed = await profiles.ListEvents(
        ListEventsRequest(contact_id=contact_id, names=["attributes_set"], oldest_first=True)
    )
    assert [[c.value_json for c in e.changes] for e in listed.events][1:] == [
        [b'"new"'],
        [b'"old"'],
    ]


async def test_attributes_of_nobody_are_refused(profiles: ProfileServiceStub) -> None:
    contact = ContactAttributes(
        contact=ContactRef(identity=external()), attributes=[told("age", b"1")]
    )
    answer = await profiles.SetAttributes(SetAttributesRequest(contacts=[contact]))
    assert answer.accepted_count == 0
    assert answer.failures[0].reason == ErrorReason.ERROR_REASON_CONTACT_NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await profiles.ResolveContact(ResolveContactRequest(identities=[contact.contact.identity]))
    assert reason(raised.value) == "CONTACT_NOT_FOUND"


async def test_a_batch_answers_in_order_with_what_was_asked_for(
    profiles: ProfileServiceStub,
) -> None:
    who, number = external(), fresh_phone()
    (contact_id,) = await upsert(profiles, ContactUpsert(identities=[who, phone(number)]))
    refs = [
        ContactRef(identity=external()),
        ContactRef(identity=who),
        ContactRef(contact_id=contact_id),
    ]
    answer = await profiles.BatchGetContacts(
        BatchGetContactsRequest(contacts=refs, read_mask=FieldMask(paths=["addresses", "zone"]))
    )
    nobody, *found = answer.results
    assert nobody.failure.reason == ErrorReason.ERROR_REASON_CONTACT_NOT_FOUND
    for result in found:
        assert result.contact.contact_id == contact_id
        assert result.contact.addresses[0].wa_id == number
        assert result.contact.zone.value == "Europe/Istanbul"
        assert not result.contact.identities
    for given, why in (([], "FIELD_INVALID"), (refs * 200, "BATCH_TOO_LARGE")):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await profiles.BatchGetContacts(BatchGetContactsRequest(contacts=given))
        assert reason(raised.value) == why


async def test_an_address_says_where_the_window_is_open(
    profiles: ProfileServiceStub, directory: Directory, manual_clock: ManualClock
) -> None:
    number, user = fresh_phone(), f"TR.{fresh_id('u')}"
    who = [phone(number), Identity(kind="KIND_BSUID", scope="waba", value=user)]
    body = {"wamid": "w", "phone_number_id": "n7", "content": {"kind": "text", "text": "hi"}}
    await recording(directory, manual_clock, "g")([event(*who, time=5, message_received=body)])
    (result,) = (
        await profiles.BatchGetContacts(
            BatchGetContactsRequest(contacts=[ContactRef(identity=who[1])])
        )
    ).results
    (address,) = result.contact.addresses
    assert (address.wa_id, address.bsuid, address.bsuid_scope) == (number, user, "waba")
    assert (address.phone_number_id, address.last_message_time.seconds) == ("n7", 5)
    assert {t.name for t in result.contact.traits} > {
        *("traits.message_count", "traits.first_message_time", "traits.last_message_time")
    }


async def test_contacts_are_listed_page_by_page(
    profiles: ProfileServiceStub,
) -> None:
    who = [external() for _ in range(5)]
    ids = await upsert(profiles, *(ContactUpsert(identities=[one]) for one in who))
    request = ListContactsRequest(page_size=2, filter=ContactFilter(identities=who))
    found: list[str] = []
    while True:
        page = await profiles.ListContacts(request)
        found += [contact.contact_id for contact in page.contacts]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == sorted(ids)
    request.filter.ClearField("identities")
    for token in (request.page_token or "x", "nonsense", "bnVsbA=="):
        request.page_token = token
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await profiles.ListContacts(request)
        assert reason(raised.value) == "TOKEN_INVALID"


async def test_events_are_listed_in_either_order(
    profiles: ProfileServiceStub, directory: Directory, manual_clock: ManualClock
) -> None:
    who = external()
    said = [event(who, time=t, tracked={"name": f"n{t % 2}"}) for t in (3, 1, 2, 5, 4)]
    await recording(directory, manual_clock, "g")(said)
    resolved = await profiles.ResolveContact(ResolveContactRequest(identities=[who]))
    request = ListEventsRequest(contact_id=resolved.contact_id, page_size=2, names=["n0", "n1"])
    for oldest_first, wanted in ((True, [1, 2, 3, 4, 5]), (False, [5, 4, 3, 2, 1])):
        request.oldest_first = oldest_first
        request.page_token = ""
        found: list[int] = []
        while True:
            page = await profiles.ListEvents(request)
            assert {e.contact_id for e in page.events} == {resolved.contact_id}
            found += [e.event_time.seconds for e in page.events]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert found == wanted
    request.names[:] = ["n1"]
    request.page_token = ""
    request.start_time.seconds = 2
    request.end_time.seconds = 5
    assert [e.event_time.seconds for e in (await profiles.ListEvents(request)).events] == [3]


async def history(
    profiles: ProfileServiceStub, request: StreamHistoryRequest, stop_after: int = 0
) -> tuple[list[ContactHistory], str]:
    found: list[ContactHistory] = []
    cursor = ""
    count = 0
    call = profiles.StreamHistory(request)
    async for response in call:
        found += response.histories
        cursor = response.cursor
        count += 1
        if count == stop_after:
            call.cancel()
            break
    return found, cursor


async def test_histories_are_streamed_whole_and_resumed_anywhere(
    profiles: ProfileServiceStub, directory: Directory, manual_clock: ManualClock
) -> None:
    handle = recording(directory, manual_clock, "g")
    one, other, third = external(), external(), external()
    said = [event(one, time=t, tracked={"name": "viewed"}) for t in range(2_500)]
    for start in range(0, 2_500, 500):
        await handle(said[start : start + 500])
    await handle([event(other, time=7, tracked={"name": "order_completed"})])
    await handle([event(third, time=8, tracked={"name": "nothing"})])
    await handle([event(one, other, time=9, tracked={"name": "viewed"})])
    ids = [
        (await profiles.ResolveContact(ResolveContactRequest(identities=[i]))).contact_id
        for i in (one, third)
    ]
    request = StreamHistoryRequest(
        contact_ids=ids, names=["viewed", "order_completed"], attribute_names=["city"]
    )
    whole, _ = await history(profiles, request)
    assert {h.contact_id for h in whole} == {ids[0]}
    times = [e.event_time.seconds for h in whole for e in h.events]
    assert times == sorted([*range(2_500), 7, 9])
    assert {e.contact_id for h in whole for e in h.events} == {ids[0]}
    assert [h.continued for h in whole] == [True] * (len(whole) - 1) + [False]
    assert [bool(h.traits) for h in whole] == [True] + [False] * (len(whole) - 1)
    for stop_after in (1, 2, len(whole)):
        begun, cursor = await history(profiles, request, stop_after)
        resumed = StreamHistoryRequest()
        resumed.CopyFrom(request)
        resumed.cursor = cursor
        rest, _ = await history(profiles, resumed)
        both = [e.event_id for h in begun + rest for e in h.events]
        assert both == [e.event_id for h in whole for e in h.events]


async def test_contacts_with_nothing_that_is_asked_for_are_left_out_of_histories(
    profiles: ProfileServiceStub, directory: Directory, manual_clock: ManualClock
) -> None:
    handle = recording(directory, manual_clock, "g")
    buyer, local, nobody = external(), external(), external()
    traits = b'{"city": "Ankara"}'
    await handle([event(buyer, time=7, tracked={"name": "order_completed"})])
    await handle([event(local, time=7, identified={"traits_json": traits})])
    await handle([event(nobody, time=7, tracked={"name": "viewed"})])
    ids = [
        (await profiles.ResolveContact(ResolveContactRequest(identities=[i]))).contact_id
        for i in (buyer, local, nobody)
    ]

    async def found(paths: list[str], *attributes: str, skip: bool = True) -> list[int]:
        request = StreamHistoryRequest(
            contact_ids=ids,
            names=["order_completed"],
            read_mask=FieldMask(paths=paths),
            attribute_names=attributes,
            skip_empty=skip,
        )
        told, _ = await history(profiles, request)
        return sorted(ids.index(one.contact_id) for one in told)

    assert await found(["events"]) == [0]
    assert await found(["events"], "city") == [0, 1]
    assert await found(["attributes.city"], "city") == [1]
    assert await found(["attributes.city"], "city", skip=False) == [1]
    assert await found(["events"], skip=False) == [0, 1, 2]


async def test_shards_share_out_the_contacts(profiles: ProfileServiceStub) -> None:
    ids = await upsert(profiles, *(ContactUpsert(identities=[external()]) for _ in range(30)))
    found = [
        [h.contact_id for h in (await history(profiles, request))[0]]
        for shard in range(3)
        for request in [StreamHistoryRequest(contact_ids=ids, shard=shard, shard_count=3)]
    ]
    assert sorted(i for part in found for i in part) == sorted(ids)
    assert all(len(part) < 30 for part in found)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await history(profiles, StreamHistoryRequest(shard=3, shard_count=3))
    assert reason(raised.value) == "FIELD_INVALID"


async def test_consent_is_recorded_and_holds_by_its_time(
    profiles: ProfileServiceStub, privacy: PrivacyServiceStub, manual_clock: ManualClock
) -> None:
    who = external()
    (contact_id,) = await upsert(profiles, ContactUpsert(identities=[who]))
    ref = ContactRef(identity=who)
    none = await privacy.GetConsent(GetConsentRequest(contact=ref, purpose="marketing"))
    assert none.consent.state == Consent.STATE_NONE
    now = int(manual_clock.now().timestamp())

    def said(granted: bool, ago: int) -> RecordConsentRequest:
        change = ConsentChanged(
            purpose="marketing", granted=granted, channel="api", text_version="v1", proof="p"
        )
        return RecordConsentRequest(
            request_id=fresh_id("r"),
            contact=ref,
            change=change,
            event_time=Timestamp(seconds=now - ago),
        )

    withdrawn = await privacy.RecordConsent(said(False, 10))
    assert withdrawn.consent.state == Consent.STATE_WITHDRAWN
    request = said(True, 20)
    older = await privacy.RecordConsent(request)
    assert older.consent.state == Consent.STATE_WITHDRAWN
    assert older.record.change.granted
    assert await privacy.RecordConsent(request) == older
    moment = GetConsentRequest(
        contact=ref, purpose="marketing", moment_time=Timestamp(seconds=now - 15)
    )
    assert (await privacy.GetConsent(moment)).consent.state == Consent.STATE_GRANTED
    listing = ListConsentsRequest(contact=ref, page_size=1)
    pages = [await privacy.ListConsents(listing)]
    listing.page_token = pages[0].next_page_token
    pages.append(await privacy.ListConsents(listing))
    assert [p.records[0].change.granted for p in pages] == [False, True]
    assert not pages[1].next_page_token
    (consented,) = (await get(profiles, contact_id, "consents")).consents
    assert consented.state == Consent.STATE_WITHDRAWN
    assert consented.record.change.proof == "p"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await privacy.RecordConsent(said(True, -4_000))
    assert reason(raised.value) == "FIELD_INVALID"


@pytest.mark.parametrize(
    "request_",
    [
        GetContactRequest(),
        GetContactRequest(contact=ContactRef(contact_id="nobody")),
        GetContactRequest(contact=ContactRef(identity=phone("12"))),
        GetContactRequest(
            contact=ContactRef(identity=external("x")), read_mask=FieldMask(paths=["shoe_size"])
        ),
    ],
)
async def test_a_request_that_cannot_be_right_names_the_field(
    profiles: ProfileServiceStub, request_: GetContactRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await profiles.GetContact(request_)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(raised.value) == "FIELD_INVALID"
