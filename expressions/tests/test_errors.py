"""Every mistake is told with its place and with what to write instead."""

import pytest

from expressions import ExpressionError, Registry, compile

REGISTRY = Registry(
    {"city": "string", "age": "int", "since": "timestamp", "tags": "list<string>", "vip": "bool"}
    | {"traits.engagement": "double", "weather": {"temperature_c": "double"}},
    {
        "cart_updated": {"total": "double", "sku": "string"},
        "order_completed": {"items": [{"sku": "string"}]},
    },
    purposes=["marketing", "utility"],
    segments=["vip", "lapsed"],
    known_places=["kadikoy"],
    given={"item": {"title": "string", "price": "double", "properties": "map"}},
)


@pytest.mark.parametrize(
    ("source", "marked", "message"),
    [
        # names
        ('profile.ciyt == "x"', "ciyt", "did you mean `city`?"),
        ('profile["ciyt"] == "x"', '"ciyt"', "did you mean `city`?"),
        ("traits.engagment > 1.0", "engagment", "did you mean `engagement`?"),
        ('city == "x"', "city", "did you mean `profile.city`?"),
        ("profil.city", "profil", "did you mean `profile`?"),
        ('events("cart_updatd").exists()', '"cart_updatd"', "did you mean `cart_updated`?"),
        ('events("zzz").exists()', '"zzz"', "known: `cart_updated`, `order_completed`"),
        ('events("cart_updated").last().totl > 1', "totl", "did you mean `total`?"),
        ('events("cart_updated").where(e, e.x == 1).exists()', "x", "unknown property `x`"),
        ('events("order_completed").last().items[0].skuu == "a"', "skuu", "did you mean `sku`?"),
        ('events("cart_updated").cuont() > 1', "cuont", "did you mean `count`?"),
        ('sequence("cart_updated", "order_completed").notwithin("2h")', "notwithin", "`notWithin`"),
        ('consent("marketting")', '"marketting"', "did you mean `marketing`?"),
        ('segment("lapse")', '"lapse"', "did you mean `lapsed`?"),
        ("sizeof(profile.tags) > 1", "sizeof", "did you mean `size`?"),
        ('profile.city.startswith("a")', "startswith", "did you mean `startsWith`?"),
        ("localTime().hours > 9", "hours", "did you mean `hour`?"),
        ("event.total > 1.0", "event", "only in the conditions of a trigger"),
        # types
        ("profile.city > 3", "profile.city > 3", "the left side is string, the right side is int"),
        ('profile.age == "3"', 'profile.age == "3"', "write int(…) around it"),
        ('profile.since > "2026"', 'profile.since > "2026"', "write timestamp("),
        ("now() - profile.since > 3600", "now() - profile.since > 3600", 'write duration("24h")'),
        ("profile.vip < true", "profile.vip < true", "bool has no order"),
        ("profile.city && true", "profile.city", "expected bool, this is string"),
        ('!events("cart_updated").count()', 'events("cart_updated").count()', "expected bool"),
        ('profile.age + "a" == "a"', 'profile.age + "a"', "does not go with int and string"),
        ("profile.age % 2.0 == 0.0", "profile.age % 2.0", "does not go with"),
        ("profile.age.size() == 1", "profile.age.size()", "size needs a string"),
        ("profile.city.contains(1)", "1", "expected string, this is int"),
        ("profile.city in 3", "3", "needs a list"),
        ("profile.age in profile.tags", "profile.age", "cannot be in a list<string>"),
        ("profile.city[0] == 1", "profile.city[0]", "has no parts"),
        ("profile.age.year == 1", "year", "int has no field"),
        ('true ? 1 : "a"', '"a"', "must have one type"),
        ('events("cart_updated").sum(e, e.sku) > 1', "e.sku", "sum needs one of int, double"),
        ("profile.city < null", "profile.city < null", "null has no order"),
        ("profile.age.isToday()", "profile.age", "expected date"),
        # events as values
        ('events("cart_updated")', 'events("cart_updated")', "end with .exists()"),
        ('events("cart_updated").last()', 'events("cart_updated").last()', "name a property"),
        ('events("cart_updated").total > 1', "total", "end with .exists()"),
        ('sequence("cart_updated", "order_completed")', None, "say in which time"),
        ("localTime() > 3", "localTime()", "say what of the local time"),
        ("has(profile)", "profile", "has(profile.city)"),
        ("string(now())", "now()", "changes every moment"),
        ("profile.city + localTime", "localTime", "unknown name"),
        # literals
        ('events("cart_updated").within("24").exists()', '"24"', 'write for example "30m"'),
        ('events("cart_updated").within("0h").exists()', '"0h"', "more than nothing"),
        ('events("cart_updated").within("9999w").exists()', '"9999w"', "hundred years"),
        ('events("cart_updated").within(profile.city).exists()', "profile.city", "in quotes"),
        ('events("cart_updated").within("1h").within("2h").exists()', "within", "once"),
        ("events(profile.city).exists()", "profile.city", "in quotes"),
        ('timestamp("soon") < now()', '"soon"', "2026-01-31T09:00:00Z"),
        ('duration("soon") < now() - profile.since', '"soon"', "1h30m"),
        ('profile.city.matches("(a")', '"(a"', "missing )"),
        ('"\\q" == profile.city', '"\\q"', "no escape"),
        ("99999999999999999999 > profile.age", "99999999999999999999", "beyond 64 bits"),
        # syntax
        ("profile.age = 3", "=", "write `==`"),
        ("profile.vip and profile.vip", "and", "write `&&`"),
        ("profile.vip AND profile.vip", "AND", "write `&&`"),
        ("profile.city == “x”", "“", 'write `"`'),
        ('profile.city == "x', '"', "close the quotation mark"),
        ("profile.age > ", None, "ends too early"),
        ("profile.age > > 3", ">", "did not expect"),
        ("", None, "empty"),
        ('{"a": 1}', '{"a": 1}', "no use here"),
        ("b'a' == b'a'", "b'a'", "bytes have no use"),
        # shape
        ('events("cart_updated").where(total > 1).exists()', None, "write `….where(e, e.price"),
        ('events("cart_updated").where("e", true).exists()', '"e"', "name the variable first"),
        ('events("cart_updated").where(event, true).exists()', "event", "choose another name"),
        (
            'events("cart_updated").where(e, events("order_completed").exists()).exists()',
            "exists",
            ".last() or .first()",
        ),
        ('sequence("cart_updated", "cart_updated").within("2h")', None, ".count() >= 2"),
        ('near("kadikoi", "500m")', '"kadikoi"', "did you mean `kadikoy`?"),
        ('near("kadikoy", "500")', '"500"', 'write for example "500m" or "1.5km"'),
        ('near("kadikoy", "9999km")', '"9999km"', "more than 1000 km"),
        ('near("kadikoy")', None, 'write `near("kadikoy-store", "500m")`'),
        ("weather().temperature > 30.0", "temperature", "did you mean `temperature_c`?"),
        ("weather(1).temperature_c > 30.0", None, "write `weather().temperature_c`"),
        ("weather() > 30.0", "weather() > 30.0", "map"),
        ("item.title", "item", "only in triggers whose cause is a change of the catalogue"),
        ('parameters.cart == "c1"', "parameters", "only in journeys"),
        ('profile.engagement == "high"', "engagement", "did you mean `traits.engagement`?"),
        ("profile.tags.exists(a, [1].exists(b, [2].exists(c, true)))", None, "at most 2"),
    ],
)
def test_a_mistake_is_marked_and_explained(source, marked, message):
    with pytest.raises(ExpressionError) as raised:
        compile(source, REGISTRY)
    error = raised.value
    assert message in error.message
    if marked is not None:
        start = error.column - 1
        assert source[start : start + error.length] == marked


