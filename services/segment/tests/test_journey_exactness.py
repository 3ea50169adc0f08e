"""Random lives in random journeys: what the service does against a slow, obvious interpreter."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chassis.failures import FieldInvalid, Invalid
from services.segment.engine.actions import SendAction, SetAction, WebhookAction
from services.segment.engine.journeys.checks import check_steps
from services.segment.engine.journeys.model import (
    ActionStep,
    Arm,
    BranchStep,
    Case,
    JourneyDefinition,
    JourneyRecord,
    Journeys,
    Migration,
    Reached,
    SplitStep,
    Start,
    Step,
    Visit,
    WaitStep,
    WaitUntilStep,
)
from services.segment.engine.journeys.waits import ends
from services.segment.engine.membership import decide, pass_time
from services.segment.engine.model import AttributeFact, Happening, SegmentDefinition
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.tests.journey_interpreter import MINUTE, TICK, Interpreter, wait_ends
from services.segment.vocabulary import registry

REGISTRY = registry()
COMPILER = Compiler(REGISTRY)
CONTACT = str(UUID(int=7))
JOURNEY = "jny_1"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SEGMENTS = {"active": 'events("product_viewed").within("6m").exists()'}
DEFINED = [SegmentDefinition("seg_1", "active", 1, SEGMENTS["active"], True)]
CONDITIONS = [
    'events("order_completed").exists()',
    'events("product_viewed").within("4m").count() >= 2',
    'profile.city == "izmir"',
    "parameters.number == 1",
    '!events("cart_updated").within("3m").exists()',
    'segment("active")',
    'segment("active") && profile.city == "izmir"',
    'sequence("cart_updated", "order_completed").notWithin("5m")',
]
# What any version looks at is kept from the beginning, as a backfill would have it.
DEFINED += [
    SegmentDefinition(f"seg_kept{n}", f"kept{n}", 1, source, True)
    for n, source in enumerate(CONDITIONS)
    if "parameters" not in source
]
STARTS = {
    "Europe/Berlin": [(2026, 3, 29, 0, 30), (2026, 10, 25, 0, 10), (2026, 6, 1, 12, 0)],
    "America/New_York": [(2026, 3, 8, 6, 30), (2026, 11, 1, 5, 10)],
    "Europe/Istanbul": [(2028, 2, 28, 20, 30), (2026, 3, 28, 21, 0)],
}


@st.composite
def steps(draw: st.DrawFn, size: int | None = None) -> tuple[Step, ...]:
    """Three to six steps; ways back only from those that wait."""
    count = size or draw(st.integers(3, 6))
    names = [f"s{n}" for n in range(count)]
    found = []
    for number, name in enumerate(names):
        onward = st.sampled_from([*names[number + 1 :], ""])
        anywhere = st.sampled_from([*names, ""])
        body = draw(
            st.one_of(
                st.builds(WaitStep, duration=st.integers(1, 8).map(lambda n: n * TICK)),
                st.builds(
                    WaitStep,
                    duration=st.sampled_from([0, TICK]),
                    time_of_day=st.sampled_from(["02:30", "02:00", "01:30", "00:00"]),
                ),
                st.builds(
                    WaitUntilStep,
                    expression=st.sampled_from(CONDITIONS),
                    timeout=st.integers(1, 12).map(lambda n: n * TICK),
                    timeout_step_id=anywhere,
                ),
                st.builds(WaitUntilStep, expression=st.sampled_from(CONDITIONS)),
                st.builds(
                    BranchStep,
                    cases=st.lists(
                        st.builds(Case, st.sampled_from(CONDITIONS), onward), min_size=1, max_size=2
                    ).map(tuple),
                ),
                st.builds(
                    lambda one, other: SplitStep((Arm("a", 1, one), Arm("b", 2, other))),
                    onward,
                    onward,
                ),
                st.sampled_from(
                    [
                        ActionStep(SendAction("cmp_1", {"number": "parameters.number"})),
                        ActionStep(SetAction("city", "'bursa'")),
                        ActionStep(WebhookAction("https://example.com", "secret")),
                    ]
                ),
            )
        )
        waits = isinstance(body, WaitStep | WaitUntilStep)
        following = "" if isinstance(body, SplitStep) else draw(anywhere if waits else onward)
        late = None
        if isinstance(body, ActionStep):
            late = draw(st.sampled_from([None, 0, 2 * MINUTE]))
        found.append(Step(name, body, following, not_after=late))
    return tuple(found)


@st.composite
def definitions(draw: st.DrawFn) -> JourneyDefinition:
    return JourneyDefinition(
        JOURNEY,
        "one",
        1,
        draw(steps()),
        key=draw(st.sampled_from(["", "parameters.cart"])),
        goal=draw(st.sampled_from(["", "", *CONDITIONS[:3]])),
        exit_condition=draw(st.sampled_from(["", "", *CONDITIONS[1:6]])),
        restart=draw(st.sampled_from([None, 0, 5 * MINUTE])),
    )


@st.composite
def lives(draw: st.DrawFn) -> tuple[int, list[Happening]]:
    """Where a life begins, and up to 16 happenings at different minutes of its first hours."""
    zone = draw(st.sampled_from(sorted(STARTS)))
    start = int(datetime(*draw(st.sampled_from(STARTS[zone])), tzinfo=UTC).timestamp() * 1000)
    minutes = draw(st.lists(st.integers(1, 90), min_size=2, max_size=16, unique=True))
    zoned = AttributeFact("zone", zone, start)
    life = [Happening("e0", CONTACT, start, "identified", attributes=(zoned,))]
    for number, minute in enumerate(sorted(minutes), 1):
        time = start + minute * MINUTE
        name = draw(
            st.sampled_from(
                ["start", "start", "product_viewed", "cart_updated", "order_completed", "city"]
            )
        )
        if number == 1:
            name = "start"
        one = Happening(f"e{number}", CONTACT, time, name)
        if name == "start":
            cart = draw(st.sampled_from(["a", "a", "b"]))
            parameters = {"cart": cart, "number": draw(st.integers(0, 1))}
            order = Start(JOURNEY, f"cause{number}", parameters)
            one = replace(one, name="", orders=(order,))
        elif name == "city":
            city = draw(st.sampled_from(["izmir", "ankara"]))
            fact = AttributeFact("city", city, time)
            one = replace(one, name="identified", attributes=(fact,))
        life.append(one)
    return start, life


def record(definition: JourneyDefinition, state: str = "active", *migrations: Migration):
    return JourneyRecord(definition, "", "", state, 1, LONG_AGO, LONG_AGO, migrations=migrations)


@dataclass
class Service:
    """Applies batches as the store does: each event once, states kept as bytes."""

    journeys: Journeys
    generation: int = 1
    kept: bytes = b""
    seen: set[str] = field(default_factory=set)
    reached: list[Reached] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    records: dict = field(default_factory=dict)
    deeds: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = self._rules()

    def _rules(self) -> Rules:
        return Rules(self.generation, DEFINED, (), COMPILER, journeys=self.journeys)

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

    def become(self, journeys: Journeys, now: int) -> None:
        """An edit, which has everybody in the journey looked at."""
        self.journeys = journeys
        self.generation += 1
        self.rules = self._rules()
        self.let_time_pass(now)

    def _keep(self, outcome) -> None:
        self.reached += outcome.reached
        self.visits += outcome.visits
        self.deeds += outcome.deeds
        self.records |= outcome.instances
        if CONTACT in outcome.states:
            self.kept = outcome.states[CONTACT].to_bytes()

    def lives(self) -> list:
        """What became of whom, in the words of the interpreter."""
        found = []
        for one in self.records.values():
            visits = [v for v in self.visits if v.instance_id == one.instance_id]
            assert [v.number for v in visits] == list(range(1, len(visits) + 1))
            told = [(v.step_id, v.start_time, v.end_time, v.outcome) for v in visits]
            found.append((one.start_time, one.key, one.state, one.end_time, told))
        return sorted(found, key=lambda one: (one[0], one[1]))

    @property
    def done(self) -> list[tuple[str, int]]:
        return sorted((one.step_id, one.time) for one in self.reached if one.state == "done")


def told(oracle: Interpreter) -> list:
    found = [(w.start, w.key, w.state, w.end, w.visits) for w in oracle.walkers]
    return sorted(found, key=lambda one: (one[0], one[1]))


def checked(*all_steps: tuple[Step, ...]) -> None:
    try:
        for one in all_steps:
            check_steps(one)
    except Invalid:
        assume(False)


delays = st.lists(st.integers(0, 3 * MINUTE), min_size=20, max_size=20)


@given(definitions(), lives(), delays, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_in_order_every_step_has_the_interpreters_instant_and_outcome(
    definition: JourneyDefinition, drawn: tuple[int, list[Happening]], delays: list[int], size: int
) -> None:
    checked(definition.steps)
    start, life = drawn
    end = start + 4 * 60 * MINUTE
    # Who is late is the other tests' business.
    definition = replace(
        definition, steps=tuple(replace(step, not_after=None) for step in definition.steps)
    )
    service = Service(Journeys((record(definition),)))
    now = 0
    for number in range(0, len(life), size):
        batch = life[number : number + size]
        now = max(now, batch[-1].time + delays[number])
        following = life[number + size].time - 1 if number + size < len(life) else end
        service.take(batch, min(now, following))
        # So often that nobody has an outage to make up for.
        for soon in range(now + 10 * MINUTE, following, 10 * MINUTE):
            service.let_time_pass(soon)
    service.let_time_pass(end)
    oracle = Interpreter(REGISTRY, CONTACT, definition, SEGMENTS)
    oracle.run(start, end, lambda _: None, life)
    assert service.lives() == told(oracle)
    assert service.done == sorted(oracle.sent)
    assert len({one.event_id for one in service.reached}) == len(service.reached)


def test_one_that_goes_in_circles_and_fails_delays_no_other() -> None:
    ever = '!events("cart_updated").exists()'
    circle = Step("s1", WaitUntilStep(ever), next_step_id="s1")
    definition = JourneyDefinition(
        JOURNEY, "one", 1, (Step("s0", WaitStep(duration=30_000), "s1"), circle), restart=0
    )
    start = int(datetime(2026, 3, 8, tzinfo=UTC).timestamp() * 1000)
    life = [
        Happening(f"e{n}", CONTACT, start + n * MINUTE, "", orders=(Start(JOURNEY, f"c{n}", {}),))
        for n in (1, 2, 3)
    ]
    service = Service(Journeys((record(definition),)))
    service.take(life, start + 10 * MINUTE)
    service.let_time_pass(start + 10 * MINUTE)
    oracle = Interpreter(REGISTRY, CONTACT, definition, SEGMENTS)
    oracle.run(start, start + 10 * MINUTE, lambda _: None, life)
    assert service.lives() == told(oracle)


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[int, str]]:
    """At which odd tick what is done to the journey."""
    ticks = sorted(draw(st.lists(st.integers(1, 110), min_size=1, max_size=4, unique=True)))
    kinds = st.sampled_from(["pause", "resume", "edit", "migrate"])
    return [(tick * MINUTE + TICK, draw(kinds)) for tick in ticks]


@given(st.data(), definitions(), lives(), edits())
@settings(max_examples=100, deadline=None)
def test_edits_migrations_and_pauses_do_what_the_interpreter_does(
    data: st.DataObject,
    definition: JourneyDefinition,
    drawn: tuple[int, list[Happening]],
    edited: list[tuple[int, str]],
) -> None:
    start, life = drawn
    end = start + 4 * 60 * MINUTE
    versions = [definition]
    migrations: list[Migration] = []
    changes: dict[int, tuple[str, Migration | None, JourneyDefinition]] = {}
    for after, kind in edited:
        migration = None
        if kind in ("edit", "migrate"):
            drawn_steps = data.draw(steps(len(definition.steps)))
            latest = replace(versions[-1], version=len(versions) + 1, steps=drawn_steps)
            checked(latest.steps)
            if kind == "migrate":
                waiting = [s.step_id for v in versions for s in v.steps if s.waits]
                targets = [s.step_id for s in latest.steps if s.waits]
                if waiting and targets:
                    mapping = data.draw(
                        st.dictionaries(st.sampled_from(waiting), st.sampled_from(targets))
                    )
                    oldest = data.draw(st.integers(0, len(versions)))
                    number = 1 + sum(1 for _, m, _ in changes.values() if m is not None)
                    migration = Migration(number, latest.version, oldest, mapping)
            versions.append(latest)
        changes[start + after] = kind, migration, versions[-1]
    checked(*(v.steps for v in versions))
    service = Service(Journeys((record(definition),)))
    oracle = Interpreter(REGISTRY, CONTACT, definition, SEGMENTS)
    state = "active"

    def change(now: int) -> None:
        nonlocal state
        if now not in changes:
            return
        kind, migration, latest = changes[now]
        if kind == "pause":
            state, oracle.paused = "paused", True
        elif kind == "resume":
            state, oracle.paused = "active", False
        else:
            oracle.edit(latest, migration)
            if migration is not None:
                migrations.append(migration)
        earlier = tuple(v for v in versions if v.version < latest.version)
        service.become(Journeys((record(latest, state, *migrations),), earlier), now)

    def at(now: int) -> None:
        # The service is always in time, so that what is skipped is skipped because of a pause.
        service.let_time_pass(now - 1)
        change(now)
        due = [one for one in life if one.time == now]
        service.take(due, now)
        service.let_time_pass(now)

    oracle.run(start, end, at, life)
    assert service.lives() == told(oracle)
    assert service.done == sorted(oracle.sent)


@given(st.data(), definitions(), lives())
@settings(max_examples=100, deadline=None)
def test_in_any_order_with_repeats_no_step_is_done_twice_and_nobody_is_lost(
    data: st.DataObject, definition: JourneyDefinition, drawn: tuple[int, list[Happening]]
) -> None:
    checked(definition.steps)
    start, life = drawn
    service = Service(Journeys((record(definition),)))
    deliveries = data.draw(st.permutations(life + life[: len(life) // 2]))
    now = start
    while deliveries:
        size = data.draw(st.integers(1, 4))
        batch, deliveries = deliveries[:size], deliveries[size:]
        now = max(now, *(h.time for h in batch)) + data.draw(st.integers(0, 10)) * MINUTE
        service.take(batch, now)
        if data.draw(st.booleans()):
            now += data.draw(st.integers(0, 20)) * MINUTE
            service.let_time_pass(now)
    end = max(now, start + 4 * 60 * MINUTE)
    service.let_time_pass(end)
    steps = {step.step_id: step for step in definition.steps}
    ids = [one.event_id for one in service.reached]
    assert len(set(ids)) == len(ids)
    live = service.states[CONTACT].journeys.instances
    for one in service.records.values():
        visits = [v for v in service.visits if v.instance_id == one.instance_id]
        # Each step is where the one before it led, and nothing is left out.
        assert [v.number for v in visits] == list(range(1, len(visits) + 1))
        expected = definition.steps[0].step_id
        for visit in visits:
            assert visit.step_id == expected
            expected = follower(steps[visit.step_id], visit.outcome)
        if one.end_time is None:
            here = live[one.instance_id]
            assert here.step_id == expected
            assert here.next_time is None or here.next_time > end
            assert here.next_time is not None or isinstance(steps[expected].body, WaitUntilStep)
    started = {one.cause_id for one in service.records.values()}
    keys = {one.key for one in service.records.values()}
    for order in (order for one in life for order in one.orders):
        key = order.parameters["cart"] if definition.key else ""
        assert order.cause_id in started or key in keys
    if definition.restart is None:
        assert len(service.records) == len(keys)


def follower(step: Step, outcome: str) -> str | None:
    """Where a step led; None when the journey ended with it."""
    if outcome in ("goal_reached", "exited", "failed"):
        return None
    match step.body:
        case WaitUntilStep(timeout_step_id=target) if outcome == "timeout":
            return target
        case BranchStep(cases=cases) if outcome != "else":
            return cases[int(outcome.removeprefix("case ")) - 1].step_id
        case SplitStep(arms=arms):
            return next(arm.step_id for arm in arms if arm.name == outcome)
        case _:
            return step.next_step_id


@given(
    st.builds(
        WaitStep,
        duration=st.integers(0, 100).map(lambda n: n * TICK),
        days=st.integers(0, 3),
        time_of_day=st.sampled_from(["", "02:30", "02:00", "01:30", "00:00", "12:15"]),
        weekdays=st.lists(st.integers(1, 7), max_size=3, unique=True).map(tuple),
    ),
    st.sampled_from(
        [(2026, 3, 28), (2026, 10, 24), (2026, 3, 7), (2026, 10, 31), (2028, 2, 27), (2026, 2, 27)]
    ),
    st.integers(0, 48 * 120),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Europe/Istanbul", "Asia/Kathmandu"]),
)
@settings(max_examples=100, deadline=None)
@example(WaitStep(time_of_day="02:30"), (2026, 3, 28), 120 * 24, "Europe/Berlin")
@example(WaitStep(days=1), (2026, 10, 24), 61, "Europe/Berlin")
@example(WaitStep(weekdays=(1, 2, 5)), (2026, 3, 28), 0, "America/New_York")
@example(WaitStep(days=1, time_of_day="09:00"), (2028, 2, 27), 120 * 24, "Europe/Istanbul")
def test_a_wait_ends_when_the_clock_on_the_wall_says_so(
    wait: WaitStep, day: tuple[int, int, int], tick: int, zone: str
) -> None:
    assume(wait != WaitStep())
    since = int(datetime(*day, tzinfo=UTC).timestamp() * 1000) + tick * TICK
    found = ends(wait, since, zone)
    assert found == wait_ends(wait, since, zone)
    assert found > since


def test_waits_keep_their_milliseconds() -> None:
    since = int(datetime(2026, 3, 28, 1, 30, tzinfo=UTC).timestamp() * 1000) + 123
    assert ends(WaitStep(days=1), since, "Europe/Berlin") % 1000 == 123


def test_steps_that_go_in_a_circle_without_a_wait_are_refused() -> None:
    action = ActionStep(SendAction("cmp_1"))
    first = Step("a", WaitStep(duration=1000), "b")
    circle = (first, Step("b", action, "c"), Step("c", action, "b"))
    try:
        check_steps(circle)
    except FieldInvalid:
        raise AssertionError("it is a circle, not a field") from None
    except Invalid as error:
        assert error.reason == "STEP_CYCLE"
        assert error.facts["path"] == "b,c,b"
    else:
        raise AssertionError("it was taken")
