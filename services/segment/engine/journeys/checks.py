"""What is right in the steps of a journey, but for its expressions. Pure.

Raises `FieldInvalid` with the path of what is wrong, as `journey.steps[3].wait.time_of_day`.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from chassis.failures import FieldInvalid
from services.segment.engine.journeys.model import (
    ActionStep,
    BranchStep,
    JourneyDefinition,
    Migration,
    SplitStep,
    Step,
    WaitStep,
    WaitUntilStep,
)
from services.segment.engine.moments import read_time
from services.segment.failures import StepCycle, UnknownStep

MOST_STEPS: Final = 200
_MOST_WAYS: Final = 20
_MOST_WEIGHT: Final = 1_000_000
_MOST_TEXT: Final = 1_000
_MOST_DAYS: Final = 366
_SECOND: Final = 1_000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_BEFORE: Final = "has to be 1 to 63 lower-case letters, digits, hyphens and underscores"


def check_steps(steps: tuple[Step, ...]) -> None:
    """Raises besides `UnknownStep` and `StepCycle`."""
    if not 1 <= len(steps) <= MOST_STEPS:
        raise FieldInvalid("journey.steps", f"1 to {MOST_STEPS}", limit=str(MOST_STEPS))
    known: set[str] = set()
    for number, step in enumerate(steps):
        path = f"journey.steps[{number}]"
        if not _NAME.fullmatch(step.step_id):
            raise FieldInvalid(f"{path}.step_id", _BEFORE)
        if step.step_id in known:
            raise FieldInvalid(f"{path}.step_id", f"another step is called {step.step_id}")
        if len(step.display_name) > _MOST_TEXT:
            raise FieldInvalid(
                f"{path}.display_name", f"over {_MOST_TEXT} characters", limit=str(_MOST_TEXT)
            )
        if step.not_after is not None and not isinstance(step.body, ActionStep):
            raise FieldInvalid(
                f"{path}.not_after_duration", "of no effect: only actions can be late"
            )
        _check_body(step, path)
        known.add(step.step_id)
    for number, step in enumerate(steps):
        for field, target in ways(step):
            if target and target not in known:
                raise UnknownStep(f"journey.steps[{number}].{field}", target)
    if path_back := _cycle({step.step_id: step for step in steps}):
        raise StepCycle(path_back)


def check_migration(
    migration: Migration, definition: JourneyDefinition, earlier: Mapping[int, Collection[str]]
) -> None:
    """`earlier`: the steps that wait, by version, of the versions before. Raises besides
    `UnknownStep`."""
    if not 0 <= migration.oldest_version <= migration.version:
        raise FieldInvalid("migration.oldest_version", f"0 to {migration.version}")
    from_steps = {
        step_id
        for version, step_ids in earlier.items()
        if version >= migration.oldest_version
        for step_id in step_ids
    }
    steps = {step.step_id: step for step in definition.steps}
    for old, new in migration.steps.items():
        path = f"migration.steps[{old}]"
        if old not in from_steps:
            raise UnknownStep(path, old)
        if new not in steps:
            raise UnknownStep(path, new)
        if not steps[new].waits:
            problem = f"{new} waits for nothing; people come from steps that wait to others that do"
            raise FieldInvalid(path, problem)


def ways(step: Step) -> Iterator[tuple[str, str]]:
    """Where a step can lead, each with its field; an empty target is the end."""
    match step.body:
        case WaitUntilStep(timeout=timeout, timeout_step_id=target):
            yield "next_step_id", step.next_step_id
            if timeout is not None:
                yield "wait_until.timeout_step_id", target
        case BranchStep(cases=cases):
            for number, case in enumerate(cases):
                yield f"branch.cases[{number}].step_id", case.step_id
            yield "next_step_id", step.next_step_id
        case SplitStep(arms=arms):
            for number, arm in enumerate(arms):
                yield f"split.arms[{number}].step_id", arm.step_id
        case _:
            yield "next_step_id", step.next_step_id


def _check_body(step: Step, path: str) -> None:
    match step.body:
        case WaitStep() as wait:
            _check_wait(wait, f"{path}.wait")
        case WaitUntilStep(timeout=timeout, timeout_step_id=target):
            if timeout is not None and timeout < _SECOND:
                raise FieldInvalid(f"{path}.wait_until.timeout_duration", "at least a second")
            if target and timeout is None:
                raise FieldInvalid(
                    f"{path}.wait_until.timeout_step_id", "of no effect without a timeout_duration"
                )
        case BranchStep(cases=cases):
            if not 1 <= len(cases) <= _MOST_WAYS:
                raise FieldInvalid(
                    f"{path}.branch.cases", f"1 to {_MOST_WAYS}", limit=str(_MOST_WAYS)
                )
        case SplitStep() as split:
            _check_split(split, f"{path}.split")
            if step.next_step_id:
                raise FieldInvalid(
                    f"{path}.next_step_id", "of no effect: each arm says where to go"
                )


def _check_wait(wait: WaitStep, path: str) -> None:
    if wait == WaitStep():
        raise FieldInvalid(path, "empty; give a duration, days, a time_of_day or weekdays")
    if wait.duration and wait.duration < _SECOND:
        raise FieldInvalid(f"{path}.duration", "at least a second")
    if not 0 <= wait.days <= _MOST_DAYS:
        raise FieldInvalid(f"{path}.days", f"0 to {_MOST_DAYS}", limit=str(_MOST_DAYS))
    if wait.time_of_day:
        try:
            read_time(wait.time_of_day)
        except ValueError as error:
            raise FieldInvalid(f"{path}.time_of_day", str(error)) from None
    for number, day in enumerate(wait.weekdays):
        if not 1 <= day <= 7:
            raise FieldInvalid(f"{path}.weekdays[{number}]", "1 (Monday) to 7 (Sunday)")


def _check_split(split: SplitStep, path: str) -> None:
    if not 1 <= len(split.arms) <= _MOST_WAYS:
        raise FieldInvalid(f"{path}.arms", f"1 to {_MOST_WAYS}", limit=str(_MOST_WAYS))
    names: set[str] = set()
    for number, arm in enumerate(split.arms):
        if not _NAME.fullmatch(arm.name):
            raise FieldInvalid(f"{path}.arms[{number}].name", _BEFORE)
        if arm.name in names:
            raise FieldInvalid(f"{path}.arms[{number}].name", f"another arm is called {arm.name}")
        if not 1 <= arm.weight <= _MOST_WEIGHT:
            raise FieldInvalid(
                f"{path}.arms[{number}].weight", f"1 to {_MOST_WEIGHT}", limit=str(_MOST_WEIGHT)
            )
        names.add(arm.name)


def _cycle(steps: Mapping[str, Step]) -> list[str] | None:
    """A path from a step back to itself on which nothing waits, when there is one."""
    following = {
        step_id: [] if step.waits else [target for _, target in ways(step) if target]
        for step_id, step in steps.items()
    }
    done: set[str] = set()
    for first in following:
        path: list[str] = []
        todo = [iter([first])]
        while todo:
            step_id = next(todo[-1], None)
            if step_id is None:
                todo.pop()
                if path:
                    done.add(path.pop())
            elif step_id in path:
                return [*path[path.index(step_id) :], step_id]
            elif step_id not in done:
                path.append(step_id)
                todo.append(iter(following[step_id]))
    return None