def test_the_place_is_told_by_line_and_column():
    source = 'profile.city == "x" &&\n  profile.agee > 3'
    with pytest.raises(ExpressionError) as raised:
        compile(source, REGISTRY)
    assert (raised.value.line, raised.value.column, raised.value.length) == (2, 11, 4)
    assert str(raised.value) == (
        "line 2, column 11: unknown attribute `agee`; did you mean `age` or `stage`?\n"
        "    profile.agee > 3\n"
        "            ^^^^"
    )


@pytest.mark.parametrize(
    "source",
    [
        "[" * 500 + "1" + "]" * 500 + " == 1",
        "!" * 500 + "true",
        "1" + " + 1" * 500 + " > 2",
        "true" + " && true" * 5000,
        "profile.tags" + "[0]" * 500,
    ],
)
def test_an_expression_that_is_too_long_or_too_deep_is_refused(source):
    with pytest.raises(ExpressionError, match="too"):
        compile(source, REGISTRY)


def test_a_rule_of_hundreds_of_clauses_is_fine():
    source = " || ".join(f'profile.city == "{number}"' for number in range(250))
    assert compile(source, REGISTRY).attributes == {"city"}


def test_a_registry_refuses_types_that_do_not_exist():
    with pytest.raises(ValueError, match="unknown type 'text'; known: string"):
        Registry({"city": "text"})
