"""What is kept, as the events that told it, without their content."""

from typing import Final

import orjson

from chassis.clock import milliseconds_of
from chassis.times import timestamp
from merhaba.event.v1 import (
    ConsentChanged,
    ContactCreated,
    Event,
    JourneyStepReached,
    MessageDelivered,
    MessageEchoed,
    MessageFailed,
    MessageHeldOut,
    MessagePlanned,
    MessageRead,
    MessageReceived,
    MessageRef,
    MessageSent,
    MessageSuppressed,
    MessageUnknown,
    PlatformError,
    SegmentEntered,
    SegmentLeft,
    StageChanged,
    Tracked,
    TriggerFired,
)
from services.reports.chronicle.store import Item
from services.reports.funnel import Outcome, outcome
from services.reports.messages import Known
from services.reports.model import Letter, MessageFact, OrderFact, Origin, Step, Trait
from services.reports.rollups import part

_SOURCE: Final = "merhaba:reports"
_STEPS: Final[dict[Outcome, Step]] = {
    "read": "read",
    "delivered": "delivered",
    "failed": "failed",
    "sent": "sent",
    "unknown": "unknown",
    "suppressed": "suppressed",
    "held_out": "held_out",
}
_SEGMENT: Final = "segment:"


def event(item: Item) -> Event:
    """The event of something that happened; of a message, of how far it came."""
    match item.what:
        case Known(fact=fact):
            return _message(item, fact)
        case Letter(contact_id=who, letter_id=letter_id, time=time, ours=ours):
            made = _event(letter_id, time, who)
            number = item.what.phone_number_id
            if ours:
                made.message_echoed.CopyFrom(MessageEchoed(phone_number_id=number))
            else:
                made.message_received.CopyFrom(MessageReceived(phone_number_id=number))
            return made
        case Trait() as trait:
            return _trait(trait)
        case Origin() as origin:
            return _origin(origin)
        case OrderFact() as order:
            return _order(item, order)


def _event(event_id: str, time: int | None, contact_id: str) -> Event:
    return Event(
        event_id=event_id, event_time=timestamp(time), source=_SOURCE, contact_id=contact_id
    )


def _message(item: Item, fact: MessageFact) -> Event:
    known = item.what
    assert isinstance(known, Known)
    step = _STEPS.get(outcome(part(*known).progress), "planned")
    implied = fact.reached_time if step == "delivered" else None
    time = fact.times.get(step, implied or milliseconds_of(item.place.time))
    made = _event(f"{fact.message_id}/{step}", time, fact.contact_id)
    about = MessageRef(
        message_id=fact.message_id,
        campaign_id=fact.campaign_id,
        occurrence_id=fact.occurrence_id,
        template_name=fact.template,
        language=fact.language,
        variant=fact.variant,
        propensity=fact.propensity,
        category=fact.category[1] if fact.category else "",
        phone_number_id=fact.phone_number_id,
        market=fact.market,
    )
    match step:
        case "read":
            made.message_read.CopyFrom(MessageRead(message=about))
        case "delivered":
            made.message_delivered.CopyFrom(MessageDelivered(message=about))
        case "failed":
            error = PlatformError(code=fact.failure[1] if fact.failure else 0)
            made.message_failed.CopyFrom(MessageFailed(message=about, error=error))
        case "sent":
            made.message_sent.CopyFrom(MessageSent(message=about))
        case "unknown":
            made.message_unknown.CopyFrom(MessageUnknown(message=about))
        case "suppressed":
            gate = fact.gate[1] if fact.gate else ""
            made.message_suppressed.CopyFrom(MessageSuppressed(message=about, gate=gate))
        case "held_out":
            made.message_held_out.CopyFrom(MessageHeldOut(message=about, group=fact.control))
        case _:
            made.message_planned.CopyFrom(MessagePlanned(message=about))
    return made


def _trait(trait: Trait) -> Event:
    made = _event(f"{trait.name}/{trait.time}", trait.time, trait.contact_id)
    if trait.name == "created":
        made.contact_created.CopyFrom(ContactCreated())
    elif trait.name == "stage":
        made.stage_changed.CopyFrom(StageChanged(stage=trait.value))
    elif trait.name == "consent":
        granted = trait.value.startswith("granted")
        made.consent_changed.CopyFrom(ConsentChanged(purpose="marketing", granted=granted))
    else:
        segment = trait.name.removeprefix(_SEGMENT)
        if trait.value:
            made.segment_entered.CopyFrom(SegmentEntered(segment_id=segment))
        else:
            made.segment_left.CopyFrom(SegmentLeft(segment_id=segment))
    return made


def _origin(origin: Origin) -> Event:
    made = _event(origin.occurrence_id, origin.time, origin.contact_id)
    if origin.journey_id:
        step = JourneyStepReached(journey_id=origin.journey_id, step_id=origin.journey_step)
        made.journey_step_reached.CopyFrom(step)
    else:
        made.trigger_fired.CopyFrom(
            TriggerFired(
                trigger_id=origin.trigger_id,
                occurrence_id=origin.occurrence_id,
                cause_event_id=origin.cause_event_id,
            )
        )
    return made


def _order(item: Item, order: OrderFact) -> Event:
    returned = item.place.source == "return"
    name = "order_cancelled" if returned else "order_completed"
    said: dict[str, object] = {"order_id": order.order_id}
    if order.value is not None and not returned:
        _, micros, currency = order.value
        said |= {"total": micros / 1_000_000, "currency": currency}
    time = order.cancelled if returned else order.completed
    made = _event(f"{name}/{order.order_id}", time, order.contact_id)
    made.tracked.CopyFrom(Tracked(name=name, properties_json=orjson.dumps(said)))
    return made
