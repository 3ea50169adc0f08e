"""Stages, cohorts and funnels say what a count over the events says."""

from collections import defaultdict
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from merhaba.reports.v1 import (
    Attribution,
    Dimension,
    Filter,
    GetCohortsRequest,
    GetFunnelRequest,
    GetStageFlowRequest,
    Grain,
    Measure,
)
from services.reports.answers.flows import Flows
from services.reports.answers.question import Where
from services.reports.tests.events import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    cancelled,
    created,
    entered,
    granted,
    left,
    merged,
    ordered,
    outcome,
    received,
    ref,
    staged,
)
from services.reports.tests.test_answers import of, period_of
from services.reports.tests.test_api import asking, reason, stub, stub_port
from services.reports.tests.test_base import stretch

__all__ = ["asking", "stub", "stub_port"]
PEOPLE = st.sampled_from(["ann", "bob", "cem"])
MOMENTS = st.integers(-200, 200).map(lambda n: n * 53 * MINUTE)
MANY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def flows(pool) -> Flows:
    return Flows(pool)


@MANY
@given(
    said=st.lists(st.tuples(PEOPLE, MOMENTS, st.sampled_from("ab")), max_size=7),
    absorbed=st.booleans(),
    data=st.data(),
)
async def test_a_stage_flow_counts_people_by_where_they_came_from(
    said, absorbed, data, flows, feed_together
) -> None:
    run = fresh_id("p")
    events = [("contact", staged(NOON + at, run + who, run + stage)) for who, at, stage in said]
    # Whoever is in the segment is counted, so that nobody else is
    events += [
        ("signal", entered(NOON - 20 * DAY, run + who, run)) for who in ("ann", "bob", "cem")
    ]
    if absorbed:
        events.append(("contact", merged(NOON, run + "ann", run + "bob")))
    shuffled = data.draw(st.permutations(events), label="order")
    for i in range(0, len(shuffled), 3):
        await feed_together([(topic, [one]) for topic, one in shuffled[i : i + 3]])

    histories = defaultdict(dict)
    for who, at, stage in said:
        history = histories["ann" if absorbed and who == "bob" else who]
        history[at] = max(history.get(at, ""), stage)
    start, end = -2 * DAY, 3 * DAY
    moves, stages = defaultdict(set), defaultdict(set)
    for who, history in histories.items():
        source = ""
        for at, stage in sorted(history.items()):
            if at < end:
                if at >= start and stage != source:
                    moves[source and run + source, run + stage].add(who)
                source = stage
        if source:
            stages[run + source].add(who)
    flow = await flows.flow(stretch(start, end), [Where("segment_id", (run,), False)])
    assert {move[:2]: move.people for move in flow.moves} == {k: len(v) for k, v in moves.items()}
    assert flow.stages == {k: len(v) for k, v in stages.items()}


