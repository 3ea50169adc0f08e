"""ReachService: the same as contacts say, for many at once, and nothing that leads to anybody."""

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.clock import ManualClock, milliseconds_of
from chassis.postgres import Pool
from chassis.rpc import server
from merhaba.event.v1 import ConsentChanged, Event, Identity
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    BatchGetReachRequest,
    BatchGetReachResponse,
    Consent,
    Contact,
    ContactRef,
    ContactUpsert,
    ProfileServiceStub,
    ReachServiceStub,
    add_ProfileServiceServicer_to_server,
    add_ReachServiceServicer_to_server,
)
from services.profile.api.contacts import ProfileApi
from services.profile.api.reach import ReachApi
from services.profile.app import new_contact_id
from services.profile.jobs.consumer import recording
from services.profile.person.directory import Directory
from services.profile.tables.reads import Reads
from services.profile.tests.rpc import TOKEN, reached
from services.profile.tests.test_api import (
    external,
    fresh_phone,
    phone,
    reason,
    told,
    upsert,
)

NAMES = ("city", "zone", "language", "stage", "traits.message_count", "traits.activity_by_hour")


@pytest.fixture
async def target(
    profile_api: ProfileApi, directory: Directory, reads: Reads, manual_clock: ManualClock
) -> AsyncIterator[grpc.aio.Channel]:
    own = server("profile", TOKEN)
    add_ProfileServiceServicer_to_server(profile_api, own)
    add_ReachServiceServicer_to_server(ReachApi(directory, reads, manual_clock), own)
    async with reached(own, reads) as opened:
        yield opened


@pytest.fixture
def profiles(target: grpc.aio.Channel) -> ProfileServiceStub:
    return ProfileServiceStub(target)


@pytest.fixture
def reach(target: grpc.aio.Channel) -> ReachServiceStub:
    return ReachServiceStub(target)


async def asked(reach: ReachServiceStub, ids: list[str], *names: str) -> BatchGetReachResponse:
    return await reach.BatchGetReach(BatchGetReachRequest(contact_ids=ids, attribute_names=names))


async def contacts(profiles: ProfileServiceStub, ids: list[str]) -> list[Contact]:
    refs = [ContactRef(contact_id=one) for one in ids]
    answer = await profiles.BatchGetContacts(BatchGetContactsRequest(contacts=refs))
    return [result.contact for result in answer.results]


async def everybody(
    profiles: ProfileServiceStub, directory: Directory, clock: ManualClock
) -> list[str]:
    """Somebody who wrote and agreed, somebody with an old consent, somebody without a number, two
    who are one, a user without number."""
    numbers = [fresh_phone() for _ in range(3)]
    ids = await upsert(
        profiles,
        ContactUpsert(identities=[phone(numbers[0])], attributes=[told("city", b'"Bursa"')]),
        ContactUpsert(identities=[phone(numbers[1])], attributes=[told("language", b'"de"')]),
        ContactUpsert(identities=[external()]),
        ContactUpsert(identities=[phone(numbers[2])]),
        ContactUpsert(identities=[phone("4915112345678")]),
        ContactUpsert(
            identities=[Identity(kind="KIND_BSUID", scope="waba", value=f"TR.{numbers[0]}")]
        ),
    )
    other = external()
    absorbed = await upsert(profiles, ContactUpsert(identities=[other]))
    await upsert(profiles, ContactUpsert(identities=[other, phone(numbers[2])]))
    events = [_wrote(numbers[0], clock), _agreed(numbers[0], clock), _agreed(numbers[1], clock, 1)]
    await recording(directory, clock, "tests")([one.SerializeToString() for one in events])
    await clock.advance(timedelta(days=2))
    return [*ids, *absorbed]


def _wrote(number: str, clock: ManualClock) -> Event:
    event = _event(number, clock, "wrote")
    event.message_received.phone_number_id = "1000"
    event.message_received.content.kind = "text"
    event.message_received.content.text = "Merhaba, siparişim nerede kaldı acaba"
    return event


def _agreed(number: str, clock: ManualClock, days: int = 0) -> Event:
    event = _event(number, clock, "agreed")
    change = ConsentChanged(purpose="marketing", granted=True, channel="form")
    if days:
        change.expire_time.FromDatetime(clock.now() + timedelta(days=days))
    event.consent_changed.CopyFrom(change)
    return event


def _event(number: str, clock: ManualClock, what: str) -> Event:
    now = Timestamp()
    now.FromDatetime(clock.now())
    return Event(
        event_id=f"{what}/{number}",
        event_time=now,
        received_time=now,
        source="form",
        identities=[phone(number)],
    )


