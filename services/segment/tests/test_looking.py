"""Members of a former moment, why somebody is one, and transitions as they happen."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from merhaba.event.v1 import ConsentChanged, ContactMerged, Event
from merhaba.segment.v1 import (
    ArchiveSegmentRequest,
    CreateSegmentRequest,
    ExplainMembershipRequest,
    ListMembersRequest,
    Segment,
    StreamMembersRequest,
    UpdateSegmentRequest,
    WatchTransitionsRequest,
)

ACTIVE = 'events("product_viewed").within("24h").exists()'
HOUR = timedelta(hours=1)


def person() -> str:
    return str(uuid4())


async def make(suite: Any, name: str, expression: str, **fields: Any) -> Segment:
    request = CreateSegmentRequest(segment=Segment(name=name, expression=expression), **fields)
    return (await suite.segments.CreateSegment(request)).segment


def at(suite: Any, ago: timedelta) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(suite.now - ago)
    return found


async def members(suite: Any, segment: Segment, ago: timedelta) -> set[str]:
    """By list and by stream, which have to agree; in pages of one."""
    moment = at(suite, ago)
    listed: set[str] = set()
    request = ListMembersRequest(segment_id=segment.segment_id, moment_time=moment, page_size=1)
    while True:
        page = await suite.segments.ListMembers(request)
        listed |= {one.contact_id for one in page.members}
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    streamed = StreamMembersRequest(segment_id=segment.segment_id, moment_time=moment)
    found = [r async for r in suite.segments.StreamMembers(streamed)]
    assert listed == {m.contact_id for r in found for m in r.members}
    assert found[-1].total_count == page.total_count == len(listed)
    return listed


async def refused(call: Any) -> tuple[str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(caught.value).details[0].Unpack(info)
    return info.reason, dict(info.metadata)


async def test_members_of_a_former_moment_are_exactly_those_of_that_instant(suite: Any) -> None:
    segment = await make(suite, "active", ACTIVE)
    early, late, twice = person(), person(), person()
    await suite.hear(*(suite.tracked(one, "product_viewed") for one in (early, twice)))
    await suite.pass_time(hours=30)
    await suite.hear(*(suite.tracked(one, "product_viewed") for one in (late, twice)))
    await suite.pass_time(hours=30)
    # 60 hours ago two looked at something, 30 hours ago two
    second = timedelta(seconds=1)
    assert await members(suite, segment, 60 * HOUR) == {early, twice}
    assert await members(suite, segment, 36 * HOUR + second) == {early, twice}
    assert await members(suite, segment, 36 * HOUR) == set()
    assert await members(suite, segment, 30 * HOUR + second) == set()
    assert await members(suite, segment, 30 * HOUR) == {late, twice}
    assert await members(suite, segment, timedelta()) == set()
    await suite.stays.forget()
    assert await members(suite, segment, 60 * HOUR) == {early, twice}


async def test_moments_of_which_members_are_not_known_are_refused(suite: Any) -> None:
    segment = await make(suite, "active", ACTIVE)

    async def asked(ago: timedelta) -> tuple[str, dict[str, str]]:
        request = ListMembersRequest(segment_id=segment.segment_id, moment_time=at(suite, ago))
        return await refused(suite.segments.ListMembers(request))

    reason, facts = await asked(HOUR)
    assert (reason, facts["oldest_time"]) == ("HISTORY_TOO_SHORT", "2026-11-22T09:00:00Z")
    assert (await asked(-HOUR))[0] == "FIELD_INVALID"
    await suite.pass_time(hours=24 * 100)
    assert (await asked(timedelta(days=91)))[0] == "HISTORY_TOO_SHORT"


async def test_who_was_merged_or_whose_segment_ended_was_a_member_until_then(suite: Any) -> None:
    segment = await make(suite, "active", ACTIVE)
    stays, goes = person(), person()
    await suite.hear(suite.tracked(stays, "product_viewed"), suite.tracked(goes, "product_viewed"))
    await suite.pass_time(hours=1)
    await suite.hear(
        Event(
            event_id=f"merge/{goes}",
            event_time=at(suite, timedelta()),
            contact_id=stays,
            contact_merged=ContactMerged(absorbed_contact_id=goes, member_contact_ids=[goes]),
        )
    )
    await suite.pass_time(hours=1)
    assert await members(suite, segment, 2 * HOUR) == {stays, goes}
    assert await members(suite, segment, HOUR / 2) == {stays}
    await suite.segments.ArchiveSegment(ArchiveSegmentRequest(segment_id=segment.segment_id))
    await suite.pass_time(hours=1)
    assert await members(suite, segment, 2 * HOUR) == {stays}
    assert await members(suite, segment, timedelta()) == set()


async def test_every_part_of_a_rule_is_explained_with_what_made_it_so(suite: Any) -> None:
    await make(suite, "local", 'profile.city == "Izmir"')
    rule = (
        f'{ACTIVE} && (segment("local") || consent("marketing"))'
        ' && events("product_viewed").last().category == "shoes"'
    )
    segment = await make(suite, "keen", rule)
    one = person()
    view = suite.tracked(one, "product_viewed", '{"category": "shoes"}', ago=HOUR)
    city = suite.tracked(one, "x", changes=[("city", '"Izmir"')])
    agreed = suite.tracked(one, "x")
    agreed.consent_changed.CopyFrom(ConsentChanged(purpose="marketing", granted=True))
    await suite.hear(view, city, agreed)
    suite.profile.events[one] = [view]
    request = ExplainMembershipRequest(contact_id=one, segment_id=segment.segment_id)
    told = await suite.segments.ExplainMembership(request)
    assert told.membership.member
    root = told.explanation.root
    assert (root.text, root.value_json) == (rule, b"true")
    viewed, either, category = root.clauses
    assert (viewed.text, viewed.offset, viewed.value_json) == (ACTIVE, 0, b"true")
    assert (viewed.cause.event_id, viewed.cause.name) == (view.event_id, "product_viewed")
    assert viewed.cause.event_time == view.event_time
    assert viewed.next_change_time.seconds == view.event_time.seconds + 86_400
    assert told.explanation.next_change_time == viewed.next_change_time
    assert [c.text for c in either.clauses] == ['segment("local")', 'consent("marketing")']
    assert [c.skipped for c in either.clauses] == [False, True]
    assert [c.cause.name for c in either.clauses] == ["segment.local", "consent_changed"]
    assert orjson.loads(category.clauses[0].value_json) == "shoes"
    assert category.clauses[0].cause.event_id == view.event_id


async def test_a_former_moment_is_explained_as_far_as_all_that_counted_is_known(suite: Any) -> None:
    segment = await make(suite, "keen", f'{ACTIVE} && profile.city == "Izmir"')
    one = person()
    await suite.hear(suite.tracked(one, "x", changes=[("city", '"Izmir"')]))
    await suite.pass_time(minutes=10)
    await suite.hear(suite.tracked(one, "product_viewed"))
    await suite.pass_time(minutes=10)

    def request(minutes: int) -> ExplainMembershipRequest:
        return ExplainMembershipRequest(
            contact_id=one,
            segment_id=segment.segment_id,
            moment_time=at(suite, timedelta(minutes=minutes)),
        )

    told = await suite.segments.ExplainMembership(request(15))
    assert told.explanation.root.value_json == b"false"
    assert [c.value_json for c in told.explanation.root.clauses] == [b"false", b"true"]
    assert (await suite.segments.ExplainMembership(request(5))).explanation.root.value_json == (
        b"true"
    )
    reason, facts = await refused(suite.segments.ExplainMembership(request(21)))
    assert (reason, facts["oldest_time"]) == ("HISTORY_TOO_SHORT", "2026-11-22T09:00:00Z")


async def test_transitions_are_watched_chosen_and_resumed(suite: Any) -> None:
    active = await make(suite, "active", ACTIVE)
    await make(suite, "shopper", 'events("order_completed").exists()')
    one, other = person(), person()
    request = WatchTransitionsRequest(segment_ids=[active.segment_id], contact_ids=[one, other])
    call = suite.segments.WatchTransitions(request)
    assert not (await call.read()).transitions, "the first tells where the stream begins"
    await suite.hear(
        suite.tracked(one, "product_viewed"),
        suite.tracked(one, "order_completed"),
        suite.tracked(person(), "product_viewed"),
    )

    async def next_of(call: Any) -> Any:
        async with asyncio.timeout(10):
            while not (found := await call.read()).transitions:
                pass
            return found

    found = await next_of(call)
    (entered,) = found.transitions
    assert (entered.contact_id, entered.segment_entered.segment_id) == (one, active.segment_id)
    call.cancel()
    await suite.hear(suite.tracked(other, "product_viewed"))
    request.cursor = found.cursor
    again = suite.segments.WatchTransitions(request)
    (entered,) = (await next_of(again)).transitions
    assert entered.contact_id == other
    again.cancel()
    request.segment_ids[:] = []
    reason, _ = await refused(suite.segments.WatchTransitions(request).read())
    assert reason == "TOKEN_INVALID"
    reason, _ = await refused(
        suite.segments.WatchTransitions(WatchTransitionsRequest(segment_ids=["seg_no"])).read()
    )
    assert reason == "SEGMENT_NOT_FOUND"


async def test_a_repeated_request_gets_the_first_answer(suite: Any) -> None:
    made = await make(suite, "a", ACTIVE, request_id="r1")
    change = Segment(segment_id=made.segment_id, display_name="Etkin", etag=made.etag)
    update = UpdateSegmentRequest(request_id="r2", segment=change)
    first = await suite.segments.UpdateSegment(update)
    assert (await suite.segments.UpdateSegment(update)) == first
    update.segment.display_name = "Other"
    assert (await refused(suite.segments.UpdateSegment(update)))[0] == "REQUEST_ID_REUSED"
    archive = ArchiveSegmentRequest(request_id="r3", segment_id=made.segment_id)
    assert (await suite.segments.ArchiveSegment(archive)) == (
        await suite.segments.ArchiveSegment(archive)
    )
    named = Segment(name="b", expression=ACTIVE, definition_name="nothing")
    call = suite.segments.CreateSegment(CreateSegmentRequest(segment=named))
    assert (await refused(call))[1]["field"] == "segment.definition_name"