@MANY
@given(
    began=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=4),
    wrote=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=5),
    start=st.sampled_from(["created", "opted_in", "first_delivery", "first_conversion"]),
    comes=st.sampled_from(["received", "read", "converted"]),
    absorbed=st.booleans(),
    data=st.data(),
)
async def test_a_cohort_is_whoever_began_then_and_those_who_came_again(
    began, wrote, start, comes, absorbed, data, flows, feed_together
) -> None:
    run = fresh_id("p")
    zone = ZoneInfo("Europe/Istanbul")

    def first(n: int, who: str, at: int):
        match start:
            case "created":
                return "contact", created(NOON + at, run + who)
            case "opted_in":
                return "contact", granted(NOON + at, run + who)
            case "first_delivery":
                return "message", outcome("delivered", NOON + at, run + who, ref(f"{run}/{n}"))
        return "contact", ordered(NOON + at, run + who, f"first/{n}")

    def again(n: int, who: str, at: int):
        match comes:
            case "received":
                return "contact", received(NOON + at, run + who)
            case "read":
                return "message", outcome("read", NOON + at, run + who, ref(f"{run}/again/{n}"))
        return "contact", ordered(NOON + at, run + who, f"again/{n}")

    events = [first(n, *one) for n, one in enumerate(began)]
    events += [again(n, *one) for n, one in enumerate(wrote)]
    events.append(("contact", ordered(NOON, run + "ann", "returned")))
    events.append(("contact", cancelled(NOON + 1, run + "ann", "returned")))
    events += [
        ("signal", entered(NOON - 20 * DAY, run + who, run)) for who in ("ann", "bob", "cem")
    ]
    if absorbed:
        events.append(("contact", merged(NOON, run + "ann", run + "bob")))
    shuffled = data.draw(st.permutations(events), label="order")
    for i in range(0, len(shuffled), 3):
        await feed_together([(topic, [one]) for topic, one in shuffled[i : i + 3]])

    def person(who: str) -> str:
        return "ann" if absorbed and who == "bob" else who

    def day(at: int) -> datetime:
        local = datetime.fromtimestamp((NOON + at) / 1000, zone)
        return local.replace(hour=0, minute=0, second=0, microsecond=0)

    # A first order is an order, and what is read was delivered
    same = (start, comes) == ("first_conversion", "converted")
    starts = [*began, *wrote] if same or (start, comes) == ("first_delivery", "read") else began
    returns = [*began, *wrote] if same else wrote
    firsts = {}
    for who, at in starts:
        firsts[person(who)] = min(at, firsts.get(person(who), at))
    lower, upper = -3 * DAY, 4 * DAY
    cohorts = defaultdict(lambda: (set(), defaultdict(set)))
    for who, at in firsts.items():
        if lower <= at < upper:
            people, later = cohorts[day(at)]
            people.add(who)
            for other, when in returns:
                if person(other) == who and at <= when < upper:
                    later[(day(when) - day(at)).days].add(who)
    found = await flows.cohorts(
        stretch(lower, upper), "day", start, comes, [Where("segment_id", (run,), False)]
    )
    assert {
        one.start: (one.people, {n: m for n, m in enumerate(one.returned) if m}) for one in found
    } == {
        begin.astimezone(UTC): (len(people), {n: len(whom) for n, whom in later.items()})
        for begin, (people, later) in cohorts.items()
    }


async def test_a_stage_flow_stands_beside_the_period_before(stub, feed) -> None:
    run = fresh_id("p")
    moves = [
        staged(NOON - DAY, run + "a", run),
        staged(NOON, run + "b", run),
        staged(NOON, run + "c", run),
    ]
    await feed("contact", moves)
    answer = await stub.GetStageFlow(GetStageFlowRequest(period=period_of(-HOUR, DAY - HOUR)))
    (flow,) = [one for one in answer.flows if one.target_stage == run]
    assert (flow.source_stage, flow.contacts, flow.previous_contacts) == ("", 2, 1)
    assert answer.stages[run] == 3


async def test_cohorts_are_told_as_shares_with_their_intervals(stub, feed) -> None:
    run = fresh_id("p")
    people = [f"{run}{n}" for n in range(4)]
    await feed("contact", [created(NOON, who) for who in people])
    await feed("signal", [entered(NOON - DAY, who, run) for who in people])
    await feed("message", [outcome("replied", NOON + 31 * DAY, people[0], ref(f"{run}/m"))])
    within = [Filter(dimension=Dimension.DIMENSION_SEGMENT, values=[run])]
    asked = GetCohortsRequest(filters=within, period=period_of(-DAY, 40 * DAY))
    (cohort,) = (await stub.GetCohorts(asked)).cohorts
    assert cohort.contacts == 4
    assert cohort.start_time.ToDatetime(UTC) == datetime(2026, 10, 31, 21, tzinfo=UTC)
    first, second, *_ = cohort.retentions
    assert (first.value, second.value, second.sample_size) == (0, 0.25, 4)
    assert 0 < second.lower < 0.25 < second.upper < 1


