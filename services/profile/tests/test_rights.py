"""What people may ask for: the ledger exported, use restricted, everything shown, and erased."""

import csv
from collections.abc import AsyncIterator
from datetime import timedelta
from io import StringIO
from typing import Any

import asyncpg
import grpc
import orjson
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from chassis.answers import Answers
from chassis.clock import ManualClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.postgres import Pool
from chassis.rpc import server
from chassis.streams import EventLog, Position
from chassis.times import timestamp
from merhaba.event.v1 import ConsentChanged, Event, Identity, MessageContent, MessageReceived
from merhaba.profile.v1 import Consent as WireConsent
from merhaba.profile.v1 import (
    Contact,
    ContactRef,
    DataCategory,
    EraseContactRequest,
    Erasure,
    ExportConsentsRequest,
    ExportContactRequest,
    GetConsentRequest,
    GetContactRequest,
    GetErasureRequest,
    LiftRestrictionRequest,
    ListDataCategoriesRequest,
    ListEventsRequest,
    MergeContactsRequest,
    PrivacyServiceStub,
    ProfileServiceStub,
    RecordConsentRequest,
    ResolveContactRequest,
    RestrictProcessingRequest,
    SetAttributesRequest,
    StreamHistoryRequest,
    UpdateDataCategoryRequest,
    UpsertContactsRequest,
    add_PrivacyServiceServicer_to_server,
    add_ProfileServiceServicer_to_server,
)
from services.profile.api.contacts import ProfileApi
from services.profile.api.privacy import PrivacyApi, Rights
from services.profile.jobs.consumer import recording
from services.profile.person import consent
from services.profile.person.directory import Directory
from services.profile.person.model import Consent, Document
from services.profile.rights.category_store import CategoryStore
from services.profile.rights.retention import Retention
from services.profile.tables.contacts import ContactStore
from services.profile.tables.reads import Reads
from services.profile.tables.registry import RegistryStore
from services.profile.tests.rpc import TOKEN, reached

IYS = ExportConsentsRequest.FORMAT_IYS_CSV
ISO = ExportConsentsRequest.FORMAT_ISO27560_NDJSON
DAY = 86_400
SECOND = timedelta(seconds=1)


class Stubs:
    """A profile to call."""

    def __init__(self, opened: grpc.aio.Channel, clock: ManualClock, directory: Directory) -> None:
        self.profiles = ProfileServiceStub(opened)
        self.privacy = PrivacyServiceStub(opened)
        self.clock = clock
        self._record = recording(directory, clock, "g")

    async def person(self, *identities: Identity, **attributes: Any) -> str:
        who = identities or (phone(),)
        request = UpsertContactsRequest()
        given = request.contacts.add(identities=who)
        for name, value in attributes.items():
            given.attributes.add(name=name, value_json=orjson.dumps(value))
        (result,) = (await self.profiles.UpsertContacts(request)).results
        return result.contact_id

    async def hear(self, *events: Event) -> None:
        await self._record([event.SerializeToString() for event in events])

    def said(self, who: Identity, text: str, back_s: int = 0) -> Event:
        """A message of somebody's, written some seconds ago."""
        now = timestamp(milliseconds_of(self.clock.now()) - 1000 * back_s)
        return Event(
            event_id=fresh_id("m"),
            event_time=now,
            received_time=now,
            source="whatsapp:1",
            identities=[who],
            message_received=MessageReceived(
                wamid=fresh_id("wamid"),
                phone_number_id="77",
                content=MessageContent(kind="text", text=text),
            ),
        )

    async def resolve(self, who: Identity) -> str:
        try:
            answer = await self.profiles.ResolveContact(ResolveContactRequest(identities=[who]))
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
            return ""
        return answer.contact_id


@pytest.fixture
async def stubs(
    profile_api: ProfileApi,
    directory: Directory,
    rights: Rights,
    reads: Reads,
    pool: Pool,
    manual_clock: ManualClock,
) -> AsyncIterator[Stubs]:
    answers = Answers(pool, manual_clock)
    own = server("profile", TOKEN)
    add_ProfileServiceServicer_to_server(profile_api, own)
    add_PrivacyServiceServicer_to_server(
        PrivacyApi(directory, reads, answers, manual_clock, "TR", rights), own
    )
    async with reached(own, reads) as opened:
        yield Stubs(opened, manual_clock, directory)


