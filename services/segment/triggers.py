"""What a trigger makes of a cause, and of an occurrence whose time has come. Pure."""

from typing import Any

import msgspec

from chassis.ids import derived_id
from expressions import Event, Expression, Facts, Timeline
from services.segment.model import Occurrence
from services.segment.rules import TriggerRule

_MAX_KEY = 256


def caused(
    trigger: TriggerRule,
    contact_id: str,
    facts: Facts,
    event: Event | None,
    cause_id: str,
    instant: int,
    now: int,
) -> Occurrence | None:
    """The occurrence that a cause at `instant` makes; None when the condition does not hold, or
    the key has no value. Without a delay it has fired; of a paused trigger it waits.
    """
    definition = trigger.definition
    if trigger.condition is not None and not trigger.condition.evaluate(facts, instant, event):
        return None
    key = ""
    if trigger.key is not None:
        value = trigger.key.evaluate(facts, instant, event)
        if value is None or value == "":
            return None
        key = str(value)[:_MAX_KEY]
    due = instant + definition.delay
    occurrence = Occurrence(
        occurrence_id=derived_id(
            "occ", definition.trigger_id, contact_id, key or f"\x1e{cause_id}"
        ),
        trigger_id=definition.trigger_id,
        trigger_version=definition.version,
        contact_id=contact_id,
        key=key,
        state="waiting",
        cause_event_id=cause_id,
        cause_time=instant,
        due_time=due,
        campaign_id=definition.campaign_id,
        not_after_time=None if definition.not_after is None else due + definition.not_after,
        properties=dict(event.properties) if event is not None else {},
    )
    if definition.delay or definition.paused:
        return occurrence
    return _fired(trigger, occurrence, facts, event, now)


def fallen_due(trigger: TriggerRule, occurrence: Occurrence, facts: Facts, now: int) -> Occurrence:
    """What becomes, at `now`, of an occurrence that waited until its due time.

    The cancel condition counts if it held at any instant until the due time, on what happened
    since the cause: an event from before it does not count.
    """
    event = None
    if trigger.definition.event_name:
        event = Event(occurrence.cause_time, occurrence.properties)
    if trigger.cancel is not None:
        since = happened_since(facts, occurrence.cause_time)
        instant: int | None = occurrence.cause_time
        while instant is not None and instant <= occurrence.due_time:
            held, instant = trigger.cancel.decide(since, instant, event)
            if held:
                return _ended(occurrence, "cancelled", "the cancel condition came to hold", now)
    return _fired(trigger, occurrence, facts, event, now)


def happened_since(facts: Facts, instant: int) -> Facts:
    """The facts without the events until `instant`, included."""
    timelines: dict[str, Timeline] = {}
    for name, timeline in facts.timelines.items():
        kept = [i for i, time in enumerate(timeline.times) if time > instant]
        timelines[name] = Timeline(
            [timeline.times[i] for i in kept], [timeline.properties[i] for i in kept]
        )
    return Facts(facts.attributes, facts.consents, facts.segments, facts.zone, timelines)


def _fired(
    trigger: TriggerRule, occurrence: Occurrence, facts: Facts, event: Event | None, now: int
) -> Occurrence:
    if occurrence.not_after_time is not None and now > occurrence.not_after_time:
        return _ended(occurrence, "missed", "its not-after time had passed", now)

    def value(expression: Expression) -> Any:
        return expression.evaluate(facts, occurrence.due_time, event)

    parameters = {name: value(e) for name, e in trigger.parameters.items()}
    return msgspec.structs.replace(
        occurrence, state="fired", end_time=now, parameters=parameters, reason="it was due"
    )


def withheld(occurrence: Occurrence, now: int) -> Occurrence:
    """An occurrence of somebody whose data may not be used."""
    return _ended(occurrence, "cancelled", "processing of the person's data is restricted", now)


def _ended(occurrence: Occurrence, state: str, reason: str, now: int) -> Occurrence:
    return msgspec.structs.replace(occurrence, state=state, reason=reason, end_time=now)
