"""Events of the log into what this service cares about, and what follows from it into events."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import orjson
from google.protobuf.message import DecodeError

from chassis.failures import FieldInvalid
from chassis.ids import derived_id
from chassis.streams import Record
from chassis.times import milliseconds, stamped, timestamp
from expressions.places import LOCATION, LOCATION_TIME, position
from expressions.values import is_number, moment
from merhaba.event.v1 import (
    AttributeChange,
    ConsentChanged,
    Event,
    JourneyStepReached,
    MessageReceived,
    SegmentChanged,
    SegmentEntered,
    SegmentLeft,
    TriggerFired,
)
from merhaba.profile.v1 import Attribute, ConsentRecord, Contact, ContactHistory
from services.segment.journeys.model import Reached
from services.segment.model import (
    AttributeFact,
    ConsentFact,
    Happening,
    Occurrence,
    Past,
    SegmentRecord,
    Spot,
    Transition,
)
from services.segment.settling import transition_id

SOURCE: Final = "merhaba:segment"
_OUR_MEDIA: Final = ("", "whatsapp")
_CANONICAL: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_CONSENT: Final = "consent_changed"
_RESTRICTION: Final = "restriction_changed"


def happening(
    data: bytes, wanted: Collection[str], attributes: Collection[str] | None = None
) -> Happening:
    """An event of the topic `contact`; properties are read only of events that are `wanted`, and of
    `attributes` only those; None is all.

    Raises `FieldInvalid` for one that cannot be read.
    """
    try:
        event = Event.FromString(data)
    except DecodeError:
        raise FieldInvalid("event", "these bytes are no merhaba.event.v1.Event") from None
    return of_event(event, wanted, attributes)


def of_event(
    event: Event, wanted: Collection[str], looked_at: Collection[str] | None = None
) -> Happening:
    """The same of a decoded event."""
    kind = event.WhichOneof("body") or ""
    name = event.tracked.name if kind == "tracked" else kind
    if not event.event_id:
        raise FieldInvalid("event_id", "missing; the producer must derive one")
    return Happening(
        event_id=event.event_id,
        contact_id=contact_id(event.contact_id),
        time=milliseconds(event.event_time),
        name=name,
        properties=_properties(event, kind) if name in wanted else {},
        attributes=_changes(event, kind, looked_at),
        consents=_consents(event) if kind == _CONSENT else (),
        absorbed=contact_id(event.contact_merged.absorbed_contact_id)
        if kind == "contact_merged"
        else "",
        parted=contact_id(event.contact_split.from_contact_id) if kind == "contact_split" else "",
        member_ids=tuple(map(contact_id, event.contact_split.member_contact_ids))
        if kind == "contact_split"
        else (),
        restricted=event.restriction_changed.restricted if kind == _RESTRICTION else None,
        erased=kind == "contact_erased",
        received=milliseconds(event.received_time),
        traceparent=event.traceparent,
        spot=_spot(event, kind),
    )


def past(history: ContactHistory, wanted: Collection[str]) -> Past:
    """A history, or a part of one, of profile."""
    return Past(
        contact_id=contact_id(history.contact_id),
        happenings=tuple(of_event(event, wanted) for event in _named(history)),
        attributes=tuple(_facts(history)),
        consents=tuple(fact for record in history.consents for fact in _agreement(record)),
        restricted=history.state == Contact.STATE_RESTRICTED,
        spot=_last_spot(history),
        former_stage=history.stage.previous_stage,
    )


def contact_id(text: str, field: str = "contact_id") -> str:
    """A contact's id in its one spelling; raises `FieldInvalid`."""
    try:
        return text if _CANONICAL(text) else str(UUID(text))
    except ValueError:
        raise FieldInvalid(field, "not a contact id; it is a UUID") from None


def signal(transition: Transition, traceparent: str = "") -> Event:
    """A transition as the event that tells of it."""
    event = Event(
        event_id=transition_id(transition),
        event_time=timestamp(transition.time),
        received_time=timestamp(transition.received),
        traceparent=traceparent or transition.traceparent,
        source=SOURCE,
        contact_id=transition.contact_id,
    )
    kind = SegmentEntered if transition.entered else SegmentLeft
    body = kind(
        segment_id=transition.segment_id,
        segment_version=transition.version,
        cause_event_id=transition.cause_event_id,
        backfilled=transition.backfilled,
    )
    getattr(event, "segment_entered" if transition.entered else "segment_left").CopyFrom(body)
    return event


