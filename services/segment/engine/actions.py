"""What a trigger or a step of a journey does, and the values it does it with. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from expressions import Event, Expression, Facts, Given

RESTRICTED: Final = "processing of the person's data is restricted"
"""Why nothing is done for somebody."""
VALUE: Final = "value"
"""The name under which the value of an attribute to be set is frozen."""


class SendAction(msgspec.Struct, frozen=True, tag="send"):
    """Sends a message by a campaign that waits for triggers."""

    campaign_id: str
    parameters: Mapping[str, str] = {}


class WebhookAction(msgspec.Struct, frozen=True, tag="webhook"):
    """Posts JSON to an address of the business, signed."""

    url: str
    secret_name: str
    parameters: Mapping[str, str] = {}


class SetAction(msgspec.Struct, frozen=True, tag="set"):
    """Sets an attribute of the contact."""

    attribute_name: str
    expression: str


class StartAction(msgspec.Struct, frozen=True, tag="start"):
    """Starts a journey for the contact."""

    journey_id: str
    parameters: Mapping[str, str] = {}


Action: TypeAlias = SendAction | WebhookAction | SetAction | StartAction


class Deed(msgspec.Struct, frozen=True):
    """Something to be done outside, once it is due; what comes of it is told to its origin."""

    deed_id: str
    """The occurrence's or the visit's."""
    origin: str
    """`occurrence` or `step`."""
    owner_id: str
    """The trigger or the journey: while that is paused, nothing is done."""
    contact_id: str
    action: WebhookAction | SetAction | StartAction
    parameters: Mapping[str, Any]
    about: Mapping[str, str]
    """What the receiver is told besides: `trigger_id`, `key`, …"""
    due_time: int
    not_after_time: int | None = None
    traceparent: str = ""

    @property
    def step(self) -> tuple[str, int] | None:
        """The instance and the number of the visit that it is of; None of an occurrence's."""
        if self.origin != "step":
            return None
        return self.about["instance_id"], int(self.about["visit"])


class Answer(NamedTuple):
    """How it went when a deed was done."""

    done: bool
    reason: str
    """Nothing personal."""


@dataclass(frozen=True, slots=True)
class ActionRule:
    """An action, compiled."""

    action: Action
    parameters: Mapping[str, Expression]

    @property
    def expressions(self) -> Iterable[Expression]:
        """All of them."""
        return self.parameters.values()


def sources_of(action: Action) -> Mapping[str, str]:
    """The expressions of an action by the names under which their values are frozen."""
    return {VALUE: action.expression} if isinstance(action, SetAction) else action.parameters


def source_path(action: Action, name: str) -> str:
    """Where, below `action`, the expression of a value stands."""
    if isinstance(action, SetAction):
        return "set.expression"
    kind = {SendAction: "send", WebhookAction: "webhook", StartAction: "start"}[type(action)]
    return f"{kind}.parameters[{name}]"


def compile_action(action: Action, compile: Callable[[str], Expression]) -> ActionRule:
    """Raises `ExpressionError`."""
    return ActionRule(action, {name: compile(s) for name, s in sources_of(action).items()})


def values(
    rule: ActionRule,
    facts: Facts,
    instant: int,
    event: Event | None,
    given: Given | None = None,
) -> dict[str, Any]:
    """What is frozen when it is done at `instant`; `given` are the roots besides the contact's."""
    return {name: e.evaluate(facts, instant, event, given) for name, e in rule.parameters.items()}
