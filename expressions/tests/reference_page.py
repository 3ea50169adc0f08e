"""docs/expressions.md: every function, operator and type, with examples whose results are computed.

`python -m expressions.tests.reference_page` writes it anew.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from expressions import Area, Expression, ExpressionError, Facts, Registry, compile
from expressions.oracle import Happening, Oracle, Person
from expressions.schema import normalise, type_of

PAGE: Final = Path(__file__).parents[2] / "docs" / "expressions.md"
NOW: Final = datetime(2026, 11, 22, 9, tzinfo=UTC)
NOW_MS: Final = int(NOW.timestamp() * 1000)
REGISTRY: Final = Registry(
    {
        "first_name": "string",
        "city": "string",
        "language": "string",
        "age": "int",
        "vip": "bool",
        "birthday": "date",
        "created_at": "timestamp",
        "tags": "list<string>",
        "churn_score": "double",
        "traits.order_count": "int",
        "traits.net_total": "double",
        "traits.engagement": "string",
        "traits.category_affinity": "map",
        "traits.last_location": {"latitude": "double", "longitude": "double"},
        "weather": {"temperature_c": "double", "precipitation_mm": "double", "code": "int"},
    },
    {
        "product_viewed": {"category": "string", "price": "double", "sku": "string"},
        "cart_updated": {"cart_id": "string", "total": "double"},
        "order_completed": {"total": "double", "products": [{"sku": "string", "price": "double"}]},
    },
    purposes=["marketing", "utility"],
    segments=["vip", "lapsed"],
    areas={"kadikoy-store": Area(40.9903, 29.0275, 50)},
    known_places=["kadikoy-store"],
    given={"item": {"item_id": "string", "price": "double", "former_price": "double"}},
)
GIVEN: Final[dict[str, Any]] = {
    "item": {"item_id": "d2", "price": 90.0, "former_price": 120.0},
    "parameters": {"cart_id": "c1"},
}
_ATTRIBUTES: Final[dict[str, Any]] = {
    "first_name": "Ayşe",
    "city": "Izmir",
    "language": "tr-TR",
    "age": 34,
    "vip": True,
    "birthday": "1992-11-22",
    "created_at": "2025-01-10T08:00:00Z",
    "tags": ["mother", "runner"],
    "churn_score": 0.83,
    "stage": "loyalty",
    "traits.order_count": 7,
    "traits.net_total": 4_200.5,
    "traits.engagement": "high",
    "traits.category_affinity": {"shoes": 0.6, "coats": 0.4},
    "traits.last_location": {"latitude": 40.9921, "longitude": 29.0275},
    "weather": {"temperature_c": 9.5, "precipitation_mm": 1.2, "code": 61},
}
_DID: Final[tuple[tuple[str, timedelta, dict[str, Any]], ...]] = (
    ("order_completed", timedelta(days=40), {"total": 300.0, "products": [{"sku": "a"}]}),
    (
        "order_completed",
        timedelta(days=3),
        {"total": 500.0, "products": [{"sku": "a", "price": 450.0}, {"sku": "b", "price": 50.0}]},
    ),
    ("product_viewed", timedelta(hours=30), {"category": "dress", "price": 90.0, "sku": "d1"}),
    ("product_viewed", timedelta(hours=5), {"category": "dress", "price": 120.0, "sku": "d2"}),
    ("product_viewed", timedelta(hours=4), {"category": "shoes", "price": 80.0, "sku": "s1"}),
    ("cart_updated", timedelta(hours=3), {"cart_id": "c1", "total": 120.0}),
)
PERSON: Final = Person(
    _ATTRIBUTES,
    {"marketing": True},
    frozenset({"vip"}),
    "Europe/Istanbul",
    tuple(Happening(name, NOW_MS - int(a.total_seconds() * 1000), p) for name, a, p in _DID),
)


class Part(NamedTuple):
    """A function, operator or type: how it is written, what it means, examples."""

    name: str
    """As the code has it."""
    usage: str
    meaning: str
    examples: tuple[str, ...]


NAMES: Final = (
    Part(
        "profile",
        "`profile.<name>`",
        'An attribute of the contact. Names with other characters: `profile["some name"]`.',
        ('profile.city == "Izmir"', "profile.age", 'profile["churn_score"] >= 0.8'),
    ),
    Part(
        "traits",
        "`traits.<name>`",
        "A fact computed from what the contact did.",
        ("traits.order_count >= 5", 'traits.engagement == "high"'),
    ),
    Part(
        "event",
        "`event.<name>`",
        "A property of the event that starts a trigger; known only in a trigger.",
        (),
    ),
    Part(
        "item",
        "`item.<name>`",
        "A field of the item of which the price or the stock changed; known only in a trigger that"
        " such a change starts.",
        ("item.price / item.former_price < 0.8",),
    ),
    Part(
        "parameters",
        "`parameters.<name>`",
        "A value that a journey was started with; known only in a journey, of type `dyn`.",
        ('parameters.cart_id == "c1"',),
    ),
)
TYPES: Final = (
    Part("string", "`string`", "A text, in double or single quotes.", ('"dress"',)),
    Part("int", "`int`", "A whole number of 64 bits.", ("42", "0x2A")),
    Part("double", "`double`", "A number with a fraction.", ("4.2",)),
    Part("bool", "`bool`", "Yes or no.", ("true", "profile.vip")),
    Part(
        "timestamp",
        "`timestamp`",
        "A moment; without a zone it is UTC.",
        ('profile.created_at < timestamp("2026-01-31T09:00:00Z")',),
    ),
    Part(
        "duration",
        "`duration`",
        "A span of time: `30m`, `24h`, `1h30m`, `7d`, `2w`. A day is 24 hours.",
        ('duration("1h30m") > duration("80m")',),
    ),
    Part("date", "`date`", "A day, without a time.", ('profile.birthday == "1992-11-22"',)),
    Part("list", "`list<…>`", "Several values of one type.", ("profile.tags[0]", "[1, 2, 3]")),
    Part(
        "map",
        "`map`",
        "Values by name.",
        ('traits.category_affinity["shoes"]', "traits.last_location.latitude"),
    ),
    Part(
        "dyn",
        "`dyn`",
        "A value nobody declared: its type is looked at when evaluating. What does not fit is"
        " missing.",
        ("traits.category_affinity.shoes > 0.5", 'traits.category_affinity.shoes == "much"'),
    ),
)
OPERATORS: Final = (
    Part(
        "&&",
        "`a && b`",
        "Both. Decided by one that is false, whatever the other is.",
        ('profile.vip && profile.city == "Izmir"', "false && profile.age > 3"),
    ),
    Part("||", "`a || b`", "Either. Decided by one that is true.", ("profile.vip || false",)),
    Part("!", "`!a`", "Not.", ('!segment("lapsed")',)),
    Part(
        "==",
        "`a == b`, `a != b`",
        "Equal, or not, by value. `== null` asks whether it is missing.",
        ("1 == 1.0", 'profile.city != "Ankara"', "profile.city == null"),
    ),
    Part(
        "<",
        "`<`, `<=`, `>`, `>=`",
        "Order of numbers, texts, moments, spans and dates.",
        ("profile.age >= 18", 'profile.birthday < "2000-01-01"'),
    ),
    Part(
        "in",
        "`a in list`",
        "Whether it is one of them; of a map: one of its names.",
        ('profile.city in ["Izmir", "Bursa"]', '"shoes" in traits.category_affinity'),
    ),
    Part(
        "+",
        "`+`, `-`, `*`, `/`, `%`",
        "Arithmetic; whole numbers stay whole, and dividing by 0 is missing. `+` joins texts and"
        " lists, and moves moments by spans.",
        ("7 / 2", "-7 % 3", "7.0 / 2.0", '"a" + "b"', "1 / 0 == null"),
    ),
    Part(
        "?:",
        "`a ? b : c`",
        "One value or the other.",
        ('profile.vip ? "gold" : "plain"',),
    ),
    Part("[]", "`a[b]`", "A part of a list, from 0, or of a map.", ("profile.tags[1]",)),
)
FUNCTIONS: Final = (
    Part(
        "events",
        '`events("name")`',
        "What the contact did, by the name of the event; see the next table.",
        ('events("order_completed").count()',),
    ),
    Part(
        "sequence",
        '`sequence("a", "b")`',
        "The newest `a`, and whether `b` came after it; see below.",
        ('sequence("cart_updated", "order_completed").notWithin("2h")',),
    ),
    Part(
        "segment",
        '`segment("name")`',
        "Whether the contact is a member of another segment, now.",
        ('segment("vip")', 'segment("lapsed")'),
    ),
    Part(
        "consent",
        '`consent("purpose")`',
        "Whether the contact agreed. It is checked again when a message is sent.",
        ('consent("marketing")',),
    ),
    Part("stage", "`stage()`", "The stage of the customer journey.", ('stage() == "loyalty"',)),
    Part(
        "near",
        '`near("place", "500m")`',
        "Whether the contact was last seen so far from the edge of a place at most: `500m`,"
        " `1.5km`. How long ago that was says `traits.last_location_time`.",
        ('near("kadikoy-store", "500m")', 'near("kadikoy-store", "100m")'),
    ),
    Part(
        "localTime",
        "`localTime()`, `localTime(moment)`",
        "The wall clock of the contact's time zone, now or at a moment; name a field of it.",
        ("localTime().hour", "localTime(profile.created_at).year"),
    ),
    Part(
        "now",
        "`now()`",
        "This moment; it can be compared with moments and spans.",
        ('now() - profile.created_at > duration("365d")',),
    ),
    Part(
        "has",
        "`has(profile.city)`",
        "Whether a value is known.",
        ("has(profile.city)", 'has(events("cart_updated").last().total)'),
    ),
    Part(
        "size",
        "`size(a)`",
        "Characters of a text, parts of a list or map.",
        ("size(profile.tags)", "size(profile.first_name)"),
    ),
    Part("int", "`int(a)`", "As a whole number; a moment in seconds.", ('int("42")', "int(4.9)")),
    Part("double", "`double(a)`", "As a number with a fraction.", ('double("4.2")',)),
    Part("string", "`string(a)`", "As a text.", ("string(profile.age)", 'string(duration("90s"))')),
    Part(
        "timestamp",
        '`timestamp("2026-01-31T09:00:00Z")`',
        "A moment, of a text, a date, or seconds since 1970.",
        ('timestamp("2026-11-22T12:00:00+03:00") == timestamp(1795338000)',),
    ),
    Part("duration", '`duration("24h")`', "A span of time.", ('string(duration("2m"))',)),
    Part(
        "weather",
        "`weather().<name>`",
        "The weather where the contact was seen last, of these days: `temperature_c`,"
        " `apparent_temperature_c`, `humidity_percent`, `precipitation_mm`, `rain_mm`, `snow_cm`,"
        " `cloud_cover_percent`, `wind_kmh`, `gusts_kmh` and `code`,"
        " what it is by table 4677 of the WMO (0 is clear, 61 is light rain, 71 is light snow).",
        (
            "weather().temperature_c < 10.0",
            "weather().precipitation_mm > 0.0 && weather().code in [61, 63, 65]",
        ),
    ),
)
EVENTS: Final = (
    Part(
        "where",
        "`.where(e, condition)`",
        "Only events of which a condition holds; `e` is the event.",
        ('events("product_viewed").where(e, e.category == "dress").count()',),
    ),
    Part(
        "within",
        '`.within("24h")`',
        "Only events younger than that. Who is in by it leaves at the very moment, with no event.",
        ('events("product_viewed").within("24h").count()',),
    ),
    Part("exists", "`.exists()`", "Whether there is any.", ('events("cart_updated").exists()',)),
    Part("count", "`.count()`", "How many.", ('events("product_viewed").count() >= 3',)),
    Part(
        "last",
        "`.last().<name>`",
        "A property of the newest, or its `time`.",
        ('events("product_viewed").last().category',),
    ),
    Part(
        "first",
        "`.first().<name>`",
        "A property of the oldest, or its `time`.",
        ('events("order_completed").first().total',),
    ),
    Part(
        "sum",
        "`.sum(e, e.total)`",
        "Of all where it is known.",
        ('events("order_completed").within("90d").sum(e, e.total)',),
    ),
    Part(
        "avg", "`.avg(e, e.total)`", "On average.", ('events("order_completed").avg(e, e.total)',)
    ),
    Part("min", "`.min(e, e.price)`", "The least.", ('events("product_viewed").min(e, e.price)',)),
    Part("max", "`.max(e, e.price)`", "The most.", ('events("product_viewed").max(e, e.price)',)),
    Part(
        "distinct",
        "`.distinct(e, e.sku)`",
        "How many different ones.",
        ('events("product_viewed").distinct(e, e.category)',),
    ),
)
SEQUENCES: Final = (
    Part(
        "within",
        '`sequence("a", "b").within("2h")`',
        "The newest `a` was followed by a `b` within that time.",
        ('sequence("product_viewed", "cart_updated").within("2h")',),
    ),
    Part(
        "notWithin",
        '`sequence("a", "b").notWithin("2h")`',
        "The newest `a` was not followed by a `b` within that time, which is over.",
        (
            'sequence("cart_updated", "order_completed").notWithin("2h")',
            'sequence("cart_updated", "order_completed").notWithin("4h")',
        ),
    ),
)
CLOCK: Final = (
    Part("hour", "`.hour`", "0 to 23.", ("localTime().hour", "localTime().hour in [12, 13]")),
    Part("weekday", "`.weekday`", "1 is Monday, 7 is Sunday.", ("localTime().weekday >= 6",)),
    Part("day", "`.day`", "1 to 31.", ("localTime().day",)),
    Part("month", "`.month`", "1 to 12.", ("localTime().month",)),
    Part("year", "`.year`", "", ("localTime().year",)),
)
TEXTS: Final = (
    Part("startsWith", '`.startsWith("a")`', "", ('profile.language.startsWith("tr")',)),
    Part("endsWith", '`.endsWith("a")`', "", ('profile.city.endsWith("mir")',)),
    Part("contains", '`.contains("a")`', "", ('profile.city.contains("zm")',)),
    Part(
        "matches",
        '`.matches("^A[0-9]+$")`',
        "By a pattern of RE2, anywhere in the text.",
        ('profile.city.matches("^I.*r$")',),
    ),
    Part("lowerAscii", "`.lowerAscii()`", "A to Z only.", ("profile.city.lowerAscii()",)),
    Part("upperAscii", "`.upperAscii()`", "a to z only.", ("profile.city.upperAscii()",)),
    Part("trim", "`.trim()`", "Without spaces around it.", ('"  a ".trim()',)),
    Part("size", "`.size()`", "As `size(a)`.", ("profile.tags.size()",)),
    Part(
        "isToday",
        "`.isToday()`",
        "Of a date: whether the contact's wall clock shows that day and month. The 29 February is"
        " kept on the 28th in years without it.",
        ("profile.birthday.isToday()",),
    ),
)
_PRODUCTS: Final = 'events("order_completed").last().products'
LISTS: Final = (
    Part("all", "`.all(x, …)`", "Whether it holds of every part.", ("[2, 3].all(x, x > 1)",)),
    Part(
        "exists",
        "`.exists(x, …)`",
        "Whether it holds of any.",
        ('profile.tags.exists(tag, tag == "runner")', f'{_PRODUCTS}.exists(p, p.sku == "b")'),
    ),
    Part("exists_one", "`.exists_one(x, …)`", "Of exactly one.", ("[1, 2].exists_one(x, x > 1)",)),
    Part("filter", "`.filter(x, …)`", "Those of which it holds.", ("[1, 2, 3].filter(x, x > 1)",)),
    Part("map", "`.map(x, …)`", "What is made of each.", (f"{_PRODUCTS}.map(p, p.sku)",)),
)
RULES: Final = (
    'events("cart_updated").within("24h").exists()'
    ' && !events("order_completed").within("24h").exists()',
    'events("product_viewed").where(e, e.category == "dress").within("24h").count() >= 2',
    'events("order_completed").within("90d").sum(e, e.total) > 750.0 && consent("marketing")',
    "profile.birthday.isToday() && localTime().hour >= 9",
)
MISTAKES: Final = (
    'profile.ctiy == "Izmir"',
    'events("order_complete").exists()',
    'events("cart_updated").within("24").exists()',
    'profile.age == "34"',
    'profile.city = "Izmir"',
    'segment("lapse")',
    "profile.engagement",
    'near("kadikoi-store", "500m")',
    "weather().temprature_c > 30",
    "item.prise < 10.0",
    "(profile.age > 3",
)
TABLES: Final = {
    "Names": NAMES,
    "Operators": OPERATORS,
    "Functions": FUNCTIONS,
    "What somebody did": EVENTS,
    "One thing after another": SEQUENCES,
    "Local time": CLOCK,
    "Texts and dates": TEXTS,
    "Lists": LISTS,
    "Types": TYPES,
}
_INTRODUCTION: Final = """# Expressions

