"""What can be known of people, over gRPC: attributes, events, rules of stages."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.answers import Answers
from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.postgres import Pool
from chassis.rpc import server
from merhaba.event.v1 import AttributeChange, Event, Identity
from merhaba.profile.v1 import (
    AttributeType,
    ContactAttributes,
    ContactRef,
    ContactUpsert,
    EventType,
    GetContactRequest,
    GetStageRulesRequest,
    ListAttributesRequest,
    ListEventTypesRequest,
    ProfileServiceStub,
    RegisterAttributeRequest,
    RegisterEventTypeRequest,
    RegistryServiceStub,
    SetAttributesRequest,
    StageRule,
    StageRules,
    UpdateStageRulesRequest,
    UpsertContactsRequest,
)
from merhaba.profile.v1.profile_service_pb2_grpc import add_ProfileServiceServicer_to_server
from merhaba.profile.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from services.profile.api.contacts import ProfileApi
from services.profile.api.registry import RegistryApi
from services.profile.jobs.consumer import recording
from services.profile.jobs.recompute import Recompute
from services.profile.person.directory import Directory
from services.profile.person.identity import normalised
from services.profile.tables.reads import Reads
from services.profile.tables.registry import RegistryStore
from services.profile.tests.rpc import TOKEN, reached


class Stubs(NamedTuple):
    profiles: ProfileServiceStub
    registry: RegistryServiceStub


@pytest.fixture
async def stubs(
    profile_api: ProfileApi,
    directory: Directory,
    reads: Reads,
    registry: RegistryStore,
    recompute: Recompute,
    pool: Pool,
    manual_clock: ManualClock,
) -> AsyncIterator[Stubs]:
    answers = Answers(pool, manual_clock)
    own = server("profile", TOKEN)
    add_ProfileServiceServicer_to_server(profile_api, own)
    add_RegistryServiceServicer_to_server(RegistryApi(registry, recompute, answers), own)
    async with reached(own, reads) as opened:
        yield Stubs(ProfileServiceStub(opened), RegistryServiceStub(opened))


def info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    found = error_details_pb2.ErrorInfo()
    rpc_status.from_call(error).details[0].Unpack(found)  # type: ignore[union-attr]
    return found


def name_of(prefix: str = "a") -> str:
    return fresh_id(prefix)


def external() -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=fresh_id("c"))


async def told(stubs: Stubs, name: str, json: bytes, time: datetime | None = None) -> str:
    """What becomes of an attribute that a caller says of somebody new."""
    change = AttributeChange(name=name, value_json=json, change_time=time)
    upsert = ContactUpsert(identities=[external()], attributes=[change])
    (result,) = (
        await stubs.profiles.UpsertContacts(UpsertContactsRequest(contacts=[upsert]))
    ).results
    return result.failure.message or result.contact_id


async def has(stubs: Stubs, contact_id: str) -> dict[str, bytes]:
    request = GetContactRequest(contact=ContactRef(contact_id=contact_id))
    contact = (await stubs.profiles.GetContact(request)).contact
    return {one.name: one.value_json for one in contact.attributes}


async def track(
    directory: Directory, clock: ManualClock, json: bytes, time: int = 1_000
) -> Identity:
    who = external()
    event = Event(event_id=fresh_id("e"), source="track:shop", identities=[who])
    event.event_time.seconds = event.received_time.seconds = time
    event.identified.traits_json = json
    await recording(directory, clock, "g")([event.SerializeToString()])
    return who


async def registered(stubs: Stubs, name: str) -> AttributeType:
    request = ListAttributesRequest(name_prefix=name)
    (found,) = (await stubs.registry.ListAttributes(request)).attribute_types
    return found


async def register(stubs: Stubs, given: AttributeType, *paths: str) -> AttributeType:
    request = RegisterAttributeRequest(
        attribute_type=given, update_mask=FieldMask(paths=paths) if paths else None
    )
    return (await stubs.registry.RegisterAttribute(request)).attribute_type


async def test_what_is_built_in_is_listed_with_its_meaning(stubs: Stubs) -> None:
    found: list[AttributeType] = []
    request = ListAttributesRequest(page_size=20, name_prefix="traits.")
    while True:
        page = await stubs.registry.ListAttributes(request)
        assert len(page.attribute_types) <= 20
        found += page.attribute_types
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    names = [one.name for one in found]
    assert names == sorted(set(names))
    assert {"traits.order_count", "traits.sentiment", "traits.engagement"} <= set(names)
    assert all(one.computed and one.description and one.type for one in found)
    events = (await stubs.registry.ListEventTypes(ListEventTypesRequest())).event_types
    built_in = {one.name: one for one in events if one.built_in}
    assert built_in["order_completed"].properties["total"] == AttributeType.TYPE_NUMBER
    assert all(one.description for one in built_in.values())


async def test_a_registered_attribute_takes_values_of_its_type_only(stubs: Stubs) -> None:
    name = name_of()
    assert "register it" in await told(stubs, name, b"5")
    await register(stubs, AttributeType(name=name, type=AttributeType.TYPE_INTEGER))
    assert "of type INTEGER" in await told(stubs, name, b'"5"')
    assert await has(stubs, await told(stubs, name, b"5")) == {name: b"5"}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("STRING", b'"x"', b"1"),
        ("NUMBER", b"1", b'"1"'),
        ("NUMBER", b"1.5", b"true"),
        ("BOOLEAN", b"true", b"1"),
        ("TIMESTAMP", b'"2026-01-31T09:00:00Z"', b'"tomorrow"'),
        ("DATE", b'"1990-05-17"', b'"17.05.1990"'),
        ("STRING_LIST", b'["a"]', b'["a", 1]'),
        ("NUMBER_LIST", b"[1, 2.5]", b'["a"]'),
        ("NUMBER_MAP", b'{"a": 1}', b'{"a": "b"}'),
        ("LOCATION", b'{"latitude": 1, "longitude": 2}', b'{"latitude": 1}'),
        ("JSON", b'{"a": ["b"]}', None),
    ],
)
async def test_every_type_knows_its_values(
    stubs: Stubs, kind: str, good: bytes, bad: bytes | None
) -> None:
    name = name_of()
    given = AttributeType(name=name, type=f"TYPE_{kind}")  # type: ignore[arg-type]  # names are accepted
    await register(stubs, given)
    assert await has(stubs, await told(stubs, name, good)) == {name: good.replace(b" ", b"")}
    if bad is not None:
        assert f"of type {kind}" in await told(stubs, name, bad)


async def test_only_allowed_values_are_allowed(stubs: Stubs) -> None:
    name = name_of()
    given = AttributeType(
        name=name, type=AttributeType.TYPE_STRING, allowed_values=['"gold"', '"silver"']
    )
    assert list((await register(stubs, given)).allowed_values) == ['"gold"', '"silver"']
    assert await has(stubs, await told(stubs, name, b'"gold"'))
    assert 'one of "gold", "silver"' in await told(stubs, name, b'"bronze"')
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await register(stubs, AttributeType(name=name, allowed_values=["1"]))
    assert info(raised.value).metadata["field"] == "attribute_type.type"


async def test_what_trackers_send_is_registered_as_it_is_seen(
    stubs: Stubs, directory: Directory, manual_clock: ManualClock
) -> None:
    name = name_of()
    await track(directory, manual_clock, b'{"%s": 3}' % name.encode())
    assert (await registered(stubs, name)).type == AttributeType.TYPE_INTEGER
    await track(directory, manual_clock, b'{"%s": 3.5}' % name.encode())
    assert (await registered(stubs, name)).type == AttributeType.TYPE_NUMBER
    await track(directory, manual_clock, b'{"%s": "a lot"}' % name.encode())
    assert (await registered(stubs, name)).type == AttributeType.TYPE_JSON
    assert await has(stubs, await told(stubs, name, b"[]")) == {name: b"[]"}


async def test_a_trackers_value_of_another_type_is_left_out_and_costs_nothing_else(
    stubs: Stubs, directory: Directory, manual_clock: ManualClock
) -> None:
    who = await track(directory, manual_clock, b'{"city": "Bursa", "age": "old", "stage": "x"}')
    contact_id = await directory.resolve([normalised(who.kind, who.scope, who.value)])
    assert await has(stubs, contact_id) == {"city": b'"Bursa"'}


async def test_the_type_of_what_has_values_stays(stubs: Stubs) -> None:
    name = name_of()
    await register(stubs, AttributeType(name=name, type=AttributeType.TYPE_INTEGER))
    await register(stubs, AttributeType(name=name, type=AttributeType.TYPE_STRING))
    await told(stubs, name, b'"x"')
    for kind in (name, "city", "traits.order_count"):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await register(stubs, AttributeType(name=kind, type=AttributeType.TYPE_BOOLEAN))
        assert info(raised.value).reason == "TYPE_IN_USE"
    assert info(raised.value).metadata == {"name": "traits.order_count", "type": "INTEGER"}


async def test_a_registration_is_changed_field_by_field(stubs: Stubs) -> None:
    name = name_of()
    first = await register(
        stubs,
        AttributeType(name=name, type=AttributeType.TYPE_STRING, description="a", category="b"),
    )
    second = await register(
        stubs,
        AttributeType(name=name, type=AttributeType.TYPE_STRING, personal=True, etag=first.etag),
    )
    assert (second.description, second.category, second.personal) == ("a", "b", True)
    third = await register(
        stubs, AttributeType(name=name, type=AttributeType.TYPE_STRING), "description", "personal"
    )
    assert (third.description, third.category, third.personal) == ("", "b", False)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await register(
            stubs, AttributeType(name=name, type=AttributeType.TYPE_STRING, etag=first.etag)
        )
    assert raised.value.code() == grpc.StatusCode.ABORTED
    assert info(raised.value).metadata["etag"] == third.etag


@pytest.mark.parametrize(
    "given",
    [
        AttributeType(name="Bad Name", type=AttributeType.TYPE_STRING),
        AttributeType(name="good"),
        AttributeType(name="traits.own", type=AttributeType.TYPE_STRING),
        AttributeType(
            name="good", type=AttributeType.TYPE_STRING, max_age_duration=Duration(seconds=-1)
        ),
        AttributeType(name="good", type=AttributeType.TYPE_STRING, allowed_values=["no json"]),
    ],
)
async def test_a_registration_that_cannot_be_is_refused(stubs: Stubs, given: AttributeType) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await register(stubs, given)
    assert info(raised.value).reason == "FIELD_INVALID"


async def test_what_is_computed_cannot_be_told(stubs: Stubs) -> None:
    assert "computed" in await told(stubs, "stage", b'"vip"')
    assert "computed" in await told(stubs, "traits.order_count", b"7")


async def test_a_value_that_is_too_old_is_not_there(
    stubs: Stubs, manual_clock: ManualClock
) -> None:
    name = name_of()
    age = Duration(seconds=3 * 86_400)
    given = AttributeType(name=name, type=AttributeType.TYPE_NUMBER, max_age_duration=age)
    await register(stubs, given)
    young, old = (manual_clock.now() - timedelta(days=days) for days in (2, 4))
    assert await has(stubs, await told(stubs, name, b"0.9", young)) == {name: b"0.9"}
    contact_id = await told(stubs, name, b"0.9", old)
    assert await has(stubs, contact_id) == {}
    change = AttributeChange(name=name, value_json=b"0.1")
    await stubs.profiles.SetAttributes(
        SetAttributesRequest(
            contacts=[
                ContactAttributes(contact=ContactRef(contact_id=contact_id), attributes=[change])
            ]
        )
    )
    assert await has(stubs, contact_id) == {name: b"0.1"}


async def test_every_value_says_since_when_it_holds_and_when_it_was_last_confirmed(
    stubs: Stubs, directory: Directory, manual_clock: ManualClock
) -> None:
    who = external()
    for city, time in (("Izmir", 100), ("Bursa", 300), ("Bursa", 500), ("Bursa", 400)):
        event = Event(event_id=fresh_id("e"), source="track:shop", identities=[who])
        event.event_time.seconds = event.received_time.seconds = time
        event.identified.traits_json = b'{"city": "%s"}' % city.encode()
        await recording(directory, manual_clock, "g")([event.SerializeToString()])
    request = GetContactRequest(contact=ContactRef(identity=who))
    (city_,) = (await stubs.profiles.GetContact(request)).contact.attributes
    assert city_.value_json == b'"Bursa"'
    assert (city_.change_time.seconds, city_.confirm_time.seconds) == (300, 500)


async def test_events_are_registered_and_say_when_one_was_last_seen(
    stubs: Stubs, directory: Directory, manual_clock: ManualClock, registry: RegistryStore
) -> None:
    name, seen = name_of("booked"), name_of("seen")
    given = EventType(
        name=name, description="A table", properties={"seats": AttributeType.TYPE_INTEGER}
    )
    request = RegisterEventTypeRequest(event_type=given)
    first = (await stubs.registry.RegisterEventType(request)).event_type
    assert (first.description, first.built_in) == ("A table", False)
    for time, what in ((1_000, name), (125, name), (70, seen)):
        event = Event(event_id=fresh_id("e"), source="track:shop", identities=[external()])
        event.event_time.seconds = event.received_time.seconds = time
        event.tracked.name = what
        await recording(directory, manual_clock, "g")([event.SerializeToString()])
    await registry.flush()
    found = await stubs.registry.ListEventTypes(ListEventTypesRequest(name_prefix=name))
    assert found.event_types[0].last_event_time.seconds == 960
    found = await stubs.registry.ListEventTypes(ListEventTypesRequest(name_prefix=seen))
    assert found.event_types[0].last_event_time.seconds == 60
    given.properties["seats"] = AttributeType.TYPE_STRING
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stubs.registry.RegisterEventType(RegisterEventTypeRequest(event_type=given))
    assert info(raised.value).reason == "TYPE_IN_USE"


async def test_rules_of_stages_have_versions(stubs: Stubs) -> None:
    shipped = (await stubs.registry.GetStageRules(GetStageRulesRequest(version=1))).stage_rules
    assert [one.stage for one in shipped.rules] == [
        "lapsed",
        "loyalty",
        "purchase",
        "consideration",
    ]
    assert all(one.description for one in shipped.rules)
    now = (await stubs.registry.GetStageRules(GetStageRulesRequest())).stage_rules
    plan = name_of("plan")
    new = StageRules(
        rules=[StageRule(stage="vip", expression=f'profile.plan == "{plan}"'), *shipped.rules],
        default_stage="awareness",
        etag=now.etag,
    )
    request = UpdateStageRulesRequest(stage_rules=new, validate_only=True)
    checked = (await stubs.registry.UpdateStageRules(request)).stage_rules
    assert checked.version == now.version + 1
    assert (await stubs.registry.GetStageRules(GetStageRulesRequest())).stage_rules == now
    request = UpdateStageRulesRequest(stage_rules=new, request_id=fresh_id("r"))
    updated = (await stubs.registry.UpdateStageRules(request)).stage_rules
    assert updated.version == now.version + 1
    assert (await stubs.registry.UpdateStageRules(request)).stage_rules == updated
    assert (await stubs.registry.GetStageRules(GetStageRulesRequest())).stage_rules == updated
    old = GetStageRulesRequest(version=now.version)
    assert (await stubs.registry.GetStageRules(old)).stage_rules == now
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stubs.registry.UpdateStageRules(UpdateStageRulesRequest(stage_rules=new))
    assert info(raised.value).reason == "ETAG_MISMATCH"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stubs.registry.GetStageRules(GetStageRulesRequest(version=999_999))
    assert info(raised.value).reason == "STAGE_RULES_NOT_FOUND"
    contact_id = await told(stubs, "plan", b'"%s"' % plan.encode())
    got = GetContactRequest(contact=ContactRef(contact_id=contact_id))
    assert (await stubs.profiles.GetContact(got)).contact.stage.stage == "vip"


async def test_a_rule_that_cannot_be_says_where(stubs: Stubs) -> None:
    given = StageRules(
        rules=[StageRule(stage="a", expression="traits.order_cuont > 1")], default_stage="b"
    )
    for check_only in (True, False):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stubs.registry.UpdateStageRules(
                UpdateStageRulesRequest(stage_rules=given, validate_only=check_only)
            )
        found = info(raised.value)
        assert (found.reason, raised.value.code()) == (
            "EXPRESSION_INVALID",
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        assert found.metadata["field"] == "stage_rules.rules[0].expression"
        assert (found.metadata["offset"], found.metadata["column"]) == ("7", "8")
        assert found.metadata["suggestion"].split(", ")[0] == "order_count"
        assert (found.metadata["length"], found.metadata["expected"]) == (
            "11",
            "the name of a trait",
        )
        assert found.metadata["problem"].startswith("unknown trait `order_cuont`")
