"""The contract's journeys and instances from what is kept, and back."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from chassis.failures import FieldInvalid
from chassis.times import stamped, timestamp
from merhaba.segment.v1 import (
    BranchCase,
    BranchStep,
    Journey,
    JourneyInstance,
    SplitArm,
    SplitStep,
    Step,
    StepVisit,
    WaitStep,
    WaitUntilStep,
)
from merhaba.segment.v1 import Migration as GivenMigration
from services.segment.api.nouns import NEVER, duration, span
from services.segment.api.trigger_nouns import action, action_draft
from services.segment.engine.definitions import etag_of
from services.segment.engine.journeys import model

_TEXTS: Final = ("display_name", "description", "key", "goal", "exit_condition")
_MUTABLE: Final = (*_TEXTS, "labels", "steps", "restart_duration")


def journey(record: model.JourneyRecord) -> Journey:
    """A journey for reading."""
    definition = record.definition
    return Journey(
        journey_id=definition.journey_id,
        name=definition.name,
        display_name=record.display_name,
        description=record.description,
        version=definition.version,
        state=Journey.State.Value(f"STATE_{record.state.upper()}"),
        etag=etag_of(record.edit),
        steps=[_step(step) for step in definition.steps],
        key=definition.key,
        goal=definition.goal,
        exit_condition=definition.exit_condition,
        restart_duration=None if definition.restart is None else duration(definition.restart),
        create_time=stamped(record.create_time),
        update_time=stamped(record.update_time),
        archive_time=stamped(record.archive_time),
        labels=record.labels,
    )


def journey_draft(given: Journey, state: str) -> model.JourneyRecord:
    """What somebody wants a journey to be. Raises `FieldInvalid`."""
    restart = None
    if given.HasField("restart_duration"):
        restart = span(given.restart_duration, "journey.restart_duration")
    return model.JourneyRecord(
        definition=model.JourneyDefinition(
            journey_id="",
            name=given.name,
            version=0,
            steps=tuple(
                _step_draft(step, f"journey.steps[{number}]")
                for number, step in enumerate(given.steps)
            ),
            key=given.key,
            goal=given.goal,
            exit_condition=given.exit_condition,
            restart=restart,
        ),
        display_name=given.display_name,
        description=given.description,
        state=state,
        edit=0,
        create_time=NEVER,
        update_time=NEVER,
        labels=tuple(given.labels),
    )


def changed(record: model.JourneyRecord, given: Journey, paths: Sequence[str]) -> Journey:
    """A journey with these fields of another; raises `FieldInvalid` for one that cannot change."""
    found = journey(record)
    for path in paths or [field.name for field, _ in given.ListFields() if field.name in _MUTABLE]:
        if path not in _MUTABLE:
            raise FieldInvalid(
                "update_mask", f"{path} cannot be changed; only {', '.join(_MUTABLE)} can"
            )
        found.ClearField(path)  # type: ignore[arg-type]  # checked above
        if path in _TEXTS:
            setattr(found, path, getattr(given, path))
        elif path == "labels":
            found.labels.extend(given.labels)
        elif path == "steps":
            found.steps.extend(given.steps)
        elif given.HasField("restart_duration"):
            found.restart_duration.CopyFrom(given.restart_duration)
    return found


def migration(given: GivenMigration) -> model.Migration:
    """A migration, with no number and version yet."""
    return model.Migration(0, 0, given.oldest_version, dict(given.steps))


def instance(
    record: model.InstanceRecord, visits: Sequence[model.Visit] | None = None
) -> JourneyInstance:
    """Somebody in a journey, for reading; with all steps when those that are over are given."""
    told = [
        StepVisit(
            step_id=one.step_id,
            journey_version=one.version,
            start_time=timestamp(one.start_time),
            end_time=timestamp(one.end_time),
            outcome=one.outcome,
        )
        for one in visits or ()
    ]
    if visits is not None and record.end_time is None:
        told.append(
            StepVisit(
                step_id=record.step_id,
                journey_version=record.version,
                start_time=timestamp(record.step_time),
            )
        )
    return JourneyInstance(
        instance_id=record.instance_id,
        journey_id=record.journey_id,
        journey_version=record.version,
        contact_id=record.contact_id,
        key=record.key,
        state=JourneyInstance.State.Value(f"STATE_{record.state.upper()}"),
        reason=record.reason,
        step_id=record.step_id,
        due_time=timestamp(record.due_time) if record.end_time is None else None,
        visits=told,
        parameters_json=orjson.dumps(record.parameters),
        cause_id=record.cause_id,
        create_time=timestamp(record.start_time),
        end_time=timestamp(record.end_time),
    )


def _step(given: model.Step) -> Step:
    found = Step(
        step_id=given.step_id,
        display_name=given.display_name,
        next_step_id=given.next_step_id,
        not_after_duration=None if given.not_after is None else duration(given.not_after),
    )
    match given.body:
        case model.WaitStep() as wait:
            found.wait.CopyFrom(
                WaitStep(
                    duration=duration(wait.duration) if wait.duration else None,
                    days=wait.days,
                    time_of_day=wait.time_of_day,
                    weekdays=wait.weekdays,
                )
            )
        case model.WaitUntilStep(expression, timeout, target):
            found.wait_until.CopyFrom(
                WaitUntilStep(
                    expression=expression,
                    timeout_duration=None if timeout is None else duration(timeout),
                    timeout_step_id=target,
                )
            )
        case model.BranchStep(cases=cases):
            ways = [BranchCase(expression=one.expression, step_id=one.step_id) for one in cases]
            found.branch.CopyFrom(BranchStep(cases=ways))
        case model.SplitStep(arms=arms):
            parts = [SplitArm(name=a.name, weight=a.weight, step_id=a.step_id) for a in arms]
            found.split.CopyFrom(SplitStep(arms=parts))
        case model.ActionStep(action=done):
            found.action.CopyFrom(action(done))
    return found


def _step_draft(given: Step, path: str) -> model.Step:
    kind = given.WhichOneof("step")
    if kind is None:
        raise FieldInvalid(path, "does nothing; give it wait, wait_until, branch, split or action")
    not_after = None
    if given.HasField("not_after_duration"):
        not_after = span(given.not_after_duration, f"{path}.not_after_duration")
    return model.Step(
        step_id=given.step_id,
        body=_BODIES[kind](getattr(given, kind), f"{path}.{kind}"),
        next_step_id=given.next_step_id,
        display_name=given.display_name,
        not_after=not_after,
    )


def _wait_draft(given: WaitStep, path: str) -> model.WaitStep:
    return model.WaitStep(
        duration=span(given.duration, f"{path}.duration"),
        days=given.days,
        time_of_day=given.time_of_day,
        weekdays=tuple(given.weekdays),
    )


def _wait_until_draft(given: WaitUntilStep, path: str) -> model.WaitUntilStep:
    timeout = None
    if given.HasField("timeout_duration"):
        timeout = span(given.timeout_duration, f"{path}.timeout_duration")
    return model.WaitUntilStep(given.expression, timeout, given.timeout_step_id)


def _branch_draft(given: BranchStep, _path: str) -> model.BranchStep:
    return model.BranchStep(tuple(model.Case(one.expression, one.step_id) for one in given.cases))


def _split_draft(given: SplitStep, _path: str) -> model.SplitStep:
    return model.SplitStep(tuple(model.Arm(a.name, a.weight, a.step_id) for a in given.arms))


_BODIES: Final[dict[str, Callable[[Any, str], model.Body]]] = {
    "wait": _wait_draft,
    "wait_until": _wait_until_draft,
    "branch": _branch_draft,
    "split": _split_draft,
    "action": lambda given, path: model.ActionStep(action_draft(given, path)),
}
