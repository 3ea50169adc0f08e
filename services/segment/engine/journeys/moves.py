"""Where a contact goes in its journeys, and what is done there. Pure.

What is promised: a step that is done is done. It stands in the state of the contact, which is
written together with all that follows from the step; so nothing repeats it, and nothing takes it
back: neither news that come late, nor an edit, nor a merge. What a contact waits for, its goal and
its exit condition are asked at every instant at which something they look at changes. What came
late is asked about at the instant the contact had reached by then: it can end a wait that lasts,
not one that is over.

At one instant the goal comes before the exit condition, that before what is waited for, and that
before the time-out.
"""

from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

import orjson

from chassis.ids import derived_id
from expressions import Expression, Facts
from services.segment.engine.actions import RESTRICTED, SendAction, StartAction, values
from services.segment.engine.journeys.model import (
    ActionStep,
    BranchStep,
    Exit,
    Instance,
    Journeying,
    JourneyRecord,
    SplitStep,
    Start,
    Step,
    WaitStep,
    WaitUntilStep,
)
from services.segment.engine.journeys.rules import (
    PARAMETERS,
    JourneyRule,
    JourneyRules,
    Name,
    StepRule,
)
from services.segment.engine.journeys.since import happened_since
from services.segment.engine.journeys.splits import drawn, fingerprint, split_print
from services.segment.engine.journeys.trail import Cause, Trail, visit_id
from services.segment.engine.journeys.waits import ends

MOST_INSTANCES: Final = 100
"""That one contact may be in at a time."""
MOST_STEPS: Final = 1_000
"""That an instance may do at one instant; and that a contact may make up for after an outage before
its waits begin at the present."""
_MOST_AT_ONCE: Final = 10_000
"""Steps of one contact at one instant, where journeys start journeys."""
MOST_REMEMBERED: Final = 1_000
"""Ends, and arms, of one contact."""
MOST_PARAMETERS: Final = 8_192
"""Bytes of JSON."""
_ZONE: Final = ("attributes", "zone")


class Traveller(Protocol):
    """A contact's state, as far as journeys are concerned."""

    facts: Facts
    journeys: Journeying

    def moved(self) -> None:
        """What is due may be another instant now."""
        ...


class Started(NamedTuple):
    """The instance that was started, or was there already; else why none was."""

    instance_id: str
    reason: str = ""


