"""The ledger says who received what, how fast and how often."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from simulator.ids import Ids
from simulator.ledger import questions
from simulator.ledger.ledger import Ledger
from simulator.ledger.seconds import Seconds
from simulator.world.limits import Pair, Throughput

NOW = 1_790_000_000.0


def written(limit, rows):
    """A ledger with (recipient, callback data, when) in it."""
    ledger = Ledger(limit, Ids(bytes(12)).sent)
    for to, data, at in rows:
        ledger.add(
            to=to, phone_number_id="1", kind="template", template="t", callback_data=data,
            now=NOW + at,
        )  # fmt: skip
    return ledger


@given(st.integers(10, 60), st.lists(st.tuples(st.integers(0, 20), st.none() | st.text())))
def test_it_forgets_the_oldest_and_counts_repeats_of_the_rest(limit, data):
    rows = [(str(n), text, float(at)) for at, (n, text) in enumerate(data)]
    ledger = written(limit, rows)
    page = ledger.page(0, 10_000)
    assert len(page) <= limit
    kept = rows[len(rows) - len(page) :]
    assert [(e.to, e.callback_data, e.accepted - NOW) for e in page] == kept
    assert ledger.page(len(rows) - 1, 10) == page[-1:]
    told = questions.duplicates(ledger)
    for name, values in (
        ("by_callback_data", [d for _, d, _ in kept if d is not None]),
        ("by_template_and_recipient", [to for to, _, _ in kept]),
    ):
        assert told[name] == len({v for v in values if values.count(v) > 1})
    assert told["forgotten"] == len(rows) - len(kept)


@given(st.lists(st.sampled_from(["sent", "delivered", "read", "played", "failed"])))
def test_statuses_are_kept_with_their_times(names):
    ledger = written(10, [("1", None, 0.0), ("2", None, 0.0)])
    for after, name in enumerate(names):
        ledger.tell(2, name, NOW + after, 131026 if name == "failed" else 0)
    first, second = ledger.page(0, 10)
    assert first.statuses == {}
    assert {n: round(t - NOW) for n, t in second.statuses.items()} == {
        name: at for at, name in enumerate(names)
    }


def test_a_status_of_a_forgotten_message_is_dropped():
    ledger = written(10, [(str(n + 1), None, 0.0) for n in range(30)])
    ledger.tell(1, "sent", NOW)
    assert all(e.statuses == {} for e in ledger.page(0, 100))
    assert ledger.get(1) is None


@given(st.lists(st.floats(0, 10), max_size=60))
def test_the_busiest_second_is_found_wherever_it_begins(times):
    times = sorted(times)
    told = questions.busiest(written(100, [("1", None, at) for at in times]), "1")
    moments = [NOW + t for t in times]
    expected = max((sum(end - 1 < m <= end for m in moments) for end in moments), default=0)
    assert told["most_in_any_second"] == expected
    assert questions.busiest(written(100, []), "2")["most_in_any_second"] == 0


@given(st.lists(st.tuples(st.sampled_from("123"), st.integers(0, 100)), max_size=40))
def test_the_closest_pair_is_found(rows):
    rows = sorted(((to, None, float(at)) for to, at in rows), key=lambda r: r[2])
    told = questions.closest(written(100, rows), 6.0)
    gaps = [
        b - a for person in "123" for a, b in pairwise([at for to, _, at in rows if to == person])
    ]
    assert told["closest_s"] == min(gaps, default=None)
    assert told["closer"] == sum(gap < 6 for gap in gaps)


def test_recipients_are_counted_by_template_or_by_callback_data():
    rows = [("1", "c1:a", 0), ("1", "c1:b", 1), ("2", "c1:c", 2), ("2", "c2:d", 3), ("3", None, 4)]
    ledger = written(10, rows)
    assert questions.recipients(ledger, template=None, prefix="c1:") == {
        "recipients": 2, "messages": 3, "most": 2, "more_than_once": 1, "examples": {"1": 2},
    }  # fmt: skip
    assert questions.recipients(ledger, template="t", prefix="")["messages"] == 5
    assert questions.recipients(ledger, template="other", prefix="")["messages"] == 0


def test_a_million_messages_fit():
    ledger = written(10**6, ((str(905320000000 + n), f"0192f0c0-{n:027d}", n) for n in range(5000)))
    for seq in range(1, 5001):
        ledger.tell(seq, "sent", NOW + 5000)
    assert ledger.size() / 5000 < 120


def test_seconds_count_by_number_and_kind():
    seconds = Seconds()
    for at, kind in ((0.0, "accepted"), (0.9, "accepted"), (0.95, "refused"), (1.0, "heard")):
        seconds.count("1", kind, NOW + at)
    seconds.count("2", "accepted", NOW)
    assert list(seconds.of("1")) == [
        {"second": NOW, "accepted": 2, "refused": 1, "heard": 0},
        {"second": NOW + 1, "accepted": 0, "refused": 0, "heard": 1},
    ]


@given(st.binary(min_size=12, max_size=12), st.integers(1, 10**9))
def test_an_id_leads_back_to_its_place_and_strange_ones_do_not(nonce, seq):
    ids = Ids(nonce)
    wamid = ids.sent(seq)
    assert ids.place(wamid) == seq
    assert not ids.was_heard(wamid, "1060")
    heard = ids.heard("1060", "905321112233")
    assert ids.was_heard(heard, "1060")
    assert ids.was_heard(heard, "1060", "905321112233")
    assert not ids.was_heard(heard, "1061")
    assert not ids.was_heard(heard, "1060", "905321112244")
    assert ids.place(heard) is None
    assert Ids(bytes(11) + b"x").place(wamid) is None
    for strange in ("", "wamid.", "wamid.HBgM", "wamid.HBgM!", wamid[:-4], wamid + "AAAA"):
        assert ids.place(strange) is None


@given(st.lists(st.floats(0, 3), max_size=200))
def test_throughput_never_passes_more_than_rate_times_time_and_one_second(gaps):
    limiter, now, taken = Throughput(5, 5, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        if limiter.has_room(now):
            limiter.take(now)
            taken += 1
        assert taken <= 5 * (now + 1)


@given(st.lists(st.floats(0, 30), max_size=200))
def test_a_pair_borrows_at_most_a_burst_and_pays_it_back(gaps):
    pair, now, taken = Pair(), 0.0, []
    for gap in gaps:
        now += gap
        if pair.take(now, 6.0, 45):
            taken.append(now)
    assert all(sum(t <= x <= t + 6 for x in taken) <= 90 for t in taken)
    if taken:
        assert len(taken) <= (taken[-1] - taken[0]) / 6 + 45


def test_a_burst_of_twenty_waits_two_minutes():
    pair = Pair()
    assert all(pair.take(n / 10, 6.0, 45) for n in range(20))
    assert not pair.take(100.0, 6.0, 45)
    assert pair.take(120.0, 6.0, 45)
