"""Queries say what a count over the distinct raw events says, in whatever order they come."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
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
    GetCostReportRequest,
    GetHeatMapRequest,
    Grain,
    Measure,
    Period,
    Query,
    QueryRequest,
)
from services.reports.answers.question import question
from services.reports.model import Period as Stretch
from services.reports.tests.events import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    entered,
    fired,
    left,
    ordered,
    outcome,
    ref,
    staged,
)
from services.reports.tests.test_api import asking, reason, stub, stub_port

__all__ = ["asking", "stub", "stub_port"]
ZONES = ("Europe/Istanbul", "Asia/Kathmandu", "America/New_York")
WEEK = Stretch(
    datetime.fromtimestamp((NOON - 10 * DAY) / 1000, UTC),
    datetime.fromtimestamp((NOON + 10 * DAY) / 1000, UTC),
    "Europe/Istanbul",
)
PEOPLE = st.sampled_from(["ann", "bob"])
MOMENTS = st.integers(-200, 200).map(lambda n: n * 53 * MINUTE)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    sent=st.lists(st.tuples(PEOPLE, MOMENTS, st.booleans(), st.sampled_from("xy")), max_size=5),
    stages=st.lists(st.tuples(PEOPLE, MOMENTS, st.sampled_from(["new", "loyal"])), max_size=4),
    moves=st.lists(
        st.tuples(PEOPLE, MOMENTS, st.booleans()), max_size=5, unique_by=lambda m: m[:2]
    ),
    grain=st.sampled_from([Grain.GRAIN_HOUR, Grain.GRAIN_DAY, Grain.GRAIN_WEEK, Grain.GRAIN_MONTH]),
    zone=st.sampled_from(ZONES),
    data=st.data(),
)
async def test_messages_are_counted_by_who_their_contacts_were_then(
    sent, stages, moves, grain, zone, data, answers, feed_together
) -> None:
    run = fresh_id("c")
    events = []
    for n, (who, at, read, trigger) in enumerate(sent):
        about = ref(f"{run}/{n}", run)
        about.occurrence_id = f"{run}/occ/{n}"
        events.append(
            ("signal", fired(NOON + at - 1, run + who, trigger, about.occurrence_id, run))
        )
        events.append(("message", outcome("sent", NOON + at, run + who, about)))
        if read:
            events.append(("message", outcome("read", NOON + at + DAY, run + who, about)))
    events += [("contact", staged(NOON + at, run + who, stage)) for who, at, stage in stages]
    events += [
        ("signal", (entered if enters else left)(NOON + at, run + who, run + "s"))
        for who, at, enters in moves
    ]
    shuffled = data.draw(st.permutations(events + events[:2]), label="order")
    for i in range(0, len(shuffled), 4):  # two replicas at a time
        await feed_together([(topic, [one]) for topic, one in shuffled[i : i + 4]])

    def stage_at(who: str, at: int) -> str:
        # Of the same moment the larger word
        return max(((t, s) for w, t, s in stages if w == who and t <= at), default=(0, ""))[1]

    def member(who: str, at: int) -> bool:
        return max(((t, e) for w, t, e in moves if w == who and t <= at), default=(0, False))[1]

    def bucket(at: int) -> datetime:
        local = datetime.fromtimestamp((NOON + at) / 1000, ZoneInfo(zone)).replace(tzinfo=None)
        cut = local.replace(minute=0, second=0, microsecond=0)
        if grain != Grain.GRAIN_HOUR:
            cut = cut.replace(hour=0)
        if grain == Grain.GRAIN_WEEK:
            cut -= timedelta(days=cut.weekday())
        if grain == Grain.GRAIN_MONTH:
            cut = cut.replace(day=1)
        return cut.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)

    period = WEEK._replace(zone=zone)
    mine = Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[run])
    measures = [Measure.MEASURE_SENT, Measure.MEASURE_READ, Measure.MEASURE_RECIPIENTS]
    by = [Dimension.DIMENSION_STAGE, Dimension.DIMENSION_TRIGGER]
    rows = await answers.rows(
        question(Query(measures=measures, dimensions=by, filters=[mine], grain=grain), period)
    )
    counted = defaultdict(lambda: [0, 0, set()])
    for who, at, read, trigger in sent:
        cell = counted[bucket(at), stage_at(who, at), trigger]
        cell[0] += 1
        cell[1] += read
        cell[2].add(who)
    assert {
        (r.bucket_time.ToDatetime(UTC), *(d.value for d in r.dimensions)): [
            v.value for v in r.values
        ]
        for r in rows
    } == {key: [n, read, len(people)] for key, (n, read, people) in counted.items()}

    segment = Filter(dimension=Dimension.DIMENSION_SEGMENT, values=[run + "s"])
    rows = await answers.rows(question(Query(measures=measures[:2], filters=[segment]), period))
    within = [(who, at, read) for who, at, read, _ in sent if member(who, at)]
    assert [v.value for r in rows for v in r.values] == [len(within), sum(r for *_, r in within)]


def period_of(start: int, end: int, zone: str = "Europe/Istanbul") -> Period:
    asked = Period(zone=zone)
    asked.start_time.FromMilliseconds(NOON + start)
    asked.end_time.FromMilliseconds(NOON + end)
    return asked


def of(own: str) -> list[Filter]:
    return [Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[own])]


async def test_a_rate_has_its_interval_and_the_period_before(stub, feed) -> None:
    own = fresh_id("c")
    await feed(
        "message",
        [
            outcome(kind, NOON + day * DAY + at, f"{own}{n}", ref(f"{own}/{day}/{n}", own))
            for day, reads in ((-1, 2), (0, 6))
            for n in range(10)
            for kind, at in (("delivered", 0), ("read", 1))
            if kind == "delivered" or n < reads
        ],
    )
    query = Query(
        measures=[Measure.MEASURE_READ_RATE, Measure.MEASURE_DELIVERED],
        filters=of(own),
        period=period_of(0, DAY),
        compare_previous=True,
    )
    (row,) = (await stub.Query(QueryRequest(query=query))).rows
    rate, delivered = row.values
    assert (rate.value, rate.previous_value, rate.sample_size) == (0.6, 0.2, 10)
    assert 0.2 < rate.lower < 0.6 < rate.upper < 0.9
    assert (delivered.value, delivered.previous_value) == (10, 10)


async def test_buckets_are_compared_with_those_at_their_place_before(stub, feed) -> None:
    own = fresh_id("c")
    sends = [(-2, 3), (-1, 1), (0, 2), (1, 4)]
    await feed(
        "message",
        [
            outcome("sent", NOON + day * DAY, "c", ref(f"{own}/{day}/{n}", own))
            for day, many in sends
            for n in range(many)
        ],
    )
    query = Query(
        measures=[Measure.MEASURE_SENT],
        filters=of(own),
        period=period_of(-12 * HOUR, 36 * HOUR),
        grain=Grain.GRAIN_DAY,
        compare_previous=True,
    )
    rows = (await stub.Query(QueryRequest(query=query))).rows
    assert [(r.values[0].value, r.values[0].previous_value) for r in rows] == [(2, 3), (4, 1)]


async def test_pages_show_the_facts_as_the_first_did(stub, feed) -> None:
    own = fresh_id("c")
    sends = [outcome("sent", NOON, "c", ref(f"{own}/{n}", own, str(n))) for n in range(5)]
    await feed("message", sends)
    query = Query(
        measures=[Measure.MEASURE_SENT],
        dimensions=[Dimension.DIMENSION_VARIANT],
        filters=of(own),
        period=period_of(-DAY, DAY),
    )
    first = await stub.Query(QueryRequest(query=query, page_size=2))
    await feed("message", [outcome("sent", NOON, "c", ref(f"{own}/9", own, "9"))])
    pages = [first]
    while pages[-1].next_page_token:
        asked = QueryRequest(query=query, page_size=2, page_token=pages[-1].next_page_token)
        pages.append(await stub.Query(asked))
    assert [r.dimensions[0].value for page in pages for r in page.rows] == list("01234")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        other = Query(measures=[Measure.MEASURE_READ])
        await stub.Query(QueryRequest(query=other, page_token=first.next_page_token))
    assert reason(caught.value)[0] == "TOKEN_INVALID"


async def test_rows_stand_in_the_order_of_a_measure_and_without_value_last(stub, feed) -> None:
    own = fresh_id("c")
    far = {"a": ("delivered", "read"), "b": ("delivered",), "c": ("planned",)}
    await feed(
        "message",
        [
            outcome(kind, NOON, "p", ref(f"{own}/{v}", own, v))
            for v, kinds in far.items()
            for kind in kinds
        ],
    )
    query = Query(
        measures=[Measure.MEASURE_READ_RATE],
        dimensions=[Dimension.DIMENSION_VARIANT],
        filters=of(own),
        period=period_of(-DAY, DAY),
        order_measure=Measure.MEASURE_READ_RATE,
    )
    for ascending, order in ((False, "abc"), (True, "bac")):
        query.ascending = ascending
        rows = (await stub.Query(QueryRequest(query=query))).rows
        assert "".join(r.dimensions[0].value for r in rows) == order


async def test_money_of_different_currencies_never_shares_a_row(stub, feed) -> None:
    own = fresh_id("c")
    await feed(
        "message",
        [
            outcome("sent", NOON, "p", ref(f"{own}/a", own), cost=250_000),
            outcome("sent", NOON + 1, "p", ref(f"{own}/b", own), cost=750_000),
        ],
    )
    await feed("contact", [ordered(NOON + HOUR, "p", "o", 90)])
    answer = await stub.GetCostReport(
        GetCostReportRequest(filters=of(own), period=period_of(-DAY, DAY))
    )
    assert [(t.currency_code, t.amount_micros) for t in answer.totals] == [
        ("TRY", 0),
        ("USD", 1_000_000),
    ] or [(t.currency_code, t.amount_micros) for t in answer.totals] == [("USD", 1_000_000)]
    (line,) = [one for one in answer.lines if one.currency_code == "USD"]
    assert (line.messages, line.cost_micros) == (2, 1_000_000)
    assert [d.value for d in line.dimensions] == ["TR", "marketing"]


async def test_an_order_is_told_by_last_and_by_any_touch(stub, feed) -> None:
    own = fresh_id("c")
    await feed(
        "message",
        [
            outcome("delivered", NOON + n * HOUR, own, ref(f"{own}/{n}", own, str(n)))
            for n in (0, 1)
        ],
    )
    await feed("contact", [ordered(NOON + 2 * HOUR, own, "o", 50)])
    brought = {}
    for attribution in (Attribution.ATTRIBUTION_LAST_TOUCH, Attribution.ATTRIBUTION_ANY_TOUCH):
        query = Query(
            measures=[Measure.MEASURE_CONVERTED, Measure.MEASURE_CONVERSION_RATE],
            dimensions=[Dimension.DIMENSION_VARIANT],
            filters=of(own),
            period=period_of(-DAY, DAY),
            attribution=attribution,
        )
        rows = (await stub.Query(QueryRequest(query=query))).rows
        brought[attribution] = [[v.value for v in r.values] for r in rows]
    assert brought[Attribution.ATTRIBUTION_LAST_TOUCH] == [[0, 0], [1, 1]]
    assert brought[Attribution.ATTRIBUTION_ANY_TOUCH] == [[1, 1], [1, 1]]


async def test_a_heat_map_has_every_hour_of_the_week(stub, feed) -> None:
    own = fresh_id("c")
    await feed("message", [outcome("read", NOON, "p", ref(f"{own}/a", own))])
    asked = GetHeatMapRequest(
        measure=Measure.MEASURE_READ, filters=of(own), period=period_of(-DAY, DAY)
    )
    cells = (await stub.GetHeatMap(asked)).cells
    assert [(c.weekday, c.hour) for c in cells] == [(d, h) for d in range(1, 8) for h in range(24)]
    # NOON is Sunday, 12:00 in Istanbul
    assert [(c.weekday, c.hour) for c in cells if c.value.value] == [(7, 12)]


async def test_response_time_and_frequency_are_of_people(stub, feed) -> None:
    own = fresh_id("c")
    await feed(
        "message",
        [
            outcome(kind, NOON + at, f"{own}{n}", ref(f"{own}/{n}", own))
            for n, wait in enumerate((1, 2, 9))
            for kind, at in (("delivered", 0), ("replied", wait * MINUTE))
        ],
    )
    query = Query(
        measures=[
            Measure.MEASURE_THEIR_RESPONSE_TIME,
            Measure.MEASURE_CONTACT_FREQUENCY,
            Measure.MEASURE_ENGAGEMENT_FREQUENCY,
            Measure.MEASURE_REPLIED,
        ],
        filters=of(own),
        period=period_of(-DAY, 6 * DAY),
    )
    (row,) = (await stub.Query(QueryRequest(query=query))).rows
    assert [v.value for v in row.values] == [120, 1, 1, 3]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (Query(), "FIELD_INVALID"),
        (Query(measures=[Measure.MEASURE_SENT], dimensions=[1, 1]), "FIELD_INVALID"),
        (Query(measures=[Measure.MEASURE_SENT], dimensions=[1, 2, 3, 4, 5]), "FIELD_INVALID"),
        (Query(measures=[Measure.MEASURE_SENT], grain=9), "FIELD_INVALID"),
        (Query(measures=[Measure.MEASURE_CONTACTS], dimensions=[1]), "QUERY_UNSUPPORTED"),
        (Query(measures=[Measure.MEASURE_RECEIVED], filters=of("c")), "QUERY_UNSUPPORTED"),
        (Query(measures=[Measure.MEASURE_SENT], dimensions=[10, 5]), "QUERY_UNSUPPORTED"),
        (Query(measures=[Measure.MEASURE_RECIPIENTS], dimensions=[10]), "QUERY_UNSUPPORTED"),
        (Query(measures=[Measure.MEASURE_SENT], attribution=4), "QUERY_UNSUPPORTED"),
        (Query(measures=[3], order_measure=Measure.MEASURE_READ), "FIELD_INVALID"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_a_reason(stub, query, why) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Query(QueryRequest(query=query))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(caught.value)[0] == why


@pytest.mark.parametrize("odd", [1, 7 * MINUTE, 15 * MINUTE - 1])
async def test_a_period_is_widened_to_whole_quarters_of_an_hour_whatever_is_asked(
    stub, feed, odd
) -> None:
    own = fresh_id("c")
    sends = (-1, 0, 14 * MINUTE, 45 * MINUTE, 60 * MINUTE - 1, 60 * MINUTE)
    events = [
        outcome("sent", NOON + at, f"{own}{n}", ref(f"{own}/{n}", own))
        for n, at in enumerate(sends)
    ]
    await feed("message", events)
    # Sums, people and hours agree
    query = Query(
        measures=[Measure.MEASURE_SENT, Measure.MEASURE_RECIPIENTS],
        filters=of(own),
        period=period_of(odd, 45 * MINUTE + odd),
    )
    (row,) = (await stub.Query(QueryRequest(query=query))).rows
    assert [value.value for value in row.values] == [4, 4]
    latest = Period(zone="UTC")
    latest.start_time.FromDatetime(datetime(9999, 12, 1, tzinfo=UTC))
    latest.end_time.FromDatetime(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    query.period.CopyFrom(latest)
    (row,) = (await stub.Query(QueryRequest(query=query))).rows
    assert row.values[0].value == 0