def firing(occurrence: Occurrence) -> Event:
    """An occurrence as the event that has it acted on."""
    return Event(
        event_id=occurrence.occurrence_id,
        event_time=timestamp(occurrence.due_time),
        received_time=timestamp(
            # Of a delayed one the wait is no age.
            max(occurrence.received, occurrence.due_time)
            if occurrence.due_time > occurrence.cause_time
            else occurrence.received
        ),
        traceparent=occurrence.traceparent,
        source=SOURCE,
        contact_id=occurrence.contact_id,
        trigger_fired=TriggerFired(
            trigger_id=occurrence.trigger_id,
            occurrence_id=occurrence.occurrence_id,
            key=occurrence.key,
            cause_event_id=occurrence.cause_event_id,
            campaign_id=occurrence.campaign_id,
            parameters_json=orjson.dumps(occurrence.parameters),
            not_after_time=timestamp(occurrence.not_after_time),
        ),
    )


def reached(step: Reached) -> Event:
    """What is told of a contact in a journey."""
    return Event(
        event_id=step.event_id,
        event_time=timestamp(step.time),
        received_time=timestamp(step.received),
        traceparent=step.traceparent,
        source=SOURCE,
        contact_id=step.contact_id,
        journey_step_reached=JourneyStepReached(
            journey_id=step.journey_id,
            journey_version=step.version,
            instance_id=step.instance_id,
            step_id=step.step_id,
            state=step.state,
            campaign_id=step.campaign_id,
            parameters_json=orjson.dumps(step.parameters, default=str) if step.parameters else b"",
            not_after_time=timestamp(step.not_after_time),
        ),
    )


def segment_changed(segment: SegmentRecord) -> Event:
    """How a segment stands now. An edit is in a state once, so these two name the change."""
    now = stamped(segment.update_time)
    return Event(
        event_id=derived_id("seg", segment.segment_id, str(segment.edit), segment.state),
        event_time=now,
        received_time=now,
        source=SOURCE,
        segment_changed=SegmentChanged(
            segment_id=segment.segment_id,
            name=segment.name,
            display_name=segment.display_name,
            description=segment.description,
            version=segment.version,
            state=segment.state,
        ),
    )


def record(event: Event) -> Record:
    """An event on its way to the topic `signal`: by its contact, or by the segment it is about."""
    key = event.contact_id or event.segment_changed.segment_id
    return Record("signal", key, event.SerializeToString())


def _named(history: ContactHistory) -> Iterator[Event]:
    """Events of a history carry no contact of their own where the history says it."""
    for event in history.events:
        if not event.contact_id:
            event.contact_id = history.contact_id
        yield event


def _changes(
    event: Event, kind: str, looked_at: Collection[str] | None
) -> tuple[AttributeFact, ...]:
    facts = [_fact(one) for one in event.changes if looked_at is None or one.name in looked_at]
    if kind == "stage_changed" and (looked_at is None or "stage" in looked_at):
        stage = event.stage_changed.stage
        facts.append(AttributeFact("stage", stage, milliseconds(event.event_time)))
    return tuple(facts)


def _fact(change: AttributeChange) -> AttributeFact:
    value = _json(change.value_json, f"changes.{change.name}") if change.value_json else None
    return AttributeFact(change.name, value, milliseconds(change.change_time))


def _facts(history: ContactHistory) -> Iterator[AttributeFact]:
    attributes: list[Attribute] = [*history.attributes, *history.traits]
    for one in attributes:
        value = _json(one.value_json, one.name)
        yield AttributeFact(one.name, value, milliseconds(one.change_time))
    for name in ("zone", "language"):
        if history.HasField(name):
            inferred = getattr(history, name)
            yield AttributeFact(name, inferred.value, milliseconds(inferred.change_time))
    if history.HasField("stage"):
        yield AttributeFact("stage", history.stage.stage, milliseconds(history.stage.enter_time))


def _spot(event: Event, kind: str) -> Spot | None:
    time = milliseconds(event.event_time)
    if kind == "location_pinged":
        ping = event.location_pinged
        return _valid(Spot(time, ping.latitude, ping.longitude, ping.accuracy_meters))
    if kind == "message_received" and event.message_received.content.HasField("location"):
        location = event.message_received.content.location
        return _valid(Spot(time, location.latitude, location.longitude))
    return None


