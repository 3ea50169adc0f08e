"""What a segment would be, before it is saved."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest

from chassis.testing import wait_until
from merhaba.profile.v1 import Attribute
from merhaba.segment.v1 import (
    CreateSegmentRequest,
    Preview,
    PreviewSegmentRequest,
    PreviewSegmentResponse,
    PreviewWarning,
    Segment,
)
from services.segment.defining.estimate import Estimate, wilson

KINDS = PreviewWarning


async def previewed(suite: Any, expression: str, **fields: Any) -> PreviewSegmentResponse:
    """The last response."""
    request = PreviewSegmentRequest(expression=expression, **fields)
    return [one async for one in suite.segments.PreviewSegment(request)][-1]


def lives_in(suite: Any, city: str, number: int) -> list[str]:
    """So many people of a city, whom profile knows."""
    time = suite.tracked(str(uuid4()), "x").event_time
    people = [str(uuid4()) for _ in range(number)]
    for one in people:
        fact = Attribute(name="city", value_json=f'"{city}"'.encode(), change_time=time)
        suite.profile.facts[one] = [fact]
    return people


def kinds(preview: Preview) -> list[int]:
    return [one.kind for one in preview.warnings]


async def test_a_preview_counts_everybody_of_whom_the_rule_holds_and_saves_nothing(
    suite: Any,
) -> None:
    izmir = lives_in(suite, "Izmir", 3)
    lives_in(suite, "Ankara", 5)
    viewed = 'events("product_viewed").within("24h").count() >= 2'
    for ago in (1, 2, 3):
        view = suite.tracked(izmir[0], "product_viewed", ago=timedelta(hours=ago))
        suite.profile.events.setdefault(izmir[0], []).append(view)
    found = await previewed(suite, 'profile.city == "Izmir"')
    preview = found.preview
    assert found.exact
    assert (preview.member_count, preview.passed_count, preview.total_count) == (3, 8, 8)
    assert preview.share == preview.share_low == preview.share_high == 3 / 8
    assert set(preview.sample_contact_ids) == set(izmir)
    found = await previewed(suite, f'{viewed} && profile.city == "Izmir"', sample_size=1)
    assert list(found.preview.sample_contact_ids) == [izmir[0]]
    assert kinds(found.preview) == [KINDS.KIND_TOO_SMALL]
    assert not await suite.pool.fetchval("SELECT count(*) FROM contact_states")
    assert not await suite.pool.fetchval("SELECT count(*) FROM segments")


async def test_a_preview_tells_what_is_common_with_other_segments(suite: Any) -> None:
    izmir = lives_in(suite, "Izmir", 4)
    lives_in(suite, "Ankara", 6)
    made = Segment(name="izmir", expression='profile.city == "Izmir"')
    answer = await suite.segments.CreateSegment(CreateSegmentRequest(segment=made))
    other = answer.segment.segment_id
    await suite.hear(*(suite.tracked(one, "x", changes=[("city", '"Izmir"')]) for one in izmir))
    nearly = (await previewed(suite, 'profile.city.startsWith("Iz")')).preview
    (overlap,) = nearly.overlaps
    assert (overlap.segment_id, overlap.name, overlap.common_count) == (other, "izmir", 4)
    assert (overlap.share, overlap.other_share) == (1.0, 1.0)
    assert kinds(nearly) == [KINDS.KIND_TOO_SMALL, KINDS.KIND_NEARLY_EQUAL]
    assert nearly.warnings[1].segment_id == other
    within = (await previewed(suite, 'segment("izmir") || profile.city == "Ankara"')).preview
    assert (within.member_count, within.overlaps[0].share) == (10, 0.4)
    assert kinds(within) == [KINDS.KIND_TRIVIAL, KINDS.KIND_TOO_SMALL]
    nobody = (await previewed(suite, 'profile.city == "Paris"')).preview
    assert (nobody.member_count, kinds(nobody)) == (0, [KINDS.KIND_TRIVIAL])
    own = (await previewed(suite, 'profile.city == "Izmir"', segment_id=other)).preview
    assert not own.overlaps


async def test_a_preview_warns_when_less_history_is_kept_than_the_rule_looks_at(
    suite: Any,
) -> None:
    lives_in(suite, "Izmir", 3)
    suite.profile.oldest = {"product_viewed": suite.now - timedelta(days=30)}

    async def warned(expression: str) -> list[str]:
        preview = (await previewed(suite, expression)).preview
        short = KINDS.KIND_HISTORY_TOO_SHORT
        return [one.message for one in preview.warnings if one.kind == short]

    views = 'events("product_viewed")'
    assert await warned(f'{views}.within("30d").exists()') == []
    assert await warned('events("order_completed").within("90d").exists()') == []
    message = "`product_viewed` is kept for 30 days, and the rule looks further back"
    assert await warned(f'{views}.within("31d").exists() || profile.age > 3') == [message]
    assert await warned(f"{views}.count() > 3") == [message]


async def test_somebody_whose_data_may_not_be_used_is_in_no_preview(suite: Any) -> None:
    one, _ = lives_in(suite, "Izmir", 2)
    suite.profile.restricted.add(one)
    assert (await previewed(suite, 'profile.city == "Izmir"')).preview.member_count == 1


async def test_a_sample_of_a_large_base_says_its_interval(suite: Any) -> None:
    lives_in(suite, "Izmir", 300)
    lives_in(suite, "Ankara", 900)
    found = await previewed(
        suite, 'profile.city == "Izmir"', mode=PreviewSegmentRequest.MODE_SAMPLE
    )
    preview = found.preview
    assert not found.exact
    assert preview.passed_count < 300
    assert preview.total_count == 1_200
    assert preview.share_low < preview.share < preview.share_high
    assert preview.member_count == round(preview.share * 1_200)
    whole = await previewed(suite, 'profile.city == "Izmir"')
    assert (whole.exact, whole.preview.member_count) == (True, 300)
    assert whole.preview.passed_count == 1_200


async def test_a_preview_ends_when_its_caller_goes_away(suite: Any) -> None:
    suite.profile.stalls = True
    rule = 'events("product_viewed").exists()'
    call = suite.segments.PreviewSegment(PreviewSegmentRequest(expression=rule))
    reading = asyncio.create_task(call.read())
    await wait_until(lambda: suite.profile.stalled == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await wait_until(lambda: suite.profile.stalled == 0)


async def test_a_preview_refuses_what_a_segment_would_refuse(suite: Any) -> None:
    made = Segment(name="a", expression="profile.age > 3")
    await suite.segments.CreateSegment(CreateSegmentRequest(segment=made))
    for expression in ("profile.agee > 3", "profile.age", "", 'segment("b")'):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await previewed(suite, expression)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    suite.profile.away = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await previewed(suite, "profile.age > 3")
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_the_interval_is_wilsons() -> None:
    low, high = wilson(10, 100)
    assert (round(low, 4), round(high, 4)) == (0.0552, 0.1744)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(0, 50)
    assert low == 0.0
    assert 0.07 < high < 0.075


def test_the_sample_and_the_overlaps_are_bounded() -> None:
    estimate = Estimate(sample_size=2, total=100)
    ids = [str(n) for n in range(5)]
    estimate.add(10, ids, {f"s{n}": (5, n % 5) for n in range(40)})
    estimate.add(10, ids, {})
    assert estimate.sample == ["0", "1"]
    assert len(estimate.overlaps()) == 20
    assert estimate.overlaps()[0].common == 4
    assert estimate.scaled(10) == 50
