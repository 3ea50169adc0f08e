"""Callers see of a person what their role allows, in explanations too."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import grpc
import orjson
import pytest

from chassis.rpc import channel
from merhaba.profile.v1 import AttributeType
from merhaba.segment.v1 import (
    CheckExpressionRequest,
    CheckMembershipRequest,
    Clause,
    CreateSegmentRequest,
    ExplainMembershipRequest,
    ExplainMembershipResponse,
    ListOccurrencesRequest,
    PreviewSegmentRequest,
    Segment,
    SegmentServiceStub,
    TriggerServiceStub,
)

DENIED = grpc.StatusCode.PERMISSION_DENIED
Connect = Callable[[str], AbstractAsyncContextManager[Any]]
VIEWED = 'events("product_viewed").within("24h").exists()'


@pytest.fixture
def as_role(suite: Any) -> Connect:
    """A channel of a caller with a role."""

    @asynccontextmanager
    async def connect(role: str) -> AsyncIterator[Any]:
        async with channel(suite.target, role) as opened:
            yield opened

    return connect


async def code(call: Any) -> grpc.StatusCode | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def make(suite: Any, expression: str) -> Segment:
    suite.registered.attributes += [
        AttributeType(name="city", type=AttributeType.TYPE_STRING),
        AttributeType(name="birthday", type=AttributeType.TYPE_DATE, personal=True),
        AttributeType(name="first_name", type=AttributeType.TYPE_STRING, personal=True),
        AttributeType(name="stage", type=AttributeType.TYPE_STRING),
        AttributeType(name="tags", type=AttributeType.TYPE_STRING_LIST),
    ]
    request = CreateSegmentRequest(segment=Segment(name="s", expression=expression))
    return (await suite.segments.CreateSegment(request)).segment


async def somebody(suite: Any) -> str:
    one = str(uuid4())
    facts = [("city", '"Izmir"'), ("birthday", '"1990-11-22"'), ("first_name", '"Ada"')]
    await suite.hear(
        suite.tracked(one, "product_viewed", changes=facts),
        suite.tracked(one, "x", changes=[("tags", '["Ada"]'), ("diagnosis", '"flu"')]),
    )
    return one


async def explained(
    as_role: Connect, role: str, contact: str, segment: Segment
) -> ExplainMembershipResponse:
    request = ExplainMembershipRequest(contact_id=contact, segment_id=segment.segment_id)
    async with as_role(role) as opened:
        return await SegmentServiceStub(opened).ExplainMembership(request)


def values(clause: Clause) -> Any:
    """The values of a clause's parts, by their text."""
    found: dict[str, Any] = {}
    for one in clause.clauses:
        found |= {one.text: orjson.loads(one.value_json), **values(one)}
    return found


async def test_values_that_a_role_may_not_see_are_masked_with_all_that_follows_from_them(
    suite: Any, as_role: Connect
) -> None:
    rule = f'profile.city == "Izmir" && (profile.first_name == "Ada" || {VIEWED})'
    segment = await make(suite, rule)
    one = await somebody(suite)
    told = await explained(as_role, "support", one, segment)
    assert values(told.explanation.root)["profile.first_name"] == "Ada"
    assert told.explanation.root.clauses[1].clauses[1].skipped
    for role in ("marketing", "analytics"):
        told = await explained(as_role, role, one, segment)
        root = told.explanation.root
        assert told.membership.member
        assert (root.text, root.value_json) == (rule, b'"***"')
        assert values(root) == {
            'profile.city == "Izmir"': True,
            "profile.city": "Izmir",
            f'profile.first_name == "Ada" || {VIEWED}': "***",
            'profile.first_name == "Ada"': "***",
            "profile.first_name": "***",
            VIEWED: "***",
        }
        city, either = root.clauses
        assert city.cause.name == "profile.city"
        assert not either.HasField("cause")
        assert not any(one.skipped for one in either.clauses)


async def test_when_something_changes_does_not_tell_what_is_hidden(
    suite: Any, as_role: Connect
) -> None:
    segment = await make(suite, "profile.birthday.isToday()")
    one = await somebody(suite)
    asked = CheckMembershipRequest(contact_ids=[one], segment_ids=[segment.segment_id])
    for role, seen in (("support", True), ("marketing", False), ("analytics", False)):
        told = await explained(as_role, role, one, segment)
        async with as_role(role) as opened:
            checked = (await SegmentServiceStub(opened).CheckMembership(asked)).memberships[0]
        assert checked == told.membership
        assert checked.member
        parts = (checked, told.explanation, told.explanation.root)
        assert [one.HasField("next_change_time") for one in parts] == [seen] * 3


async def test_what_is_compared_inside_a_list_is_looked_at_too(
    suite: Any, as_role: Connect
) -> None:
    segment = await make(suite, "profile.tags.exists(t, t == profile.first_name)")
    one = await somebody(suite)
    told = await explained(as_role, "marketing", one, segment)
    assert told.explanation.root.value_json == b'"***"'


async def test_an_attribute_that_nobody_registered_is_hidden(suite: Any, as_role: Connect) -> None:
    diagnosis = AttributeType(name="diagnosis", type=AttributeType.TYPE_STRING, personal=True)
    suite.registered.attributes.append(diagnosis)
    segment = await make(suite, 'profile.diagnosis == "flu" || stage() == "loyal"')
    one = await somebody(suite)
    await suite.pool.execute("DELETE FROM declared_names")
    told = await explained(as_role, "analytics", one, segment)
    assert values(told.explanation.root) == {
        'profile.diagnosis == "flu"': "***",
        "profile.diagnosis": "***",
        'stage() == "loyal"': False,
        "stage()": None,
    }


async def test_each_role_may_call_what_it_is_for_and_nothing_else(
    suite: Any, as_role: Connect
) -> None:
    segment = Segment(name="by-role", expression=VIEWED)
    expected = {
        "support": {"list"},
        "marketing": {"check", "create", "preview"},
        "analytics": {"check"},
    }
    for role, allowed in expected.items():
        async with as_role(role) as opened:
            segments, triggers = SegmentServiceStub(opened), TriggerServiceStub(opened)
            calls = {
                "check": segments.CheckExpression(CheckExpressionRequest(expression=VIEWED)),
                "create": segments.CreateSegment(CreateSegmentRequest(segment=segment)),
                "preview": segments.PreviewSegment(PreviewSegmentRequest(expression=VIEWED)).read(),
                "list": triggers.ListOccurrences(ListOccurrencesRequest(contact_id=str(uuid4()))),
            }
            for name, call in calls.items():
                assert await code(call) == (None if name in allowed else DENIED), (role, name)
    async with as_role("a stranger") as opened:
        call = SegmentServiceStub(opened).CheckExpression(CheckExpressionRequest())
        assert await code(call) == grpc.StatusCode.UNAUTHENTICATED
