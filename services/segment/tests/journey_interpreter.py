"""What journeys mean, said slowly and plainly; for tests to compare with.

Half a minute after the other it looks at everybody, with everything that happened until then, and
does what the steps say. It shares the definitions, the meaning of expressions (their oracle) and
the draw of arms with the service, and nothing else: no state, no index, no dues, no calendar.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from expressions import Registry
from expressions.oracle import Happening as Told
from expressions.oracle import Oracle, Person
from services.segment.engine.journeys.model import (
    ActionStep,
    BranchStep,
    JourneyDefinition,
    Migration,
    SplitStep,
    Start,
    Step,
    WaitStep,
    WaitUntilStep,
)
from services.segment.engine.journeys.splits import drawn
from services.segment.engine.model import Happening

MINUTE = 60_000
TICK = MINUTE // 2
MOST = 1_000


@dataclass
class Walker:
    """Somebody in a journey."""

    definition: JourneyDefinition
    key: str
    parameters: dict
    start: int
    step: Step | None = None
    since: int = 0
    fell: int | None = None
    """When the step fell due while the journey was paused."""
    state: str = "waiting"
    end: int | None = None
    visits: list[tuple[str, int, int, str]] = field(default_factory=list)
    waited: bool = False
    """Came by a migration: a wait that was begun is not counted anew."""
    due: int | None = None


@dataclass
class Interpreter:
    """One contact and one journey."""

    registry: Registry
    contact_id: str
    definition: JourneyDefinition
    segments: dict[str, str]
    paused: bool = False
    walkers: list[Walker] = field(default_factory=list)
    life: list[Happening] = field(default_factory=list)
    sent: list[tuple[str, int]] = field(default_factory=list)
    """Step and instant."""
    now: int = 0
    oracles: dict[str, Oracle] = field(default_factory=dict)

    def run(self, start: int, end: int, at: Callable[[int], None], life: list[Happening]) -> None:
        """From tick to tick. `at` may change the journey at any."""
        for now in range(start, end + 1, TICK):
            self.now = now
            at(now)
            orders = []
            for one in life:
                if one.time == now:
                    self.life.append(one)
                    orders += one.orders
            for walker in self.walkers:
                self._look(walker)
            for order in orders:
                self._start(order)

    def resume(self) -> None:
        self.paused = False

    def edit(self, definition: JourneyDefinition, migration: Migration | None) -> None:
        self.definition = definition
        steps = {step.step_id: step for step in definition.steps}
        for one in self.walkers:
            if migration is None or one.end is not None or one.step is None:
                continue
            if one.definition.version < migration.oldest_version:
                continue
            if target := migration.steps.get(one.step.step_id):
                self._visit(one, "migrated")
                due = self._due(one)
                one.definition, one.step = definition, steps[target]
                one.due, one.waited = due, False
                if due is None and (computed := self._due(one)) is not None:
                    one.due = max(computed, self.now)
                one.waited = True

    def _start(self, order: Start) -> None:
        if self.paused:
            return
        key = ""
        if self.definition.key:
            given = {"parameters": dict(order.parameters)}
            value = self._oracle(self.definition.key).evaluate(
                self._person(0), self.now, None, given
            )
            if value is None or value == "":
                return
            key = str(value)
        for one in self.walkers:
            if one.key != key:
                continue
            restart = self.definition.restart
            if one.end is None or restart is None or one.end + restart > self.now:
                return
        one = Walker(self.definition, key, dict(order.parameters), self.now)
        self.walkers.append(one)
        if not self._over(one):
            self._go(one, one.definition.steps[0].step_id, self.now)

    def _look(self, one: Walker) -> None:
        if one.end is not None:
            return
        due = self._due(one)
        if self.paused:
            if due is not None and due <= self.now and one.fell is None:
                one.fell = due
            return
        if self._over(one):
            return
        assert one.step is not None
        passed = due is not None and due <= self.now
        fell = due if one.fell is None else one.fell
        match one.step.body:
            case WaitStep():
                if passed:
                    self._leave(one, one.step.next_step_id, "done", fell)
            case WaitUntilStep(expression=expression, timeout_step_id=target):
                if self._holds(one, expression, one.since):
                    self._leave(one, one.step.next_step_id, "held", self.now)
                elif passed:
                    self._leave(one, target, "timeout", fell)

    def _due(self, one: Walker) -> int | None:
        if one.waited:
            return one.due
        assert one.step is not None
        match one.step.body:
            case WaitStep() as wait:
                return wait_ends(wait, one.since, self._zone())
            case WaitUntilStep(timeout=timeout):
                return None if timeout is None else one.since + timeout
            case _:
                raise AssertionError("nobody stands in another step")

    def _leave(self, one: Walker, step_id: str, outcome: str, fell: int) -> None:
        self._visit(one, outcome)
        self._go(one, step_id, fell)

    def _visit(self, one: Walker, outcome: str) -> None:
        assert one.step is not None
        one.visits.append((one.step.step_id, one.since, self.now, outcome))

    def _over(self, one: Walker) -> bool:
        for state, source in (
            ("goal_reached", one.definition.goal),
            ("exited", one.definition.exit_condition),
        ):
            if source and self._holds(one, source, one.start):
                if one.step is not None:
                    self._visit(one, state)
                one.state, one.end = state, self.now
                return True
        return False

    def _go(self, one: Walker, step_id: str, fell: int) -> None:
        steps = {step.step_id: step for step in one.definition.steps}
        one.fell, one.waited = None, False
        for _ in range(MOST):
            if not step_id:
                one.state, one.end = "completed", self.now
                return
            one.step, one.since = steps[step_id], self.now
            match one.step.body:
                case WaitStep():
                    return
                case WaitUntilStep(expression=expression):
                    if not self._holds(one, expression, self.now):
                        return
                    step_id, outcome = one.step.next_step_id, "held"
                case BranchStep(cases=cases):
                    number = next(
                        (n for n, c in enumerate(cases) if self._holds(one, c.expression, None)),
                        None,
                    )
                    step_id = one.step.next_step_id if number is None else cases[number].step_id
                    outcome = "else" if number is None else f"case {number + 1}"
                case SplitStep(arms=arms) as split:
                    outcome = drawn(
                        one.definition.journey_id, one.step.step_id, split, self.contact_id
                    )
                    step_id = next(arm.step_id for arm in arms if arm.name == outcome)
                case ActionStep():
                    late = one.step.not_after
                    if late is not None and self.now > fell + late:
                        outcome = "skipped"
                    else:
                        outcome = "done"
                        self.sent.append((one.step.step_id, self.now))
                    step_id = one.step.next_step_id
            self._visit(one, outcome)
        one.state, one.end = "failed", self.now

    def _holds(self, one: Walker, source: str, since: int | None) -> bool:
        given = {"parameters": one.parameters}
        person = self._person(-1 if since is None else since)
        return self._oracle(source).evaluate(person, self.now, None, given) is True

    def _person(self, since: int) -> Person:
        facts = [fact for one in self.life for fact in one.attributes]
        attributes = {f.name: f.value for f in sorted(facts, key=lambda f: f.time)}
        known = {name: value for name, value in attributes.items() if value is not None}
        members: set[str] = set()
        told = tuple(Told(one.name, one.time, one.properties) for one in self.life)
        consents = {"utility": True, "authentication": True, "service": True}
        for name, source in self.segments.items():
            person = Person(known, consents, frozenset(members), self._zone(), told)
            if self._oracle(source).evaluate(person, self.now) is True:
                members.add(name)
        recent = tuple(one for one in told if one.time > since)
        return Person(known, consents, frozenset(members), self._zone(), recent)

    def _oracle(self, source: str) -> Oracle:
        if source not in self.oracles:
            self.oracles[source] = Oracle(source, self.registry)
        return self.oracles[source]

    def _zone(self) -> str:
        zones = [f for one in self.life for f in one.attributes if f.name == "zone"]
        return max(zones, key=lambda f: f.time).value if zones else "UTC"


@lru_cache(100_000)
def wait_ends(wait: WaitStep, since: int, zone: str) -> int:
    """By looking at the clock on the wall, half a minute after the other."""
    place = ZoneInfo(zone)

    def wall(instant: int) -> datetime:
        return datetime.fromtimestamp(instant / 1000, UTC).astimezone(place).replace(tzinfo=None)

    instant = since + wait.duration
    if wait.days:
        wanted = wall(instant) + timedelta(days=wait.days)
        instant = next(t for t in _ticks(instant) if wall(t) >= wanted)
    if not wait.time_of_day:
        days = wait.weekdays or range(1, 8)
        if wait.weekdays:
            soonest = max(instant, since + 1_000)
            if wall(soonest).isoweekday() in days:
                return soonest
            instant = next(t for t in _ticks(instant) if t > since and wall(t).isoweekday() in days)
        return instant
    moment = time.fromisoformat(wait.time_of_day)
    day = wall(instant).date()
    while True:
        wanted = datetime.combine(day, moment)
        long_before = int((wanted - timedelta(days=1)).replace(tzinfo=UTC).timestamp() * 1000)
        reached = next(t for t in _ticks(long_before) if wall(t) >= wanted)
        fits = not wait.weekdays or day.isoweekday() in wait.weekdays
        if fits and reached >= instant and reached > since:
            return reached
        day += timedelta(days=1)


def _ticks(start: int):
    while True:
        yield start
        start += TICK
