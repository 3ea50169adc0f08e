"""What comes with a cause: `item`, `parameters`; and the weather, which is an attribute."""

import pytest

from expressions import Event, ExpressionError, Facts, Index, Registry, compile

REGISTRY = Registry(
    {"city": "string", "weather": {"temperature_c": "double", "code": "int"}},
    given={"item": {"title": "string", "price": "double", "properties": "map"}},
)
ROOTS = ("item", "parameters")


def value(source: str, **given):
    return compile(source, REGISTRY, given=ROOTS).evaluate(Facts(), 0, None, given)


def refused(source: str, given=ROOTS) -> str:
    with pytest.raises(ExpressionError) as raised:
        compile(source, REGISTRY, given=given)
    return raised.value.message


def test_fields_of_a_root_are_read_by_name_and_in_brackets():
    dress = {"title": "Dress", "price": 90, "properties": {"colour": "red"}}
    assert value("item.price", item=dress) == 90.0
    assert value('item["title"] + "!"', item=dress) == "Dress!"
    assert value('item.properties.colour == "red"', item=dress)
    assert value("parameters.lines[1].sku", parameters={"lines": [{}, {"sku": "b"}]}) == "b"


def test_what_did_not_come_or_is_of_another_type_is_missing():
    assert value("item.price") is None
    assert value("item.price", item={"price": "dear"}) is None
    assert value("has(item.title)", item={}) is False
    assert value('parameters.cart == "c"', item={}) is False


def test_roots_change_nothing_by_themselves():
    rule = compile("item.price < 3.0 && parameters.wanted", REGISTRY, given=ROOTS)
    assert not (rule.events or rule.attributes or rule.segments)
    assert rule.next_change(Facts(), 0, None, {"item": {"price": 2.0}}) is None


def test_a_name_that_is_not_there_is_told_with_what_may_have_been_meant():
    assert "did you mean `price`?" in refused("item.prise > 3.0")
    assert "did you mean `item`?" in refused("itm.price > 3.0")
    assert "write `item.<name>`" in refused("size(item) == 1")
    assert "choose another name" in refused("[1].exists(item, item == 1)")
    assert "only in journeys" in refused("parameters.cart_id", given=("item",))
    assert "quotes" in refused("item[profile.city] == 1")


def test_where_nothing_came_the_names_of_roots_are_free_for_variables():
    assert compile("[1, 2].exists(item, item == 2)", REGISTRY).evaluate(Facts(), 0)


def test_an_explanation_says_what_the_root_said():
    rule = compile('item.price < 3.0 && profile.city == "izmir"', REGISTRY, given=ROOTS)
    price, _ = rule.explain(Facts(), 0, None, {"item": {"price": 2.5}})
    assert price.value is True
    assert [(one.source, one.value) for one in price.readings] == [("item.price", 2.5)]


def test_weather_is_looked_at_through_the_index_like_any_attribute():
    rule = compile("weather().temperature_c >= 30.0", REGISTRY)
    index: Index[str] = Index()
    index.add("hot", rule)
    cool, hot = {"temperature_c": 29.9}, {"temperature_c": 30}
    assert index.by_attribute("weather", cool, hot, {}) == {"hot"}
    assert not rule.evaluate(Facts({"weather": cool}), 0)
    assert rule.evaluate(Facts({"weather": hot}), 0)
    assert not rule.evaluate(Facts(), 0)
    assert rule.next_change(Facts({"weather": hot}), 0) is None


def test_where_no_weather_is_known_that_is_said():
    with pytest.raises(ExpressionError, match="no weather is known here"):
        compile("weather().temperature_c >= 30.0", Registry())


def test_an_event_that_nobody_keeps_is_known_only_as_the_one_that_triggers():
    registry = Registry(causes={"place_entered": {"place_id": "string"}})
    rule = compile('event.place_id == "a"', registry, event="place_entered")
    assert rule.evaluate(Facts(), 0, Event(0, {"place_id": "a"}))
    with pytest.raises(ExpressionError, match="unknown event"):
        compile('events("place_entered").exists()', registry)
    with pytest.raises(ExpressionError, match="did you mean `place_id`"):
        compile("event.place_ids", registry, event="place_entered")
