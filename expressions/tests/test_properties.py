"""Random expressions over random histories at random instants: the compiled form against the
oracle, and what `next_change` promises."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expressions import Event, EventType, Facts, History, Index, Registry, compile
from expressions.oracle import Happening, Oracle, Person

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_774_656_000_000  # 2026-03-28T00:00:00Z, a day before clocks change in Europe
REGISTRY = Registry(
    {
        "city": "string",
        "age": "int",
        "score": "double",
        "vip": "bool",
        "since": "timestamp",
        "birthday": "date",
        "tags": "list<string>",
        "any": "dyn",
        "traits.orders": "int",
        "weather": {"temperature_c": "double", "code": "int"},
    },
    {
        "viewed": {"price": "double", "sku": "string", "qty": "int"},
        "bought": {"total": "double", "items": [{"sku": "string", "price": "double"}]},
        "pinged": EventType(open=True),
    },
)
ZONES = ["UTC", "Europe/Istanbul", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]
WINDOWS = ["30m", "1h", "90m", "2h", "1d"]
WINDOW_MS = [30 * MINUTE, HOUR, 90 * MINUTE, 2 * HOUR, DAY]
SPANS = ["0s", "30m", "1h", "1d", "-1h"]

COMPARISON = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
EQUALITY = st.sampled_from(["==", "!="])


def built(template, **parts):
    """Texts of a template whose {holes} are drawn from the strategies of the same names."""

    @st.composite
    def drawn(draw):
        return template.format(**{name: draw(part) for name, part in parts.items()})

    return drawn()


number = st.sampled_from(["0", "1", "2", "-1", "3", "10", "0.5", "2.0", "-3.5"])
count = st.sampled_from(["0", "1", "2", "3", "-1"])
word = st.sampled_from(['"a"', '"b"', '"A"', '""', '"ab"'])
moment = st.sampled_from(
    [
        "profile.since",
        'timestamp("2026-03-28T12:00:00Z")',
        'events("viewed").last().time',
        'events("bought").first().time',
        'events("pinged").within("2h").last().time',
    ]
)
span = st.sampled_from(SPANS).map(lambda text: f'duration("{text}")')

on_viewed = st.one_of(
    built("e.price {op} {n}", op=COMPARISON, n=number),
    built("e.sku {op} {w}", op=EQUALITY, w=word),
    built("e.qty {sign} 2 {op} {n}", sign=st.sampled_from("+-*/%"), op=COMPARISON, n=number),
    built("e.sku in [{a}, {b}]", a=word, b=word),
    st.just("has(e.price) && !(e.sku == profile.city)"),
    built("now() - e.time {op} {s}", op=COMPARISON, s=span),
    st.just('e.time > events("bought").last().time'),
    st.just("localTime(e.time).hour >= 12"),
)
on_viewed |= built("({a} {op} {b})", a=on_viewed, b=on_viewed, op=st.sampled_from(["&&", "||"]))
on_bought = st.one_of(
    built("e.total {op} {n}", op=COMPARISON, n=number),
    built("e.items.exists(i, i.sku == {w})", w=word),
    built("e.items.all(i, i.price {op} {n})", op=COMPARISON, n=number),
    st.just("e.items.filter(i, i.price > 1.0).size() == 1"),
    st.just('e["items"][0].sku == "a"'),
)
on_pinged = st.one_of(
    built("e.x {op} {n}", op=COMPARISON, n=number),
    built("e.x {op} {w}", op=EQUALITY, w=word),
    st.just("e.flag"),
    st.just('e.x.startsWith("a")'),
    st.just("e.list.exists(v, v == 1)"),
    st.just("e.list[0] + 1 == 2"),
    built("int(e.x) {op} 1", op=COMPARISON),
)


def narrowed(name, condition):
    where = st.one_of(st.just(""), condition.map(lambda text: f".where(e, {text})"))
    within = st.one_of(st.just(""), st.sampled_from(WINDOWS).map(lambda w: f'.within("{w}")'))
    return built(f'events("{name}")' + "{a}{b}", a=where, b=within) | built(
        f'events("{name}")' + "{b}{a}", a=where, b=within
    )


viewed = narrowed("viewed", on_viewed)
chain = viewed | narrowed("bought", on_bought) | narrowed("pinged", on_pinged)
figure = st.one_of(
    built("{c}.count()", c=chain),
    built("{c}.sum(e, e.price * double(e.qty))", c=viewed),
    built("{c}.avg(e, e.qty)", c=viewed),
    built("{c}.min(e, e.price)", c=viewed),
    built("{c}.max(e, e.qty)", c=viewed),
    built("{c}.distinct(e, e.sku)", c=viewed),
    built("{c}.last().price", c=viewed),
    built("{c}.first().qty", c=viewed),
    built('events("pinged").sum(e, e.x)'),
    st.just("profile.age"),
    st.just("profile.score"),
    st.just("traits.orders"),
    st.just("profile.tags.size()"),
    st.just("int(profile.any)"),
    st.just("weather().temperature_c"),
    number,
)
arithmetic = figure | built("({a} {op} {b})", a=figure, b=figure, op=st.sampled_from("+-*/"))
leaf = st.one_of(
    built("{c}.exists()", c=chain),
    built("{c}.count() {op} {n}", c=chain, op=COMPARISON, n=count),
    built("{n} {op} {c}.count()", c=chain, op=COMPARISON, n=count),
    built("{c}.count() in [1, 2]", c=chain),
    built("{a} {op} {b}", a=arithmetic, b=arithmetic, op=COMPARISON),
    built("now() - {m} {op} {s}", m=moment, s=span, op=COMPARISON),
    built("{m} + {s} {op} now()", m=moment, s=span, op=COMPARISON),
    built("{m} {op} {n}", m=moment, n=moment, op=COMPARISON),
    built(
        'sequence("viewed", "bought").{f}("{w}")',
        f=st.sampled_from(["within", "notWithin"]),
        w=st.sampled_from(WINDOWS),
    ),
    built(
        'sequence("bought", "pinged").{f}("{w}")',
        f=st.sampled_from(["within", "notWithin"]),
        w=st.sampled_from(WINDOWS),
    ),
    built("localTime().hour {op} {n}", op=COMPARISON, n=st.sampled_from(["0", "9", "18", "30"])),
    built("localTime().{f} {op} 6", f=st.sampled_from(["weekday", "day", "month"]), op=COMPARISON),
    st.just("localTime().weekday in [6, 7]"),
    st.just("localTime().hour % 2 == 0"),
    st.just("profile.birthday.isToday()"),
    built("profile.city {op} {w}", op=COMPARISON, w=word),
    built("profile.any {op} {w}", op=COMPARISON, w=word),
    built("profile.any {op} profile.age", op=COMPARISON),
    st.just("profile.vip"),
    st.just('consent("marketing")'),
    st.just('segment("one")'),
    st.just("has(profile.city)"),
    st.just("weather().code in [61, 63]"),
    st.just("has(weather().code)"),
    st.just("profile.score == null"),
    st.just('has(events("bought").last().total)'),
    st.just('profile.city.lowerAscii().startsWith("a")'),
    st.just('profile.tags.exists(t, t == "a" || profile.city == t)'),
    st.just('"a" in profile.tags'),
    st.just('profile.city.matches("^a")'),
    built("string({a}) == string({b})", a=figure, b=figure),
)
# Comparisons with texts, by which the index tells what cannot matter.
city = st.sampled_from(
    [
        'profile.city == "a"',
        'profile.city != "b"',
        'profile.city in ["a", "b"]',
        "has(profile.city)",
    ]
)
compared = st.recursive(
    city,
    lambda inner: st.one_of(
        built("({a} && {b})", a=inner, b=inner),
        built("({a} || {b})", a=inner, b=inner),
        built("!({a})", a=inner),
    ),
    max_leaves=4,
)
word_or_none = st.sampled_from(["a", "b", "c", None])
condition = st.recursive(
    leaf,
    lambda inner: st.one_of(
        built("({a} && {b})", a=inner, b=inner),
        built("({a} || {b})", a=inner, b=inner),
        built("!({a})", a=inner),
        built("({a} ? {b} : {c})", a=inner, b=inner, c=inner),
    ),
    max_leaves=5,
)

# On a grid, so that instants meet the edges of windows, and beside it by a millisecond.
instant = st.builds(
    lambda step, off: START + step * 30 * MINUTE + off,
    st.integers(-4, 60),
    st.sampled_from([0, 0, 0, 1, -1]),
)
price = st.sampled_from([0, 1, 2.5, 3.0, -1, None, "dear"])
sku = st.sampled_from(["a", "b", "A", "", None, 7])
viewing = st.fixed_dictionaries(
    {}, optional={"price": price, "sku": sku, "qty": st.sampled_from([0, 1, 2, 3, -7, 2.0, True])}
)
item = st.fixed_dictionaries({}, optional={"sku": sku, "price": price})
buying = st.fixed_dictionaries(
    {}, optional={"total": price, "items": st.lists(item, max_size=3) | st.none()}
)
pinging = st.fixed_dictionaries(
    {},
    optional={
        "x": st.sampled_from([0, 1, 1.0, True, "a", "1", None, [1], {"y": 1}]),
        "flag": st.sampled_from([True, False, 1, 0, "true", None]),
        "list": st.lists(st.sampled_from([1, 1.0, True, "1", None]), max_size=3) | st.just(1),
    },
)
happening = st.one_of(
    st.builds(Happening, st.just("viewed"), instant, viewing),
    st.builds(Happening, st.just("bought"), instant, buying),
    st.builds(Happening, st.just("pinged"), instant, pinging),
)
person = st.builds(
    Person,
    attributes=st.fixed_dictionaries(
        {},
        optional={
            "city": st.sampled_from(["a", "Ab", "b", 3, None]),
            "age": st.sampled_from([0, 2, 10, 3.0, 2.5, True, "2"]),
            "score": st.sampled_from([0, 2.0, 0.5, "x"]),
            "vip": st.sampled_from([True, False, 1]),
            "since": st.sampled_from(["2026-03-28T06:00:00Z", START + DAY, "soon"]),
            "birthday": st.sampled_from(["1990-03-29", "2000-02-29", "1980-03-31", "x"]),
            "tags": st.sampled_from([["a"], ["b", "c"], [], ["a", 1], "a"]),
            "any": st.sampled_from([1, 1.0, True, "a", "2", None, [1]]),
            "traits.orders": st.integers(0, 3),
            "weather": st.sampled_from(
                [{"temperature_c": 2, "code": 61}, {"temperature_c": -3.5}, {"code": "wet"}, 3]
            ),
        },
    ),
    consents=st.dictionaries(st.just("marketing"), st.booleans()),
    segments=st.frozensets(st.sampled_from(["one", "two"])),
    zone=st.sampled_from(ZONES),
    # One event per name and instant: the oracle has no order for two of the same millisecond.
    happenings=st.lists(happening, max_size=10, unique_by=lambda h: (h.name, h.time)).map(tuple),
)


def facts_of(person, history):
    facts = Facts(
        attributes={
            name: kept
            for name, value in person.attributes.items()
            if (kept := REGISTRY.attribute_value(name, value)) is not None
        },
        consents=dict(person.consents),
        segments=set(person.segments),
        zone=person.zone,
    )
    for happening in person.happenings:
        add(facts, happening, history)
    return facts


def add(facts, happening, history):
    if happening.name in history:
        needed = history[happening.name].properties
        kept = REGISTRY.event_properties(happening.name, happening.properties, needed)
        facts.insert(happening.name, happening.time, kept)


def edges(person, begin, end):
    """Instants between `begin` and `end` (both excluded) at which something could change."""
    instants = {
        happening.time + window + off
        for happening in person.happenings
        for window in (0, *WINDOW_MS)
        for off in (-1, 0, 1)
    }
    instants |= {begin + 1, end - 1, *range(begin - begin % HOUR + HOUR, end, 5 * HOUR)}
    return sorted(instant for instant in instants if begin < instant < end)


def spread(instants, most):
    """Some of the instants; always the first and the last, where mistakes are by a millisecond."""
    return [*instants[:2], *instants[2 : -2 : max(1, len(instants) // most)], *instants[-2:]]


@st.composite
def cases(draw):
    """A person, and an instant that often is an edge of something the person did."""
    who = draw(person)
    at_edges = edges(who, START - DAY, START + 4 * DAY)
    return who, draw(st.sampled_from(at_edges) | instant)


# The same examples in every run, so that a failure is about the change at hand; the benchmark
# draws others. A deadline would be about the machine.
CASES = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(CASES, max_examples=900)
@given(condition, cases())
def test_the_compiled_form_says_what_the_oracle_says_now_and_until_the_next_change(source, case):
    person, now = case
    expression, oracle = compile(source, REGISTRY), Oracle(source, REGISTRY)
    facts = facts_of(person, expression.history)
    horizon = now + 3 * DAY
    for _ in range(6):
        value, change = expression.decide(facts, now)
        assert value is (oracle.evaluate(person, now) is True)
        assert change is None or change > now
        until = min(change or horizon, horizon)
        for instant in spread(edges(person, now, until), 12):
            assert (oracle.evaluate(person, instant) is True) is value, (instant, change)
        if until == horizon:
            break
        now = until


@CASES
@given(arithmetic | figure, cases())
def test_values_are_those_of_the_oracle(source, case):
    person, now = case
    expression = compile(source, REGISTRY)
    facts = facts_of(person, expression.history)
    assert expression.evaluate(facts, now) == Oracle(source, REGISTRY).evaluate(person, now)


@settings(CASES, max_examples=600)
@given(leaf | condition, cases(), st.integers(0, 2 * DAY), st.lists(happening, max_size=3))
def test_what_pruning_drops_is_never_missed(source, case, later, more):
    person, now = case
    expression = compile(source, REGISTRY)
    full = facts_of(person, expression.history)
    pruned = Facts.from_bytes(full.to_bytes())
    assert pruned == full
    pruned.prune(now, expression.history)
    for happening in more:  # of any time: late ones too
        if all((happening.name, happening.time) != (h.name, h.time) for h in person.happenings):
            add(full, happening, expression.history)
            add(pruned, happening, expression.history)
    assert expression.decide(pruned, now + later) == expression.decide(full, now + later)


@CASES
@given(condition, person, instant, happening)
def test_an_event_changes_only_what_the_index_names(source, person, now, happening):
    expression = compile(source, REGISTRY)
    index = Index()
    index.add("rule", expression)
    facts = facts_of(person, expression.history)
    needed = expression.history.get(happening.name, History()).properties
    kept = REGISTRY.event_properties(happening.name, happening.properties, needed)
    if not index.by_event(happening.name, kept, facts.attributes):
        with_it = replace(person, happenings=(*person.happenings, happening))
        oracle = Oracle(source, REGISTRY)
        assert (oracle.evaluate(with_it, now) is True) == (oracle.evaluate(person, now) is True)


@CASES
@given(condition | compared, person, instant, st.sampled_from(["city", "any", "vip"]), word_or_none)
def test_an_attribute_changes_only_what_the_index_names(source, person, now, name, value):
    expression = compile(source, REGISTRY)
    index = Index()
    index.add("rule", expression)
    facts = facts_of(person, expression.history)
    before, after = facts.attributes.get(name), REGISTRY.attribute_value(name, value)
    if before != after and not index.by_attribute(name, before, after, facts.attributes):
        attributes = {**person.attributes, name: after}
        changed = replace(person, attributes={n: v for n, v in attributes.items() if v is not None})
        oracle = Oracle(source, REGISTRY)
        assert (oracle.evaluate(changed, now) is True) == (oracle.evaluate(person, now) is True)


@given(st.lists(happening, max_size=12), st.randoms(), st.integers(1, 6))
def test_facts_do_not_depend_on_the_order_in_which_events_come(happenings, random, limit):
    needed = {
        "viewed": {"price", "sku", "qty"},
        "bought": {"total", "items"},
        "pinged": {"x", "flag", "list"},
    }
    shuffled = random.sample(happenings, len(happenings))
    straight, mixed = Facts(), Facts()
    for facts, order in ((straight, happenings), (mixed, shuffled)):
        for h in order:
            kept = REGISTRY.event_properties(h.name, h.properties, needed[h.name])
            facts.insert(h.name, h.time, kept, limit)
    assert straight == mixed


@CASES
@given(on_viewed, person, instant, viewing)
def test_the_triggering_event_is_read_like_any_other(source, person, now, properties):
    source = source.replace("e.", "event.").replace("localTimevent.", "localTime.")
    source = source.replace("profilevent.", "profile.")
    happening = Happening("viewed", now, properties)
    kept = REGISTRY.event_properties("viewed", properties, ["price", "sku", "qty"])
    expression = compile(source, REGISTRY, event="viewed")
    facts = facts_of(person, expression.history)
    value = Oracle(source, REGISTRY).evaluate(person, now, happening)
    assert expression.evaluate(facts, now, Event(now, kept)) is (value is True)


@CASES
@given(on_bought, person, instant, buying)
def test_what_came_with_the_cause_is_read_like_an_event(source, person, now, fields):
    source = source.replace("e.", "item.").replace('e["items"]', 'item["items"]')
    registry = Registry(
        given={"item": {"total": "double", "items": REGISTRY.events["bought"].fields["items"]}}
    )
    came = {"item": fields}
    expression = compile(source, registry, given=("item",))
    value = Oracle(source, registry).evaluate(Person(), now, None, came)
    assert expression.evaluate(Facts(), now, None, came) is (value is True)
    assert expression.evaluate(Facts(), now) is (
        Oracle(source, registry).evaluate(Person(), now, None, {"item": {}}) is True
    )


@CASES
@given(condition, cases())
def test_evaluating_never_raises_whatever_stands_in_the_facts(source, case):
    person, now = case
    raw = Facts(attributes=dict(person.attributes), zone=person.zone)
    for happening in person.happenings:
        raw.insert(happening.name, happening.time, dict(happening.properties))
    assert compile(source, REGISTRY).evaluate(raw, now) in (True, False)
