"""Facts equal a count over the distinct events, whatever order, repetition or batches."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from services.reports.ledger import Where
from services.reports.tests.events import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    campaign,
    cancelled,
    created,
    entered,
    left,
    link_clicked,
    merged,
    ordered,
    outcome,
    received,
    ref,
    segment_changed,
    split,
    tracked,
    withdrew,
)

KINDS = (
    *("planned", "suppressed", "held_out", "held", "sent", "delivered", "read", "implied_read"),
    *("played", "clicked", "replied", "failed", "unknown"),
)
WINDOW = 7 * DAY


class Message:
    """One message with its raw history, counted by hand."""

    def __init__(self, contact: str, number: int, variant: str, history: list[tuple]) -> None:
        self.contact, self.number, self.variant = contact, number, variant
        self.history = history

    def times(self, *kinds: str) -> list[int]:
        return [at for kind, at, _ in self.history if kind in kinds]

    @property
    def read(self) -> bool:
        return bool(self.times("read", "implied_read", "played"))

    @property
    def reach(self) -> int | None:
        kinds = ("delivered", "read", "implied_read", "played", "clicked", "replied", "link")
        return min(self.times(*kinds), default=None)

    @property
    def became(self) -> tuple[str, Any]:
        if self.read:
            return "read", None
        if self.reach is not None:
            return "delivered", None
        for kind in ("failed", "sent", "unknown", "suppressed", "held_out"):
            if self.times(kind):
                first = min((at, detail) for k, at, detail in self.history if k == kind)
                return kind, first[1] if kind in ("failed", "suppressed") else None
        return "pending", None


moments = st.integers(0, 20).map(lambda n: n * 7 * HOUR)
details = {"failed": st.sampled_from([131049, 131026]), "suppressed": st.sampled_from("ab")}
happenings = st.one_of(
    [st.tuples(st.just(k), moments, details.get(k, st.just(0))) for k in (*KINDS, "link")]
)
messages = st.lists(
    st.builds(
        Message,
        st.sampled_from(["ann", "bob", "cem"]),
        st.integers(0, 0),
        st.sampled_from(["a", "b"]),
        st.lists(happenings, min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=6,
)
orders = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cem"]), moments, st.integers(1, 90), st.booleans()),
    max_size=4,
)
withdrawals = st.lists(st.tuples(st.sampled_from(["ann", "bob", "cem"]), moments), max_size=2)


@pytest.mark.timeout(600)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(messages=messages, orders=orders, withdrawals=withdrawals, data=st.data())
async def test_a_report_equals_a_count_over_the_raw_events(
    messages, orders, withdrawals, data, ledger, feed_together
) -> None:
    own, run = fresh_id("c"), fresh_id("run")
    events: list[tuple[str, Any]] = []
    for n, message in enumerate(messages):
        message.number = n
        message_id, contact = f"{run}/{n}", f"{run}/{message.contact}"
        about = ref(message_id, own, message.variant)
        for kind, at, detail in message.history:
            if kind == "link":
                events.append(("contact", link_clicked(NOON + at, contact, message_id, own)))
                continue
            more = {"code": detail} if kind == "failed" else {"gate": detail}
            events.append(("message", outcome(kind, NOON + at, contact, about, **more)))
    for n, (who, at, value, undone) in enumerate(orders):
        events.append(("contact", ordered(NOON + at, f"{run}/{who}", f"o{n}", value)))
        if undone:
            events.append(("contact", cancelled(NOON + at + 1, f"{run}/{who}", f"o{n}")))
    events += [("contact", withdrew(NOON + at, f"{run}/{who}")) for who, at in withdrawals]

    drawn = data.draw(st.lists(st.sampled_from(events), max_size=8), label="repeated")
    shuffled = data.draw(st.permutations(events + drawn), label="order")
    size = data.draw(st.integers(1, 12), label="batch")
    batches = [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
    for i in range(0, len(batches), 2):  # two replicas at a time
        await feed_together(
            [
                (topic, [e for t, e in batch if t == topic])
                for batch in batches[i : i + 2]
                for topic in ("message", "contact")
            ]
        )

    # A link's event tells no variant, so a message known by its link alone has none
    for message in messages:
        if not message.times(*KINDS):
            message.variant = ""
    report = await ledger.campaign(own)
    total = report.total
    became = [m.became for m in messages]
    assert total.tally.recipients == len(messages) == sum(total.tally.outcomes.values())
    assert +total.tally.outcomes == Counter(name for name, _ in became)
    assert total.tally.gates == Counter(d for name, d in became if name == "suppressed")
    assert total.tally.codes == Counter(d for name, d in became if name == "failed")
    assert total.tally.sent == sum(bool(m.times("sent")) or m.reach is not None for m in messages)
    assert total.tally.delivered == sum(m.reach is not None for m in messages)
    assert total.tally.read == sum(m.read for m in messages)
    assert total.tally.clicked == sum(bool(m.times("clicked", "link")) for m in messages)
    assert total.tally.replied == sum(bool(m.times("replied")) for m in messages)

    touched: dict[int, int] = {}
    placed = 0
    for who, at, value, undone in orders:
        # A stable tie-break: of messages that reached the person together, the larger id
        touches = [
            (m.reach, f"{run}/{m.number}", m.number)
            for m in messages
            if m.contact == who and m.reach is not None and at - WINDOW < m.reach <= at
        ]
        if touches and not undone:
            last = max(touches)[2]
            touched[last] = touched.get(last, 0) + value
            placed += 1
    assert (total.tally.converted, total.tally.orders) == (len(touched), placed)
    assert total.tally.revenues == ({"TRY": sum(touched.values()) * 10**6} if touched else {})
    assert total.tally.opted_out == sum(
        m.reach is not None
        and any(w == m.contact and m.reach <= at < m.reach + DAY for w, at in withdrawals)
        for m in messages
    )
    for variant in report.variants:
        mine = [m for m in messages if m.variant == variant.variant]
        assert variant.tally.recipients == len(mine)
        assert +variant.tally.outcomes == Counter(m.became[0] for m in mine)
        assert variant.tally.converted == sum(m.number in touched for m in mine)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from("xyz"), st.integers(0, 9), st.booleans()), min_size=1, max_size=12
    ),
    data=st.data(),
)
async def test_members_are_those_whose_last_change_was_entering(
    changes, data, ledger, feed
) -> None:
    segment, run = fresh_id("s"), fresh_id("run")
    # One change per contact and moment: a rule cannot hold and not hold at once
    changes = list({(who, at): (who, at, held) for who, at, held in changes}.values())
    events = [
        (entered if held else left)(NOON + at * MINUTE, f"{run}/{who}", segment)
        for who, at, held in changes
    ]
    for one in data.draw(st.permutations(events + events[:2]), label="order"):
        await feed("signal", [one])
    states, _ = await ledger.segments(timedelta(days=1))
    (state,) = [s for s in states if s.segment_id == segment]
    last = {who: held for who, _, held in sorted(changes, key=lambda c: c[1])}
    assert state.members == sum(last.values())
    assert state.entered == sum(held for *_, held in changes)
    assert state.left == sum(not held for *_, held in changes)


words = st.sampled_from(["", "Ada", "Çarşı", "<b>", "zz"])


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.dictionaries(
        st.integers(0, 9),
        st.tuples(words, st.sampled_from(["backfilling", "active", "archived"])),
        min_size=1,
    ),
    member=st.booleans(),
    data=st.data(),
)
async def test_a_segment_is_called_what_was_said_last_and_hidden_once_archived_and_empty(
    changes, member, data, ledger, feed_together
) -> None:
    segment, run = fresh_id("s"), fresh_id("run")
    events = [
        segment_changed(NOON + at, segment, f"n-{at}", display, state)
        for at, (display, state) in changes.items()
    ]
    events.append(entered(NOON, f"{run}/ann", segment))
    if not member:
        events.append(left(NOON + 1, f"{run}/ann", segment))
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=4), label="repeated")
    shuffled = data.draw(st.permutations(events + repeated), label="order")
    size = data.draw(st.integers(1, 6), label="batch")
    batches = [("signal", shuffled[i : i + size]) for i in range(0, len(shuffled), size)]
    for i in range(0, len(batches), 2):  # two replicas at a time
        await feed_together(batches[i : i + 2])
    at = max(changes)
    display, state = changes[at]
    states, _ = await ledger.segments(timedelta(days=1))
    shown = [(s.members, s.name) for s in states if s.segment_id == segment]
    hidden = state == "archived" and not member
    assert shown == ([] if hidden else [(int(member), display or f"n-{at}")])


async def activity(ledger, name: str) -> dict[str, int]:
    live = await ledger.live(timedelta(hours=1))
    counts: Counter[str] = Counter()
    for one in live.activity:
        if one.name == name:
            counts[one.kind] += one.events
    return counts


async def test_events_are_counted_once_each_however_often_they_come(ledger, feed) -> None:
    name = fresh_id("name").lower()
    events = [tracked(NOON - n * MINUTE, "c", name, {}) for n in range(5)]
    for batch in (events[:3], events[1:], events[::-1]):
        await feed("contact", batch)
    assert await activity(ledger, name) == {"tracked": 5}


async def test_outcomes_that_contact_repeats_are_not_counted_again(ledger, feed) -> None:
    run = fresh_id("c")
    sent = outcome("sent", NOON, run, ref(f"{run}/1", run))
    before = await activity(ledger, "message_sent")
    await feed("message", [sent])
    await feed("contact", [sent])
    await feed("message", [sent])
    after = await activity(ledger, "message_sent")
    assert after["message"] - before.get("message", 0) == 1
    assert after["contact"] == 0


async def test_statuses_of_messages_of_others_are_counted_apart(ledger, feed) -> None:
    before = await activity(ledger, "message_read")
    await feed("message", [outcome("read", NOON, "c", ref(""))])
    after = await activity(ledger, "message_read")
    assert after["foreign"] - before.get("foreign", 0) == 1
    assert after.get("message", 0) == before.get("message", 0)


async def test_metas_pricing_outranks_the_rate_card_whatever_comes_first(ledger, feed) -> None:
    run = fresh_id("c")
    guess = outcome("sent", NOON, "c", ref(f"{run}/1", run), cost=90_000)
    told = outcome("sent", NOON - 1, "c", ref(f"{run}/1", run), cost=70_000, priced=True)
    guessed = outcome("sent", NOON, "c", ref(f"{run}/2", run), cost=50_000)
    for one in (told, guess, guessed):
        await feed("message", [one])
    tally = (await ledger.campaign(run)).total.tally
    assert tally.costs == {"USD": 120_000}
    assert tally.unpriced == 1


async def test_the_name_and_state_of_a_campaign_are_what_was_said_last(ledger, feed) -> None:
    run = fresh_id("c")
    said = [
        campaign(NOON + 3, run, "completed", "Summer sale", 10),
        campaign(NOON + 1, run, "running", "Summer", 10),
        campaign(NOON, run, "planning", "S", 0),
    ]
    for one in said:
        await feed("message", [one])
    state = (await ledger.campaign(run)).state
    assert (state.name, state.state, state.audience) == ("Summer sale", "completed", 10)
    assert state.launch_time.timestamp() * 1000 == NOON + 1


async def test_waiting_messages_of_a_cancelled_campaign_count_as_cancelled(ledger, feed) -> None:
    run = fresh_id("c")
    await feed("message", [outcome("planned", NOON, "c", ref(f"{run}/{n}", run)) for n in range(3)])
    await feed("message", [outcome("sent", NOON, "c", ref(f"{run}/0", run))])
    await feed("message", [campaign(NOON, run, "cancelled", "S", 3)])
    tally = (await ledger.campaign(run)).total.tally
    assert +tally.outcomes == {"sent": 1, "cancelled": 2}


async def test_orders_with_odd_values_still_count_as_orders(ledger, feed) -> None:
    run = fresh_id("c")
    await feed("message", [outcome("delivered", NOON, run, ref(f"{run}/1", run))])
    odd = [None, "12.50", "many", True, {"a": 1}, 1e300, "NaN", 7]
    await feed("contact", [ordered(NOON + n, run, f"o{n}", v) for n, v in enumerate(odd)])
    await feed("contact", [tracked(NOON + 99, run, "order_completed", ["no", "object"])])
    sales = (await ledger.campaign(run)).total.tally
    assert (sales.converted, sales.orders) == (1, 9)
    assert sales.revenues == {"TRY": 19_500_000}


async def test_orders_before_delivery_or_beyond_the_window_are_nobodys(ledger, feed) -> None:
    run = fresh_id("c")
    await feed("message", [outcome("delivered", NOON, run, ref(f"{run}/1", run))])
    at = [NOON - 1, NOON + WINDOW, NOON + WINDOW - 1]
    await feed("contact", [ordered(t, run, f"o{n}", 10**n) for n, t in enumerate(at)])
    assert (await ledger.campaign(run)).total.tally.revenues == {"TRY": 100_000_000}


async def test_the_base_grows_with_contacts(ledger, feed) -> None:
    before = (await ledger.live(timedelta(hours=1))).base
    await feed("contact", [created(NOON, fresh_id("c")) for _ in range(4)])
    await feed("contact", [received(NOON, "c")])
    assert (await ledger.live(timedelta(hours=1))).base == before + 4


async def test_facts_of_an_absorbed_contact_count_for_the_one_that_stays(ledger, feed) -> None:
    for order in ([0, 1, 2], [2, 1, 0]):
        run = fresh_id("c")
        stays, goes, first = f"{run}a", f"{run}b", f"{run}c"
        messages = [
            outcome("delivered", NOON, who, ref(f"{run}/{who}", run)) for who in (goes, stays)
        ]
        own = [
            ordered(NOON + HOUR, goes, "o1", 10),
            ordered(NOON + HOUR, stays, "o2", 5),
            ordered(NOON + HOUR, goes, "o3", 1),
            cancelled(NOON + 2 * HOUR, stays, "o3"),
            withdrew(NOON + HOUR, stays),
        ]
        changes = [
            merged(NOON + 1, stays, goes),
            merged(NOON + 2, first, stays, goes),
            split(NOON + 3, goes, first),
        ]
        where = Where(filters=(("campaign_id", (run,), False),))
        await feed("message", messages)
        await feed("contact", own)
        await feed("signal", [entered(NOON, goes, run), entered(NOON, stays, run)])

        async def counted(where: Where = where, run: str = run) -> tuple[int, list[int], Any, int]:
            steps, _ = await ledger.funnel(where, ["delivered", "converted"])
            total = (await ledger.campaign(run)).total
            people = (await ledger.funnel(where, ["planned"]))[0][0]
            states, _ = await ledger.segments(timedelta(days=1))
            members = [s.members for s in states if s.segment_id == run]
            sales = total.tally
            return people, steps, (sales.orders, sales.converted, total.tally.opted_out), members[0]

        assert await counted() == (2, [2, 2], (3, 2, 1), 2)
        await feed("contact", [changes[0]])
        # The last message before them has brought all orders; one was called off.
        assert await counted() == (1, [1, 1], (2, 1, 2), 1)
        for number in order:
            await feed("contact", [changes[number]])
        assert (await counted())[:3] == (2, [2, 2], (3, 2, 1))


async def test_within_a_batch_and_across_batches_the_same_word_wins(ledger, feed) -> None:
    for batches in ([[0, 1]], [[1, 0]], [[0], [1]], [[1], [0]]):
        own = fresh_id("c")
        pairs = [
            [
                outcome("failed", NOON + at, "c", ref(f"{own}/f", own), code=131049 + at),
                outcome("suppressed", NOON + at, "c", ref(f"{own}/s", own), gate="ba"[at]),
                outcome("sent", NOON + at, "c", ref(f"{own}/m", own), cost=100 + at),
                outcome("delivered", NOON - HOUR, own, ref(f"{own}/d", own)),
                campaign(NOON + at, own, ["running", "paused"][at], ["First", "Last"][at]),
            ]
            for at in (0, 1)
        ]
        orders = [ordered(NOON + at, own, "o", 10 + at) for at in (0, 1)]
        moves = [(left, entered)[at](NOON + at, own, own) for at in (0, 1)]
        names = [segment_changed(NOON + at, own, "zs"[at]) for at in (0, 1)]
        for batch in batches:
            await feed("message", [one for n in batch for one in pairs[n]])
            await feed("contact", [orders[n] for n in batch])
            await feed("signal", [one for n in batch for one in (moves[n], names[n])])
        report = await ledger.campaign(own)
        assert report.total.tally.codes == {131049: 1}
        assert report.total.tally.gates == {"b": 1}
        assert report.total.tally.costs == {"USD": 101}
        assert report.total.tally.revenues == {"TRY": 11_000_000}
        assert (report.state.name, report.state.state) == ("Last", "paused")
        states, _ = await ledger.segments(timedelta(days=1))
        assert [(s.members, s.name) for s in states if s.segment_id == own] == [(1, "s")]


async def test_an_event_that_stands_on_two_topics_is_known_on_each(ledger, feed) -> None:
    before = await activity(ledger, "message_received")
    one = received(NOON, "c")
    for topic in ("contact", "signal", "contact", "signal"):
        await feed(topic, [one])
    after = await activity(ledger, "message_received")
    assert [after[k] - before.get(k, 0) for k in ("contact", "signal")] == [1, 1]
