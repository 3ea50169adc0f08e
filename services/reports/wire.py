"""Events as facts: what each event of the log says, in the words of the model."""

from collections.abc import Callable
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError

from chassis.failures import FieldInvalid
from chassis.times import milliseconds
from merhaba.event.v1 import ConsentChanged, Event, MessageRef
from services.reports.amounts import micros
from services.reports.model import (
    CAMPAIGN_STATES,
    Arrival,
    CampaignFact,
    Fact,
    Kind,
    Kinship,
    Letter,
    Membership,
    MessageFact,
    OrderFact,
    Origin,
    Said,
    SegmentFact,
    Step,
    Trait,
    Withdrawal,
)

_LATEST_S: Final = 253_402_300_799  # the end of year 9999, beyond which there are no dates
_VALUES: Final = ("total", "revenue", "value")
_STEPS: Final[dict[str, Step]] = {
    "message_planned": "planned",
    "message_held": "held",
    "message_suppressed": "suppressed",
    "message_held_out": "held_out",
    "message_sent": "sent",
    "message_delivered": "delivered",
    "message_read": "read",
    "message_played": "read",  # who played it saw it
    "message_failed": "failed",
    "message_unknown": "unknown",
    "message_clicked": "clicked",
    "message_replied": "replied",
}
_TRAITS: Final = {"zone": "zone", "traits.device": "device"}


def event(raw: bytes) -> Event:
    """An event of the log. Raises `FieldInvalid` when it is none, or lacks its id or time."""
    try:
        decoded = Event.FromString(raw)
    except DecodeError:
        raise FieldInvalid("event", "the bytes are none; see the producer's version") from None
    for field, missing in (
        ("event_id", not decoded.event_id),
        ("event_time", not decoded.HasField("event_time")),
    ):
        if missing:
            raise FieldInvalid(field, "missing in the event")
    if not 0 <= decoded.event_time.seconds <= _LATEST_S:
        raise FieldInvalid("event_time", "out of range")
    return decoded


def accepted_ms(event: Event) -> int:
    """When the event was accepted, in epoch milliseconds; its own time where nobody said."""
    return milliseconds(
        event.received_time if event.HasField("received_time") else event.event_time
    )


def said(topic: str, event: Event) -> Said | None:
    """What an event says on a topic.

    None for what says nothing here: a body of a later version, and the outcomes of messages that
    `contact` repeats from `message`.
    """
    name = event.WhichOneof("body")
    if name is None:
        return None
    time = milliseconds(event.event_time)
    if topic == "message":
        if name in _STEPS:
            fact = _message(event, name, time)
            if not fact.message_id:
                return Said(event.event_id, "foreign", name, time)
            return Said(event.event_id, "message", name, time, fact)
        told = _campaign(event, time) if name == "campaign_changed" else None
        return Said(event.event_id, "message", name, time, told)
    if name in _STEPS:
        return None
    reader = _READERS.get(name)
    fact_of = reader(event, time) if reader else None
    if name == "tracked":
        traits = _traits(event, name, time)
        return Said(event.event_id, "tracked", event.tracked.name, time, fact_of, traits)
    if name == "contact_erased" and event.contact_erased.request_id:
        # One for each id that stood for the person: told once, they count as one erasure.
        return Said(f"erasure/{event.contact_erased.request_id}", "contact", name, time)
    kind: Kind = "signal" if topic == "signal" else "contact"
    return Said(
        event.event_id,
        kind,
        name,
        time,
        fact_of,
        _traits(event, name, time),
        _origin(event, name, time),
        _letter(event, name, time),
        arrival=_arrival(event, name, time),
    )


def _message(event: Event, name: str, time: int) -> MessageFact:
    body = getattr(event, name)
    ref: MessageRef = body.message
    fact = MessageFact(
        ref.message_id,
        event.contact_id,
        ref.campaign_id,
        ref.occurrence_id,
        ref.template_name,
        ref.language,
        ref.variant,
        ref.phone_number_id,
        ref.market,
        category=(time, ref.category) if ref.category else None,
        propensity=ref.propensity,
    )
    fact.times = {_STEPS[name]: time}
    if name == "message_suppressed":
        fact.gate = (time, body.gate)
    elif name == "message_failed":
        fact.failure = (time, body.error.code)
    elif name == "message_held_out":
        fact.control = body.group
    elif name in ("message_sent", "message_delivered"):
        delivered = name == "message_delivered"
        fact.cost = _cost(body, delivered)
        if body.HasField("pricing"):
            fact.pricing = (int(delivered), body.pricing.type, body.pricing.billable)
    return fact


def _cost(body: Any, delivered: bool) -> tuple[int, int, str] | None:
    """Meta's own pricing outranks the rate card, and what was said later the earlier.

    A cost of zero is known only where Meta says that it bills nothing.
    """
    priced = body.HasField("pricing")
    if not body.cost_micros and not (priced and not body.pricing.billable):
        return None
    return 1 + delivered + 2 * priced, body.cost_micros, body.currency_code


def _campaign(event: Event, time: int) -> CampaignFact | None:
    body = event.campaign_changed
    if not body.campaign_id:
        return None
    rank = CAMPAIGN_STATES.index(body.state) if body.state in CAMPAIGN_STATES else -1
    return CampaignFact(
        body.campaign_id,
        (time, rank, body.state, body.name, body.recipients),
        time if body.state == "running" else None,
    )


