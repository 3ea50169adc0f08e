"""All journeys compiled, with what people in them look at. Pure and immutable."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from expressions import Expression, ExpressionError, Facts
from services.segment.engine.actions import ActionRule, compile_action
from services.segment.engine.journeys.model import (
    ActionStep,
    BranchStep,
    JourneyDefinition,
    Journeys,
    Step,
    WaitStep,
    WaitUntilStep,
)

PARAMETERS: Final = "parameters"
"""The root under which expressions find what an instance was started with."""

Compile: TypeAlias = Callable[[str], Expression]
"""Compiles a source in which `parameters` may be used; raises `ExpressionError`."""
Name: TypeAlias = tuple[str, str]
"""Something that an expression looks at: `events`, `attributes`, `consents` or `segments`, and
which."""
_KINDS: Final = ("events", "attributes", "consents", "segments")
_MOST_KEY: Final = 256
_ZONE: Final = frozenset({("attributes", "zone")})


@dataclass(frozen=True, slots=True)
class StepRule:
    """A step, compiled."""

    step: Step
    expressions: tuple[Expression, ...] = ()
    """What is waited for, or the cases of a branch, in order."""
    action: ActionRule | None = None
    watched: frozenset[Name] = frozenset()
    """What can end the step, or the journey while somebody is in it."""


@dataclass(frozen=True, slots=True)
class JourneyRule:
    """A version of a journey, compiled."""

    definition: JourneyDefinition
    key: Expression | None
    goal: Expression | None
    exit: Expression | None
    steps: dict[str, StepRule]

    def key_of(self, parameters: Mapping[str, Any]) -> str | None:
        """What an instance that is started with these is about; None: nothing that can be told."""
        if self.key is None:
            return ""
        value = self.key.evaluate(Facts(), 0, None, {PARAMETERS: parameters})
        return None if value is None or value == "" else str(value)[:_MOST_KEY]

    @property
    def expressions(self) -> Iterator[Expression]:
        """All of them."""
        for one in (self.key, self.goal, self.exit):
            if one is not None:
                yield one
        for rule in self.steps.values():
            yield from rule.expressions
            if rule.action is not None:
                yield from rule.action.expressions


class JourneyRules:
    """Journeys and their versions that somebody is on."""

    def __init__(self, journeys: Journeys, compile: Compile) -> None:
        """Versions that no longer compile stand in `broken`: whoever is on one stays where he is
        until somebody migrates him."""
        self.heads = {one.definition.journey_id: one for one in journeys.records}
        self.versions: dict[tuple[str, int], JourneyRule] = {}
        self.broken: list[str] = []
        for one in (*(head.definition for head in self.heads.values()), *journeys.earlier):
            try:
                rule = compile_journey(one, compile)
            except ExpressionError:
                self.broken.append(f"{one.name} {one.version}")
            else:
                self.versions[one.journey_id, one.version] = rule

    def latest(self, journey_id: str) -> JourneyRule | None:
        """What those who start now begin with."""
        head = self.heads.get(journey_id)
        if head is None:
            return None
        return self.versions.get((journey_id, head.definition.version))


def compile_journey(definition: JourneyDefinition, compile: Compile) -> JourneyRule:
    """Raises `ExpressionError`."""

    def optional(source: str) -> Expression | None:
        return compile(source) if source else None

    goal, leave = optional(definition.goal), optional(definition.exit_condition)
    always = frozenset[Name]().union(*(_looked_at(one) for one in (goal, leave) if one is not None))
    return JourneyRule(
        definition,
        optional(definition.key),
        goal,
        leave,
        {step.step_id: _compile_step(step, always, compile) for step in definition.steps},
    )


def _compile_step(step: Step, always: frozenset[Name], compile: Compile) -> StepRule:
    match step.body:
        case WaitUntilStep(expression=source):
            expression = compile(source)
            return StepRule(step, (expression,), watched=always | _looked_at(expression))
        case BranchStep(cases=cases):
            return StepRule(step, tuple(compile(case.expression) for case in cases))
        case ActionStep(action=action):
            return StepRule(step, action=compile_action(action, compile))
        case WaitStep(days=days, time_of_day=time, weekdays=weekdays) if days or time or weekdays:
            return StepRule(step, watched=always | _ZONE)
        case _:
            return StepRule(step, watched=always)


def _looked_at(expression: Expression) -> frozenset[Name]:
    return frozenset((kind, name) for kind in _KINDS for name in getattr(expression, kind))
