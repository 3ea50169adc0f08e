"""Events of the log into what this service cares about, and what follows from it into events."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
import orjson
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.failures import FieldInvalid
from chassis.ids import derived_id
from chassis.streams import Record
from chassis.times import milliseconds, stamped
from expressions.places import LOCATION, LOCATION_TIME, position
from expressions.values import is_number, moment
from merhaba.event.v1 import (
    AttributeChange,
    ConsentChanged,
    Event,
    MessageReceived,
    SegmentChanged,
)
from merhaba.profile.v1 import Attribute, ConsentRecord, Contact, ContactHistory
from services.segment.engine.journeys.model import Reached
from services.segment.engine.model import (
    AttributeFact,
    ConsentFact,
    Happening,
    Occurrence,
    Past,
    SegmentRecord,
    Spot,
    Transition,
)
from services.segment.engine.settling import transition_id

SOURCE: Final = "merhaba:segment"
Besides: TypeAlias = dict[str, Any]
"""More fields of a `Happening`."""
_OUR_MEDIA: Final = ("", "whatsapp")
_CANONICAL: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


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
    time = milliseconds(event.event_time)
    besides = _BESIDES.get(kind)
    return Happening(
        event_id=event.event_id,
        contact_id=contact_id(event.contact_id),
        time=time,
        name=name,
        properties=_properties(event, kind) if name in wanted else {},
        attributes=_changes(event, kind, time, looked_at),
        received=milliseconds(event.received_time),
        traceparent=event.traceparent,
        **({} if besides is None else besides(event, time)),
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
    event = _event(
        transition_id(transition),
        transition.contact_id,
        transition.time,
        transition.received,
        traceparent or transition.traceparent,
    )
    body = event.segment_entered if transition.entered else event.segment_left
    body.segment_id = transition.segment_id
    body.segment_version = transition.version
    body.cause_event_id = transition.cause_event_id
    body.backfilled = transition.backfilled
    return event


def firing(occurrence: Occurrence) -> Event:
    """An occurrence as the event that has it acted on."""
    received = occurrence.received
    if occurrence.due_time > occurrence.cause_time:  # of a delayed one the wait is no age
        received = max(received, occurrence.due_time)
    event = _event(
        occurrence.occurrence_id,
        occurrence.contact_id,
        occurrence.due_time,
        received,
        occurrence.traceparent,
    )
    body = event.trigger_fired
    body.trigger_id = occurrence.trigger_id
    body.occurrence_id = occurrence.occurrence_id
    body.key = occurrence.key
    body.cause_event_id = occurrence.cause_event_id
    body.campaign_id = occurrence.campaign_id
    body.parameters_json = orjson.dumps(occurrence.parameters)
    if occurrence.not_after_time is not None:
        _stamp(body.not_after_time, occurrence.not_after_time)
    return event


def reached(step: Reached) -> Event:
    """What is told of a contact in a journey."""
    event = _event(step.event_id, step.contact_id, step.time, step.received, step.traceparent)
    body = event.journey_step_reached
    body.journey_id = step.journey_id
    body.journey_version = step.version
    body.instance_id = step.instance_id
    body.step_id = step.step_id
    body.state = step.state
    body.campaign_id = step.campaign_id
    if step.parameters:
        body.parameters_json = orjson.dumps(step.parameters, default=str)
    if step.not_after_time is not None:
        _stamp(body.not_after_time, step.not_after_time)
    return event


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


def _event(event_id: str, contact_id: str, time: int, received: int, traceparent: str) -> Event:
    """The head of what is told of a contact. Filled in place, which costs half of putting messages
    together from others."""
    event = Event(event_id=event_id, source=SOURCE, contact_id=contact_id, traceparent=traceparent)
    _stamp(event.event_time, time)
    _stamp(event.received_time, received)
    return event


def _stamp(field: Timestamp, time: int) -> None:
    field.seconds, field.nanos = time // 1000, time % 1000 * 1_000_000


def _named(history: ContactHistory) -> Iterator[Event]:
    """Events of a history carry no contact of their own where the history says it."""
    for event in history.events:
        if not event.contact_id:
            event.contact_id = history.contact_id
        yield event


def _changes(
    event: Event, kind: str, time: int, looked_at: Collection[str] | None
) -> tuple[AttributeFact, ...]:
    facts = [_fact(one) for one in event.changes if looked_at is None or one.name in looked_at]
    if kind == "stage_changed" and (looked_at is None or "stage" in looked_at):
        facts.append(AttributeFact("stage", event.stage_changed.stage, time))
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


def _pinged(event: Event, time: int) -> Besides:
    ping = event.location_pinged
    return {"spot": _valid(Spot(time, ping.latitude, ping.longitude, ping.accuracy_meters))}


def _located(event: Event, time: int) -> Besides:
    if not event.message_received.content.HasField("location"):
        return {}
    location = event.message_received.content.location
    return {"spot": _valid(Spot(time, location.latitude, location.longitude))}


def _parted(event: Event, _: int) -> Besides:
    split = event.contact_split
    return {
        "parted": contact_id(split.from_contact_id),
        "member_ids": tuple(map(contact_id, split.member_contact_ids)),
    }


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
    for name in _reasons(kind):
        found[name] = getattr(body, name)
    if kind == "message_failed":
        found["code"] = body.error.code
    return found


@cache
def _reasons(kind: str) -> Sequence[str]:
    names = getattr(Event(), kind).DESCRIPTOR.fields_by_name
    return [one for one in ("gate", "reason", "kind", "target", "group") if one in names]


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


_BESIDES: Final[Mapping[str, Callable[[Event, int], Besides]]] = {
    "location_pinged": _pinged,
    "message_received": _located,
    "consent_changed": lambda event, time: {
        "consents": tuple(_consent(event.consent_changed, time))
    },
    "contact_merged": lambda event, _: {
        "absorbed": contact_id(event.contact_merged.absorbed_contact_id)
    },
    "contact_split": _parted,
    "restriction_changed": lambda event, _: {"restricted": event.restriction_changed.restricted},
    "contact_erased": lambda _event, _: {"erased": True},
}
"""What else `Happening` tells of some events."""

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
