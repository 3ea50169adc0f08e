"""What messages bring by several definitions of success equals a count over the raw events."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from merhaba.reports.v1 import (
    Attribution,
    Dimension,
    Filter,
    GetCampaignReportRequest,
    GetCostReportRequest,
    GetFunnelRequest,
    GetHeatMapRequest,
    GetOverviewRequest,
    Grain,
    Measure,
    Query,
    QueryRequest,
)
from services.reports.answers.question import question
from services.reports.consumer import Folding
from services.reports.conversions.model import Conversion
from services.reports.conversions.reading import Reader
from services.reports.conversions.store import ConversionStore
from services.reports.model import ORDERS, Period
from services.reports.tests.events import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    entered,
    link_clicked,
    merged,
    ordered,
    outcome,
    ref,
    tracked,
)
from services.reports.tests.test_answers import of, period_of
from services.reports.tests.test_api import asking, reason, stub, stub_port

__all__ = ["asking", "stub", "stub_port"]
LONG = Period(
    datetime.fromtimestamp((NOON - 40 * DAY) / 1000, UTC),
    datetime.fromtimestamp((NOON + 40 * DAY) / 1000, UTC),
    "Europe/Istanbul",
)
LAST, ANY = Attribution.ATTRIBUTION_LAST_TOUCH, Attribution.ATTRIBUTION_ANY_TOUCH
M, D = Measure, Dimension
RELAXED = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def goals(pool):
    """Three definitions: worth something and to be undone, after delivery; each event by itself,
    after reading; some of the same events, after a tap."""
    own = fresh_id("g").replace("-", "_").lower()
    made = [
        Conversion(
            conversion_id=f"{own}_a",
            name=f"{own}_a",
            event_name=f"{own}_began",
            value="event.v",
            currency='"EUR"',
            key="event.id",
            reversal_event_name=f"{own}_undone",
            window_ms=5 * DAY,
        ),
        Conversion(
            conversion_id=f"{own}_b",
            name=f"{own}_b",
            event_name=f"{own}_joined",
            anchor="read",
            window_ms=2 * DAY,
        ),
        Conversion(
            conversion_id=f"{own}_c",
            name=f"{own}_c",
            event_name=f"{own}_joined",
            condition="event.pro == true",
            value="event.v",
            currency="event.c",
            anchor="clicked",
            window_ms=9 * DAY,
        ),
    ]
    store = ConversionStore(pool)
    for one in made:
        assert await store.add(one)
    yield made
    for one in made:
        await store.delete(one.conversion_id)


@pytest.fixture
def tell(ledger, held, settled, goals):
    """Hands events to the consumer of a topic, which counts by the definitions."""

    async def handle(topic, events) -> None:
        folding = Folding(topic, ledger, held.erase, lambda: Reader(goals))
        await folding.handle([one.SerializeToString() for one in events])
        await settled()

    return handle


PEOPLE = st.sampled_from(["ann", "bob", "cem"])
MOMENTS = st.integers(0, 40).map(lambda n: n * 7 * HOUR)
HISTORY = st.lists(
    st.tuples(
        st.sampled_from(
            ["sent", "delivered", "read", "implied_read", "clicked", "replied", "failed", "link"]
        ),
        MOMENTS,
    ),
    min_size=1,
    max_size=4,
)


class Message:
    """One message with its raw history."""

    def __init__(self, contact: str, variant: str, history) -> None:
        self.contact, self.variant, self.history = contact, variant, history
        self.message_id = ""

    def first(self, *kinds: str) -> int | None:
        return min((at for kind, at in self.history if kind in kinds), default=None)

    def touch(self, anchor: str) -> int | None:
        read = ("read", "implied_read")
        clicked = ("clicked", "link")
        if anchor == "read":
            return self.first(*read)
        if anchor == "clicked":
            return self.first(*clicked)
        return self.first("delivered", "replied", *read, *clicked)


def standing(told) -> dict[str, list[tuple[int, int, str]]]:
    """By person what stands: (person, key, at, value or None, currency, undone)."""
    by_key = defaultdict(list)
    for person, key, at, value, currency, undone in told:
        by_key[person, key].append((at, value, currency, undone))
    found = defaultdict(list)
    for (person, _), all_of_it in by_key.items():
        if any(undone for *_, undone in all_of_it):
            continue
        valued = [
            (at, value, currency) for at, value, currency, _ in all_of_it if value is not None
        ]
        _, value, currency = max(valued, default=(0, 0, ""))
        found[person].append((min(at for at, *_ in all_of_it), value, currency))
    return found


def credited(messages, whose, stood, anchor: str, window: int, every: bool):
    """By message: how many conversions, and their worth by currency."""
    found = defaultdict(lambda: [0, Counter()])
    for person, done in stood.items():
        touches = sorted(
            (m.touch(anchor), m.message_id)
            for m in messages
            if whose(m.contact) == person and m.touch(anchor) is not None
        )
        for at, value, currency in done:
            near = [m for time, m in touches if at - window < time <= at]
            for message_id in near if every else near[-1:]:
                found[message_id][0] += 1
                found[message_id][1][currency] += value
    return found


@pytest.mark.timeout(600)
@settings(RELAXED, max_examples=15)
@given(
    messages=st.lists(
        st.builds(Message, PEOPLE, st.sampled_from("xy"), HISTORY), min_size=1, max_size=5
    ),
    began=st.lists(
        st.tuples(PEOPLE, MOMENTS, st.integers(1, 2), st.integers(1, 9), st.booleans()), max_size=4
    ),
    joined=st.lists(
        st.tuples(
            PEOPLE, MOMENTS, st.booleans(), st.integers(1, 9), st.sampled_from(["TRY", "USD"])
        ),
        max_size=4,
    ),
    bought=st.lists(st.tuples(PEOPLE, MOMENTS, st.integers(1, 9)), max_size=2),
    together=st.booleans(),
    data=st.data(),
)
async def test_what_messages_brought_by_each_definition_equals_a_count_over_the_raw_events(
    messages, began, joined, bought, together, data, goals, tell, answers
) -> None:
    run = fresh_id("c")
    a, b, c = goals
    events = []
    for n, message in enumerate(messages):
        message.message_id = f"{run}/{n}"
        who, about = run + message.contact, ref(message.message_id, run, message.variant)
        # Planned by an event of its own, so that a message known by its link alone has its variant
        events.append(("message", outcome("planned", NOON - DAY, who, about)))
        for kind, at in message.history:
            if kind == "link":
                told = link_clicked(NOON + at, who, message.message_id, run)
                events.append(("contact", told))
            else:
                events.append(("message", outcome(kind, NOON + at, who, about)))
    for who, at, key, value, undone in began:
        body = {"id": str(key), "v": value}
        events.append(("contact", tracked(NOON + at, run + who, a.event_name, body)))
        if undone:
            gone = tracked(NOON + at + 1, run + who, a.reversal_event_name, {"id": str(key)})
            events.append(("contact", gone))
    for who, at, pro, value, currency in joined:
        body = {"pro": pro, "v": value, "c": currency}
        events.append(("contact", tracked(NOON + at, run + who, b.event_name, body)))
    for n, (who, at, value) in enumerate(bought):
        events.append(("contact", ordered(NOON + at, run + who, f"o{n}", value)))
    events += [
        ("signal", entered(NOON - 2 * DAY, f"{run}{who}", f"{run}s")) for who in ("ann", "bob")
    ]
    if together:
        events.append(("contact", merged(NOON, f"{run}ann", f"{run}bob")))
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=5), label="repeated")
    shuffled = data.draw(st.permutations(events + repeated), label="order")
    size = data.draw(st.integers(1, 9), label="batch")
    for first in range(0, len(shuffled), size):
        batch = shuffled[first : first + size]
        for topic in ("contact", "message", "signal"):
            if those := [event for where, event in batch if where == topic]:
                await tell(topic, those)

    def whose(who: str) -> str:
        return "ann" if together and who == "bob" else who

    stood = {
        a.conversion_id: standing(
            (whose(who), key, at, value, "EUR", undone) for who, at, key, value, undone in began
        ),
        b.conversion_id: standing(
            (whose(who), n, at, None, "", False) for n, (who, at, *_) in enumerate(joined)
        ),
        c.conversion_id: standing(
            (whose(who), n, at, value, currency, False)
            for n, (who, at, pro, value, currency) in enumerate(joined)
            if pro
        ),
        ORDERS: standing(
            (whose(who), n, at, value, "TRY", False) for n, (who, at, value) in enumerate(bought)
        ),
    }
    goal_of = {one.conversion_id: (one.anchor, one.window_ms) for one in goals}
    goal_of[ORDERS] = ("delivered", 7 * DAY)
    reached = {m.message_id for m in messages if m.touch("delivered") is not None}
    for attribution in (LAST, ANY):
        came = {
            name: credited(messages, whose, done, *goal_of[name], attribution == ANY)
            for name, done in stood.items()
        }
        for name, brought in came.items():
            await _equal(answers, run, messages, reached, [name], brought, attribution)
        # Of several definitions a message converts once
        some = [a.conversion_id, c.conversion_id, ORDERS]
        sum_of = defaultdict(lambda: [0, Counter()])
        for name in some:
            for message_id, (many, worth) in came[name].items():
                sum_of[message_id][0] += many
                sum_of[message_id][1] += worth
        await _equal(answers, run, messages, reached, some, sum_of, attribution)

        rows = await answers.rows(
            question(
                Query(
                    measures=[M.MEASURE_CONVERTED, M.MEASURE_CONVERSION_RATE],
                    dimensions=[D.DIMENSION_CONVERSION],
                    filters=of(run),
                    conversion_ids=list(came),
                    attribution=attribution,
                ),
                LONG,
            )
        )
        told = {row.dimensions[0].value: [v.value for v in row.values] for row in rows}
        for name, brought in came.items():
            many = sum(n for n, _ in brought.values())
            share = len(brought) / len(reached) if reached else 0
            assert told.get(name, [0, 0]) == pytest.approx([many, share]), name

    # By segment, in which the same messages count
    within = {m.message_id for m in messages if m.contact != "cem"}
    segment = Filter(dimension=D.DIMENSION_SEGMENT, values=[f"{run}s"])
    rows = await answers.rows(
        question(
            Query(
                measures=[M.MEASURE_CONVERTED],
                filters=[segment],
                conversion_ids=[a.conversion_id],
                attribution=ANY,
            ),
            LONG,
        )
    )
    brought = credited(messages, whose, stood[a.conversion_id], "delivered", 5 * DAY, True)
    assert sum(row.values[0].value for row in rows) == sum(
        many for message_id, (many, _) in brought.items() if message_id in within
    )


async def _equal(answers, run, messages, reached, ids, brought, attribution) -> None:
    """That answers by variant and by day say what was counted."""
    query = Query(
        measures=[M.MEASURE_PLANNED, M.MEASURE_CONVERTED, M.MEASURE_CONVERSION_RATE],
        dimensions=[D.DIMENSION_VARIANT],
        filters=of(run),
        conversion_ids=ids,
        attribution=attribution,
    )
    rows = await answers.rows(question(query, LONG))
    for row in rows:
        own = [m.message_id for m in messages if m.variant == row.dimensions[0].value]
        got = [one for one in own if one in reached]
        many = sum(brought[one][0] for one in own if one in brought)
        expected = [len(own), many]
        assert [v.value for v in row.values[:2]] == expected
        if got:
            assert row.values[2].value == pytest.approx(
                sum(one in brought for one in own) / len(got)
            )
            assert row.values[2].sample_size == len(got)
    assert {row.dimensions[0].value for row in rows} == {m.variant for m in messages}
    query.measures[:] = [M.MEASURE_REVENUE]
    del query.dimensions[:]
    query.grain = Grain.GRAIN_DAY
    worth: Counter[str] = Counter()
    for row in await answers.rows(question(query, LONG)):
        worth[row.currency_code] += round(row.values[0].value)
    total: Counter[str] = Counter()
    for _, by_currency in brought.values():
        total += by_currency
    assert +worth == +total


@pytest.fixture
async def summer(tell, goals) -> tuple[str, Conversion]:
    """Of four people who got a message three joined: two after a tap, one of these twice."""
    own = fresh_id("c")
    joined = goals[2]
    events = []
    for n in range(4):
        about = ref(f"{own}/{n}", own, "ab"[n % 2], "tpl")
        events.append(outcome("sent", NOON, f"{own}{n}", about, cost=20_000, priced=True))
        events.append(outcome("delivered", NOON + 1, f"{own}{n}", about))
        if n < 2:
            events.append(outcome("clicked", NOON + MINUTE, f"{own}{n}", about))
    await tell("message", events)
    body = {"pro": True, "v": 5, "c": "USD"}
    who = (0, 0, 1, 2)
    await tell(
        "contact",
        [tracked(NOON + HOUR, f"{own}{n}", joined.event_name, body) for n in who],
    )
    return own, joined


async def test_every_report_counts_by_the_definition_it_is_asked_for(stub, summer) -> None:
    own, goal = summer
    period, named = period_of(-DAY, DAY), goal.conversion_id
    asked = GetCampaignReportRequest(campaign_id=own, conversion_id=named)
    report = (await stub.GetCampaignReport(asked)).report
    assert report.funnel.converted == 2
    assert [(m.currency_code, m.amount_micros) for m in report.revenues] == [("USD", 15_000_000)]
    assert [one.funnel.converted for one in report.variants] == [1, 1]
    plain = (await stub.GetCampaignReport(GetCampaignReportRequest(campaign_id=own))).report
    assert (plain.funnel.converted, len(plain.revenues)) == (0, 0)

    steps = [M.MEASURE_DELIVERED, M.MEASURE_CLICKED, M.MEASURE_CONVERTED]
    for conversion_id, people in ((named, [4, 2, 2]), ("", [4, 2, 0]), (ORDERS, [4, 2, 0])):
        funnel = await stub.GetFunnel(
            GetFunnelRequest(
                steps=steps, filters=of(own), period=period, conversion_id=conversion_id
            )
        )
        assert [step.contacts for step in funnel.steps] == people

    heat = await stub.GetHeatMap(
        GetHeatMapRequest(
            measure=M.MEASURE_CONVERSION_RATE, filters=of(own), period=period, conversion_id=named
        )
    )
    assert [(c.weekday, c.hour, c.value.value) for c in heat.cells if c.value.value] == [
        (7, 12, 0.5)
    ]

    costs = await stub.GetCostReport(
        GetCostReportRequest(filters=of(own), period=period, conversion_id=named)
    )
    (line,) = costs.lines
    told = {value.measure: value.value for value in line.values}
    assert told[M.MEASURE_COST_PER_CONVERSION] == pytest.approx(0.08 / 3)
    assert told[M.MEASURE_RETURN] == pytest.approx(15 / 0.08)

    overview = await stub.GetOverview(
        GetOverviewRequest(filters=of(own), period=period, conversion_id=named)
    )
    totals = {value.measure: value.value for value in overview.totals}
    assert (totals[M.MEASURE_CONVERTED], totals[M.MEASURE_SENT]) == (3, 4)
    assert totals[M.MEASURE_CONVERSION_RATE] == 0.5
    assert [value.value for value in overview.campaigns[0].values if value.measure == 8] == [3]
    (amounts,) = overview.amounts
    assert [round(value.value, 2) for value in amounts.values] == [0.08, 15, 187.5]


async def test_by_conversion_every_definition_is_told_by_its_name(stub, summer) -> None:
    own, goal = summer
    query = Query(
        measures=[M.MEASURE_CONVERTED, M.MEASURE_CONVERSION_RATE],
        dimensions=[D.DIMENSION_VARIANT, D.DIMENSION_CONVERSION],
        filters=of(own),
        period=period_of(-DAY, DAY),
    )
    rows = (await stub.Query(QueryRequest(query=query))).rows
    told = {tuple(d.label for d in row.dimensions): [v.value for v in row.values] for row in rows}
    assert told["a", goal.name] == [2, 0.5]
    assert told["b", goal.name] == [1, 0.5]
    assert told["a", ORDERS] == [0, 0]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (Query(measures=[M.MEASURE_CONVERTED], conversion_ids=["nothing"]), "CONVERSION_NOT_FOUND"),
        (
            Query(measures=[M.MEASURE_SENT], dimensions=[D.DIMENSION_CONVERSION]),
            "QUERY_UNSUPPORTED",
        ),
        (
            Query(
                measures=[M.MEASURE_CONVERTED],
                filters=[Filter(dimension=D.DIMENSION_CONVERSION, values=["x"])],
            ),
            "QUERY_UNSUPPORTED",
        ),
        (Query(measures=[M.MEASURE_SENT], dimensions=[D.DIMENSION_AD]), "QUERY_UNSUPPORTED"),
        (
            Query(measures=[M.MEASURE_CONVERTED], dimensions=[D.DIMENSION_AD], attribution=LAST),
            "QUERY_UNSUPPORTED",
        ),
        (
            Query(
                measures=[M.MEASURE_AD_ARRIVALS],
                dimensions=[D.DIMENSION_AD, D.DIMENSION_TEMPLATE],
            ),
            "QUERY_UNSUPPORTED",
        ),
    ],
)
async def test_what_definitions_and_ads_do_not_tell_is_refused_with_a_reason(
    stub, query, why
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Query(QueryRequest(query=query))
    assert reason(caught.value)[0] == why


async def test_what_is_attributed_follows_a_definition_that_changes_and_goes_with_it(
    pool, settled, answers, summer
) -> None:
    own, goal = summer
    store = ConversionStore(pool)

    async def converted() -> list[float]:
        query = Query(
            measures=[M.MEASURE_CONVERTED],
            filters=of(own),
            conversion_ids=[goal.conversion_id],
        )
        return [row.values[0].value for row in await answers.rows(question(query, LONG))]

    assert await converted() == [3]

    def after_delivery(one: Conversion) -> Conversion:
        one.anchor = "delivered"
        return one

    await store.change(goal.conversion_id, after_delivery)
    await settled()
    assert await converted() == [4]

    def briefly(one: Conversion) -> Conversion:
        one.window_ms = HOUR // 2
        return one

    await store.change(goal.conversion_id, briefly)
    await settled()
    assert await converted() == [0]
    await store.delete(goal.conversion_id)
    await settled()
    left = "SELECT count(*) FROM message_conversions WHERE conversion_id = $1"
    assert await pool.fetchval(left, goal.conversion_id) == 0


async def test_what_a_message_brought_moves_with_the_moment_at_which_it_counts(
    tell, answers, summer
) -> None:
    own, goal = summer
    late = outcome("sent", NOON - 30 * DAY, f"{own}0", ref(f"{own}/0", own, "a", "other"))
    await tell("message", [late])
    query = Query(
        measures=[M.MEASURE_CONVERTED],
        dimensions=[D.DIMENSION_TEMPLATE],
        filters=of(own),
        conversion_ids=[goal.conversion_id],
        grain=Grain.GRAIN_MONTH,
    )
    rows = await answers.rows(question(query, LONG))
    told = {
        (row.bucket_time.ToDatetime(UTC) + timedelta(hours=3)).month: row.values[0].value
        for row in rows
        if row.values[0].value
    }
    assert told == {10: 2, 11: 1}


async def test_what_was_done_before_is_caught_up_with_bit_by_bit(
    pool, store, answers, summer
) -> None:
    own, goal = summer
    await pool.execute(
        "DELETE FROM message_conversions WHERE conversion_id = $1", goal.conversion_id
    )
    before = min(f"{own}{n}" for n in range(4))[:-1]
    await pool.execute("DELETE FROM goals_catch_up")
    await pool.execute("INSERT INTO goals_catch_up VALUES ($1)", before)
    while await pool.fetchval("SELECT EXISTS (SELECT FROM goals_catch_up)"):
        await store.revise(2)
    query = Query(
        measures=[M.MEASURE_CONVERTED], filters=of(own), conversion_ids=[goal.conversion_id]
    )
    assert [row.values[0].value for row in await answers.rows(question(query, LONG))] == [3]