Rules of segments, conditions of triggers, values in messages and stages of the customer journey
are written in one language: [CEL](https://cel.dev), with functions for what a contact did and when.
A rule is checked when it is written: a name nobody knows, or types that do not go together, are an
error that says where it is, what was expected and what may have been meant.

- **What is not known is missing.** Whatever is made of a missing value is missing; `&&` and `||`
  are decided by the other side where that is enough; a rule that is missing does not hold. So
  `profile.age < 30` does not hold of somebody whose age nobody knows, and neither does
  `!(profile.age < 30)`. Ask with `has(…)`.
- **Time alone changes rules.** Who is a member by `within("24h")` leaves at the very second, with
  no event.
- **An event counts from its own time on**, however late it comes, and once, however often it comes.

The page is written by the code of the language, each result is computed, and a test compares them.
After a change there:

    python -m expressions.tests.reference_page

The examples are about Ayşe, in Istanbul's time zone, on Sunday 22 November 2026 at 12:00 there: she
ordered 40 days and 3 days ago (300 and 500), looked at a dress 30 and 5 hours ago (90 and 120), at
shoes 4 hours ago (80), and changed her cart 3 hours ago. Where she is it is 9.5 °C and rains. The
item is a dress that fell from 120 to 90, and the journey was started about her cart.
"""


def facts() -> Facts:
    """What is known of the person, as the compiled form looks at it."""
    found = Facts(
        {
            name: REGISTRY.attribute_value(name, value)
            if name in REGISTRY.attributes
            else normalise(type_of("string"), value)
            for name, value in PERSON.attributes.items()
        },
        dict(PERSON.consents),
        set(PERSON.segments),
        PERSON.zone,
    )
    for one in PERSON.happenings:
        kept = REGISTRY.event_properties(one.name, one.properties, one.properties)
        found.insert(one.name, one.time, kept)
    return found


def result(source: str) -> Any:
    """The value of an example, by the compiled form."""
    return _compiled(source).evaluate(facts(), NOW_MS, None, GIVEN)


def meant(source: str) -> Any:
    """The same, by the oracle; a condition that is missing does not hold."""
    value = Oracle(source, REGISTRY).evaluate(PERSON, NOW_MS, None, GIVEN)
    return value is True if _compiled(source).is_condition else value


def examples() -> Iterator[str]:
    """All of them."""
    for parts in TABLES.values():
        for part in parts:
            yield from part.examples
    yield from RULES


def mistake(source: str) -> ExpressionError:
    """What is said of a wrong source."""
    try:
        _compiled(source)
    except ExpressionError as error:
        return error
    raise AssertionError(f"nothing is wrong with {source}")


def page() -> str:
    """The page as it is now."""
    lines = [_INTRODUCTION]
    lines += ["## Rules as people write them\n", "| rule | of Ayşe |", "|---|---|"]
    lines += [f"| {_code(rule)} | {_code(_told(result(rule)))} |" for rule in RULES]
    for title, parts in TABLES.items():
        lines += [f"\n## {title}\n", "| written | meaning | example | gives |", "|---|---|---|---|"]
        for part in parts:
            shown = "<br>".join(_code(one) for one in part.examples)
            gives = "<br>".join(_code(_told(result(one))) for one in part.examples)
            lines.append(f"| {_cell(part.usage)} | {_cell(part.meaning)} | {shown} | {gives} |")
    lines += [
        "\n## When something is wrong\n",
        "Over gRPC it is INVALID_ARGUMENT with the reason `EXPRESSION_INVALID`; its metadata hold"
        " `field`, `line`,\n`column`, `offset`, `length`, `problem`, `expected` and `suggestion`."
        " `CheckExpression` tells the same\nwithout an error.\n",
        "| written | where | said | expected |",
        "|---|---|---|---|",
    ]
    for source in MISTAKES:
        error = mistake(source)
        place = f"{error.line}:{error.column}, {error.length} long"
        lines.append(
            f"| {_code(source)} | {place} | {_cell(error.message)} | {_cell(error.expected)} |"
        )
    return "\n".join(lines) + "\n"


def _compiled(source: str) -> Expression:
    return compile(source, REGISTRY, given=GIVEN)


def _told(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "missing"
        case str():
            return f'"{value}"'
        case list():
            return "[" + ", ".join(_told(one) for one in value) + "]"
    return str(value)


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
