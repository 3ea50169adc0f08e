"""How many people there are, who agreed, who wrote: as counted over the events themselves."""

from datetime import UTC, datetime, timedelta
from math import inf
from statistics import median

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from merhaba.reports.v1 import Dimension, Filter, Grain, Measure, Query
from services.reports.answers.question import question
from services.reports.model import Period
from services.reports.tests.events import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    created,
    echoed,
    granted,
    merged,
    outcome,
    received,
    ref,
    withdrew,
)

MOMENTS = st.integers(-200, 200).map(lambda n: n * 53 * MINUTE)
PEOPLE = st.sampled_from(["ann", "bob", "cem"])
MANY = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def stretch(start: int, end: int) -> Period:
    moments = (datetime.fromtimestamp((NOON + at) / 1000, UTC) for at in (start, end))
    return Period(*moments, "Europe/Istanbul")


async def told(answers, period: Period, measures, **more) -> list[list[float]]:
    rows = await answers.rows(question(Query(measures=measures, **more), period))
    return [[v.value for v in row.values] for row in rows]


@MANY
@given(
    said=st.lists(
        st.tuples(PEOPLE, MOMENTS, st.booleans(), st.one_of(st.none(), MOMENTS)), max_size=8
    ),
    absorbed=st.booleans(),
    data=st.data(),
)
async def test_consent_counts_people_by_what_was_said_last(
    said, absorbed, data, answers, feed_together
) -> None:
    run = fresh_id("p")
    period = stretch(-3 * DAY, 3 * DAY)
    measures = [Measure.MEASURE_CONSENTED, Measure.MEASURE_CONSENT_GROWTH]
    before = await told(answers, period, measures, grain=Grain.GRAIN_DAY)
    events = [
        granted(NOON + at, run + who, NOON + until if until is not None else 0)
        if grants
        else withdrew(NOON + at, run + who)
        for who, at, grants, until in said
    ]
    if absorbed:
        events.append(merged(NOON, run + "ann", run + "bob"))
    shuffled = data.draw(st.permutations(events + events[:2]), label="order")
    for i in range(0, len(shuffled), 3):
        await feed_together([("contact", [one]) for one in shuffled[i : i + 3]])

    def person(who: str) -> str:
        return "ann" if absorbed and who == "bob" else who

    def consented(at: int) -> int:
        holding = set()
        for who in {person(who) for who, *_ in said}:
            # Of the same moment the withdrawal, and of grants the one that ends latest
            words = [
                (t, not grants, -inf if until is None else until)
                for w, t, grants, until in said
                if person(w) == who and t < at
            ]
            if not words:
                continue
            _, withdrawn, until = max(words)
            if not withdrawn and (until == -inf or until >= at):
                holding.add(who)
        return len(holding)

    after = await told(answers, period, measures, grain=Grain.GRAIN_DAY)
    days = len(after)
    # Days of Istanbul end at 21 h UTC; the first and last are cut
    ends = [min(3 * DAY, (n - 3) * DAY + 12 * HOUR) for n in range(days)]
    starts = [-3 * DAY, *ends[:-1]]
    assert [
        [b - a for a, b in zip(*rows, strict=True)] for rows in zip(before, after, strict=True)
    ] == [
        [consented(end), consented(end) - consented(start)]
        for start, end in zip(starts, ends, strict=True)
    ]


async def test_contacts_are_those_created_less_those_merged_or_erased(answers, feed) -> None:
    run = fresh_id("p")
    period = stretch(-DAY, DAY)
    measures = [Measure.MEASURE_CONTACTS, Measure.MEASURE_CONTACT_GROWTH]
    (before,) = await told(answers, period, measures)
    events = [created(NOON + at, f"{run}{n}") for n, at in enumerate((-2 * DAY, 0, 1, 2 * DAY))]
    await feed("contact", [*events, *events, merged(NOON + 2, f"{run}1", f"{run}2")])
    (after,) = await told(answers, period, measures)
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 1]


@MANY
@given(
    wrote=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=4),
    echoes=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=3),
    sends=st.lists(st.tuples(PEOPLE, MOMENTS, st.booleans()), max_size=4),
    absorbed=st.booleans(),
    data=st.data(),
)
async def test_our_response_time_is_until_the_next_message_of_ours_within_a_day(
    wrote, echoes, sends, absorbed, data, answers, feed_together
) -> None:
    run = fresh_id("p")
    events = [("contact", received(NOON + at, run + who, run)) for who, at in wrote]
    events += [("contact", echoed(NOON + at, run + who)) for who, at in echoes]
    events += [
        ("message", outcome("sent" if sent else "planned", NOON + at, run + who, ref(f"{run}/{n}")))
        for n, (who, at, sent) in enumerate(sends)
    ]
    if absorbed:
        events.append(("contact", merged(NOON, run + "ann", run + "bob")))
    shuffled = data.draw(st.permutations(events + events[:2]), label="order")
    for i in range(0, len(shuffled), 3):
        await feed_together([(topic, [one]) for topic, one in shuffled[i : i + 3]])

    def person(who: str) -> str:
        return "ann" if absorbed and who == "bob" else who

    ours = [(person(w), t) for w, t in echoes] + [(person(w), t) for w, t, sent in sends if sent]
    waits = [
        min(t - at for w, t in ours if w == person(who) and at <= t < at + DAY)
        for who, at in wrote
        if any(w == person(who) and at <= t < at + DAY for w, t in ours)
    ]
    number = Filter(dimension=Dimension.DIMENSION_NUMBER, values=[run])
    query = Query(measures=[Measure.MEASURE_OUR_RESPONSE_TIME], filters=[number])
    (row,) = await answers.rows(question(query, stretch(-10 * DAY, 10 * DAY)))
    (value,) = row.values
    assert value.sample_size == len(waits)
    assert (value.value if value.HasField("value") else None) == (
        median(waits) / 1000 if waits else None
    )


async def test_messages_of_people_are_told_by_when_they_came(answers, feed) -> None:
    period = stretch(-HOUR, 5 * HOUR)
    by = {"dimensions": [Dimension.DIMENSION_SEND_HOUR]}
    asked = question(Query(measures=[Measure.MEASURE_RECEIVED], **by), period)

    async def hours() -> dict[str, float]:
        rows = await answers.rows(asked)
        return {row.dimensions[0].value: row.values[0].value for row in rows}

    before = await hours()
    letters = [received(NOON + at, fresh_id("c")) for at in (0, MINUTE, 3 * HOUR)]
    await feed("contact", [*letters, letters[0]])
    after = await hours()
    assert {h: n - before.get(h, 0) for h, n in after.items() if n != before.get(h, 0)} == {
        "12": 2,
        "15": 1,
    }


async def test_who_is_erased_stays_counted_until_then(answers, feed, held, manual_clock) -> None:
    run = fresh_id("p")
    earlier, now = stretch(-2 * DAY, -DAY), stretch(-2 * DAY, DAY)
    measures = [Measure.MEASURE_CONSENTED]
    before = [await told(answers, period, measures) for period in (earlier, now)]
    await feed("contact", [granted(NOON - 2 * DAY, run)])
    await held.erase([run])
    after = [await told(answers, period, measures) for period in (earlier, now)]
    assert manual_clock.now() - datetime.fromtimestamp(NOON / 1000, UTC) == timedelta(0)
    assert [b[0][0] - a[0][0] for a, b in zip(before, after, strict=True)] == [1, 0]
