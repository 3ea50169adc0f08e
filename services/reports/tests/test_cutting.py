"""Answers are cut as the clocks of their zone show it, and stand beside the period before."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from merhaba.reports.v1 import Dimension, Filter, GetHeatMapRequest, Grain, Measure, Query
from merhaba.reports.v1 import Period as Asked
from services.reports.answers.cutting import offsets
from services.reports.answers.overview import Overviews
from services.reports.answers.question import question
from services.reports.answers.standing_out import StandingOut
from services.reports.answers.sums import both, rows
from services.reports.model import Period
from services.reports.sampling import facts
from services.reports.tests.events import DAY, HOUR, MINUTE, NOON, outcome, received, ref
from services.reports.tests.test_api import asking, stub, stub_port

__all__ = ["asking", "stub", "stub_port"]
ZONES = st.sampled_from(
    [
        *("Europe/Istanbul", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"),
        *("Africa/Casablanca", "America/Havana", "UTC"),
    ]
)
SPRING = int(datetime(2026, 3, 8, 7, tzinfo=UTC).timestamp() * 1000)
"""When New York puts its clocks forward; Havana does two hours before."""
QUARTERS = st.integers(-300, 300).map(lambda n: n * 15 * MINUTE)
SLOW = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def of(own: str) -> Filter:
    return Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[own])


@given(
    zone=ZONES,
    start=st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - made aware below
    length=st.timedeltas(timedelta(minutes=1), timedelta(days=800)),
    shares=st.lists(st.floats(0, 1, exclude_max=True), max_size=20),
)
def test_a_zone_is_as_far_from_utc_as_is_told(zone, start, length, shares) -> None:
    period = Period(start.replace(tzinfo=UTC), start.replace(tzinfo=UTC) + length, zone)
    starts, ahead = offsets(period)
    assert starts[0] == period.start and list(starts) == sorted(starts)
    edges = [edge + by for edge in starts for by in (timedelta(), timedelta(microseconds=-1))]
    for at in [*(period.start + length * share for share in shares), *edges]:
        if period.start <= at < period.end:
            told = ahead[max(n for n, edge in enumerate(starts) if edge <= at)]
            assert timedelta(seconds=told) == at.astimezone(ZoneInfo(zone)).utcoffset()


@SLOW
@given(
    sent=st.lists(QUARTERS, max_size=6),
    wrote=st.lists(QUARTERS, max_size=3),
    start=QUARTERS,
    length=st.integers(1, 400).map(lambda n: n * 15 * MINUTE),
    zone=ZONES,
    grain=st.sampled_from(Grain.values()),
)
async def test_messages_are_told_by_the_hours_that_clocks_show(
    sent, wrote, start, length, zone, grain, pool, feed
) -> None:
    own = fresh_id("c")
    events = [
        outcome("sent", SPRING + at + 1, own, ref(f"{own}/{n}", own)) for n, at in enumerate(sent)
    ]
    if events:
        await feed("message", events)
    period = Period(moment(SPRING + start), moment(SPRING + start + length), zone)
    by = [Dimension.DIMENSION_SEND_WEEKDAY, Dimension.DIMENSION_SEND_HOUR]
    local = [
        moment(SPRING + at).astimezone(ZoneInfo(zone))
        for at in sent
        if start <= at < start + length
    ]
    counted = Counter((str(one.isoweekday()), str(one.hour)) for one in local)
    # Of sums of sums, and of sums by all that messages are counted by
    for more in ([], [Dimension.DIMENSION_STAGE]):
        measures = [Measure.MEASURE_SENT]
        asked = question(
            Query(measures=measures, dimensions=[*by, *more], filters=[of(own)], grain=grain),
            period,
        )
        told: Counter[tuple[str, ...]] = Counter()
        for row in await rows(pool, asked):
            told[row.values[:2]] += int(row.sums["sent"])
        assert told == counted
    hour = Filter(dimension=Dimension.DIMENSION_SEND_HOUR, values=["2", "3"])
    asked = question(Query(measures=[Measure.MEASURE_SENT], filters=[of(own), hour]), period)
    (row,) = await rows(pool, asked)
    assert row.sums["sent"] == sum(one.hour in (2, 3) for one in local)

    heard = question(
        Query(measures=[Measure.MEASURE_RECEIVED], dimensions=[by[1]], grain=Grain.GRAIN_HOUR),
        period,
    )
    before = Counter({row[:2]: row.sums["received"] for row in await rows(pool, heard)})
    if wrote:
        await feed("contact", [received(SPRING + at, own) for at in wrote])
    after = Counter({row[:2]: row.sums["received"] for row in await rows(pool, heard)})
    hours = Counter(
        str(moment(SPRING + at).astimezone(ZoneInfo(zone)).hour)
        for at in wrote
        if start <= at < start + length
    )
    found: Counter[str] = Counter()
    for (_, values), many in (after - before).items():
        found[values[0]] += int(many)
    assert found == hours


@SLOW
@given(
    sent=st.lists(st.tuples(QUARTERS, st.sampled_from(["", "EUR", "USD"])), max_size=6),
    start=QUARTERS,
    length=st.integers(1, 200).map(lambda n: n * 15 * MINUTE),
    zone=ZONES,
    grain=st.sampled_from(Grain.values()),
    money=st.booleans(),
    by=st.sampled_from([[], [Dimension.DIMENSION_TEMPLATE], [Dimension.DIMENSION_STAGE]]),
)
async def test_two_periods_read_at_once_are_what_each_is_alone(
    sent, start, length, zone, grain, money, by, pool, feed
) -> None:
    own = fresh_id("c")
    events = [
        outcome(
            "sent", SPRING + at, own, ref(f"{own}/{n}", own), cost=7 * bool(code), currency=code
        )
        for n, (at, code) in enumerate(sent)
    ]
    if events:
        await feed("message", events)
    period = Period(moment(SPRING + start), moment(SPRING + start + length), zone)
    measures = [Measure.MEASURE_SENT, Measure.MEASURE_PENDING, Measure.MEASURE_RECIPIENTS]
    query = Query(
        measures=[*measures, *([Measure.MEASURE_COST] if money else [])],
        dimensions=by,
        filters=[of(own)],
        grain=grain,
        compare_previous=True,
    )
    asked = question(query, period)
    now, before = await both(pool, asked)
    alone = [await rows(pool, one) for one in (asked, asked.before())]
    key = str
    assert [sorted(now, key=key), sorted(before, key=key)] == [sorted(a, key=key) for a in alone]
    told = [sum(row.sums.get("sent", 0) for row in some) for some in (now, before)]
    assert told == [
        sum(first <= at < first + length for at, _ in sent) for first in (start, start - length)
    ]


@SLOW
@given(
    sent=st.lists(
        st.tuples(QUARTERS, st.sampled_from(["", "EUR", "USD"]), st.booleans()), max_size=6
    ),
    start=QUARTERS,
    length=st.integers(1, 200).map(lambda n: n * 15 * MINUTE),
)
async def test_an_overview_says_what_queries_say(sent, start, length, pool, answers, feed) -> None:
    own = fresh_id("c")
    events = [
        outcome(
            "sent", SPRING + at, own, ref(f"{own}/{n}", own), cost=7 * bool(code), currency=code
        )
        for n, (at, code, _) in enumerate(sent)
    ]
    events += [
        outcome("read", SPRING + at + DAY, own, ref(f"{own}/{n}", own))
        for n, (at, _, read) in enumerate(sent)
        if read
    ]
    if events:
        await feed("message", events)
    period = Period(moment(SPRING + start), moment(SPRING + start + length), "Europe/Istanbul")
    overview = await Overviews(answers, StandingOut(answers)).read(period, [of(own)])

    async def said(measures, **more) -> list:
        query = Query(measures=measures, filters=[of(own)], **more)
        return await answers.rows(question(query, period))

    (row,) = await said([one.measure for one in overview.totals], compare_previous=True)
    assert list(row.values) == overview.totals
    amounts = [Measure.MEASURE_COST, Measure.MEASURE_REVENUE, Measure.MEASURE_RETURN]
    told = await said(amounts, compare_previous=True)
    assert [one for one in told if one.currency_code] == overview.amounts
    measures = [one.measure for one in overview.days[0].values] if overview.days else []
    if measures:
        assert overview.days == await said(measures, grain=Grain.GRAIN_DAY)
    within = [code for at, code, _ in sent if start <= at < start + length]
    assert overview.cost_final == (not within)
    assert bool(overview.days) == bool(within)


async def test_the_best_hour_of_a_heat_map_is_that_of_its_days_together(stub, feed) -> None:
    own = fresh_id("c")
    events = []
    for n in range(400):
        at = NOON + (n % 4) * DAY + (n % 2) * HOUR
        about = ref(f"{own}/{n}", own)
        events.append(outcome("delivered", at, f"{own}{n}", about))
        if n % 2 and n % 10:
            events.append(outcome("read", at + 1, f"{own}{n}", about))
    await feed("message", events)
    period = Asked(zone="Europe/Istanbul")
    period.start_time.FromMilliseconds(NOON - DAY)
    period.end_time.FromMilliseconds(NOON + 5 * DAY)
    for measure in (Measure.MEASURE_SENT, Measure.MEASURE_RECIPIENTS):
        answer = await stub.GetHeatMap(
            GetHeatMapRequest(measure=measure, filters=[of(own)], period=period)
        )
        (best,) = answer.insights
        assert (best.subject, best.value.sample_size) == ("13", 200)
        assert sum(cell.value.value for cell in answer.cells) == 400


def test_a_part_of_the_facts_is_found_by_the_indexes_of_larger_parts() -> None:
    tests = {n: f"hashtext(f.contact_id) & {n - 1} = 0" for n in (2, 4, 8, 16, 32)}
    assert facts(1) == ("message_facts AS f", [])
    assert facts(64) == ("sampled_facts AS f", [])
    assert facts(2 * 64)[1] == [tests[2]]
    assert facts(8 * 64)[1] == [tests[4], tests[8]]
    assert facts(32 * 64)[1] == [tests[4], tests[16], tests[32]]