async def test_it_says_of_everybody_what_their_contacts_say(
    profiles: ProfileServiceStub,
    reach: ReachServiceStub,
    directory: Directory,
    manual_clock: ManualClock,
) -> None:
    ids = await everybody(profiles, directory, manual_clock)
    nobody = new_contact_id()
    answer = await asked(reach, [nobody, *ids], *NAMES)
    assert answer.places[0] == -1
    assert [column.values_json[0] for column in answer.columns] == [b""] * len(NAMES)
    known = await contacts(profiles, ids)
    joined = {one.position: one for one in answer.joined}
    for position, contact in enumerate(known, 1):
        found = answer.reaches[answer.places[position]]
        address = contact.addresses[0] if contact.addresses else None
        assert found.reachable == (address is not None)
        assert found.restricted == (contact.state == Contact.STATE_RESTRICTED)
        assert found.market == (address.market if address else "")
        assert found.language == contact.language.value
        assert found.zone == contact.zone.value
        assert dict(found.consents) == {one.purpose: one.state for one in contact.consents}
        if address:
            assert found.phone_number_id == address.phone_number_id
            heard = address.last_message_time.ToMilliseconds()
            assert answer.last_message_times[position] == heard
        said = [c.record.event_time.ToMilliseconds() for c in contact.consents]
        assert answer.marketing_consent_times[position] == (said[0] if said else 0)
        values = {one.name: one.value_json for one in (*contact.attributes, *contact.traits)}
        values["stage"] = f'"{contact.stage.stage}"'.encode() if contact.stage.stage else b""
        for name in ("zone", "language"):
            value = getattr(contact, name).value
            values[name] = f'"{value}"'.encode() if value else b""
        for name, column in zip(NAMES, answer.columns, strict=True):
            assert column.values_json[position] == values.get(name, b"")
        if contact.absorbed_contact_ids:
            told_of = joined.pop(position)
            assert told_of.contact_id == contact.contact_id
            assert set(told_of.absorbed_contact_ids) == set(contact.absorbed_contact_ids)
    assert not joined
    states = {state for one in answer.reaches for state in one.consents.values()}
    assert states == {Consent.STATE_GRANTED, Consent.STATE_EXPIRED}


async def test_whose_complaint_is_open_is_told_without_the_rest_of_their_traits(
    profiles: ProfileServiceStub,
    reach: ReachServiceStub,
    directory: Directory,
    manual_clock: ManualClock,
) -> None:
    numbers = [fresh_phone() for _ in range(3)]
    ids = await upsert(profiles, *(ContactUpsert(identities=[phone(n)]) for n in numbers))
    events = [_complained(numbers[0], manual_clock, "complaint_opened", 0)]
    for second, name in enumerate(("complaint_opened", "complaint_closed")):
        events.append(_complained(numbers[1], manual_clock, name, second))
    await recording(directory, manual_clock, "tests")([e.SerializeToString() for e in events])
    (column,) = (await asked(reach, ids, "traits.open_complaint")).columns
    assert list(column.values_json) == [b"true", b"false", b""]


def _complained(number: str, clock: ManualClock, name: str, second: int) -> Event:
    event = _event(number, clock, f"{name}{second}")
    event.event_time.seconds += second
    event.tracked.name = name
    event.tracked.properties_json = b'{"complaint_id":"c1"}'
    return event


async def test_what_many_have_in_common_is_said_once_and_leads_to_nobody(
    profiles: ProfileServiceStub, reach: ReachServiceStub
) -> None:
    numbers = [fresh_phone() for _ in range(600)]
    ids: list[str] = []
    for start in (0, 300):
        people = [ContactUpsert(identities=[phone(n)]) for n in numbers[start : start + 300]]
        ids += await upsert(profiles, *people)
    answer = await asked(reach, ids)
    assert (len(answer.reaches), len(answer.places)) == (1, 600)
    sent = answer.SerializeToString()
    assert not [number for number in numbers if number.encode() in sent]


async def test_every_reading_is_on_record(
    profiles: ProfileServiceStub, reach: ReachServiceStub, pool: Pool, manual_clock: ManualClock
) -> None:
    ids = await upsert(profiles, ContactUpsert(identities=[phone(fresh_phone())]))
    await asked(reach, ids, "city")
    row = await pool.fetchrow(
        "SELECT read_time, purpose, fields FROM reads"
        " WHERE contact_ids = $1::uuid[] AND method LIKE '%BatchGetReach'",
        ids,
    )
    assert row is not None
    assert (row["read_time"], row["purpose"]) == (milliseconds_of(manual_clock.now()), "tests")
    assert {"consents", "city"} <= set(row["fields"])


@pytest.mark.parametrize(
    ("ids", "names", "why"),
    [
        ([], (), "FIELD_INVALID"),
        (["x"], (), "FIELD_INVALID"),
        ([new_contact_id()] * 2_001, (), "BATCH_TOO_LARGE"),
        ([new_contact_id()], ("City!",), "FIELD_INVALID"),
        ([new_contact_id()], ("a",) * 101, "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    reach: ReachServiceStub, ids: list[str], names: tuple[str, ...], why: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await asked(reach, ids, *names)
    assert reason(raised.value) == why
