"""A journey as people define it, and a contact in one.

Spans and times are ints, milliseconds, times since 1970 UTC; texts are as in the contract.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from services.segment.engine.actions import Action, StartAction


class WaitStep(msgspec.Struct, frozen=True, tag="wait"):
    """Waits so long, so many calendar days more, and then until a local time."""

    duration: int = 0
    days: int = 0
    time_of_day: str = ""
    weekdays: tuple[int, ...] = ()


class WaitUntilStep(msgspec.Struct, frozen=True, tag="wait_until"):
    """Waits until something holds, or too long has passed."""

    expression: str
    timeout: int | None = None
    timeout_step_id: str = ""


class Case(msgspec.Struct, frozen=True):
    """One way out of a branch."""

    expression: str
    step_id: str = ""


class BranchStep(msgspec.Struct, frozen=True, tag="branch"):
    """Goes where the first case that holds says, else to the next step."""

    cases: tuple[Case, ...]


class Arm(msgspec.Struct, frozen=True):
    """One way out of a split."""

    name: str
    weight: int
    step_id: str = ""


class SplitStep(msgspec.Struct, frozen=True, tag="split"):
    """Divides people at random."""

    arms: tuple[Arm, ...]


class ActionStep(msgspec.Struct, frozen=True, tag="action"):
    """Does something."""

    action: Action


Body: TypeAlias = WaitStep | WaitUntilStep | BranchStep | SplitStep | ActionStep


class Step(msgspec.Struct, frozen=True):
    """One step; an empty `next_step_id` ends the journey."""

    step_id: str
    body: Body
    next_step_id: str = ""
    display_name: str = ""
    not_after: int | None = None
    """Of an action: it is skipped when it could not be done so long after it fell due."""

    @property
    def waits(self) -> bool:
        """Whether somebody can stand in it."""
        return isinstance(self.body, WaitStep | WaitUntilStep)

    @property
    def sources(self) -> Iterator[tuple[str, str]]:
        """Its expressions of type bool, each with its field."""
        match self.body:
            case WaitUntilStep(expression=source):
                yield "wait_until.expression", source
            case BranchStep(cases=cases):
                for number, case in enumerate(cases):
                    yield f"branch.cases[{number}].expression", case.expression
            case _:
                pass


class JourneyDefinition(msgspec.Struct, frozen=True):
    """One version of a journey."""

    journey_id: str
    name: str
    version: int
    steps: tuple[Step, ...]
    """The first is where everybody begins."""
    key: str = ""
    goal: str = ""
    exit_condition: str = ""
    restart: int | None = None
    """How long after its end the same key may start again; None is never."""

    @property
    def actions(self) -> Iterator[tuple[int, Action]]:
        """What its steps do, each with the position of the step."""
        for number, step in enumerate(self.steps):
            if isinstance(step.body, ActionStep):
                yield number, step.body.action

    def starts(self, journey_id: str) -> bool:
        """Whether it starts a journey."""
        return any(
            isinstance(one, StartAction) and one.journey_id == journey_id for _, one in self.actions
        )


class Migration(msgspec.Struct, frozen=True):
    """How people on earlier versions, none older than `oldest_version`, come to `version`: from a
    step that waits to a step that waits. Who stands in none of these finishes the own version."""

    number: int
    """Of the journey's migrations, from 1."""
    version: int
    oldest_version: int
    steps: Mapping[str, str]


class JourneyRecord(msgspec.Struct, frozen=True):
    """A journey as it is kept."""

    definition: JourneyDefinition
    display_name: str
    description: str
    state: str
    """`active`, `paused` or `archived`."""
    edit: int
    create_time: datetime
    update_time: datetime
    archive_time: datetime | None = None
    migrations: tuple[Migration, ...] = ()
    """In the order in which they were ordered; of the latest ones."""
    labels: tuple[str, ...] = ()


class Journeys(msgspec.Struct, frozen=True):
    """All journeys that have not ended."""

    records: tuple[JourneyRecord, ...] = ()
    earlier: tuple[JourneyDefinition, ...] = ()
    """Versions before the latest on which somebody is."""


class Start(msgspec.Struct, frozen=True):
    """Somebody asks for a contact to be in a journey."""

    journey_id: str
    cause_id: str
    parameters: Mapping[str, Any] = {}


class Exit(msgspec.Struct, frozen=True):
    """Somebody asks for a contact to be taken out."""

    instance_id: str
    reason: str


class Instance(msgspec.Struct, array_like=True):
    """A contact in a journey, in a step that waits. A part of the contact's state: fields are only
    ever added last."""

    instance_id: str
    journey_id: str
    version: int
    key: str
    origin_id: str
    """The contact that it was started for, which may have become part of this one since."""
    cause_id: str
    start_time: int
    parameters: dict[str, Any]
    step_id: str = ""
    since: int = 0
    """When it came to the step."""
    due: int | None = None
    """When it goes on by itself."""
    look: int | None = None
    """When what it waits for, its goal or its exit condition can next change by itself."""
    visits: int = 0
    """Steps so far, this one included."""
    considered: int = 0
    """The number of the last migration that came, or could have come, to it."""
    held: bool = False
    """The journey is paused: nothing is due."""
    fell: int | None = None
    """When it should have gone on, had the journey not been paused."""
    begun: int = 0
    """The version under which it came to the step."""

    @property
    def next_time(self) -> int | None:
        """When time alone can move it."""
        if self.held:
            return None
        if self.due is None or self.look is None:
            return self.look if self.due is None else self.due
        return min(self.due, self.look)


class Journeying(msgspec.Struct, array_like=True):
    """A contact in all journeys. A part of its state: fields are only ever added last."""

    instances: dict[str, Instance] = {}
    ended: dict[int, int] = {}
    """When the last instance ended, by fingerprint of journey and key; of the latest ones."""
    arms: dict[int, str] = {}
    """The arms the contact came to, by fingerprint of the split."""

    def next_due(self) -> int | None:
        """The earliest instant at which time alone moves somebody."""
        if not self.instances:  # nearly everybody
            return None
        dues = [at for one in self.instances.values() if (at := one.next_time) is not None]
        return min(dues, default=None)


class Visit(msgspec.Struct, frozen=True):
    """A step that is over."""

    instance_id: str
    number: int
    """Within the instance, from 1."""
    journey_id: str
    version: int
    step_id: str
    start_time: int
    end_time: int
    outcome: str
    """The case or arm taken, `held`, `timeout`, `done`, `skipped`, `migrated`, how the instance
    ended, or a failure."""


class InstanceRecord(msgspec.Struct, frozen=True):
    """An instance as it is kept for people to look at."""

    contact_id: str
    instance_id: str
    journey_id: str
    version: int
    key: str
    origin_id: str
    cause_id: str
    start_time: int
    parameters: Mapping[str, Any]
    state: str
    """`waiting`, `completed`, `goal_reached`, `exited` or `failed`."""
    reason: str
    step_id: str
    step_time: int
    due_time: int | None
    visits: int
    end_time: int | None = None
    started: bool = False
    """By what is being written: it was not kept before."""


class Reached(msgspec.Struct, frozen=True):
    """What is told to everybody of an instance: where it came to, what is sent, how it ended."""

    event_id: str
    contact_id: str
    journey_id: str
    version: int
    instance_id: str
    step_id: str
    state: str
    time: int
    received: int
    traceparent: str
    campaign_id: str = ""
    parameters: Mapping[str, Any] = {}
    not_after_time: int | None = None
