"""Random lives: what triggers make of them, against a slow, obvious interpreter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.segment.engine.actions import SendAction
from services.segment.engine.causes import (
    Cause,
    DateCause,
    EventCause,
    ScheduleCause,
    SeasonCause,
    SegmentCause,
    StageCause,
)
from services.segment.engine.membership import decide, fall_due, pass_time
from services.segment.engine.model import (
    AttributeFact,
    Happening,
    Occurrence,
    SegmentDefinition,
    TriggerDefinition,
)
from services.segment.engine.outcome import Outcome
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.tests.trigger_interpreter import (
    MINUTE,
    Interpreter,
    Person,
    Timetable,
    Told,
    wall,
)
from services.segment.vocabulary import registry

CONTACT = str(UUID(int=7))
REGISTRY = registry()
COMPILER = Compiler(REGISTRY)
ZONES = ["UTC", "Europe/Istanbul", "Europe/Berlin", "America/New_York", "Pacific/Apia"]
# Clocks are put forward, back, it is leap day, and nothing at all.
BASES = ["2026-03-28T20:00", "2026-10-24T20:00", "2028-02-28T12:00", "2026-11-01T00:00"]
SEND = SendAction("c")
GOLD = 'profile.plan == "gold"'


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def gold(person: Person, _now: int, _event: Mapping[str, Any]) -> bool:
    return person.attributes.get("plan") == "gold"


def on(name: str) -> Any:
    """Each event of a name is a cause."""

    def causes(person: Person, now: int) -> list[tuple[str, Mapping[str, Any]]]:
        return [(str(now), p) for time, n, p in person.events if time == now and n == name]

    return causes


def active(person: Person, now: int) -> bool:
    return bool(person.happened("product_viewed", now - 10 * MINUTE, now))


def turning(wanted: bool) -> Any:
    """Coming to be active, or no longer."""

    def causes(person: Person, now: int) -> list[tuple[str, Mapping[str, Any]]]:
        before = now > person.begun and active(person, now - MINUTE)
        now_so = active(person, now)
        return [(str(now), {})] if now_so != before and now_so == wanted else []

    return causes


@dataclass
class Season:
    """Two days, from six in the morning of the first."""

    first: str
    last: str
    held: bool = False

    def causes(self, person: Person, now: int) -> list[tuple[str, Mapping[str, Any]]]:
        here = wall(now, person.zone)
        within = f"{self.first}T06:00" <= f"{here:%m-%dT%H:%M}" and f"{here:%m-%d}" <= self.last
        before, self.held = self.held, within and gold(person, now, {})
        return [(str(here.year), {})] if self.held and not before else []


def ordered(person: Person, now: int, since: int, event: Mapping[str, Any]) -> bool:
    return any(
        p["cart_id"] == event["cart_id"] for p in person.happened("order_completed", since, now)
    )


def bored(person: Person, now: int, since: int, _event: Mapping[str, Any]) -> bool:
    recent = person.happened("product_viewed", max(since, now - 5 * MINUTE), now)
    return gold(person, now, {}) or len(recent) >= 2


def quiet(person: Person, now: int, since: int, _event: Mapping[str, Any]) -> bool:
    """By time alone: nobody looked for eight minutes, but somebody has since the cause."""
    seen = person.happened("product_viewed", since, now)
    return bool(seen) and not person.happened("product_viewed", max(since, now - 8 * MINUTE), now)


def definition(name: str, cause: Cause, **fields: Any) -> TriggerDefinition:
    return TriggerDefinition(f"trg_{name}", name, cause, SEND, **fields)


def triggers(
    base: str, own: Timetable, fixed: Timetable
) -> tuple[list[TriggerDefinition], dict[str, Told]]:
    """Of every kind, as the service has them and as the interpreter has them."""
    day = datetime.fromisoformat(base).date()
    first = f"{day.replace(day=day.day + 1) if day.day < 28 else day:%m-%d}"
    season = Season(first, max(first, f"{day:%m-%d}"))
    seen = 'events("product_viewed")'
    told = [
        (
            definition("order", EventCause("order_completed"), condition="event.total > 2.0"),
            Told(on("order_completed"), lambda p, n, e: e["total"] > 2.0),
        ),
        (
            definition(
                "cart",
                EventCause("cart_updated"),
                key="event.cart_id",
                delay=30 * MINUTE,
                cancel_condition='events("order_completed")'
                ".where(e, e.cart_id == event.cart_id).exists()",
            ),
            Told(on("cart_updated"), cancel=ordered, key="cart_id", delay=30 * MINUTE),
        ),
        (
            definition(
                "look",
                EventCause("product_viewed"),
                delay=20 * MINUTE,
                cancel_condition=f'{GOLD} || {seen}.within("5m").count() >= 2',
                period=40 * MINUTE,
            ),
            Told(on("product_viewed"), cancel=bored, delay=20 * MINUTE, period=40 * MINUTE),
        ),
        (
            definition(
                "rest",
                EventCause("cart_updated"),
                delay=45 * MINUTE,
                cancel_condition=f'{seen}.exists() && !{seen}.within("8m").exists()',
            ),
            Told(on("cart_updated"), cancel=quiet, delay=45 * MINUTE),
        ),
        (
            definition("twice", EventCause("cart_updated"), period=60 * MINUTE, max_per_period=2),
            Told(on("cart_updated"), period=60 * MINUTE, most=2),
        ),
        (
            definition("grown", StageCause(stage="customer")),
            Told(on("stage_changed"), lambda p, n, e: e["stage"] == "customer"),
        ),
        (definition("came", SegmentCause("seg_active")), Told(turning(True))),
        (
            definition("went", SegmentCause("seg_active", leaving=True), condition=GOLD),
            Told(turning(False), gold),
        ),
        (
            definition("own", ScheduleCause(own.cron), condition=GOLD),
            Told(own.causes, gold),
        ),
        (
            definition("fixed", ScheduleCause(fixed.cron, fixed.zone), delay=10 * MINUTE),
            Told(fixed.causes, delay=10 * MINUTE),
        ),
        (
            definition("season", SeasonCause(season.first, season.last, "06:00"), condition=GOLD),
            Told(season.causes, once=True),
        ),
    ]
    return [one for one, _ in told], {one.trigger_id: other for one, other in told}


def rules(definitions: list[TriggerDefinition], generation: int = 1) -> Rules:
    rule = 'events("product_viewed").within("10m").exists()'
    found = Rules(
        generation,
        [SegmentDefinition("seg_active", "active", 1, rule, True)],
        definitions,
        COMPILER,
    )
    assert not found.broken
    return found


@dataclass
class Service:
    """Applies batches as the stores do: each event once, what is kept is kept as bytes."""

    rules: Rules
    kept: bytes = b""
    seen: set[str] = field(default_factory=set)
    occurrences: dict[str, Occurrence] = field(default_factory=dict)
    fired: list[str] = field(default_factory=list)

    @property
    def state(self) -> ContactState:
        return ContactState.from_bytes(self.kept) if self.kept else ContactState()

    def take(self, batch: list[Happening], now: int) -> None:
        fresh = [h for h in batch if h.event_id not in self.seen]
        self.seen |= {h.event_id for h in fresh}
        unique = {h.event_id: h for h in fresh}
        if unique:
            self._keep(decide(self.rules, {CONTACT: self.state}, unique.values(), now, 0))

    def let_time_pass(self, now: int) -> None:
        due = self.state.next_due()
        if due is not None and due <= now:
            self._keep(pass_time(self.rules, {CONTACT: self.state}, now, 0))
        for one in list(self.occurrences.values()):
            if one.state == "waiting" and one.due_time <= now:
                self._end(fall_due(self.rules, one, self.state, now))

    def catch_up(self, now: int) -> None:
        self._keep(pass_time(self.rules, {CONTACT: self.state}, now, 0))

    def _end(self, ending: Any) -> None:
        assert ending is not None, "its contact was walked to there"
        self.occurrences[ending.occurrence.occurrence_id] = ending.occurrence
        self.fired.append(ending.occurrence.occurrence_id)

    def _keep(self, outcome: Outcome) -> None:
        for one in outcome.occurrences:
            if one.occurrence_id not in self.occurrences:
                self.occurrences[one.occurrence_id] = one
                if one.state == "fired":
                    self.fired.append(one.occurrence_id)
        for gone in outcome.cancelled:
            one = self.occurrences[gone.occurrence_id]
            if one.state == "waiting":
                self.occurrences[gone.occurrence_id] = msgspec.structs.replace(
                    one, state="cancelled"
                )
        if CONTACT in outcome.states:
            self.kept = outcome.states[CONTACT].to_bytes()

    @property
    def facts(self) -> list[tuple[str, int, int, str, str]]:
        return sorted(
            (o.trigger_id, o.cause_time, o.due_time, o.key, o.state)
            for o in self.occurrences.values()
        )


@st.composite
def timetables(draw: st.DrawFn, zones: list[str]) -> Timetable:
    def some(least: int, most: int, count: int) -> Any:
        return st.frozensets(st.integers(least, most), min_size=1, max_size=count)

    return Timetable(
        draw(some(0, 59, 3)),
        draw(st.none() | some(0, 23, 6)),
        draw(st.none() | some(1, 31, 6)),
        draw(st.none() | some(1, 7, 3)),
        draw(st.sampled_from(zones)),
    )


@st.composite
def lives(draw: st.DrawFn, start: int, minutes: int) -> list[Happening]:
    """Happenings of different minutes, in order."""
    chosen = draw(st.lists(st.integers(0, minutes), min_size=1, max_size=25, unique=True))
    life = []
    for number, minute in enumerate(sorted(chosen)):
        time = start + minute * MINUTE
        kind = draw(
            st.sampled_from(["view", "view", "view", "cart", "cart", "order", "plan", "zone", "up"])
        )
        name, properties, facts = "x", {}, {}
        if kind == "view":
            name = "product_viewed"
        elif kind in ("cart", "order"):
            name = "cart_updated" if kind == "cart" else "order_completed"
            cart = draw(st.sampled_from(["a", "b"]))
            properties = {"cart_id": cart, "total": float(draw(st.integers(0, 5)))}
        elif kind == "plan":
            facts = {"plan": draw(st.sampled_from(["gold", "free"]))}
        elif kind == "zone":
            facts = {"zone": draw(st.sampled_from(ZONES))}
        else:
            name = "stage_changed"
            properties = {
                "previous_stage": "lead",
                "stage": draw(st.sampled_from(["customer", "x"])),
            }
        attributes = tuple(AttributeFact(n, v, time) for n, v in facts.items())
        life.append(
            Happening(f"e{number}", CONTACT, time, name, properties, attributes, received=time)
        )
    return life


def interpreted(told: dict[str, Told], life: list[Happening], end: int) -> list[Any]:
    one = Interpreter(told)
    for now in range(life[0].time, end + 1, MINUTE):
        here = [h for h in life if h.time == now]
        facts = {f.name: f.value for h in here for f in h.attributes}
        one.minute(now, facts, [(h.name, h.properties) for h in here])
    return sorted(found.fact for found in one.found)


@given(
    st.data(),
    st.sampled_from(BASES),
    timetables([""]),
    timetables(["Europe/Berlin", "America/New_York"]),
    st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_in_order_every_occurrence_is_the_interpreters(
    data: st.DataObject, base: str, own: Timetable, fixed: Timetable, size: int
) -> None:
    start, minutes = at(base), 30 * 60
    definitions, told = triggers(base, own, fixed)
    life = data.draw(lives(start, minutes))
    service = Service(rules(definitions))
    end = start + (minutes + 90) * MINUTE
    for number in range(0, len(life), size):
        batch = life[number : number + size]
        # Once more what was there before, and late, but before anything follows.
        repeats = life[max(0, number - 2) : number]
        following = life[number + size].time - 1 if number + size < len(life) else end
        now = min(batch[-1].time + data.draw(st.integers(0, 200)) * MINUTE, following)
        service.take(batch + repeats, now)
        service.let_time_pass(now)
        if data.draw(st.booleans()):
            service.let_time_pass(following)
    service.let_time_pass(end)
    assert service.facts == interpreted(told, life, end)
    assert len(service.fired) == len(set(service.fired))


@given(st.data(), lives(at(BASES[3]), 300), st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_late_repeated_and_out_of_order_events_make_the_same_occurrences(
    data: st.DataObject, life: list[Happening], size: int
) -> None:
    told = {
        "trg_order": Told(on("order_completed"), lambda p, n, e: e["total"] > 2.0),
        "trg_cart": Told(on("cart_updated"), cancel=ordered, delay=30 * MINUTE),
    }
    # What happens so late before the due time that it is told after it comes too late.
    carts = [h.time for h in life if h.name == "cart_updated"]
    life = [
        h
        for h in life
        if h.name != "order_completed"
        or not any(10 * MINUTE < h.time - time <= 30 * MINUTE for time in carts)
    ]
    assume(life)
    definitions, _ = triggers(BASES[3], Timetable(frozenset({0})), Timetable(frozenset({0})))
    kept = [msgspec.structs.replace(d, key="") for d in definitions if d.trigger_id in told]
    service = Service(rules(kept))
    late = [(h.time + data.draw(st.integers(0, 15)) * MINUTE, h) for h in life]
    late += [(come + 5 * MINUTE, h) for come, h in late if data.draw(st.booleans())]
    late.sort(key=lambda one: one[0])
    while late:
        batch = [one for one in late[:size] if one[0] - late[0][0] <= 5 * MINUTE]
        late = late[len(batch) :]
        service.let_time_pass(batch[0][0] - 1)
        now = batch[-1][0]
        service.take([one for _, one in batch], now)
        service.let_time_pass(now)
    end = life[-1].time + 300 * MINUTE
    service.let_time_pass(end)
    assert service.facts == interpreted(told, life, end)


@given(st.data(), st.permutations(range(12)), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_in_any_order_a_key_has_one_occurrence(
    data: st.DataObject, order: list[int], size: int
) -> None:
    one = definition("cart", EventCause("cart_updated"), key="event.cart_id")
    service = Service(rules([one]))
    start = at(BASES[3])
    carts = [data.draw(st.sampled_from("abc")) for _ in order]
    life = [
        Happening(f"e{n}", CONTACT, start + n * MINUTE, "cart_updated", {"cart_id": carts[n]})
        for n in order
    ]
    now = start + 12 * MINUTE
    for number in range(0, len(life), size):
        service.take(life[number : number + size], now)
    acted = [o.key for o in service.occurrences.values() if o.state == "fired"]
    assert sorted(acted) == sorted(set(carts))
    assert len(service.occurrences) == len(life), "and all others say that they are too many"


@given(st.data(), st.sampled_from(BASES), timetables([""]), timetables([""]))
@settings(max_examples=80, deadline=None)
def test_an_edited_timetable_is_the_old_one_before_and_the_new_one_after(
    data: st.DataObject, base: str, old: Timetable, new: Timetable
) -> None:
    start = at(base)
    life = [Happening("e0", CONTACT, start, "x", {}, (AttributeFact("plan", "free", start),))]
    for number, minute in enumerate(data.draw(st.lists(st.integers(1, 2000), max_size=4))):
        zone = AttributeFact("zone", data.draw(st.sampled_from(ZONES)), start + minute * MINUTE)
        life.append(Happening(f"z{number}", CONTACT, zone.time, "x", {}, (zone,)))
    life.sort(key=lambda one: one.time)
    life = [one for at_, one in enumerate(life) if not at_ or one.time != life[at_ - 1].time]
    edited = start + data.draw(st.integers(1, 2000)) * MINUTE
    noticed = edited + data.draw(st.integers(0, 300)) * MINUTE
    first = definition("own", ScheduleCause(old.cron))
    second = msgspec.structs.replace(
        first, cause=ScheduleCause(new.cron), version=2, since=2, start=edited
    )
    end = start + 2400 * MINUTE

    service = Service(rules([first]))
    changes = sorted([*(h.time for h in life[1:]), edited])
    for one in life:
        if one.time <= edited:
            service.let_time_pass(one.time - 1)
            service.take([one], one.time)
    service.let_time_pass(edited)
    service.rules = rules([second], 2)
    if noticed < min([t for t in changes if t > edited], default=end):
        service.let_time_pass(noticed - 1)
        service.catch_up(noticed)
    else:
        service.catch_up(edited)
    for one in life:
        if one.time > edited:
            service.let_time_pass(one.time - 1)
            service.take([one], one.time)
    service.let_time_pass(end)

    told = Interpreter({"trg_own": Told(old.causes)})
    for now in range(start, end + 1, MINUTE):
        facts = {f.name: f.value for h in life if h.time == now for f in h.attributes}
        told.minute(now, facts, [])
        if now == edited:
            new.last = old.last
            told.triggers["trg_own"] = Told(new.causes)
    assert service.facts == sorted(one.fact for one in told.found)


@given(
    st.dates(date(1990, 1, 1), date(2031, 12, 31)),
    st.sampled_from(["1992-02-29", "2000-02-29", None]),
    st.integers(-40, 400).filter(lambda days: abs(days) <= 366),
    st.sampled_from(ZONES),
    st.booleans(),
    st.sampled_from(["february_28", "march_1"]),
)
@settings(max_examples=80, deadline=None)
def test_a_date_returns_every_year_also_the_29th_of_february(
    day: Any, leap: str | None, offset: int, zone: str, once: bool, leap_day: Any
) -> None:
    day = datetime.fromisoformat(leap).date() if leap else day
    one = definition("date", DateCause("birthday", offset, "02:30", leap_day=leap_day, once=once))
    service = Service(rules([one]))
    start, end = at("2024-01-10T00:00"), at("2034-01-10T00:00")
    facts = (AttributeFact("birthday", day.isoformat(), start), AttributeFact("zone", zone, start))
    service.take([Happening("e0", CONTACT, start, "x", {}, facts)], start)
    service.let_time_pass(end)
    wanted = []
    for year in [day.year] if once else range(max(day.year + 1, 2020), 2037):
        try:
            found = day.replace(year=year)
        except ValueError:
            found = date(year, 2, 28) if leap_day == "february_28" else date(year, 3, 1)
        place = ZoneInfo(zone)
        near = datetime.combine(found + timedelta(days=offset), time(2, 30), UTC)
        # The first instant, minute by minute, at which the clock there shows that or is past it.
        instant = next(
            now
            for now in range(int(near.timestamp() - 54_000) * 1000, 2**62, MINUTE)
            if wall(now, place).replace(tzinfo=None, fold=0) >= near.replace(tzinfo=None)
        )
        if start < instant <= end:
            wanted.append(("trg_date", instant, instant, "", "fired"))
    assert service.facts == sorted(wanted)


pytestmark = pytest.mark.timeout(300)