def _last_spot(history: ContactHistory) -> Spot | None:
    traits = {one.name: one for one in history.traits if one.name.startswith(LOCATION)}
    if LOCATION not in traits:
        return None
    found = _json(traits[LOCATION].value_json, LOCATION)
    if (point := position(found)) is None:
        return None
    time = None
    if since := traits.get(LOCATION_TIME):
        time = moment(_json(since.value_json, LOCATION_TIME))
    accuracy = found.get("accuracy_meters")
    return _valid(
        Spot(
            milliseconds(traits[LOCATION].change_time) if time is None else time,
            *point,
            float(accuracy) if is_number(accuracy) else 0.0,
        )
    )


def _valid(spot: Spot) -> Spot | None:
    """None when it is nowhere on the earth; an uncertainty that is none is unknown."""
    if not (-90 <= spot.latitude <= 90 and -180 <= spot.longitude <= 180):
        return None
    return spot if spot.accuracy >= 0 else msgspec.structs.replace(spot, accuracy=0.0)


def _consents(event: Event) -> tuple[ConsentFact, ...]:
    return tuple(_consent(event.consent_changed, milliseconds(event.event_time)))


def _agreement(record: ConsentRecord) -> Iterator[ConsentFact]:
    return _consent(record.change, milliseconds(record.event_time))


def _consent(change: ConsentChanged, time: int) -> Iterator[ConsentFact]:
    if change.medium in _OUR_MEDIA:
        expire = milliseconds(change.expire_time) if change.HasField("expire_time") else None
        yield ConsentFact(change.purpose, change.granted, time, expire)


def _json(data: bytes, field: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise FieldInvalid(field, "not JSON") from None


def _object(data: bytes) -> Mapping[str, Any]:
    found = _json(data, "properties_json") if data else {}
    if not isinstance(found, dict):
        raise FieldInvalid("properties_json", "not a JSON object")
    return found


def _properties(event: Event, kind: str) -> Mapping[str, Any]:
    read = _READERS.get(kind)
    if read is not None:
        return read(event)
    if kind.startswith("message_") and hasattr(getattr(event, kind), "message"):
        return _outcome(event, kind)
    return {}


def _outcome(event: Event, kind: str) -> Mapping[str, Any]:
    body = getattr(event, kind)
    found: dict[str, Any] = {
        "message_id": body.message.message_id,
        "campaign_id": body.message.campaign_id,
        "template": body.message.template_name,
        "variant": body.message.variant,
        "category": body.message.category,
    }
    for name in ("gate", "reason", "kind", "target", "group"):
        if name in body.DESCRIPTOR.fields_by_name:
            found[name] = getattr(body, name)
    if kind == "message_failed":
        found["code"] = body.error.code
    return found


def _received(event: Event) -> Mapping[str, Any]:
    body: MessageReceived = event.message_received
    content = body.content
    return {
        "kind": content.kind,
        "text": content.text or content.button_reply.title or content.media.caption,
        "phone_number_id": body.phone_number_id,
        "payload": content.button_reply.payload,
    }


def _viewed(kind: str) -> Callable[[Event], Mapping[str, Any]]:
    def read(event: Event) -> Mapping[str, Any]:
        body = getattr(event, kind)
        named = {"name": body.name, "category": body.category}
        return {**{n: v for n, v in named.items() if v}, **_object(body.properties_json)}

    return read


def _fields(kind: str, names: Sequence[str]) -> Callable[[Event], Mapping[str, Any]]:
    def read(event: Event) -> Mapping[str, Any]:
        body = getattr(event, kind)
        return {name: getattr(body, name) for name in names}

    return read


_READERS: Final[Mapping[str, Callable[[Event], Mapping[str, Any]]]] = {
    "tracked": lambda event: _object(event.tracked.properties_json),
    "page_viewed": _viewed("page_viewed"),
    "screen_viewed": _viewed("screen_viewed"),
    "message_received": _received,
    **{
        kind: _fields(kind, names)
        for kind, names in {
            "message_edited": ("phone_number_id",),
            "message_revoked": ("phone_number_id",),
            "preference_changed": ("category", "value"),
            "call_changed": ("state", "phone_number_id"),
            "link_clicked": ("link_id", "campaign_id", "url"),
            "location_pinged": ("latitude", "longitude", "accuracy_meters"),
            "consent_changed": ("purpose", "granted", "channel"),
            "stage_changed": ("previous_stage", "stage"),
        }.items()
    },
}
