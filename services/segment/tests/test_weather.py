"""Rules that look at the weather where somebody is."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from expressions import ExpressionError
from expressions import compile as compile_expression
from merhaba.event.v1 import Event, LocationPinged
from merhaba.profile.v1 import Attribute
from merhaba.segment.v1 import (
    Action,
    ArchiveSegmentRequest,
    CheckMembershipRequest,
    CreateSegmentRequest,
    CreateTriggerRequest,
    Segment,
    SendAction,
    Trigger,
    WeatherCause,
)
from services.segment.engine.cells import cell_of, point_of
from services.segment.failures import ServiceUnavailable
from services.segment.names import Names
from services.segment.weather import watch

IZMIR, ANKARA = (38.42, 27.14), (39.93, 32.86)
IN_IZMIR, IN_ANKARA = (38.5, 27.25), (40.0, 32.75)
HOT, COOL = {"temperature_c": 35.0}, {"temperature_c": 20.0}


def seen(suite: Any, contact_id: str, at: tuple[float, float], ago: float = 0) -> Event:
    """Somebody is there, and profile has said so."""
    time = (suite.now - timedelta(seconds=ago)).isoformat()
    changes = [("traits.last_location_time", f'"{time}"')]
    event: Event = suite.tracked(contact_id, "x", ago=timedelta(seconds=ago), changes=changes)
    event.location_pinged.CopyFrom(LocationPinged(latitude=at[0], longitude=at[1]))
    return event


async def settle(suite: Any) -> None:
    """Everything that there is to do about the weather now."""
    worked = True
    while worked:
        worked = await suite.weather.work()
        while await suite.fanouts.work():
            worked = True


async def later(suite: Any, **span: float) -> None:
    await suite.pass_time(**span)
    await settle(suite)


async def hot(suite: Any, name: str = "hot") -> Segment:
    expression = "weather().temperature_c >= 30.0"
    request = CreateSegmentRequest(segment=Segment(name=name, expression=expression))
    made = (await suite.segments.CreateSegment(request)).segment
    assert made.analysis.uses_weather
    return made


async def on_heat(suite: Any, name: str, condition: str = "", **cause: Any) -> Trigger:
    request = CreateTriggerRequest(
        trigger=Trigger(
            name=name,
            weather=WeatherCause(expression="weather().temperature_c >= 30.0", **cause),
            condition=condition,
            action=Action(
                send=SendAction(campaign_id="c1", parameters={"t": "weather().temperature_c"})
            ),
        )
    )
    return (await suite.triggers.CreateTrigger(request)).trigger


async def is_member(suite: Any, contact_id: str, segment: Segment) -> bool:
    request = CheckMembershipRequest(contact_ids=[contact_id], segment_ids=[segment.segment_id])
    return (await suite.segments.CheckMembership(request)).memberships[0].member


async def firings(suite: Any, contact_id: str) -> int:
    return (await suite.said(contact_id)).count("trigger_fired")


def test_a_cell_is_named_by_its_middle() -> None:
    assert cell_of(*IZMIR) == "38.50,27.25"
    assert point_of("38.50,27.25") == IN_IZMIR
    assert cell_of(0.1, -0.1) == cell_of(-0.1, 0.1) == "0.00,0.00"
    assert cell_of(10, 179.95) == cell_of(10, -179.95) == "10.00,-180.00"
    assert cell_of(90, 0) == "90.00,0.00"


async def test_who_is_in_the_heat_is_a_member_until_it_is_cool(suite: Any) -> None:
    warm = await hot(suite)
    here, there = str(uuid4()), str(uuid4())
    suite.sky.weather = {IN_IZMIR: HOT, IN_ANKARA: COOL}
    await suite.hear(seen(suite, here, IZMIR), seen(suite, there, ANKARA))
    await settle(suite)
    assert [await is_member(suite, one, warm) for one in (here, there)] == [True, False]
    suite.sky.weather = {IN_IZMIR: COOL, IN_ANKARA: HOT}
    await later(suite, minutes=29)
    assert await is_member(suite, here, warm), "not refreshed yet"
    await later(suite, minutes=2)
    assert [await is_member(suite, one, warm) for one in (here, there)] == [False, True]


async def test_each_cell_in_use_is_asked_for_once_per_refresh_and_several_at_once(
    suite: Any,
) -> None:
    await hot(suite)
    people = [str(uuid4()) for _ in range(9)]
    spots = [IZMIR, ANKARA, (41.0, 29.0)]
    await suite.hear(*(seen(suite, one, spots[i % 3]) for i, one in enumerate(people)))
    await settle(suite)
    assert sorted(map(len, suite.sky.asked)) == [1, 2], "two at once at most"
    await suite.hear(seen(suite, str(uuid4()), IZMIR))
    await settle(suite)
    assert len(suite.sky.asked) == 2
    await later(suite, minutes=31)
    assert len(suite.sky.asked) == 4


async def test_who_goes_elsewhere_has_the_weather_of_there(suite: Any) -> None:
    warm = await hot(suite)
    suite.sky.weather = {IN_IZMIR: HOT, IN_ANKARA: COOL}
    one, other = str(uuid4()), str(uuid4())
    await suite.hear(seen(suite, one, IZMIR), seen(suite, other, ANKARA))
    await settle(suite)
    await suite.clock.advance(timedelta(minutes=1))
    await suite.hear(seen(suite, one, ANKARA))
    await settle(suite)
    assert not await is_member(suite, one, warm)
    await suite.hear(seen(suite, one, IZMIR, ago=30))
    await settle(suite)
    assert not await is_member(suite, one, warm), "that was before"
    assert sum(map(len, suite.sky.asked)) == 2, "both cells were known"


async def test_a_trigger_is_caused_when_it_comes_to_be_so(suite: Any) -> None:
    await on_heat(suite, "heat", condition="!has(profile.city)")
    suite.sky.weather = {IN_IZMIR: COOL}
    one = str(uuid4())
    await suite.hear(seen(suite, one, IZMIR))
    await settle(suite)
    assert await firings(suite, one) == 0
    for weather, times in ((HOT, 1), ({"temperature_c": 36.0}, 1), (COOL, 1), (HOT, 2)):
        suite.sky.weather = {IN_IZMIR: weather}
        await later(suite, minutes=31)
        assert await firings(suite, one) == times
    assert await suite.said(one) == ["trigger_fired"] * 2, "nobody hears of the rule behind it"


async def test_a_location_that_is_too_old_for_a_trigger_is_not_looked_at(suite: Any) -> None:
    await on_heat(suite, "heat", max_location_age_duration=Duration(seconds=3_600))
    suite.sky.weather = {IN_IZMIR: COOL}
    stays, moves = str(uuid4()), str(uuid4())
    await suite.hear(seen(suite, stays, IZMIR), seen(suite, moves, IZMIR))
    await settle(suite)
    await later(suite, minutes=90)
    await suite.hear(seen(suite, moves, IZMIR))
    suite.sky.weather = {IN_IZMIR: HOT}
    await later(suite, minutes=31)
    assert (await firings(suite, stays), await firings(suite, moves)) == (0, 1)


async def test_of_whoever_was_not_seen_for_a_week_no_weather_is_known(suite: Any) -> None:
    warm = await hot(suite)
    suite.sky.weather = {IN_IZMIR: HOT}
    one = str(uuid4())
    await suite.hear(seen(suite, one, IZMIR))
    await settle(suite)
    assert await is_member(suite, one, warm)
    await later(suite, days=7, minutes=1)
    assert not await is_member(suite, one, warm)
    assert not await suite.pool.fetch("SELECT FROM whereabouts")
    await later(suite, minutes=31)
    assert not await suite.pool.fetch("SELECT FROM weather_cells")


async def test_where_people_were_before_anybody_asked_is_known_to_profile(suite: Any) -> None:
    one = str(uuid4())
    await suite.hear(suite.created(one))
    time = suite.created(one).event_time
    where = b'{"latitude": 38.42, "longitude": 27.14, "accuracy_meters": 5.0}'
    suite.profile.traits[one] = [
        Attribute(name="traits.last_location", value_json=where, change_time=time)
    ]
    suite.sky.weather = {IN_IZMIR: HOT}
    warm = await hot(suite)
    while await suite.backfills.work():
        pass
    await settle(suite)
    assert await is_member(suite, one, warm)


async def test_when_nobody_asks_any_more_nothing_is_fetched_or_kept(suite: Any) -> None:
    warm = await hot(suite)
    await suite.hear(seen(suite, str(uuid4()), IZMIR))
    await settle(suite)
    request = ArchiveSegmentRequest(segment_id=warm.segment_id)
    await suite.segments.ArchiveSegment(request)
    await later(suite, hours=1)
    assert len(suite.sky.asked) == 1
    for table in ("whereabouts", "weather_cells"):
        assert not await suite.pool.fetch(f"SELECT FROM {table}")
    await suite.hear(seen(suite, str(uuid4()), IZMIR))
    assert not await suite.pool.fetch("SELECT FROM whereabouts")


async def test_while_the_source_is_away_what_was_known_stays_and_it_is_asked_now_and_then(
    suite: Any,
) -> None:
    warm = await hot(suite)
    suite.sky.weather = {IN_IZMIR: HOT}
    one = str(uuid4())
    await suite.hear(seen(suite, one, IZMIR))
    await settle(suite)
    suite.sky.away = True
    await suite.pass_time(minutes=31)
    with pytest.raises(ServiceUnavailable):
        await suite.weather.work()
    assert not await suite.weather.work(), "the cells wait for a minute"
    assert await is_member(suite, one, warm)
    suite.sky.away, suite.sky.weather = False, {IN_IZMIR: COOL}
    await later(suite, seconds=61)
    assert not await is_member(suite, one, warm)


async def test_there_are_never_more_cells_than_may_be(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MOST_CELLS", 3)
    await hot(suite)
    await suite.hear(*(seen(suite, str(uuid4()), (i, 20.0)) for i in range(5)))
    await settle(suite)
    assert await suite.pool.fetchval("SELECT count(*) FROM weather_cells") == 3


async def test_two_that_become_one_have_the_weather_of_where_they_were_last(suite: Any) -> None:
    warm = await hot(suite)
    suite.sky.weather = {IN_IZMIR: HOT, IN_ANKARA: COOL}
    stays, goes = str(uuid4()), str(uuid4())
    await suite.hear(seen(suite, stays, IZMIR), seen(suite, goes, ANKARA, ago=60))
    await settle(suite)
    merged = suite.created(stays)
    merged.contact_merged.absorbed_contact_id = goes
    await suite.clock.advance(timedelta(seconds=1))
    await suite.hear(merged)
    await settle(suite)
    assert await is_member(suite, stays, warm)
    rows = await suite.pool.fetch("SELECT contact_id::text AS id FROM whereabouts")
    assert [row["id"] for row in rows] == [stays]


async def test_a_rule_that_looks_at_no_weather_is_no_cause(suite: Any) -> None:
    request = CreateTriggerRequest(
        trigger=Trigger(
            name="x",
            weather=WeatherCause(expression='profile.city == "Izmir"'),
            action=Action(send=SendAction(campaign_id="c1")),
        )
    )
    with pytest.raises(grpc.aio.AioRpcError, match="does not look at weather"):
        await suite.triggers.CreateTrigger(request)


def test_where_nobody_tells_the_weather_no_new_rule_may_look_at_it() -> None:
    without = Names(weather=False)
    source = "weather().temperature_c >= 30.0"
    with pytest.raises(ExpressionError, match="WEATHER_URL"):
        compile_expression(source, without.registry([]))
    compile_expression(source, without.anything)