def phone() -> Identity:
    digits = int.from_bytes(fresh_id("x").encode()[-4:], "big") % 10_000_000
    return Identity(kind="KIND_WA_ID", value=f"90535{digits:07d}")


def email() -> Identity:
    return Identity(kind="KIND_EMAIL", value=f"{fresh_id('e')}@example.com")


def ref(contact_id: str) -> ContactRef:
    return ContactRef(contact_id=contact_id)


async def reason(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(raised.value).details[0].Unpack(info)  # type: ignore[union-attr]
    return str(info.reason)


async def told(log: EventLog, contact_id: str) -> list[Event]:
    starts = [Position(stream, b"0") for stream in log.streams("contact")]
    found = [Event.FromString(e) for _, events in await log.read(starts, 10_000, 1) for e in events]
    return [event for event in found if event.contact_id == contact_id]


async def agree(
    stubs: Stubs, contact_id: str, granted: bool = True, time: int | None = None, **more: Any
) -> None:
    more.setdefault("purpose", "marketing")
    await stubs.privacy.RecordConsent(
        RecordConsentRequest(
            contact=ref(contact_id),
            change=ConsentChanged(granted=granted, **more),
            event_time=timestamp(time),
        )
    )


# ---- the ledger


lines = st.lists(
    st.builds(
        Consent,
        consent_id=st.text("ab", min_size=1, max_size=3),
        event_time=st.integers(0, 5),
        purpose=st.sampled_from(["marketing", "location"]),
        granted=st.booleans(),
        medium=st.sampled_from(["", "whatsapp", "sms"]),
        expire_time=st.sampled_from([0, 3]),
    ),
    max_size=12,
    unique_by=lambda line: line.consent_id,
)


@given(lines, st.randoms(use_true_random=False))
def test_what_holds_is_the_latest_line_whatever_order_they_are_entered_in(
    entered: list[Consent], random: Any
) -> None:
    shuffled = [*entered]
    random.shuffle(shuffled)
    document, other = Document(0), Document(0)
    for line in entered:
        consent.record(document, line)
    for line in (*shuffled, *entered):
        consent.record(other, line)
    assert document.consents == other.consents
    for purpose in ("marketing", "location"):
        held = consent.standing(document.consents.values(), purpose)
        mine = [one for one in entered if one.purpose == purpose and one.medium != "sms"]
        last = max((one.event_time for one in mine), default=None)
        assert (held is None) == (last is None)
        if held is not None:
            assert held.event_time == last
            assert held.granted <= all(one.granted for one in mine if one.event_time == last)


async def test_nobody_can_change_the_ledger(stubs: Stubs, pool: Pool) -> None:
    who = await stubs.person()
    await agree(stubs, who)
    for statement in (
        "UPDATE consents SET purpose = 'x' WHERE contact_id = $1",
        "DELETE FROM consents WHERE contact_id = $1",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await pool.execute(statement, who)
    with pytest.raises(asyncpg.RestrictViolationError):
        await pool.execute("TRUNCATE consents")


async def test_a_keyword_is_to_be_confirmed_when_it_changes_what_holds(
    stubs: Stubs, log: EventLog
) -> None:
    who = phone()
    contact_id = await stubs.person(who)
    for text in ("Merhaba", "DUR", "dur!", "başla", "Başla"):
        await stubs.clock.advance(SECOND)
        await stubs.hear(stubs.said(who, text))
    changed = [
        e.consent_changed for e in await told(log, contact_id) if e.HasField("consent_changed")
    ]
    assert [(one.granted, one.confirm_phone_number_id) for one in changed] == [
        (False, "77"),
        (False, ""),
        (True, "77"),
        (True, ""),
    ]
    await agree(stubs, contact_id, granted=False)
    (last,) = (await told(log, contact_id))[-1:]
    assert not last.consent_changed.confirm_phone_number_id, "it was said to somebody else"


async def export(stubs: Stubs, request: ExportConsentsRequest) -> tuple[str, list[int]]:
    rows, counts = b"", []
    async for response in stubs.privacy.ExportConsents(request):
        rows += response.rows
        counts.append(response.row_count)
        request.cursor = response.cursor
    return rows.decode(), counts


async def test_the_ledger_is_exported_for_iys_in_the_order_of_entry(stubs: Stubs) -> None:
    number, mail = phone(), email()
    purpose = fresh_id("p")
    who = await stubs.person(number, mail)
    now = milliseconds_of(stubs.clock.now())
    await agree(stubs, who, time=now - 1000, medium="whatsapp", channel="web_form")
    await agree(stubs, who, granted=False, time=now - 5000, channel="keyword")
    await agree(stubs, who, purpose=purpose)
    text, counts = await export(stubs, ExportConsentsRequest(format=IYS))
    heading, *rows = csv.reader(StringIO(text))
    assert heading == ["recipient", "recipientType", "type", "status", "consentDate", "source"]
    assert sum(counts) == len(rows)
    mine = [row for row in rows if row[0] in (f"+{number.value}", mail.value)]
    assert mine == [
        [f"+{number.value}", "BIREYSEL", "MESAJ", "ONAY", "2026-11-22 11:59:59", "HS_WEB"],
        [f"+{number.value}", "BIREYSEL", "MESAJ", "RET", "2026-11-22 11:59:55", "HS_MESAJ"],
        [f"+{number.value}", "BIREYSEL", "ARAMA", "RET", "2026-11-22 11:59:55", "HS_MESAJ"],
        [mail.value, "BIREYSEL", "EPOSTA", "RET", "2026-11-22 11:59:55", "HS_MESAJ"],
    ]


async def test_the_ledger_is_exported_as_records_and_goes_on_at_a_cursor(stubs: Stubs) -> None:
    purpose = fresh_id("p")
    who = await stubs.person()
    proof = fresh_id("form")
    more = {
        "proof": proof,
        "language": "tr",
        "jurisdiction": "TR",
        "data_categories": ["contact"],
        "text_version": "v3",
        "legal_basis": "explicit_consent",
    }
    await agree(stubs, who, purpose=purpose, **more)
    request = ExportConsentsRequest(format=ISO, purposes=[purpose])
    text, _ = await export(stubs, request)
    (record,) = map(orjson.loads, text.splitlines())
    assert record["pii_principal_id"] == who
    assert record["pii_controllers"] == ["A shop"]
    assert record["privacy_notice"] == {"version": "v3", "language": "tr"}
    (said,) = record["events"]
    assert (said["event_type"], said["evidence"]) == ("consent_given", proof)
    (about,) = record["purposes"]
    assert (about["jurisdiction"], about["pii_information"]) == ("TR", ["contact"])
    await agree(stubs, who, granted=False, purpose=purpose)
    text, _ = await export(stubs, request)  # from the cursor that the first one ended with
    (record,) = map(orjson.loads, text.splitlines())
    assert record["events"][0]["event_type"] == "consent_withdrawn"
    request.purposes[:] = ["another"]
    assert await reason(export(stubs, request)) == "TOKEN_INVALID"
    assert await reason(export(stubs, ExportConsentsRequest())) == "FIELD_INVALID"


async def test_a_repeated_record_is_one_line_and_its_answer_keeps_nothing_personal(
    stubs: Stubs, pool: Pool
) -> None:
    who, proof, request_id = await stubs.person(), fresh_id("proof"), fresh_id("r")
    request = RecordConsentRequest(
        request_id=request_id,
        contact=ref(who),
        change=ConsentChanged(purpose="marketing", granted=True, proof=proof),
    )
    first, again = [await stubs.privacy.RecordConsent(request) for _ in range(2)]
    assert first == again
    assert first.record.change.proof == proof
    assert first.consent.state == WireConsent.STATE_GRANTED
    kept = await pool.fetchval("SELECT response FROM requests WHERE request_id = $1", request_id)
    assert proof.encode() not in kept
    assert await pool.fetchval("SELECT count(*) FROM consents WHERE contact_id = $1", who) == 1


# ---- restriction


async def test_a_restricted_person_is_kept_and_not_used(stubs: Stubs, log: EventLog) -> None:
    who = phone()
    contact_id = await stubs.person(who, city="Izmir")
    request = RestrictProcessingRequest(contact=ref(contact_id), reason="objection")
    first = (await stubs.privacy.RestrictProcessing(request)).restriction
    again = (await stubs.privacy.RestrictProcessing(request)).restriction
    assert first == again
    assert (first.reason, first.caller) == ("objection", "internal")
    got = await stubs.profiles.GetContact(GetContactRequest(contact=ref(contact_id)))
    assert got.contact.state == Contact.STATE_RESTRICTED
    scores = SetAttributesRequest(source="model:churn")
    scores.contacts.add(contact=ref(contact_id)).attributes.add(name="city", value_json=b'"Bursa"')
    answer = await stubs.profiles.SetAttributes(scores)
    assert answer.failures[0].metadata["contact_id"] == contact_id
    await stubs.hear(stubs.said(who, "still here"))
    lifted = await stubs.privacy.LiftRestriction(LiftRestrictionRequest(contact=ref(contact_id)))
    assert lifted.restriction.HasField("lift_time")
    lifted = await stubs.privacy.LiftRestriction(LiftRestrictionRequest(contact=ref(contact_id)))
    assert not lifted.HasField("restriction")
    got = await stubs.profiles.GetContact(GetContactRequest(contact=ref(contact_id)))
    assert got.contact.state == Contact.STATE_ACTIVE
    assert not (await stubs.profiles.SetAttributes(scores)).failures
    changed = [
        e.restriction_changed.restricted
        for e in await told(log, contact_id)
        if e.HasField("restriction_changed")
    ]
    assert changed == [True, False]
    assert (
        await reason(
            stubs.privacy.RestrictProcessing(
                RestrictProcessingRequest(contact=ref(contact_id), reason="Ayşe said so")
            )
        )
        == "FIELD_INVALID"
    )


async def test_who_turns_out_to_be_a_restricted_person_is_restricted(
    stubs: Stubs, log: EventLog
) -> None:
    free, other = await stubs.person(), await stubs.person()
    await stubs.privacy.RestrictProcessing(
        RestrictProcessingRequest(contact=ref(other), reason="objection")
    )
    merged = await stubs.profiles.MergeContacts(
        MergeContactsRequest(contact_id=free, absorbed_contact_id=other)
    )
    assert merged.contact.state == Contact.STATE_RESTRICTED
    if merged.contact.contact_id == free:
        (event,) = [e for e in await told(log, free) if e.HasField("restriction_changed")]
        assert event.restriction_changed.restricted
    await stubs.privacy.LiftRestriction(LiftRestrictionRequest(contact=ref(other)))
    got = await stubs.profiles.GetContact(GetContactRequest(contact=ref(free)))
    assert got.contact.state == Contact.STATE_ACTIVE


# ---- categories and retention


async def test_categories_tell_people_in_their_languages_and_change_by_field(
    stubs: Stubs,
) -> None:
    listed = (await stubs.privacy.ListDataCategories(ListDataCategoriesRequest())).data_categories
    assert {one.name for one in listed} >= {
        *("identity", "contact", "transaction", "behaviour", "location", "message_content"),
        *("device", "preference", "consent"),
    }
    for one in listed:
        assert all(one.disclosures[language] for language in ("tr", "en"))
    (device,) = [one for one in listed if one.name == "device"]
    wanted = DataCategory(
        name="device", etag=device.etag, disclosures={"en": "Your phone."}, legal_basis="x"
    )
    request = UpdateDataCategoryRequest(
        data_category=wanted, update_mask=FieldMask(paths=["disclosures"])
    )
    changed = (await stubs.privacy.UpdateDataCategory(request)).data_category
    assert dict(changed.disclosures) == {"en": "Your phone."}
    assert changed.legal_basis == device.legal_basis
    assert changed.text_version != device.text_version
    assert await reason(stubs.privacy.UpdateDataCategory(request)) == "ETAG_MISMATCH"
    nobody = UpdateDataCategoryRequest(data_category=DataCategory(name="x", purpose="y"))
    assert await reason(stubs.privacy.UpdateDataCategory(nobody)) == "DATA_CATEGORY_NOT_FOUND"
    ledger = DataCategory(name="consent", retention_duration=Duration(seconds=DAY))
    for refused in (ledger, DataCategory(name="device", retention_duration=Duration(seconds=60))):
        request = UpdateDataCategoryRequest(data_category=refused)
        assert await reason(stubs.privacy.UpdateDataCategory(request)) == "FIELD_INVALID"


async def test_what_is_older_than_its_category_is_kept_is_deleted_and_traits_stay(
    stubs: Stubs, pool: Pool, registry: RegistryStore, store: ContactStore
) -> None:
    who = phone()
    contact_id = await stubs.person(who)
    old, fresh = stubs.said(who, "old", 3 * DAY), stubs.said(who, "fresh")
    await stubs.hear(old, fresh)
    category = DataCategory(
        name="message_content", retention_duration=Duration(seconds=2 * DAY), purpose="service"
    )
    await stubs.privacy.UpdateDataCategory(UpdateDataCategoryRequest(data_category=category))
    retention = Retention(pool, CategoryStore(pool), registry, store, stubs.clock)
    while await retention.turn():
        pass

    async def texts() -> list[str]:
        request = ListEventsRequest(contact_id=contact_id, names=["message_received"])
        answer = await stubs.profiles.ListEvents(request)
        return [event.message_received.content.text for event in answer.events]

    assert await texts() == ["fresh"]
    asked = StreamHistoryRequest(
        contact_ids=[contact_id], names=["message_received", "order_completed"]
    )
    told = [response async for response in stubs.profiles.StreamHistory(asked)]
    (kept,) = told[0].oldest_times.items()
    assert (kept[0], kept[1].seconds) == (
        "message_received",
        int(stubs.clock.now().timestamp()) - 2 * DAY,
    )
    got = await stubs.profiles.GetContact(GetContactRequest(contact=ref(contact_id)))
    (count,) = [t for t in got.contact.traits if t.name == "traits.message_count"]
    assert count.value_json == b"2"
    await agree(stubs, contact_id, granted=False, purpose="service")
    await stubs.privacy.UpdateDataCategory(UpdateDataCategoryRequest(data_category=category))
    while await retention.turn():
        pass
    assert await texts() == []


# ---- export and erasure


async def exported(stubs: Stubs, contact_id: str, resumed: bool = False) -> list[dict[str, Any]]:
    """Everything; resumed: with a new stream for each response."""
    request = ExportContactRequest(contact=ref(contact_id))
    found: list[dict[str, Any]] = []
    while True:
        call = stubs.privacy.ExportContact(request)
        ended = True
        async for response in call:
            found += [
                {"dataset": one.dataset, **orjson.loads(one.record_json)}
                for one in response.records
            ]
            moved, request.cursor = response.cursor != request.cursor, response.cursor
            if resumed and moved:
                ended = False
                call.cancel()
                break
        if ended:
            return found


async def test_everything_profile_holds_is_exported_once_also_in_pieces(stubs: Stubs) -> None:
    who, browser = phone(), Identity(kind="KIND_ANONYMOUS_ID", scope="web", value=fresh_id("a"))
    contact_id = await stubs.person(who, browser, email(), city="Xanadu")
    words = [fresh_id("word") for _ in range(3)]
    await stubs.hear(*(stubs.said(who, word) for word in words))
    await stubs.hear(
        Event(
            event_id=fresh_id("t"),
            event_time=timestamp(5),
            received_time=timestamp(5),
            source="track:web",
            identities=[browser],
            tracked={"name": "looked", "properties_json": b'{"dress":"vermilion"}'},
        )
    )
    await agree(stubs, contact_id, proof="a form")
    whole = await exported(stubs, contact_id)
    pieces = await exported(stubs, contact_id, resumed=True)

    def told_once(found: list[dict[str, Any]]) -> list[str]:
        return sorted(orjson.dumps(one).decode() for one in found if "read" not in one["dataset"])

    assert told_once(whole) == told_once(pieces)
    text = orjson.dumps(whole).decode()
    for word in (who.value, browser.value, "Xanadu", "vermilion", "a form", contact_id, *words):
        assert word in text
    assert {one["dataset"] for one in whole} >= {
        *("identity", "attribute", "trait", "consent", "event", "link", "contact"),
        "personal_data_read",
    }


async def test_an_erased_person_is_gone_and_comes_back_only_as_new(
    stubs: Stubs, pool: Pool, log: EventLog, rights: Rights
) -> None:
    who, mail = phone(), email()
    contact_id = await stubs.person(who, mail, city="Xanadu")
    other = await stubs.person()
    await stubs.profiles.MergeContacts(
        MergeContactsRequest(contact_id=contact_id, absorbed_contact_id=other)
    )
    old = stubs.said(who, "old news")
    await stubs.hear(old)
    await agree(stubs, contact_id, proof="a form")
    request = EraseContactRequest(request_id=fresh_id("era"), contact=ref(other))
    erasure = (await stubs.privacy.EraseContact(request)).erasure
    (receipt,) = erasure.receipts
    assert receipt.records["key"] == 2
    assert receipt.records["identity"] == 3
    assert receipt.records["consent"] == 1
    for table in ("contacts", "keys", "events", "consents", "standings"):
        for one in (contact_id, other):
            rows = f"SELECT count(*) FROM {table} WHERE contact_id = $1"
            assert await pool.fetchval(rows, one) == 0, table
    assert await stubs.resolve(who) == ""
    for one in (contact_id, other):
        assert [e.WhichOneof("body") for e in await told(log, one)][-1] == "contact_erased"

    # The same request, and any other for the same person, tell how it stands
    assert (await stubs.privacy.EraseContact(request)).erasure == erasure
    for asked in (ref(contact_id), ref(other), ContactRef(identity=mail)):
        again = EraseContactRequest(request_id=fresh_id("era"), contact=asked)
        assert (await stubs.privacy.EraseContact(again)).erasure.request_id == request.request_id
    reused = EraseContactRequest(request_id=request.request_id, contact=ref(await stubs.person()))
    assert await reason(stubs.privacy.EraseContact(reused)) == "REQUEST_ID_REUSED"

    # Old news, again and rewritten, bring nobody back
    rewritten = Event()
    rewritten.CopyFrom(old)
    rewritten.event_id = fresh_id("m")
    named = stubs.said(who, "to an id of old")
    named.contact_id = contact_id
    named.ClearField("identities")
    late = stubs.said(mail, "with an old clock", 5)
    await stubs.hear(old, rewritten, late, named)
    assert await stubs.resolve(who) == ""
    assert await stubs.resolve(mail) == ""

    await rights.erasing.turn()
    done = (
        await stubs.privacy.GetErasure(GetErasureRequest(request_id=request.request_id))
    ).erasure
    assert done.state == Erasure.STATE_ERASED
    assert (
        await pool.fetchval(
            "SELECT identities FROM erasures WHERE request_id = $1", request.request_id
        )
        is None
    )

    await stubs.clock.advance(SECOND)
    await stubs.hear(stubs.said(who, "new"))
    new = await stubs.resolve(who)
    assert new
    assert new not in (contact_id, other)
    await stubs.hear(rewritten)
    events = await stubs.profiles.ListEvents(ListEventsRequest(contact_id=new))
    assert "old news" not in str(events)
    state = await stubs.privacy.GetConsent(GetConsentRequest(contact=ref(new), purpose="marketing"))
    assert state.consent.state == WireConsent.STATE_NONE


async def test_nobody_is_not_erased_and_says_so(stubs: Stubs) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    ask = EraseContactRequest(request_id=fresh_id("era"), contact=ref(nobody))
    assert await reason(stubs.privacy.EraseContact(ask)) == "CONTACT_NOT_FOUND"
    ask.ClearField("request_id")
    assert await reason(stubs.privacy.EraseContact(ask)) == "FIELD_INVALID"
    unknown = GetErasureRequest(request_id=fresh_id("era"))
    assert await reason(stubs.privacy.GetErasure(unknown)) == "ERASURE_NOT_FOUND"
