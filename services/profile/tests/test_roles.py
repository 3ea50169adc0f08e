"""Callers see what their role allows, in every RPC that reads."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.answers import Answers
from chassis.callers import Caller, Callers
from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.policy import read_policy
from chassis.postgres import Pool
from chassis.rpc import channel, server
from chassis.testing import KnownKeys
from merhaba.event.v1 import AttributeChange, ConsentChanged, Identity
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    Contact,
    ContactFilter,
    ContactRef,
    ContactUpsert,
    GetConsentRequest,
    GetContactRequest,
    ListConsentsRequest,
    ListContactsRequest,
    ListEventsRequest,
    ListPersonalDataReadsRequest,
    PrivacyServiceStub,
    ProfileServiceStub,
    RecordConsentRequest,
    ResolveContactRequest,
    StreamHistoryRequest,
    UpsertContactsRequest,
    add_PrivacyServiceServicer_to_server,
    add_ProfileServiceServicer_to_server,
)
from services import POLICY
from services.profile.api.contacts import ProfileApi
from services.profile.api.privacy import PrivacyApi, Rights
from services.profile.person import roles
from services.profile.person.directory import Directory
from services.profile.person.model import ValueType
from services.profile.person.vocabulary import AttributeType
from services.profile.tables.reads import Reads
from services.profile.tables.registry import RegistryStore
from services.profile.tests.rpc import TOKEN, served

ROLES = ("support", "marketing", "analytics")
PURPOSE = "tests"
DENIED = grpc.StatusCode.PERMISSION_DENIED


class Stubs(NamedTuple):
    profiles: ProfileServiceStub
    privacy: PrivacyServiceStub


Connect = Callable[[str], Any]
Person = tuple[str, Identity]


@pytest.fixture
async def as_role(
    profile_api: ProfileApi,
    directory: Directory,
    rights: Rights,
    reads: Reads,
    pool: Pool,
    manual_clock: ManualClock,
) -> AsyncIterator[Connect]:
    """Stubs of a caller with a role."""
    keys = KnownKeys({role: Caller(f"{role}-desk", role) for role in ROLES})
    own = server("profile", Callers(TOKEN, keys, read_policy(POLICY)))
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

        @asynccontextmanager
        async def connect(role: str) -> AsyncIterator[Stubs]:
            token = TOKEN if role == "internal" else role
            async with channel(f"127.0.0.1:{port}", token, purpose=PURPOSE) as opened:
                yield Stubs(ProfileServiceStub(opened), PrivacyServiceStub(opened))

        yield connect


@pytest.fixture
async def person(as_role: Connect) -> Person:
    """A person of whom everything is known."""
    who = Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=fresh_id("c"))
    number = f"90533{int.from_bytes(fresh_id('x').encode()[-4:], 'big') % 10_000_000:07d}"
    async with as_role("internal") as stubs:
        answer = await stubs.profiles.UpsertContacts(
            UpsertContactsRequest(
                contacts=[
                    ContactUpsert(
                        identities=[who, Identity(kind="KIND_WA_ID", value=number)],
                        attributes=[
                            AttributeChange(name="first_name", value_json=b'"Ada"'),
                            AttributeChange(name="country", value_json=b'"TR"'),
                        ],
                    )
                ]
            )
        )
        contact_id = answer.results[0].contact_id
        await stubs.privacy.RecordConsent(
            RecordConsentRequest(
                contact=ContactRef(contact_id=contact_id),
                change=ConsentChanged(purpose="marketing", granted=True, proof="wamid.secret"),
            )
        )
    return contact_id, who


async def code(call: Awaitable[object]) -> grpc.StatusCode | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def seen_by(as_role: Connect, role: str, contact_id: str, *paths: str) -> Contact:
    """What a role sees of a contact: the same by every way of asking."""
    ref, mask = ContactRef(contact_id=contact_id), FieldMask(paths=paths)
    async with as_role(role) as stubs:
        one = (
            await stubs.profiles.GetContact(GetContactRequest(contact=ref, read_mask=mask))
        ).contact
        batch = await stubs.profiles.BatchGetContacts(
            BatchGetContactsRequest(contacts=[ref], read_mask=mask)
        )
        assert batch.results[0].contact == one
    return one


async def test_the_suite_itself_sees_everything(as_role: Connect, person: Person) -> None:
    found = await seen_by(as_role, "internal", person[0])
    assert len(found.identities) == 2
    assert all(one.identity.value for one in found.identities)
    assert {one.name for one in found.attributes} == {"first_name", "country"}
    assert found.consents[0].record.change.proof == "wamid.secret"
    assert not found.withheld_fields


async def test_support_sees_everything_of_one_person(as_role: Connect, person: Person) -> None:
    assert await seen_by(as_role, "support", person[0]) == await seen_by(
        as_role, "internal", person[0]
    )


async def test_marketing_sees_no_values_of_identities_and_nothing_personal(
    as_role: Connect, person: Person
) -> None:
    found = await seen_by(as_role, "marketing", person[0])
    assert [one.identity.kind for one in found.identities] == [1, 3]
    assert not any(one.identity.value for one in found.identities)
    assert found.addresses[0].market == "TR"
    assert not found.addresses[0].wa_id
    assert [one.name for one in found.attributes] == ["country"]
    assert not found.consents[0].record.change.proof
    assert found.consents[0].state == 2
    assert set(found.withheld_fields) == {
        *("identities.identity.value", "consents.record.change.proof", "attributes", "traits"),
        *("addresses.wa_id", "addresses.bsuid", "addresses.parent_bsuid"),
    }


async def test_analytics_sees_nothing_that_leads_to_a_person(
    as_role: Connect, person: Person
) -> None:
    found = await seen_by(as_role, "analytics", person[0])
    assert not found.identities
    assert not found.addresses
    assert [one.name for one in found.attributes] == ["country"]
    assert found.zone.value == "Europe/Istanbul"
    assert {"identities", "addresses", "attributes"} <= set(found.withheld_fields)


@pytest.mark.parametrize("role", ["marketing", "analytics"])
async def test_a_personal_attribute_asked_for_by_name_is_withheld_by_name(
    as_role: Connect, person: Person, role: str
) -> None:
    found = await seen_by(
        as_role, role, person[0], "attributes.first_name", "attributes.country", "etag"
    )
    assert [one.name for one in found.attributes] == ["country"]
    assert found.withheld_fields == ["attributes.first_name"]


async def test_what_the_business_registered_decides_what_is_personal(
    as_role: Connect, registry: RegistryStore
) -> None:
    who = Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=fresh_id("c"))
    shoes, nobody = (f"{kind}_{uuid4().hex}" for kind in ("shoes", "nobody"))
    await registry.register_attribute(AttributeType(shoes, ValueType.INTEGER), (), "")
    async with as_role("internal") as stubs:
        told = AttributeChange(name=shoes, value_json=b"42")
        answer = await stubs.profiles.UpsertContacts(
            UpsertContactsRequest(contacts=[ContactUpsert(identities=[who], attributes=[told])])
        )
    contact_id = answer.results[0].contact_id
    found = await seen_by(as_role, "marketing", contact_id)
    assert [one.name for one in found.attributes] == [shoes]
    known = await registry.current()
    assert [known.personal(name) for name in (shoes, nobody, "city", "email", "traits.city")] == [
        *(False, True, False, True, True)
    ]


async def test_who_may_not_know_people_may_not_ask_by_identity(
    as_role: Connect, person: Person
) -> None:
    ref = ContactRef(identity=person[1])
    async with as_role("analytics") as stubs:
        for call in (
            stubs.profiles.GetContact(GetContactRequest(contact=ref)),
            stubs.profiles.BatchGetContacts(BatchGetContactsRequest(contacts=[ref])),
            stubs.profiles.ListContacts(
                ListContactsRequest(filter=ContactFilter(identities=[person[1]]))
            ),
            stubs.privacy.GetConsent(GetConsentRequest(contact=ref, purpose="marketing")),
            stubs.privacy.ListConsents(ListConsentsRequest(contact=ref)),
        ):
            assert await code(call) == DENIED
    async with as_role("marketing") as stubs:
        assert await code(stubs.profiles.GetContact(GetContactRequest(contact=ref))) is None


async def test_proofs_of_consents_are_withheld_in_the_ledger_too(
    as_role: Connect, person: Person
) -> None:
    ref = ContactRef(contact_id=person[0])
    for role in ("support", "marketing", "analytics"):
        async with as_role(role) as stubs:
            lines = await stubs.privacy.ListConsents(ListConsentsRequest(contact=ref))
            holds = await stubs.privacy.GetConsent(
                GetConsentRequest(contact=ref, purpose="marketing")
            )
        proofs = {lines.records[0].change.proof, holds.consent.record.change.proof}
        assert proofs == ({"wamid.secret"} if role == "support" else {""})
        assert lines.records[0].change.granted


async def test_each_role_may_call_what_it_is_for_and_nothing_else(
    as_role: Connect, person: Person
) -> None:
    contact_id, who = person
    expected = {
        "support": {"ResolveContact", "ListEvents"},
        "marketing": {"ResolveContact", "ListContacts"},
        "analytics": {"ListContacts"},
    }
    for role, allowed in expected.items():
        async with as_role(role) as stubs:

            async def stream(stubs: Stubs = stubs) -> None:
                async for _ in stubs.profiles.StreamHistory(
                    StreamHistoryRequest(contact_ids=[contact_id])
                ):
                    pass

            calls = {
                "ResolveContact": stubs.profiles.ResolveContact(
                    ResolveContactRequest(identities=[who])
                ),
                "ListContacts": stubs.profiles.ListContacts(ListContactsRequest(page_size=1)),
                "ListEvents": stubs.profiles.ListEvents(ListEventsRequest(contact_id=contact_id)),
                "StreamHistory": stream(),
                "UpsertContacts": stubs.profiles.UpsertContacts(UpsertContactsRequest()),
                "RecordConsent": stubs.privacy.RecordConsent(RecordConsentRequest()),
                "ListPersonalDataReads": stubs.privacy.ListPersonalDataReads(
                    ListPersonalDataReadsRequest()
                ),
            }
            for name, call in calls.items():
                assert await code(call) == (None if name in allowed else DENIED), (role, name)


async def test_a_denial_names_the_role(as_role: Connect) -> None:
    async with as_role("analytics") as stubs:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stubs.profiles.UpsertContacts(UpsertContactsRequest())
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(raised.value).details[0].Unpack(info)  # type: ignore[union-attr]
    assert (info.reason, dict(info.metadata)) == ("ROLE_DENIED", {"role": "analytics"})


async def test_a_token_of_nobody_is_refused(as_role: Connect) -> None:
    async with as_role("somebody else") as stubs:
        status = await code(stubs.profiles.ListContacts(ListContactsRequest()))
    assert status == grpc.StatusCode.UNAUTHENTICATED


def test_a_field_that_nobody_decided_about_is_withheld_from_every_role() -> None:
    decided = roles.ALWAYS | roles.INTERNAL.fields | {"withheld_fields"}
    assert set(Contact.DESCRIPTOR.fields_by_name) == decided
