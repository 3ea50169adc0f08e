"""What click-to-WhatsApp ads brought equals a count over the raw events: the first one counts."""

from collections import Counter, defaultdict
from datetime import UTC

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.ids import fresh_id
from merhaba.event.v1 import MessageReceived, Referral
from merhaba.reports.v1 import (
    Dimension,
    Filter,
    GetHeatMapRequest,
    Grain,
    Measure,
    Query,
    QueryRequest,
)
from services.reports.answers.question import question
from services.reports.model import ORDERS
from services.reports.tests.events import (
    DAY,
    HOUR,
    NOON,
    came,
    cancelled,
    event,
    merged,
    ordered,
    split,
    tracked,
)
from services.reports.tests.test_answers import period_of
from services.reports.tests.test_api import asking, reason, stub, stub_port
from services.reports.tests.test_goals import LONG, RELAXED, goals, standing, tell

__all__ = ["asking", "goals", "stub", "stub_port", "tell"]
M, D = Measure, Dimension
PEOPLE = st.sampled_from(["ann", "bob"])
MOMENTS = st.integers(0, 40).map(lambda n: n * 7 * HOUR)


def of_ads(*ads: str, **more) -> Query:
    return Query(
        **{
            "measures": [M.MEASURE_AD_ARRIVALS, M.MEASURE_CONVERTED, M.MEASURE_CONVERSION_RATE],
            "dimensions": [D.DIMENSION_AD],
            "filters": [Filter(dimension=D.DIMENSION_AD, values=ads)],
            **more,
        }
    )


@pytest.mark.timeout(600)
@RELAXED
@given(
    arrivals=st.lists(st.tuples(PEOPLE, MOMENTS, st.sampled_from("xyz")), max_size=5),
    bought=st.lists(st.tuples(PEOPLE, MOMENTS, st.integers(1, 9), st.booleans()), max_size=4),
    joined=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=3),
    together=st.booleans(),
    data=st.data(),
)
async def test_what_ads_brought_equals_a_count_over_the_raw_events(
    arrivals, bought, joined, together, data, goals, tell, answers
) -> None:
    # Whoever comes twice at the same moment came by one of both first, and nobody knows by which
    arrivals = list(
        {(who if not together else "", at): (who, at, ad) for who, at, ad in arrivals}.values()
    )
    run, simple = fresh_id("c"), goals[1]
    events = [came(NOON + at, run + who, run + ad) for who, at, ad in arrivals]
    for n, (who, at, value, undone) in enumerate(bought):
        events.append(ordered(NOON + at, run + who, f"o{n}", value))
        if undone:
            events.append(cancelled(NOON + at + 1, run + who, f"o{n}"))
    events += [tracked(NOON + at, run + who, simple.event_name, {}) for who, at in joined]
    if together:
        events.append(merged(NOON, f"{run}ann", f"{run}bob"))
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=4) if events else st.just([]))
    shuffled = data.draw(st.permutations(events + repeated), label="order")
    size = data.draw(st.integers(1, 6), label="batch")
    for first in range(0, len(shuffled), size):
        await tell("contact", shuffled[first : first + size])

    def whose(who: str) -> str:
        return "ann" if together else who

    stood = {
        ORDERS: standing(
            (whose(who), n, at, value, "TRY", undone)
            for n, (who, at, value, undone) in enumerate(bought)
        ),
        simple.conversion_id: standing(
            (whose(who), n, at, None, "", False) for n, (who, at) in enumerate(joined)
        ),
    }
    windows = {ORDERS: 7 * DAY, simple.conversion_id: simple.window_ms}
    for name, done in stood.items():
        many, worth, who_did = Counter(), Counter(), defaultdict(set)
        for person, theirs in done.items():
            for at, value, _ in theirs:
                near = [
                    (time, ad, n)
                    for n, (who, time, ad) in enumerate(arrivals)
                    if whose(who) == person and at - windows[name] < time <= at
                ]
                if near:
                    _, ad, n = min(near)
                    many[ad] += 1
                    worth[ad] += value
                    who_did[ad].add(n)
        query = of_ads(*(run + ad for ad in "xyz"), conversion_ids=[name])
        rows = await answers.rows(question(query, LONG))
        told = {row.dimensions[0].value: [v.value for v in row.values] for row in rows}
        there = Counter(ad for _, _, ad in arrivals)
        assert told == {
            run + ad: pytest.approx([n, many[ad], len(who_did[ad]) / n]) for ad, n in there.items()
        }
        query.measures[:] = [M.MEASURE_REVENUE]
        rows = await answers.rows(question(query, LONG))
        total = {row.dimensions[0].value: row.values[0].value for row in rows}
        assert {k: v for k, v in total.items() if v} == {
            run + ad: v for ad, v in worth.items() if v
        }


