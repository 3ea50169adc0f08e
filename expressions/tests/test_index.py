"""What an event or a change can affect, and why a rule says what it says."""

from expressions import Facts, History, Index, Reading, Registry, compile

HOUR = 3_600_000
T = 1_774_656_000_000
REGISTRY = Registry(
    {"city": "string"}, {"viewed": {"price": "double", "category": "string"}, "bought": {}}
)


def rule(source):
    return compile(source, REGISTRY)


def test_a_change_affects_the_expressions_that_look_at_it():
    index = Index()
    index.add("active", rule('events("viewed").within("1h").exists()'))
    index.add("buyer", rule('events("bought").exists() && consent("marketing")'))
    index.add("local", rule('profile.city == "Ankara" || segment("vip")'))
    assert index.affected(events=["viewed"]) == {"active"}
    assert index.affected(events=["viewed", "bought"]) == {"active", "buyer"}
    assert index.affected(events=["other"]) == set()
    assert index.affected(attributes=["city"]) == {"local"}
    assert index.affected(consents=["marketing"], segments=["vip"]) == {"buyer", "local"}


def test_of_comparisons_with_texts_only_what_is_asked_for_matters():
    index = Index()
    index.add("dress", rule('events("viewed").where(e, e.category == "dress").exists()'))
    index.add("any", rule('events("viewed").exists() && profile.city == "Ankara"'))
    assert index.by_event("viewed", {"category": "dress"}, {}) == {"dress"}
    assert index.by_event("viewed", {"category": "sock"}, {}) == set()
    assert index.by_event("viewed", {}, {"city": "Ankara"}) == {"any"}
    assert index.looks_at("viewed", {})
    assert index.by_attribute("city", "Bursa", "Ankara", {}) == {"any"}
    assert index.by_attribute("city", "Bursa", None, {}) == set()
    index.add("abroad", rule('!(profile.city == "Ankara")'))
    assert index.by_attribute("city", "Bursa", "Izmir", {}) == set()
    assert index.by_attribute("city", None, "Izmir", {}) == {"abroad"}
    index.remove("any")
    assert index.by_event("viewed", {}, {"city": "Ankara"}) == set()
    assert not index.looks_at("viewed", {"category": "sock"})


def test_an_edited_expression_stands_in_place_of_the_old_one():
    index = Index()
    index.add("one", rule('events("viewed").exists()'))
    index.add("one", rule('events("bought").exists()'))
    assert index.affected(events=["viewed"]) == set()
    assert index.affected(events=["bought"]) == {"one"}
    index.remove("one")
    index.remove("never there")
    assert index.affected(events=["bought"]) == set()
    assert index.history() == {}


def test_the_history_is_what_all_need_together():
    index = Index()
    index.add(1, rule('events("viewed").within("1h").exists()'))
    index.add(2, rule('events("viewed").last().price > 1.0'))
    assert index.history() == {
        "viewed": History(window=HOUR, newest=1, properties=frozenset({"price"}))
    }


def test_each_clause_is_explained_with_what_it_looked_at():
    source = 'events("viewed").within("24h").count() >= 2 && profile.city == "Ankara" && true'
    facts = Facts(attributes={"city": "Izmir"})
    for hours in (0, 1, 2):
        facts.insert("viewed", T + hours * HOUR, {})
    first, second, third = rule(source).explain(facts, T + 3 * HOUR)
    assert first.source == 'events("viewed").within("24h").count() >= 2'
    assert (first.value, first.next_change) == (True, T + 25 * HOUR)
    looked_at = 'events("viewed").within("24h").count()'
    assert first.readings == (Reading(looked_at, 3, T + 2 * HOUR, "viewed"),)
    assert (second.value, second.next_change) == (False, None)
    assert second.readings == (Reading("profile.city", "Izmir", None, "profile.city", 47),)
    assert [one.skipped for one in (first, second, third)] == [False, False, True]
    assert (third.source, third.value, third.readings) == ("true", True, ())


def test_a_rule_without_and_or_or_is_one_clause():
    (clause,) = rule('!(profile.city == "Ankara" && segment("vip"))').explain(Facts(), T)
    assert clause.value is True
    assert [(r.source, r.value) for r in clause.readings] == [
        ("profile.city", None),
        ('segment("vip")', False),
    ]


def test_conditions_within_a_condition_are_explained_in_it():
    source = 'segment("vip") || !(profile.city == "Ankara" && segment("old"))'
    facts = Facts(attributes={"city": "Ankara"}, segments={"old"})
    _, outer = rule(source).explain(facts, T)
    assert (outer.value, outer.offset) == (False, 18)
    assert [(c.source, c.value) for c in outer.clauses] == [
        ('profile.city == "Ankara"', True),
        ('segment("old")', True),
    ]


def test_the_explanation_of_an_or_tells_every_side():
    clauses = rule('profile.city == "Ankara" || segment("vip")').explain(
        Facts(attributes={"city": "Ankara"}, segments={"vip"}), T
    )
    assert [clause.value for clause in clauses] == [True, True]
