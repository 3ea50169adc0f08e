"""Merging and parting people through the API and a real Postgres, by many at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.clock import ManualClock
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.postgres import Effects, Pool, database
from chassis.rpc import server
from chassis.streams import EventLog, Position
from merhaba.event.v1 import Event, Identity
from merhaba.profile.v1 import (
    Contact,
    ContactRef,
    GetContactRequest,
    ListEventsRequest,
    MergeContactsRequest,
    MergeContactsResponse,
    ProfileServiceStub,
    UnmergeContactRequest,
    UnmergeContactResponse,
)
from merhaba.profile.v1.profile_service_pb2_grpc import add_ProfileServiceServicer_to_server
from services.profile.api.contacts import ProfileApi
from services.profile.app import new_contact_id
from services.profile.jobs.consumer import recording
from services.profile.person.directory import Directory
from services.profile.person.identity import BlindIndex, normalised
from services.profile.person.traits import names, value_json
from services.profile.tables.contacts import ContactStore
from services.profile.tables.reads import Reads
from services.profile.tables.registry import RegistryStore
from services.profile.tests.rpc import TOKEN, reached
from services.profile.vault.envelope import Envelope
from services.profile.vault.keys import Vault

Handle = Callable[[Sequence[bytes]], Awaitable[None]]


@pytest.fixture
def handle(directory: Directory, manual_clock: ManualClock) -> Handle:
    return recording(directory, manual_clock, "profile.test")


@pytest.fixture
async def profiles(profile_api: ProfileApi, reads: Reads) -> AsyncIterator[ProfileServiceStub]:
    own = server("profile", TOKEN)
    add_ProfileServiceServicer_to_server(profile_api, own)
    async with reached(own, reads) as opened:
        yield ProfileServiceStub(opened)


def customer(value: str = "") -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=value or fresh_id("c"))


def browser(value: str = "") -> Identity:
    return Identity(kind="KIND_ANONYMOUS_ID", scope="shop", value=value or fresh_id("b"))


def event(*who: Identity, time: int = 1_000, **body: object) -> Event:
    made = Event(event_id=fresh_id("e"), source="track:shop", identities=who, **body)  # type: ignore[arg-type]
    made.event_time.seconds = made.received_time.seconds = time
    return made


def ordered(*who: Identity, time: int = 1_000) -> bytes:
    order = {"name": "order_completed", "properties_json": b'{"total": 0.1}'}
    return event(*who, time=time, tracked=order).SerializeToString()


async def published(log: EventLog) -> list[Event]:
    starts = [Position(stream, b"0") for stream in log.streams("contact")]
    return [Event.FromString(e) for _, events in await log.read(starts, 10_000, 1) for e in events]


async def contact_of(directory: Directory, who: Identity) -> str:
    return await directory.resolve([normalised(who.kind, who.scope, who.value)])


async def get(profiles: ProfileServiceStub, contact_id: str) -> Contact:
    ref = ContactRef(contact_id=contact_id)
    return (await profiles.GetContact(GetContactRequest(contact=ref))).contact


async def merge(profiles: ProfileServiceStub, one: str, other: str) -> MergeContactsResponse:
    return await profiles.MergeContacts(
        MergeContactsRequest(request_id=fresh_id("r"), contact_id=one, absorbed_contact_id=other)
    )


async def unmerge(profiles: ProfileServiceStub, absorbed: str) -> UnmergeContactResponse:
    return await profiles.UnmergeContact(
        UnmergeContactRequest(request_id=fresh_id("r"), absorbed_contact_id=absorbed)
    )


def orders(contact: Contact) -> bytes:
    found = [t.value_json for t in contact.traits if t.name == "traits.order_count"]
    return found[0] if found else b"0"


def known_of(contact: Contact) -> Contact:
    """Without when it was computed and written."""
    found = Contact()
    found.CopyFrom(contact)
    found.ClearField("update_time")
    found.ClearField("stage")
    for trait in found.traits:
        trait.ClearField("change_time")
        trait.ClearField("confirm_time")
    return found


async def test_merged_contacts_are_one_and_parted_ones_are_as_before(
    handle: Handle,
    directory: Directory,
    profiles: ProfileServiceStub,
    log: EventLog,
) -> None:
    one, other = customer(), customer()
    stop = {"purpose": "marketing", "granted": False}
    await handle([ordered(one, time=1), ordered(one, time=2)])
    await handle([ordered(other), event(other, consent_changed=stop).SerializeToString()])
    older, younger = sorted([await contact_of(directory, who) for who in (one, other)])
    before = [await get(profiles, i) for i in (older, younger)]

    merged = (await merge(profiles, younger, older)).contact  # whichever is named first
    assert (merged.contact_id, list(merged.absorbed_contact_ids)) == (older, [younger])
    assert orders(merged) == b"3"
    assert [c.purpose for c in merged.consents] == ["marketing"]
    assert await get(profiles, younger) == merged
    assert (await merge(profiles, older, younger)).contact == merged  # they are one already

    parted = await unmerge(profiles, younger)
    for now, was in zip((parted.contact, parted.split_contact), before, strict=True):
        assert known_of(now) == known_of(was)
    again = await unmerge(profiles, younger)
    assert not again.HasField("contact")
    assert again.split_contact.contact_id == younger

    said = [e for e in await published(log) if e.HasField("contact_merged")]
    assert [(e.contact_id, e.contact_merged.absorbed_contact_id) for e in said] == [
        (older, younger)
    ]
    assert list(said[0].contact_merged.member_contact_ids) == [younger]
    assert {c.name: c.value_json for c in said[0].changes}["traits.order_count"] == b"3"
    (split,) = [e for e in await published(log) if e.HasField("contact_split")]
    assert (split.contact_id, split.contact_split.from_contact_id) == (younger, older)
    assert list(split.contact_split.member_contact_ids) == [younger]
    assert split.event_id != said[0].event_id


async def test_what_happened_to_merged_contacts_goes_where_its_identity_belongs(
    handle: Handle,
    directory: Directory,
    profiles: ProfileServiceStub,
) -> None:
    one, other = customer(), customer()
    await handle([ordered(one), ordered(other)])
    ids = {await contact_of(directory, who): who for who in (one, other)}
    older, younger = sorted(ids)  # made at the same time
    other = ids[younger]
    await merge(profiles, older, younger)
    await handle([ordered(other), ordered(other)])
    read = Event(event_id=fresh_id("e"), contact_id=younger, message_read={})
    read.event_time.seconds = 5
    await handle([read.SerializeToString()])
    await unmerge(profiles, younger)
    assert [orders(await get(profiles, i)) for i in (older, younger)] == [b"1", b"3"]
    listed = await profiles.ListEvents(ListEventsRequest(contact_id=younger, page_size=100))
    bodies = [e.WhichOneof("body") for e in listed.events]
    assert sorted(bodies) == sorted(
        ["contact_created", "tracked", "tracked", "tracked", "message_read", "contact_split"]
    )


async def test_a_repeated_call_gets_its_first_answer_and_merges_no_second_time(
    handle: Handle, directory: Directory, profiles: ProfileServiceStub, log: EventLog
) -> None:
    one, other = customer(), customer()
    await handle([ordered(one), ordered(other)])
    older, younger = sorted([await contact_of(directory, who) for who in (one, other)])
    request = MergeContactsRequest(
        request_id=fresh_id("r"), contact_id=older, absorbed_contact_id=younger
    )
    first = await profiles.MergeContacts(request)
    await unmerge(profiles, younger)
    assert (await profiles.MergeContacts(request)).contact.contact_id == first.contact.contact_id
    assert await contact_of(directory, one) != await contact_of(directory, other)
    await merge(profiles, older, younger)
    merges = [e.event_id for e in await published(log) if e.HasField("contact_merged")]
    assert len(set(merges)) == len(merges) == 2


async def test_who_cannot_be_merged_or_parted_is_told_why(
    handle: Handle, directory: Directory, profiles: ProfileServiceStub
) -> None:
    one = customer()
    await handle([ordered(one)])
    contact_id, nobody = await contact_of(directory, one), new_contact_id()
    calls = [
        (merge(profiles, contact_id, nobody), grpc.StatusCode.NOT_FOUND),
        (merge(profiles, contact_id, "somebody"), grpc.StatusCode.INVALID_ARGUMENT),
        (unmerge(profiles, nobody), grpc.StatusCode.NOT_FOUND),
        (unmerge(profiles, contact_id), grpc.StatusCode.FAILED_PRECONDITION),
    ]
    for call, code in calls:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() == code


async def test_a_shared_browser_changes_hands_when_its_first_person_is_heard_of_late(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    shared, early, late = browser(), customer(), customer()
    await handle([ordered(shared, late, time=9)])
    assert await contact_of(directory, shared) == await contact_of(directory, late)
    await handle([ordered(shared, early, time=3)])
    assert await contact_of(directory, shared) == await contact_of(directory, early)
    assert await contact_of(directory, late) != await contact_of(directory, early)
    bodies = [e.WhichOneof("body") for e in await published(log)]
    assert bodies.count("contact_split") == bodies.count("contact_merged") == 1


async def test_what_programs_send_for_nobody_is_left_out(
    handle: Handle, directory: Directory
) -> None:
    one, other = customer(), customer()
    await handle([ordered(one, browser("null")), ordered(other, browser("null"))])
    assert await contact_of(directory, one) != await contact_of(directory, other)
    with pytest.raises(FieldInvalid):
        await handle([ordered(browser("[object Object]"))])


@pytest.fixture
async def directories(
    profile_url: str,
    log: EventLog,
    vault: Vault,
    index: BlindIndex,
    envelope: Envelope,
    registry: RegistryStore,
    manual_clock: ManualClock,
) -> AsyncIterator[list[Directory]]:
    """As several processes have them, each with its own connections."""

    def made(pool: Pool) -> Directory:
        effects = Effects(pool, log, manual_clock, timedelta(days=30), envelope)
        return Directory(
            ContactStore(pool, effects, vault, index, registry, manual_clock, new_contact_id)
        )

    async with (
        database(profile_url, "profile", 2) as one,
        database(profile_url, "profile", 2) as two,
        database(profile_url, "profile", 2) as three,
    ):
        yield [made(pool) for pool in (one, two, three)]


NAMES = [*"abcd", *"XYZ"]  # customers and browsers


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    told=st.lists(
        st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.integers(1, 99)),
        min_size=1,
        max_size=10,
        unique_by=lambda one: one[1],  # event ids, which break ties, differ between the two
    ),
    random=st.randoms(use_true_random=False),
)
async def test_writers_at_once_agree_on_the_same_people_as_one_alone(
    directories: list[Directory],
    manual_clock: ManualClock,
    told: list[tuple[list[str], int]],
    random: object,
) -> None:
    handles = [recording(directory, manual_clock, "profile.test") for directory in directories]

    def who(name: str, own: str) -> Identity:
        return (customer if name in "abcd" else browser)(f"{own}{name}")

    def events(own: str) -> list[bytes]:
        found = []
        for number, (several, time) in enumerate(told):
            one = event(
                *(who(name, own) for name in several),
                time=time,
                tracked={"name": "order_completed", "properties_json": b'{"total": 0.1}'},
            )
            one.event_id = f"{own}{number:03}"
            found.append(one.SerializeToString())
        return found

    async def people(own: str) -> list[object]:
        refs = [normalised(i.kind, i.scope, i.value) for i in (who(n, own) for n in NAMES)]
        groups: dict[str, list[str]] = {}
        found = {}
        for name, contact in zip(NAMES, await directories[0].find(refs), strict=True):
            if contact is not None:
                groups.setdefault(contact.contact_id, []).append(name)
                found[contact.contact_id] = contact.document
        return sorted(
            (group, sorted((t, value_json(found[i], t)) for t in names(found[i])))
            for i, group in groups.items()
        )

    one, several = fresh_id("p"), fresh_id("p")
    for each in events(one):
        await handles[0]([each])
    again = events(several)
    again += random.choices(again, k=3)  # type: ignore[attr-defined]
    random.shuffle(again)  # type: ignore[attr-defined]
    batches = [again[n::4] for n in range(4)]

    async def until_done(handle: Handle, batch: list[bytes]) -> None:
        while batch:  # as the consumer does
            try:
                await handle(batch)
            except Exception as error:
                if type(error).__name__ not in ("SerializationError", "DeadlockDetectedError"):
                    raise
            else:
                return

    await asyncio.gather(*(until_done(handles[n % 3], batch) for n, batch in enumerate(batches)))
    assert await people(several) == await people(one)