def _tracked(event: Event, time: int) -> Fact | None:
    name = event.tracked.name
    if name not in ("order_completed", "order_cancelled"):
        return None
    told = properties(event.tracked.properties_json)
    order_id = str(told.get("order_id") or event.event_id)
    if name == "order_cancelled":
        return OrderFact(event.contact_id, order_id, cancelled=time)
    worth = next((m for key in _VALUES if (m := micros(told.get(key))) is not None), None)
    currency = str(told.get("currency") or "")[:3].upper()
    value = None if worth is None else (time, worth, currency)
    return OrderFact(event.contact_id, order_id, completed=time, value=value)


def _link_clicked(event: Event, time: int) -> Fact | None:
    body = event.link_clicked
    if not body.message_id:
        return None
    return MessageFact(
        body.message_id,
        event.contact_id,
        body.campaign_id,
        times={"clicked": time},
        device=(time, body.device) if body.device else None,
    )


def _consent_changed(event: Event, time: int) -> Fact | None:
    body = event.consent_changed
    if body.granted or not _of_marketing(body):
        return None
    return Withdrawal(event.contact_id, time)


def _of_marketing(body: ConsentChanged) -> bool:
    return body.purpose == "marketing" and body.medium in ("", "whatsapp")


def _traits(event: Event, name: str, time: int) -> tuple[Trait, ...]:
    """What an event says of its contact besides, by which messages are counted."""
    who = event.contact_id
    if name == "stage_changed":
        return (Trait(who, "stage", time, event.stage_changed.stage),)
    if name == "segment_entered":
        return (Trait(who, f"segment:{event.segment_entered.segment_id}", time, "1"),)
    if name == "segment_left":
        return (Trait(who, f"segment:{event.segment_left.segment_id}", time, ""),)
    if name == "contact_created":
        return (Trait(who, "created", time, "1"), *_changed(event))
    if name == "consent_changed" and _of_marketing(event.consent_changed):
        return (Trait(who, "consent", time, _consent(event.consent_changed)), *_changed(event))
    return _changed(event)


def _consent(body: ConsentChanged) -> str:
    """So that of the same moment the withdrawal is the larger word."""
    if not body.granted:
        return "withdrawn"
    return (
        f"granted {milliseconds(body.expire_time)}" if body.HasField("expire_time") else "granted"
    )


def _changed(event: Event) -> tuple[Trait, ...]:
    return tuple(
        Trait(
            event.contact_id,
            _TRAITS[change.name],
            milliseconds(change.change_time),
            _text(change.value_json),
        )
        for change in event.changes
        if change.name in _TRAITS
    )


def _origin(event: Event, name: str, time: int) -> Origin | None:
    """What an event starts, where it starts a message."""
    if name == "trigger_fired":
        fired = event.trigger_fired
        return Origin(
            fired.occurrence_id or event.event_id,
            event.contact_id,
            time,
            fired.trigger_id,
            "",
            "",
            fired.cause_event_id,
        )
    if name == "journey_step_reached" and event.journey_step_reached.campaign_id:
        step = event.journey_step_reached
        return Origin(event.event_id, event.contact_id, time, "", step.journey_id, step.step_id)
    return None


def _letter(event: Event, name: str, time: int) -> Letter | None:
    """A message that somebody wrote. What Meta tells of the time before Merhaba is none."""
    if name == "message_received":
        number = event.message_received.phone_number_id
        return Letter(event.contact_id, event.event_id, time, number, False)
    echo = event.message_echoed
    if name == "message_echoed" and not echo.historical:
        ours = not echo.from_person
        return Letter(event.contact_id, event.event_id, time, echo.phone_number_id, ours)
    return None


def _arrival(event: Event, name: str, time: int) -> Arrival | None:
    """That a person came by an ad. What began at a post, or names no ad, is none."""
    if name != "message_received" or not event.message_received.HasField("referral"):
        return None
    body = event.message_received
    referral = body.referral
    if referral.source_type != "ad" or not referral.source_id or not event.contact_id:
        return None
    return Arrival(
        event.contact_id,
        event.event_id,
        time,
        referral.source_id,
        body.phone_number_id,
        referral.headline,
    )


def _text(raw: bytes) -> str:
    """A text as JSON; empty for what is removed or is none."""
    try:
        found = orjson.loads(raw) if raw else ""
    except orjson.JSONDecodeError:
        return ""
    return found if isinstance(found, str) else ""


def _merged(event: Event, time: int) -> Fact | None:
    ids = event.contact_merged.member_contact_ids
    return Kinship(event.contact_id, tuple(ids), (time, True))


def _split(event: Event, time: int) -> Fact | None:
    ids = event.contact_split.member_contact_ids
    return Kinship(event.contact_id, tuple(ids), (time, False), event.contact_split.from_contact_id)


def _entered(event: Event, time: int) -> Fact | None:
    body = event.segment_entered
    return Membership(body.segment_id, event.contact_id, (time, body.segment_version, True))


def _left(event: Event, time: int) -> Fact | None:
    body = event.segment_left
    return Membership(body.segment_id, event.contact_id, (time, body.segment_version, False))


def _segment_changed(event: Event, time: int) -> Fact | None:
    body = event.segment_changed
    if not body.segment_id:
        return None
    return SegmentFact(
        body.segment_id, (time, body.version, body.state, body.name, body.display_name)
    )


_READERS: Final[dict[str, Callable[[Event, int], Fact | None]]] = {
    "tracked": _tracked,
    "link_clicked": _link_clicked,
    "consent_changed": _consent_changed,
    "contact_merged": _merged,
    "contact_split": _split,
    "segment_entered": _entered,
    "segment_left": _left,
    "segment_changed": _segment_changed,
}


def properties(raw: bytes) -> dict[str, Any]:
    """A JSON object; whatever else a business sends counts as one without properties."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