class Moves:
    """One contact on its ways; collects what follows."""

    def __init__(self, rules: JourneyRules, contact_id: str, state: Traveller, now: int) -> None:
        self._rules = rules
        self._contact_id = contact_id
        self._state = state
        self._now = now
        self._steps = 0
        self._at_once = (0, 0)
        """An instant, and how many steps were done at it."""
        self.trail = Trail(contact_id)

    def start(
        self, order: Start, instant: int, due: int | None = None, cause: Cause | None = None
    ) -> Started:
        """Put the contact into a journey and do what is to be done at once; or leave it where it
        is. `due`: when that should have happened, when it is later than it should."""
        journeys = self._state.journeys
        head, rule = self._rules.heads.get(order.journey_id), self._rules.latest(order.journey_id)
        if head is None or rule is None:
            return Started("", "there is no such journey any more")
        if head.state == "paused":
            return Started("", "the journey is paused")
        if len(orjson.dumps(order.parameters, default=str)) > MOST_PARAMETERS:
            return Started("", f"the parameters are over {MOST_PARAMETERS} bytes of JSON")
        parameters = dict(order.parameters)
        key = rule.key_of(parameters)
        if key is None:
            return Started("", "the key has no value")
        for one in journeys.instances.values():
            if (one.journey_id, one.key) == (order.journey_id, key):
                return Started(one.instance_id)
        if not self._may_start(head, key, instant):
            return Started("", "the contact was in it, and may not be in it again yet")
        if len(journeys.instances) >= MOST_INSTANCES:
            return Started("", f"the contact is in {MOST_INSTANCES} journeys already")
        if self._done_at(instant) >= _MOST_AT_ONCE:
            return Started("", f"the contact did {_MOST_AT_ONCE} steps at once")
        instance = Instance(
            derived_id(
                "ins", order.journey_id, self._contact_id, key, order.cause_id, str(instant)
            ),
            order.journey_id,
            rule.definition.version,
            key,
            self._contact_id,
            order.cause_id,
            instant,
            parameters,
            rule.definition.steps[0].step_id,
            instant,
            considered=head.migrations[-1].number if head.migrations else 0,
        )
        journeys.instances[instance.instance_id] = instance
        self._state.moved()
        before, self.trail.cause = self.trail.cause, cause or self.trail.cause
        self.trail.keep(instance, started=True)
        self.trail.tell(instance, "started", instant)
        if not self._over(instance, rule, instant):
            self._go(instance, rule, instance.step_id, instant, instant if due is None else due)
        self.trail.cause = before
        return Started(instance.instance_id)

    def look(
        self, touched: AbstractSet[Name] | None, instant: int, cause: Cause | None = None
    ) -> None:
        """See to everybody whose time has come, or who looks at something that was touched; None:
        at anything."""
        self.trail.cause = cause
        for one in list(self._state.journeys.instances.values()):
            if one.held:
                continue
            rule = self._rules.versions.get((one.journey_id, one.version))
            head = self._rules.heads.get(one.journey_id)
            if rule is None or head is None or head.state != "active":
                # Not by these rules. Who changes that has everybody looked at.
                one.held = True
                self._state.moved()
                continue
            step = rule.steps[one.step_id]
            due = one.next_time
            if (
                touched is None
                or (due is not None and due <= instant)
                or not step.watched.isdisjoint(touched)
            ):
                zoned = touched is None or _ZONE in touched
                self._consider(one, rule, step, instant, zoned and _ZONE in step.watched)

    def refresh(self, instant: int) -> None:
        """Bring everybody up to the rules: out of what ended, over to other versions, on or off."""
        for one in list(self._state.journeys.instances.values()):
            head = self._rules.heads.get(one.journey_id)
            if head is None or head.state == "archived":
                self._end(one, "exited", "the journey was archived", instant)
                continue
            self._migrate(one, head, instant)
            idle = head.state == "paused" or (one.journey_id, one.version) not in (
                self._rules.versions
            )
            if one.held and not idle:
                one.look = instant
                if one.due is not None and one.due < instant:
                    one.due, one.fell = instant, one.due
            one.held = idle
            self._state.moved()

    def exit(self, order: Exit, instant: int) -> None:
        """Take the contact out, if it is in."""
        if one := self._state.journeys.instances.get(order.instance_id):
            self._end(one, "exited", order.reason, instant)

    def restrict(self, instant: int) -> None:
        """Take the contact out of everything."""
        for one in list(self._state.journeys.instances.values()):
            self._end(one, "exited", RESTRICTED, instant)

    def absorb(self, other: Journeying, instant: int) -> None:
        """Go on also where another contact was. Of two with the same key the older goes on. Who
        calls this has everybody looked at."""
        own = self._state.journeys
        self._state.moved()
        own.arms = dict(list((other.arms | own.arms).items())[-MOST_REMEMBERED:])
        ends = other.ended | own.ended
        ends |= {p: max(end, ends[p]) for p, end in other.ended.items()}
        own.ended = dict(sorted(ends.items(), key=itemgetter(1))[-MOST_REMEMBERED:])
        for one in other.instances.values():
            same = (one.journey_id, one.key)
            rival = next((i for i in own.instances.values() if (i.journey_id, i.key) == same), None)
            own.instances[one.instance_id] = one
            self.trail.keep(one)
            if rival is not None:
                later = max(rival, one, key=lambda i: (i.start_time, i.instance_id))
                reason = "the contact turned out to be one that was in it before"
                self._end(later, "exited", reason, instant)
        self.refresh(instant)

    def part(self, member_ids: AbstractSet[str]) -> Journeying:
        """What was started for these contacts, who are no part of this one, goes with them. The
        arms that it came to it knows as well."""
        own = self._state.journeys
        gone = {i: one for i, one in own.instances.items() if one.origin_id in member_ids}
        for instance_id in gone:
            del own.instances[instance_id]
        self._state.moved()
        return Journeying(gone, {}, dict(own.arms))

    def _consider(
        self,
        one: Instance,
        rule: JourneyRule,
        step: StepRule,
        instant: int,
        moved: bool,
    ) -> None:
        """See whether it goes on. `moved`: perhaps to another zone."""
        self._state.moved()
        if self._over(one, rule, instant):
            return
        body = step.step.body
        due = None
        if one.due is not None and one.due <= instant:
            due = one.due if one.fell is None else one.fell
        if isinstance(body, WaitUntilStep):
            if self._held(one, step.expressions[0], one.since, instant):
                self._leave(one, rule, step.step.next_step_id, "held", instant)
            elif due is not None:
                self._leave(one, rule, body.timeout_step_id, "timeout", instant, due)
        elif isinstance(body, WaitStep):
            if due is not None:
                self._leave(one, rule, step.step.next_step_id, "done", instant, due)
            elif moved and one.version == one.begun:
                one.due = max(ends(body, one.since, self._state.facts.zone), instant)
                self.trail.keep(one)

    def _over(self, one: Instance, rule: JourneyRule, instant: int) -> bool:
        """Whether it ended by its goal or its exit condition; else when to ask again."""
        one.look = None
        if rule.goal is not None and self._held(one, rule.goal, one.start_time, instant):
            self._end(one, "goal_reached", "the goal was reached", instant)
            return True
        if rule.exit is not None and self._held(one, rule.exit, one.start_time, instant):
            self._end(one, "exited", "the exit condition came to hold", instant)
            return True
        return False

    def _held(self, one: Instance, expression: Expression, since: int, instant: int) -> bool:
        """Whether it holds on what happened after `since`; if not, notes when to ask again."""
        facts = happened_since(self._state.facts, since, expression.events)
        given = {PARAMETERS: one.parameters}
        value, change = expression.decide(facts, instant, None, given)
        if change is not None:
            one.look = change if one.look is None else min(one.look, change)
        return value is True

    def _leave(
        self,
        one: Instance,
        rule: JourneyRule,
        step_id: str,
        outcome: str,
        instant: int,
        due: int | None = None,
    ) -> None:
        """Go on from a step that waited. `due`: when it should have, if it is later than that."""
        self.trail.visited(one, outcome, instant)
        self._go(one, rule, step_id, instant, instant if due is None else due)

    def _go(self, one: Instance, rule: JourneyRule, step_id: str, instant: int, due: int) -> None:
        """Do every step from this one on, until one waits or the journey ends."""
        one.due = one.fell = None
        for _ in range(MOST_STEPS):
            if not step_id:
                self._end(one, "completed", "it went to the end", instant, visiting=False)
                return
            self._steps += 1
            self._at_once = instant, self._done_at(instant) + 1
            one.step_id, one.since, one.begun = step_id, instant, one.version
            one.visits += 1
            step = rule.steps[step_id]
            took = self._take(one, step, instant, due)
            if took is None:
                self.trail.keep(one)
                self.trail.tell(one, "waiting", instant)
                return
            step_id, outcome = took
            self.trail.visited(one, outcome, instant)
        self._steps -= MOST_STEPS  # they were no making up: the others' waits are as they are
        self._end(one, "failed", f"it did {MOST_STEPS} steps at once", instant, visiting=False)

    def _take(
        self, one: Instance, step: StepRule, instant: int, due: int
    ) -> tuple[str, str] | None:
        """Do a step: where it leads and what came of it; None when it waits."""
        given = {PARAMETERS: one.parameters}
        following = step.step.next_step_id
        match step.step.body:
            case WaitStep() as wait:
                one.due = self._not_behind(ends(wait, instant, self._state.facts.zone))
                return None
            case WaitUntilStep(timeout=timeout):
                if self._held(one, step.expressions[0], instant, instant):
                    return following, "held"
                one.due = None if timeout is None else self._not_behind(instant + timeout)
                return None
            case BranchStep(cases=cases):
                for number, (case, condition) in enumerate(
                    zip(cases, step.expressions, strict=True), 1
                ):
                    if condition.evaluate(self._state.facts, instant, None, given) is True:
                        return case.step_id, f"case {number}"
                return following, "else"
            case SplitStep() as split:
                name = self._arm(one, step.step, split)
                return next(arm.step_id for arm in split.arms if arm.name == name), name
            case ActionStep():
                return following, self._act(one, step, instant, due)

    def _done_at(self, instant: int) -> int:
        return self._at_once[1] if self._at_once[0] == instant else 0

    def _not_behind(self, due: int) -> int:
        return max(due, self._now) if self._steps > MOST_STEPS else due

    def _arm(self, one: Instance, step: Step, split: SplitStep) -> str:
        arms = self._state.journeys.arms
        print_ = split_print(one.journey_id, step.step_id, split)
        if print_ not in arms:
            while len(arms) >= MOST_REMEMBERED:
                del arms[next(iter(arms))]
            arms[print_] = drawn(one.journey_id, step.step_id, split, self._contact_id)
        return arms[print_]

    def _act(self, one: Instance, step: StepRule, instant: int, due: int) -> str:
        rule, not_after, trail = step.action, step.step.not_after, self.trail
        assert rule is not None
        latest = None if not_after is None else due + not_after
        if latest is not None and self._now > latest:
            self.trail.tell(one, "skipped", instant)
            return "skipped"
        given = {PARAMETERS: one.parameters}
        frozen = values(rule, self._state.facts, instant, None, given)
        match rule.action:
            case SendAction(campaign_id=campaign_id):
                self.trail.tell(one, "done", instant, campaign_id, frozen, latest)
                return "done"
            case StartAction(journey_id=journey_id):
                order = Start(journey_id, visit_id(one.instance_id, one.visits), frozen)
                started = self.start(order, instant, due)
                self.trail.tell(one, "done", instant)
                return started.reason or "done"
            case action:
                trail.order(one, action, frozen, due, latest)
                self.trail.tell(one, "done", instant)
                return "done"

    def _migrate(self, one: Instance, head: JourneyRecord, instant: int) -> None:
        """Each migration concerns who is in the journey when it is ordered, and nobody later."""
        for migration in head.migrations:
            if migration.number <= one.considered:
                continue
            one.considered = migration.number
            target = migration.steps.get(one.step_id)
            rule = self._rules.versions.get((one.journey_id, migration.version))
            if one.version < migration.oldest_version or target is None or rule is None:
                continue
            self.trail.visited(one, "migrated", instant)
            one.version, one.step_id = migration.version, target
            one.visits += 1
            body = rule.steps[target].step.body
            if one.due is None:
                if isinstance(body, WaitStep):
                    one.due = max(ends(body, one.since, self._state.facts.zone), instant)
                elif isinstance(body, WaitUntilStep) and body.timeout is not None:
                    one.due = max(one.since + body.timeout, instant)
            one.look = instant  # at what this version looks
            self.trail.keep(one)

    def _may_start(self, head: JourneyRecord, key: str, instant: int) -> bool:
        ended = self._state.journeys.ended
        end = ended.get(fingerprint(head.definition.journey_id, key))
        restart = head.definition.restart
        return end is None or (restart is not None and end + restart <= instant)

    def _end(
        self, one: Instance, state: str, reason: str, instant: int, visiting: bool = True
    ) -> None:
        """It is over. `visiting`: in the middle of a step, which ends with it."""
        journeys = self._state.journeys
        self._state.moved()
        del journeys.instances[one.instance_id]
        if visiting and one.visits:
            self.trail.visited(one, state, instant)
        one.due = None
        head = self._rules.heads.get(one.journey_id)
        if head is not None and head.definition.restart != 0:
            print_ = fingerprint(one.journey_id, one.key)
            journeys.ended.pop(print_, None)  # the latest stand last
            while len(journeys.ended) >= MOST_REMEMBERED:
                del journeys.ended[next(iter(journeys.ended))]
            journeys.ended[print_] = instant
        self.trail.keep(one, state, reason, instant)
        self.trail.tell(one, state, instant)
