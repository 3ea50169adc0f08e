"""What a contact did, at the edges of time."""

import pytest

from expressions import Facts, Registry, compile

HOUR, DAY = 3_600_000, 86_400_000
T = 1_774_656_000_000
REGISTRY = Registry(
    {"birthday": "date", "since": "timestamp", "city": "string"},
    {"viewed": {"price": "double", "sku": "string"}, "bought": {"total": "double"}},
)


def happened(*events):
    facts = Facts()
    for name, time, properties in events:
        facts.insert(name, time, properties)
    return facts


def views(*times):
    return happened(*(("viewed", time, {}) for time in times))


def decide(source, facts, now):
    return tuple(compile(source, REGISTRY).decide(facts, now))


def test_an_event_counts_from_its_own_millisecond_and_leaves_exactly_when_its_window_is_over():
    rule = 'events("viewed").within("24h").exists()'
    facts = views(T)
    assert decide(rule, facts, T - 1) == (False, T)
    assert decide(rule, facts, T) == (True, T + DAY)
    assert decide(rule, facts, T + DAY - 1) == (True, T + DAY)
    assert decide(rule, facts, T + DAY) == (False, None)


def test_a_count_changes_only_when_the_event_it_needs_leaves():
    facts = views(T, T + 1, T + 2, T + 3)
    now = T + HOUR
    for rule in (
        'events("viewed").within("24h").count() >= 2',
        'events("viewed").within("24h").count() > 1',
        '2 <= events("viewed").within("24h").count()',
    ):
        assert decide(rule, facts, now) == (True, T + 2 + DAY)
    assert decide('events("viewed").within("24h").count() < 2', facts, now) == (False, T + 2 + DAY)
    assert decide('events("viewed").within("24h").count() == 4', facts, now) == (True, T + DAY)
    assert decide('events("viewed").within("24h").count() >= 5', facts, now) == (False, None)
    assert decide('events("viewed").within("24h").count() == 0', facts, now) == (False, T + 3 + DAY)


def test_without_a_window_time_changes_nothing():
    assert decide('events("viewed").exists()', views(T), T) == (True, None)
    assert decide('events("viewed").count() == 2', views(T, T + 1), T + DAY) == (True, None)


def test_where_keeps_the_events_whose_condition_is_true():
    facts = happened(
        ("viewed", T, {"price": 10.0, "sku": "a"}),
        ("viewed", T + 1, {"price": 30.0, "sku": "b"}),
        ("viewed", T + 2, {"sku": "b"}),
    )
    assert decide('events("viewed").where(e, e.price > 5).count()', facts, T + 2) == (2, None)
    assert decide('events("viewed").where(e, !(e.price > 5)).count()', facts, T + 2) == (0, None)
    rule = 'events("viewed").where(e, e.price < 20).where(e, e.sku == "a").within("1h").exists()'
    assert decide(rule, facts, T + 2) == (True, T + HOUR)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('events("viewed").sum(e, e.price)', 40.0),
        ('events("viewed").avg(e, e.price)', 20.0),
        ('events("viewed").min(e, e.price)', 10.0),
        ('events("viewed").max(e, e.price)', 30.0),
        ('events("viewed").max(e, e.time)', T + 2),
        ('events("viewed").distinct(e, e.sku)', 2),
        ('events("viewed").first().price', 10.0),
        ('events("viewed").last().price', None),
        ('events("viewed").last().sku', "b"),
        ('events("viewed").last().time', T + 2),
        ('events("bought").sum(e, e.total)', 0),
        ('events("bought").avg(e, e.total)', None),
        ('events("bought").last().total', None),
        ('events("bought").last().total > 1.0', False),
        ('!(events("bought").last().total > 1.0)', False),
        ('has(events("bought").last().total)', False),
    ],
)
def test_aggregates_pass_over_what_is_missing(source, value):
    facts = happened(
        ("viewed", T, {"price": 10.0, "sku": "a"}),
        ("viewed", T + 1, {"price": 30.0, "sku": "b"}),
        ("viewed", T + 2, {"sku": "b"}),
    )
    assert compile(source, REGISTRY).evaluate(facts, T + 2) == value


