"""Random lives of contacts: what the service says against the language's slow, obvious oracle."""

from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from expressions.oracle import Happening as Told
from expressions.oracle import Oracle, Person
from services.segment.engine.membership import decide, pass_time
from services.segment.engine.model import (
    AttributeFact,
    ConsentFact,
    Happening,
    Past,
    SegmentDefinition,
    Transition,
)
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.vocabulary import registry

MINUTE = 60_000
START = 1_790_000_000_000 // MINUTE * MINUTE
REGISTRY = registry()
CONTACT = str(UUID(int=7))
# In order of dependence: each may use those before it.
RULES = {
    "active": 'events("product_viewed").within("10m").exists()',
    "keen": 'events("product_viewed").where(e, e.price > 2.0).within("15m").count() >= 2',
    "quiet": '!events("product_viewed").exists()',
    "abandoned": 'sequence("cart_updated", "order_completed").notWithin("7m")',
    "spender": 'events("order_completed").within("30m").sum(e, e.total) >= 5.0',
    "local": 'profile.city == "izmir" && consent("marketing")',
    "ending": 'consent("marketing")',
    "newest": 'events("product_viewed").last().price > 3.0',
    "loyal": 'segment("active") && segment("spender")',
    "idle": '!segment("loyal") && events("order_completed").exists()',
    "best": 'segment("loyal") || (profile.age >= 3 && segment("keen"))',
}
SEGMENTS = [
    SegmentDefinition(f"seg_{name}", name, 1, source, True) for name, source in RULES.items()
]
ORACLES = {name: Oracle(source, REGISTRY) for name, source in RULES.items()}
ENGINE = Rules(1, SEGMENTS, (), Compiler(REGISTRY))
GROWN = Rules(
    2,
    [
        s if n < 4 else SegmentDefinition(s.segment_id, s.name, 1, s.expression, True, 2)
        for n, s in enumerate(SEGMENTS)
    ],
    (),
    Compiler(REGISTRY),
)
BEFORE = Rules(1, SEGMENTS[:4], (), Compiler(REGISTRY))


@st.composite
def lives(draw: st.DrawFn) -> list[Happening]:
    """Up to 14 happenings at different minutes of an hour."""
    minutes = draw(st.lists(st.integers(0, 60), min_size=1, max_size=14, unique=True))
    life = []
    for number, minute in enumerate(sorted(minutes)):
        time = START + minute * MINUTE
        kind = draw(st.sampled_from(["view", "view", "cart", "order", "city", "age", "consent"]))
        price = draw(st.integers(0, 6))
        given = {"event_id": f"e{number}", "contact_id": CONTACT, "time": time}
        if kind == "view":
            life.append(Happening(**given, name="product_viewed", properties={"price": price}))
        elif kind == "cart":
            life.append(Happening(**given, name="cart_updated"))
        elif kind == "order":
            life.append(Happening(**given, name="order_completed", properties={"total": price}))
        elif kind == "city":
            city = draw(st.sampled_from(["izmir", "ankara", None]))
            life.append(
                Happening(
                    **given, name="identified", attributes=(AttributeFact("city", city, time),)
                )
            )
        elif kind == "age":
            life.append(
                Happening(
                    **given, name="identified", attributes=(AttributeFact("age", price, time),)
                )
            )
        else:
            until = draw(st.none() | st.integers(1, 20))
            consent = ConsentFact(
                "marketing", draw(st.booleans()), time, until and time + until * MINUTE
            )
            life.append(Happening(**given, name="consent_changed", consents=(consent,)))
    return life


def oracle_members(life: list[Happening], now: int) -> set[str]:
    """Who belongs where at `now`, from the whole history, slowly."""
    past = sorted((h for h in life if h.time <= now), key=lambda h: h.time)
    attributes = {f.name: f.value for h in past for f in h.attributes}
    consents = {"utility": True, "authentication": True, "service": True}
    for happening in past:
        for consent in happening.consents:
            over = consent.expire is not None and consent.expire <= now
            consents[consent.purpose] = consent.granted and not over
    told = tuple(Told(h.name, h.time, h.properties) for h in past)
    members: set[str] = set()
    for name, oracle in ORACLES.items():
        known = {n: v for n, v in attributes.items() if v is not None}
        person = Person(known, consents, frozenset(members), "UTC", told)
        if oracle.evaluate(person, now) is True:
            members.add(name)
    return members


def oracle_transitions(life: list[Happening], until: int) -> list[tuple[int, str, bool]]:
    """Every entry and exit, by looking at every minute."""
    found = []
    before: set[str] = set()
    for now in range(min(h.time for h in life), until + 1, MINUTE):
        members = oracle_members(life, now)
        found += [(now, name, True) for name in members - before]
        found += [(now, name, False) for name in before - members]
        before = members
    return sorted(found)