async def test_an_ad_is_called_by_its_latest_headline_and_counts_when_people_came(
    stub, tell
) -> None:
    own = fresh_id("ad")
    await tell("contact", [came(NOON - DAY, f"{own}1", own, "Summer sale", "number")])
    await tell("contact", [came(NOON - 2 * DAY, f"{own}2", own, "Sale")])
    await tell("contact", [ordered(NOON - HOUR, f"{own}1", own, 30)])
    query = of_ads(own, grain=Grain.GRAIN_DAY, period=period_of(-3 * DAY, DAY))
    rows = (await stub.Query(QueryRequest(query=query))).rows
    assert [
        (
            (NOON - row.bucket_time.ToDatetime(UTC).timestamp() * 1000) // DAY,
            row.dimensions[0].label,
            *(v.value for v in row.values),
        )
        for row in rows
    ] == [(2, "Summer sale", 1, 0, 0), (1, "Summer sale", 1, 1, 1)]
    number = Filter(dimension=D.DIMENSION_NUMBER, values=["number"])
    query = of_ads(own, period=period_of(-3 * DAY, DAY))
    query.filters.append(number)
    (row,) = (await stub.Query(QueryRequest(query=query))).rows
    assert [v.value for v in row.values] == [1, 1, 1]
    assert row.values[2].sample_size == 1


async def test_a_post_or_an_ad_without_an_id_brings_nobody(stub, tell) -> None:
    own = fresh_id("ad")
    for referral in (
        Referral(source_type="post", source_id=own),
        Referral(source_type="ad", source_id=""),
    ):
        await tell(
            "contact", [event(NOON, own, message_received=MessageReceived(referral=referral))]
        )
    query = of_ads(own, "", period=period_of(-DAY, DAY))
    assert not (await stub.Query(QueryRequest(query=query))).rows


async def test_what_an_ad_brought_follows_who_people_turn_out_to_be(stub, tell) -> None:
    own = fresh_id("ad")
    ann, bob = f"{own}a", f"{own}b"
    await tell("contact", [came(NOON, ann, own), ordered(NOON + HOUR, bob, own, 30)])

    async def converted() -> list[float]:
        query = of_ads(own, period=period_of(-DAY, DAY))
        (row,) = (await stub.Query(QueryRequest(query=query))).rows
        return [value.value for value in row.values]

    assert await converted() == [1, 0, 0]
    await tell("contact", [merged(NOON + DAY, ann, bob)])
    assert await converted() == [1, 1, 1]
    await tell("contact", [split(NOON + 2 * DAY, bob, ann)])
    assert await converted() == [1, 0, 0]


async def test_ads_of_an_erased_person_still_count_and_lead_to_nobody(
    pool, held, stub, tell
) -> None:
    own = fresh_id("ad")
    await tell("contact", [came(NOON, own, own), ordered(NOON + HOUR, own, own, 30)])
    erased = await held.erase([own])
    assert erased["arrival"] == 1
    kept = "SELECT contact_id, letter_id FROM arrivals WHERE ad_id = $1"
    (row,) = await pool.fetch(kept, own)
    assert row["contact_id"].startswith("nobody_")
    assert row["letter_id"].startswith("nobody_")
    (row,) = (await stub.Query(QueryRequest(query=of_ads(own, period=period_of(-DAY, DAY))))).rows
    assert [value.value for value in row.values] == [1, 1, 1]


async def test_hours_in_which_ads_bring_people_are_told_in_one_zone(stub, tell) -> None:
    own = fresh_id("ad")
    await tell("contact", [came(NOON, own, own)])
    asked = GetHeatMapRequest(
        measure=M.MEASURE_AD_ARRIVALS,
        filters=[Filter(dimension=D.DIMENSION_AD, values=[own])],
        period=period_of(-DAY, DAY),
    )
    answer = await stub.GetHeatMap(asked)
    assert [(c.weekday, c.hour) for c in answer.cells if c.value.value] == [(7, 12)]
    assert not answer.insights
    asked.contact_zone = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetHeatMap(asked)
    assert reason(caught.value)[0] == "FIELD_INVALID"