def test_last_and_first_leave_with_their_event():
    facts = views(T, T + HOUR)
    now = T + HOUR
    assert decide('events("viewed").within("2h").last().time', facts, now)[1] == T + 3 * HOUR
    assert decide('events("viewed").within("2h").first().time', facts, now)[1] == T + 2 * HOUR


def test_not_within_is_false_until_the_time_is_over_and_then_true():
    rule = 'sequence("viewed", "bought").notWithin("2h")'
    assert decide(rule, Facts(), T) == (False, None)
    facts = views(T)
    assert decide(rule, facts, T) == (False, T + 2 * HOUR)
    assert decide(rule, facts, T + 2 * HOUR - 1) == (False, T + 2 * HOUR)
    assert decide(rule, facts, T + 2 * HOUR) == (True, None)
    facts.insert("viewed", T + 3 * HOUR, {})
    assert decide(rule, facts, T + 3 * HOUR) == (False, T + 5 * HOUR)


@pytest.mark.parametrize(
    ("after", "followed"), [(-1, False), (0, True), (2 * HOUR - 1, True), (2 * HOUR, False)]
)
def test_an_event_follows_from_the_same_instant_until_just_before_the_time_is_over(after, followed):
    facts = happened(("viewed", T, {}), ("bought", T + after, {}))
    now = T + DAY
    within, not_within = (
        f'sequence("viewed", "bought").{f}("2h")' for f in ("within", "notWithin")
    )
    assert decide(within, facts, now) == (followed, None)
    assert decide(not_within, facts, now) == (not followed, None)


def test_a_sequence_sees_that_an_event_of_the_future_will_follow():
    facts = happened(("viewed", T, {}), ("bought", T + HOUR, {}))
    rule = 'sequence("viewed", "bought").within("2h")'
    assert decide(rule, facts, T) == (False, T + HOUR)
    assert decide(rule, facts, T + HOUR) == (True, None)


def test_now_is_compared_with_a_time_and_the_crossing_is_exact():
    facts = Facts(attributes={"since": T})
    rule = 'now() - profile.since >= duration("1h")'
    assert decide(rule, facts, T) == (False, T + HOUR)
    assert decide(rule, facts, T + HOUR - 1) == (False, T + HOUR)
    value, change = decide(rule, facts, T + HOUR)
    assert value is True
    assert change == T + HOUR + 1
    assert decide(rule, facts, T + HOUR + 1) == (True, None)
    assert decide('profile.since + duration("1h") > now()', facts, T) == (True, T + HOUR)
    assert decide('now() + duration("1h") < profile.since', facts, T) == (False, None)


def test_a_clause_that_decides_alone_needs_no_timer_for_the_others():
    facts = views(T)
    facts.attributes["city"] = "Ankara"
    viewed = 'events("viewed").within("1h").exists()'
    assert decide(f'{viewed} && profile.city == "Izmir"', facts, T) == (False, None)
    assert decide(f'{viewed} || profile.city == "Ankara"', facts, T) == (True, None)
    assert decide(f'{viewed} && !events("viewed").within("3h").exists()', facts, T) == (
        False,
        T + 3 * HOUR,
    )


def test_a_condition_on_events_keeps_the_timers_of_all_events_it_looked_at():
    facts = views(T, T + HOUR)
    rule = (
        'events("viewed").where(e, now() - e.time > duration("2h")'
        ' || now() - e.time > duration("9h")).count() == 2'
    )
    assert decide(rule, facts, T + HOUR) == (False, T + 2 * HOUR)


def test_what_changes_only_beyond_the_calendar_does_not_change():
    facts = Facts(attributes={"since": 10**17})
    assert decide("now() > profile.since", facts, T) == (False, None)