@dataclass
class Service:
    """Applies batches as the store does: each event once, states kept as bytes."""

    rules: Rules = ENGINE
    kept: bytes = b""
    seen: set[str] = field(default_factory=set)
    said: list[Transition] = field(default_factory=list)

    @property
    def states(self) -> dict[str, ContactState]:
        return {CONTACT: ContactState.from_bytes(self.kept) if self.kept else ContactState()}

    def take(self, batch: list[Happening], now: int) -> None:
        fresh = {h.event_id: h for h in batch if h.event_id not in self.seen}
        self.seen |= fresh.keys()
        if fresh:
            self._keep(decide(self.rules, self.states, fresh.values(), now, 0))

    def let_time_pass(self, now: int) -> None:
        if self.kept:
            self._keep(pass_time(self.rules, self.states, now, 0))

    def recall(self, past: Past, now: int) -> None:
        self._keep(pass_time(self.rules, self.states, now, 0, {CONTACT: past}))

    def _keep(self, outcome) -> None:
        self.said += outcome.transitions
        if CONTACT in outcome.states:
            self.kept = outcome.states[CONTACT].to_bytes()

    @property
    def members(self) -> set[str]:
        standings = self.states[CONTACT].standings
        return {self.rules.segments[i].name for i, s in standings.items() if s.member}


def alternates(said: list[Transition]) -> bool:
    last: dict[str, tuple[bool, int]] = {}
    for one in said:
        entered, time = last.get(one.segment_id, (False, 0))
        if one.entered == entered or one.time <= time:
            return False
        last[one.segment_id] = one.entered, one.time
    return True


delays = st.lists(st.integers(0, 3 * MINUTE), min_size=20, max_size=20)


@given(lives(), delays, st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_in_order_every_transition_has_the_oracles_instant(
    life: list[Happening], delays: list[int], size: int
) -> None:
    service = Service()
    end = START + 110 * MINUTE
    now = 0
    for number in range(0, len(life), size):
        batch = life[number : number + size]
        now = max(now, batch[-1].time + delays[number])
        # Events that come too late for what time did before them are the other test's; that of
        # the very instant to which time was let pass is late already.
        following = life[number + size].time - 1 if number + size < len(life) else end
        service.take(batch, min(now, following))
    service.let_time_pass(end)
    said = sorted((t.time, t.segment_id[4:], t.entered) for t in service.said)
    assert said == oracle_transitions(life, end)
    assert alternates(service.said)
    assert service.members == oracle_members(life, end)


@given(st.data(), lives())
@settings(max_examples=120, deadline=None)
def test_in_any_order_with_repeats_the_members_are_the_oracles(
    data: st.DataObject, life: list[Happening]
) -> None:
    service = Service()
    deliveries = data.draw(st.permutations(life + life[: len(life) // 2]))
    now = START
    while deliveries:
        size = data.draw(st.integers(1, 4))
        batch, deliveries = deliveries[:size], deliveries[size:]
        now = max(now, *(h.time for h in batch)) + data.draw(st.integers(0, 10)) * MINUTE
        service.take(batch, now)
        arrived = [h for h in life if h.event_id in service.seen]
        service.let_time_pass(now)
        assert service.members == oracle_members(arrived, now)
        if data.draw(st.booleans()):
            now += data.draw(st.integers(0, 20)) * MINUTE
            service.let_time_pass(now)
            assert service.members == oracle_members(arrived, now)
    assert alternates(service.said)


@given(st.data(), lives())
@settings(max_examples=80, deadline=None)
def test_new_segments_find_their_members_in_the_history_while_events_come(
    data: st.DataObject, life: list[Happening]
) -> None:
    service = Service(BEFORE)
    split = data.draw(st.integers(0, len(life)))
    now = START
    for happening in life[:split]:
        now = max(now, happening.time)
        service.take([happening], now)
    # The history was read a little later than the definitions changed, and may come twice.
    read = data.draw(st.integers(split, len(life)))
    now = max(now, *(h.time for h in life[:read]), START)
    service.rules = GROWN
    for happening in data.draw(st.permutations(life[split:])):
        now = max(now, happening.time)
        if data.draw(st.booleans()):
            service.recall(_past(life[:read]), max(now, life[max(read - 1, 0)].time))
        service.take([happening], now)
    service.recall(_past(life), max(now, life[-1].time))
    end = max(now, life[-1].time) + data.draw(st.integers(0, 60)) * MINUTE
    service.let_time_pass(end)
    assert service.members == oracle_members(life, end)
    assert alternates(service.said)


def _past(life: list[Happening]) -> Past:
    """As profile tells it: events, and what stands of the facts."""
    facts = {f.name: f for h in life for f in h.attributes}
    consents = tuple(c for h in life for c in h.consents)
    bare = tuple(Happening(h.event_id, h.contact_id, h.time, h.name, h.properties) for h in life)
    return Past(CONTACT, bare, tuple(facts.values()), consents)
