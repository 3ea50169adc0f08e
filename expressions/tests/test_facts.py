"""What is kept of a contact, and how."""

import msgspec
import pytest

from expressions import Facts, History, Registry, Timeline, compile

HOUR, DAY = 3_600_000, 86_400_000
T = 1_774_656_000_000
REGISTRY = Registry(
    {"since": "timestamp", "birthday": "date", "n": "int", "tags": "list<string>"},
    {"viewed": {"price": "double", "at": "timestamp"}, "bought": {"items": [{"sku": "string"}]}},
)


def history(source):
    return compile(source, REGISTRY).history


def views(*times):
    facts = Facts()
    for time in times:
        facts.insert("viewed", time, {})
    return facts


@pytest.mark.parametrize(
    ("source", "need"),
    [
        ('events("viewed").within("2h").exists()', History(window=2 * HOUR)),
        ('events("viewed").exists()', History(newest=1)),
        ('events("viewed").count() >= 3', History(newest=3)),
        ('events("viewed").count() > 3', History(newest=4)),
        ('events("viewed").count() + 1 > 3', History(everything=True)),
        ('events("viewed").last().time < now()', History(newest=1)),
        ('events("viewed").first().time < now()', History(oldest=1)),
        (
            'events("viewed").sum(e, e.price) > 1.0',
            History(everything=True, properties=frozenset({"price"})),
        ),
        (
            'events("viewed").where(e, e.price > 1.0).exists()',
            History(everything=True, properties=frozenset({"price"})),
        ),
        (
            'events("viewed").last().price > 1.0 && events("viewed").within("2h").exists()',
            History(window=2 * HOUR, newest=1, properties=frozenset({"price"})),
        ),
        (
            'sequence("bought", "viewed").within("2h")',
            History(follows=frozenset({("bought", 2 * HOUR)})),
        ),
    ],
)
def test_an_expression_says_which_history_it_needs(source, need):
    assert history(source)["viewed"] == need


def test_events_stand_in_the_order_of_time_however_they_come():
    timeline = Timeline()
    for time in (3, 1, 2, 5, 4):
        timeline.insert(time, {"at": time})
    assert timeline.times == [1, 2, 3, 4, 5]
    assert [properties["at"] for properties in timeline.properties] == [1, 2, 3, 4, 5]


def test_a_full_timeline_keeps_the_newest():
    timeline = Timeline()
    for time in (5, 4, 1, 3, 2):
        timeline.insert(time, {}, limit=3)
    assert timeline.times == [3, 4, 5]


def test_new_facts_share_nothing():
    Facts().insert("viewed", T, {})
    assert Facts().timelines == {}


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ('events("viewed").within("2h").exists()', [T + 3 * HOUR, T + 9 * HOUR]),
        ('events("viewed").exists()', [T + 3 * HOUR, T + 9 * HOUR]),
        ('events("viewed").count() >= 2', [T + 2 * HOUR, T + 3 * HOUR, T + 9 * HOUR]),
        ('events("viewed").first().time < now()', [T, T + 9 * HOUR]),
        ('events("viewed").avg(e, e.price) < 1.0', [T + h * HOUR for h in (0, 1, 2, 3, 9)]),
        ('events("bought").exists()', None),
    ],
)
def test_pruning_keeps_what_is_needed_and_what_is_yet_to_come(source, kept):
    facts = views(*(T + hours * HOUR for hours in (0, 1, 2, 3, 9)))
    facts.prune(T + 4 * HOUR, history(source))
    assert (facts.timelines["viewed"].times if kept else facts.timelines) == (kept or {})


def test_pruning_keeps_what_followed_the_newest_of_a_sequence_and_what_may_yet_have():
    rule = compile('sequence("viewed", "bought").notWithin("2h")', REGISTRY)
    facts = views(T, T + DAY)
    for time in (T + HOUR, T + DAY + HOUR, T + DAY + 3 * HOUR, T + 30 * DAY):
        facts.insert("bought", time, {})
    facts.prune(T + 40 * DAY, rule.history, lateness=DAY)
    assert facts.timelines["viewed"].times == [T + DAY]
    assert facts.timelines["bought"].times == [T + DAY + HOUR]
    facts.insert("bought", T + 39 * DAY, {})
    facts.prune(T + 40 * DAY, rule.history, lateness=DAY)
    facts.insert("viewed", T + 39 * DAY - HOUR, {})
    assert rule.evaluate(facts, T + 40 * DAY) is False


def test_facts_come_back_from_bytes_as_they_were():
    facts = Facts(
        {"city": "Ankara", "n": 1, "x": 1.5, "tags": ["a"], "vip": True},
        {"marketing": True},
        {"one", "two"},
        "Europe/Istanbul",
    )
    facts.insert("viewed", T, {"price": 1.5})
    facts.insert("viewed", T + 5, {})
    facts.insert("bought", T - 5, {})
    assert Facts.from_bytes(facts.to_bytes()) == facts
    assert Facts.from_bytes(Facts().to_bytes()) == Facts()


def test_an_event_without_properties_takes_few_bytes():
    facts = views(*(T + number * 60_000 for number in range(1000)))
    assert len(facts.to_bytes()) < 3_100


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x96\x02\x80\x80\x90\xa0\x80"])
def test_other_bytes_are_refused(data):
    with pytest.raises(msgspec.DecodeError):
        Facts.from_bytes(data)


def test_values_are_brought_into_the_shape_of_their_type():
    assert REGISTRY.attribute_value("since", "2026-03-28T03:00:00+03:00") == T
    assert REGISTRY.attribute_value("since", T) == T
    assert REGISTRY.attribute_value("since", "soon") is None
    assert REGISTRY.attribute_value("birthday", "1990-05-17T00:00:00Z") == "1990-05-17"
    assert REGISTRY.attribute_value("birthday", "17.05.1990") is None
    assert REGISTRY.attribute_value("n", 3.0) == 3
    assert REGISTRY.attribute_value("n", 2**63) is None
    assert REGISTRY.attribute_value("tags", ["a", 1]) == ["a", None]
    assert REGISTRY.attribute_value("unknown", {"any": 1}) == {"any": 1}


def test_only_the_properties_that_are_needed_are_kept():
    properties = {"price": 3, "at": "2026-03-28T00:00:00Z", "colour": "red"}
    kept = REGISTRY.event_properties("viewed", properties, ["price", "at", "absent"])
    assert kept == {"price": 3.0, "at": T}
    items = {"items": [{"sku": "a", "colour": "red"}]}
    assert REGISTRY.event_properties("bought", items, ["items"]) == {"items": [{"sku": "a"}]}
