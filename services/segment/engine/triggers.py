"""What a trigger makes of a cause, and of an occurrence whose time has come. Pure."""

from bisect import insort
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec.structs import replace

from chassis.ids import derived_id
from expressions import Event, Expression, Facts, Given
from services.segment.engine.actions import RESTRICTED, Deed, SendAction, values
from services.segment.engine.journeys.since import happened_since
from services.segment.engine.model import Occurrence
from services.segment.engine.rules import TriggerRule

_MAX_KEY: Final = 256
CANCELLED: Final = "the cancel condition came to hold"


class Why(NamedTuple):
    """One cause of a trigger for one contact."""

    cause_id: str
    """Of the event or transition; of a moment, which one of its trigger's it is."""
    instant: int
    event: Event | None = None
    given: Given = MappingProxyType({})
    received: int = 0
    """When it, or what caused it, was accepted."""
    traceparent: str = ""
    shared: str = ""
    """What many are told of, each once."""


def caused(trigger: TriggerRule, contact_id: str, facts: Facts, why: Why) -> Occurrence | None:
    """The occurrence that a cause makes, which waits; None when the condition does not hold, or
    the key has no value."""
    if not holds(trigger.condition, facts, why):
        return None
    key = ""
    if trigger.key is not None:
        value = trigger.key.evaluate(facts, why.instant, why.event, why.given)
        if value is None or value == "":
            return None
        key = str(value)[:_MAX_KEY]
    return _made(trigger, contact_id, key, why)


def unmet(trigger: TriggerRule, contact_id: str, facts: Facts, why: Why) -> Occurrence | None:
    """What is told, and never kept, of a cause of which no occurrence came for want of the
    condition or of a key; None of others."""
    if caused(trigger, contact_id, facts, why) is not None:
        return None
    held = holds(trigger.condition, facts, why)
    reason = "the key has no value" if held else "the condition did not hold"
    return _ended(_made(trigger, contact_id, "", why), "unmet", reason, why.instant)


def _made(trigger: TriggerRule, contact_id: str, key: str, why: Why) -> Occurrence:
    definition = trigger.definition
    due = why.instant + definition.delay
    return Occurrence(
        occurrence_id=derived_id(
            "occ", definition.trigger_id, contact_id, key or f"\x1e{why.cause_id}"
        ),
        trigger_id=definition.trigger_id,
        trigger_version=definition.version,
        contact_id=contact_id,
        key=key,
        state="waiting",
        cause_event_id="" if trigger.by_time else why.cause_id,
        cause_time=why.instant,
        due_time=due,
        not_after_time=None if definition.not_after is None else due + definition.not_after,
        properties=dict(why.event.properties) if why.event is not None else {},
        received=why.received,
        traceparent=why.traceparent,
        given=why.given,
        shared_cause=why.shared,
    )


def holds(condition: Expression | None, facts: Facts, why: Why) -> bool:
    """Whether a condition holds as of a cause; without one it does."""
    if condition is None:
        return True
    return condition.evaluate(facts, why.instant, why.event, why.given) is True


def once(trigger: TriggerRule, key: str, cause_id: str) -> str:
    """What a contact has at most one occurrence of, whoever it was before; empty: nothing."""
    if key:
        return f"key {key}"
    return f"cause {cause_id}" if trigger.yearly else ""


def limited(occurrence: Occurrence, cause_id: str, reason: str, now: int) -> Occurrence:
    """An occurrence that there may not be besides those there were."""
    if not occurrence.key:
        return _ended(occurrence, "limited", reason, now)
    own = derived_id("occ", occurrence.trigger_id, occurrence.contact_id, occurrence.key, cause_id)
    return _ended(replace(occurrence, occurrence_id=own), "limited", reason, now)


def crowded(times: Sequence[int], instant: int, period: int, most: int) -> bool:
    """Whether one more at an instant would make more than `most` in a period."""
    near = [time for time in times if abs(time - instant) < period]
    insort(near, instant)
    return any(later - first < period for first, later in zip(near, near[most:], strict=False))


def fired(trigger: TriggerRule, occurrence: Occurrence, facts: Facts, now: int) -> Occurrence:
    """What becomes, at `now`, of an occurrence that is due."""
    if occurrence.not_after_time is not None and now > occurrence.not_after_time:
        return _ended(occurrence, "missed", "its not-after time had passed", now)
    action = trigger.action.action
    event, given = event_of(trigger, occurrence), occurrence.given
    return replace(
        occurrence,
        state="fired",
        end_time=now,
        reason="it was due",
        campaign_id=action.campaign_id if isinstance(action, SendAction) else "",
        parameters=values(trigger.action, facts, occurrence.due_time, event, given),
    )


def cancelled(occurrence: Occurrence, instant: int) -> Occurrence:
    """An occurrence whose cancel condition came to hold while it waited."""
    return _ended(occurrence, "cancelled", CANCELLED, instant)


def failed(occurrence: Occurrence, reason: str) -> Occurrence:
    """An occurrence whose action came to nothing for good."""
    return replace(occurrence, state="failed", reason=reason)


def event_of(trigger: TriggerRule, occurrence: Occurrence) -> Event | None:
    """The event that caused an occurrence, as expressions see it."""
    if trigger.event_name is None:
        return None
    return Event(occurrence.cause_time, occurrence.properties)


def deed_of(trigger: TriggerRule, occurrence: Occurrence) -> Deed | None:
    """What is to be done outside because an occurrence fired; None: who hears of it, acts."""
    action = trigger.action.action
    if occurrence.state != "fired" or isinstance(action, SendAction):
        return None
    about = {
        "trigger_id": occurrence.trigger_id,
        "trigger": trigger.definition.name,
        "key": occurrence.key,
        "cause_event_id": occurrence.cause_event_id,
    }
    return Deed(
        deed_id=occurrence.occurrence_id,
        origin="occurrence",
        owner_id=occurrence.trigger_id,
        contact_id=occurrence.contact_id,
        action=action,
        parameters=occurrence.parameters,
        about={name: value for name, value in about.items() if value},
        due_time=occurrence.due_time,
        not_after_time=occurrence.not_after_time,
        traceparent=occurrence.traceparent,
    )


def comes_to_hold(
    condition: Expression, facts: Facts, why: Why, start: int, until: int
) -> tuple[int | None, int | None]:
    """The first instant from `start` until `until` at which a cancel condition holds; and, when
    there is none, the first afterwards at which time alone could make it so.

    It is asked of what happened since the cause: an event from before it does not count.
    """
    since = happened_since(facts, why.instant, condition.events)
    instant: int | None = start
    while instant is not None and instant <= until:
        value, after = condition.decide(since, instant, why.event, why.given)
        if value is True:
            return instant, None
        instant = after
    return None, instant


def withheld(occurrence: Occurrence, now: int) -> Occurrence:
    """An occurrence of somebody whose data may not be used."""
    return _ended(occurrence, "restricted", RESTRICTED, now)


def _ended(occurrence: Occurrence, state: str, reason: str, now: int) -> Occurrence:
    return replace(occurrence, state=state, reason=reason, end_time=now)
