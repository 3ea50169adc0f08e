"""Sums of sums are what their parts add up to, whatever came in whatever order, and so are days."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from merhaba.reports.v1 import Dimension, Filter, Grain, Measure, Query
from services.reports import ledger, sampling
from services.reports.answers.overview import Overviews
from services.reports.answers.question import question
from services.reports.answers.standing_out import StandingOut
from services.reports.rollups import COUNTS, CUTS, Cube, Summary, summaries
from services.reports.sampling import letters, one_in, sampled
from services.reports.tests.events import (
    DAY,
    MINUTE,
    NOON,
    campaign,
    created,
    entered,
    granted,
    merged,
    ordered,
    outcome,
    received,
    ref,
    withdrew,
)
from services.reports.tests.test_answers import WEEK

SUMS = ", ".join(f"sum({name})" for name in COUNTS)
SOME = " + ".join(f"abs(sum({name}))" for name in COUNTS)
DAYS = "date_trunc('day', bucket AT TIME ZONE zone) AT TIME ZONE zone"
MOMENTS = st.integers(-60, 60).map(lambda n: n * 53 * MINUTE)
PEOPLE = st.sampled_from(["ann", "bob", "cem"])


async def differences(pool, told: str, counted: str) -> list:
    """Rows that stand in one of two selections only."""
    return await pool.fetch(
        f"(({told}) EXCEPT ({counted})) UNION ALL (({counted}) EXCEPT ({told}))"
    )


async def wrong(pool) -> list:
    """What does not add up, of all that is stored, seen at one instant."""
    found = []
    for cut, by in enumerate(CUTS):
        dimensions = ", ".join(f"c.{d}" if d in by else "''" for d in Summary._fields[2:-1])
        parts = "segment_rollups" if "segment_id" in by else "rollups"
        found += await differences(
            pool,
            f"SELECT {', '.join(Summary._fields)}, {SUMS} FROM summaries WHERE cut = {cut}"
            f" GROUP BY {', '.join(Summary._fields)} HAVING {SOME} > 0",
            f"SELECT {cut}, bucket, {dimensions}, c.currency, {SUMS} FROM {parts}"
            " JOIN cubes c USING (cube_id)"
            f" GROUP BY {', '.join(['bucket', 'c.currency', *(f'c.{d}' for d in by)])}"
            f" HAVING {SOME} > 0",
        )
    others = ", ".join(Summary._fields[2:])
    found += await differences(
        pool,
        f"SELECT cut, bucket, {others}, {SUMS} FROM summary_days GROUP BY cut, bucket, {others}"
        f" HAVING {SOME} > 0",
        f"SELECT cut, {DAYS}, {others}, {SUMS} FROM summaries, rollup_zone"
        f" GROUP BY 1, 2, {others} HAVING {SOME} > 0",
    )
    found += await differences(
        pool,
        f"SELECT cut, bucket, {others}, {SUMS} FROM summary_hours GROUP BY cut, bucket, {others}"
        f" HAVING {SOME} > 0",
        f"SELECT cut, date_bin('1 hour', bucket, 'epoch'), {others}, {SUMS} FROM summaries"
        f" GROUP BY 1, 2, {others} HAVING {SOME} > 0",
    )
    return found + await differences(
        pool,
        "SELECT name, bucket, added FROM base_days WHERE added <> 0",
        f"SELECT name, {DAYS}, sum(added)::bigint FROM base_changes, rollup_zone"
        " GROUP BY 1, 2 HAVING sum(added) <> 0",
    )


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    sent=st.lists(
        st.tuples(PEOPLE, MOMENTS, st.sampled_from(["read", "failed", "delivered"])), max_size=5
    ),
    moves=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=3),
    orders=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=2),
    said=st.lists(st.tuples(PEOPLE, MOMENTS, st.booleans()), max_size=3),
    absorbed=st.booleans(),
    data=st.data(),
)
async def test_sums_of_sums_and_days_are_what_their_parts_add_up_to(
    sent, moves, orders, said, absorbed, data, pool, store, feed_together
) -> None:
    await store.adopt("Europe/Istanbul")
    run = fresh_id("c")
    events = []
    for n, (who, at, became) in enumerate(sent):
        about = ref(f"{run}/{n}", f"{run}{n % 2}", template=f"tpl{n % 3}")
        events.append(("message", outcome("sent", NOON + at, run + who, about)))
        events.append(("message", outcome(became, NOON + at + DAY, run + who, about)))
    events += [("signal", entered(NOON + at, run + who, run + "s")) for who, at in moves]
    events += [
        ("contact", ordered(NOON + at, run + who, f"{run}o{n}", 5))
        for n, (who, at) in enumerate(orders)
    ]
    events += [
        ("contact", (granted if yes else withdrew)(NOON + at, run + who)) for who, at, yes in said
    ]
    events += [("contact", created(NOON, run + "ann")), ("contact", received(NOON, run + "ann"))]
    if absorbed:
        events.append(("contact", merged(NOON, run + "ann", run + "bob")))
    shuffled = data.draw(st.permutations(events + events[:2]), label="order")
    for i in range(0, len(shuffled), 4):  # two replicas at a time
        await feed_together([(topic, [one]) for topic, one in shuffled[i : i + 4]])
    assert await wrong(pool) == []


async def test_days_are_summed_up_anew_for_another_zone_and_answers_stay(
    pool, store, feed, answers
) -> None:
    run = fresh_id("c")
    await store.adopt("Europe/Istanbul")
    await feed(
        "message",
        [
            outcome("sent", NOON + n * 7 * 60 * MINUTE, "c", ref(f"{run}/{n}", run))
            for n in range(9)
        ],
    )
    mine = Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[run])
    asked = question(
        Query(measures=[Measure.MEASURE_SENT], filters=[mine], grain=Grain.GRAIN_DAY), WEEK
    )
    told = await answers.rows(asked)
    assert sum(row.values[0].value for row in told) == 9
    await store.adopt("Asia/Kathmandu")
    assert await wrong(pool) == []
    assert await answers.rows(asked) == told
    await store.adopt("Europe/Istanbul")
    assert await wrong(pool) == []
    assert await answers.rows(asked) == told


async def test_an_overview_lists_the_campaigns_of_which_most_was_sent(pool, answers, feed) -> None:
    run = fresh_id("c")
    events = [
        outcome("sent", NOON - n, f"{run}{n}", ref(f"{run}/{which}/{n}", f"{run}{which:02}"))
        for which in range(12)
        for n in range(1 + which)
    ]
    states = [campaign(NOON, f"{run}{which:02}", "cancelled", "c") for which in range(12)]
    planned = outcome("planned", NOON, f"{run}p", ref(f"{run}/p", f"{run}11"))
    await feed("message", [*events, *states, planned])
    ids = [f"{run}{which:02}" for which in range(12)]
    mine = [Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=ids)]
    overviews = Overviews(answers, StandingOut(answers))
    found = (await overviews.read(WEEK, mine)).campaigns
    assert [row.dimensions[0].value for row in found] == ids[:1:-1]
    told = [{v.measure: v.value for v in row.values} for row in found]
    assert [one[Measure.MEASURE_SENT] for one in told] == list(range(12, 2, -1))
    assert [one[Measure.MEASURE_CANCELLED] for one in told] == [1, *[0] * 9]


async def test_an_overview_leaves_out_what_its_filters_cannot_tell(pool, answers) -> None:
    together = [
        Filter(dimension=Dimension.DIMENSION_SEGMENT, values=["s"]),
        Filter(dimension=Dimension.DIMENSION_TEMPLATE, values=["t"]),
    ]
    overviews = Overviews(answers, StandingOut(answers))
    found = await overviews.read(WEEK, together)
    assert (found.totals, found.days, found.campaigns) == ([], [], [])


def test_what_cancels_out_adds_nothing() -> None:
    nothing = [0] * len(COUNTS)
    more, less = ([sign, *nothing[1:]] for sign in (1, -1))
    one, other = Cube(campaign_id="c", stage="new"), Cube(campaign_id="c", stage="loyal")
    assert summaries({(0, one): more, (0, other): less}) == {}
    twice = summaries({(0, one): more, (0, other): more})
    assert {key.cut: counts for key, counts in twice.items()} == {
        cut: [2, *nothing[1:]] for cut in (0, 1)
    }


@given(many=st.integers(0, 10**9), at_once=st.integers(1, 10**5), least=st.sampled_from([2, 8, 64]))
def test_of_many_as_many_are_looked_at_as_can_be_at_once(many, at_once, least) -> None:
    part = one_in(many, at_once, least)
    assert many / part <= at_once
    assert part == 1 or (part >= least and part.bit_count() == 1)
    assert part in (1, least) or many / (part / 2) > at_once


def test_a_part_of_the_letters_is_found_by_the_index_of_a_larger_part() -> None:
    tests = {n: f"hashtext(l.contact_id) & {n - 1} = 0" for n in (4, 8, 64, 128, 512, 1024)}
    assert letters(1) == []
    assert letters(4) == [tests[4]]
    assert letters(8) == [tests[8]]
    assert letters(64) == [tests[8], tests[64]]
    assert letters(128) == [tests[8], tests[64], tests[128]]
    assert letters(1024) == [tests[8], tests[64], tests[512], tests[1024]]


async def test_too_many_people_are_counted_from_some_of_them_always_the_same(
    monkeypatch, pool, store, feed, answers
) -> None:
    run = fresh_id("c")
    people = [f"{run}{n}" for n in range(300)]
    some = [one for one in people if sampled(one)]
    about = {one: ref(f"{run}/{one}", run) for one in people}
    await feed("message", [outcome("planned", NOON, one, about[one]) for one in people])
    told = [outcome("read", NOON + MINUTE, one, about[one]) for one in people[::2]]
    told += [outcome("replied", NOON + 2 * MINUTE, one, about[one]) for one in people[::2]]
    await feed("message", told)
    kept = await pool.fetch("SELECT contact_id FROM sampled_facts WHERE campaign_id = $1", run)
    assert {row[0] for row in kept} == {*some}

    mine = [Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[run])]
    measures = [
        *(Measure.MEASURE_RECIPIENTS, Measure.MEASURE_THEIR_RESPONSE_TIME),
        Measure.MEASURE_ENGAGEMENT_FREQUENCY,
    ]
    asked = question(Query(measures=measures, filters=mine), WEEK)
    monkeypatch.setattr(sampling, "PEOPLE_AT_ONCE", 299)
    (row,) = await answers.rows(asked)
    recipients, response, _ = row.values
    assert recipients.value == 64 * len(some)
    assert recipients.lower <= recipients.value <= recipients.upper
    read = [one for one in some if one in {*people[::2]}]
    assert response.value == (60 if read else 0)
    where = ledger.Where(WEEK, (("campaign_id", (run,), False),))
    assert await store.steps(where, ["planned", "read"]) == [64 * len(some), 64 * len(read)]
    monkeypatch.setattr(sampling, "PEOPLE_AT_ONCE", 300)
    (row,) = await answers.rows(asked)
    assert row.values[0].value == 300