async def test_a_funnel_counts_within_segments_and_hours(stub, feed) -> None:
    own = fresh_id("c")
    await feed("signal", [entered(NOON - DAY, f"{own}0", own), entered(NOON - DAY, f"{own}1", own)])
    await feed("signal", [left(NOON - HOUR, f"{own}1", own)])
    await feed(
        "message",
        [
            outcome(kind, NOON + hour * HOUR, f"{own}{n}", ref(f"{own}/{n}/{hour}", own))
            for n in range(3)
            for hour in (0, 1)
            for kind in ("sent", "delivered")[: 2 - hour]
        ],
    )

    async def counts(*filters: Filter, steps=()) -> list[int]:
        asked = GetFunnelRequest(
            filters=[*of(own), *filters],
            period=period_of(-DAY, DAY),
            steps=steps or [Measure.MEASURE_SENT, Measure.MEASURE_DELIVERED],
        )
        return [step.contacts for step in (await stub.GetFunnel(asked)).steps]

    segment = Filter(dimension=Dimension.DIMENSION_SEGMENT, values=[own])
    hour = Filter(dimension=Dimension.DIMENSION_SEND_HOUR, values=["13"])
    assert await counts() == [3, 3]
    assert await counts(segment) == [1, 1]
    assert await counts(hour) == [3, 0]
    segment.exclude = True
    assert await counts(segment) == [2, 2]


async def test_a_funnel_may_end_in_any_outcome(stub, feed) -> None:
    own = fresh_id("c")
    kinds = (("planned", "suppressed"), ("planned", "held_out"), ("planned", "sent", "failed"))
    await feed(
        "message",
        [
            outcome(kind, NOON, f"{own}{n}", ref(f"{own}/{n}", own))
            for n, many in enumerate((*kinds, ("planned", "unknown")))
            for kind in many
        ],
    )
    for step in ("SUPPRESSED", "HELD_OUT", "FAILED", "UNKNOWN"):
        asked = GetFunnelRequest(
            filters=of(own),
            period=period_of(-DAY, DAY),
            steps=[Measure.MEASURE_PLANNED, Measure.Value(f"MEASURE_{step}")],
        )
        assert [one.contacts for one in (await stub.GetFunnel(asked)).steps] == [4, 1], step


async def test_a_funnel_counts_orders_by_last_or_by_any_touch(stub, feed) -> None:
    own = fresh_id("c")
    await feed(
        "message",
        [
            outcome("delivered", NOON + n * HOUR, own, ref(f"{own}/{n}", f"{own}/{n}"))
            for n in (0, 1)
        ],
    )
    await feed("contact", [ordered(NOON + 2 * HOUR, own, "o", 50)])
    for attribution, count in (
        (Attribution.ATTRIBUTION_LAST_TOUCH, 0),
        (Attribution.ATTRIBUTION_ANY_TOUCH, 1),
    ):
        asked = GetFunnelRequest(
            filters=of(f"{own}/0"),
            period=period_of(-DAY, DAY),
            steps=[Measure.MEASURE_CONVERTED],
            attribution=attribution,
        )
        assert [one.contacts for one in (await stub.GetFunnel(asked)).steps] == [count]


@pytest.mark.parametrize(
    ("method", "request_", "why"),
    [
        ("GetCohorts", GetCohortsRequest(return_measure=Measure.MEASURE_SENT), "QUERY_UNSUPPORTED"),
        ("GetCohorts", GetCohortsRequest(grain=Grain.GRAIN_HOUR), "FIELD_INVALID"),
        (
            "GetCohorts",
            GetCohortsRequest(grain=Grain.GRAIN_DAY, period=period_of(-200 * DAY, 0)),
            "QUERY_TOO_LARGE",
        ),
        ("GetStageFlow", GetStageFlowRequest(filters=of("c")), "QUERY_UNSUPPORTED"),
        ("GetFunnel", GetFunnelRequest(steps=[Measure.MEASURE_COST]), "QUERY_UNSUPPORTED"),
        ("GetFunnel", GetFunnelRequest(steps=[3, 3]), "FIELD_INVALID"),
        ("GetFunnel", GetFunnelRequest(attribution=4), "QUERY_UNSUPPORTED"),
    ],
)
async def test_what_cannot_be_told_of_people_is_refused(stub, method, request_, why) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stub, method)(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(caught.value)[0] == why
