"""Events of the log to happenings, and what follows from them to events of the log."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError

from chassis.failures import FieldInvalid
from chassis.ids import derived_id
from chassis.times import milliseconds, timestamp
from merhaba.event.v1 import (
    Aliased,
    AttributeChange,
    AttributesSet,
    CallChanged,
    ConsentChanged,
    ContactCreated,
    Event,
    Identified,
    LinkClicked,
    LocationPinged,
    MessageClicked,
    MessageDelivered,
    MessageReceived,
    MessageReplied,
    PageViewed,
    PreferenceChanged,
    ScreenViewed,
    Tracked,
    UserIdChanged,
)
from merhaba.event.v1 import Identity as WireIdentity
from services.profile.contract import observed
from services.profile.contract.packed import message, moment, tag, text, word
from services.profile.person import attributes, consent, traits
from services.profile.person.identity import contact_id, means_somebody, normalised
from services.profile.person.model import (
    Change,
    Consent,
    Created,
    Happening,
    Identity,
    Kind,
    Merged,
    Note,
    Restriction,
    Split,
    Staged,
)

_CONTACT_ID: Final = tag(Event, "contact_id")
_TRACEPARENT: Final = tag(Event, "traceparent")
_CHANGES: Final = tag(Event, "changes")
_NAME: Final = tag(AttributeChange, "name")
_VALUE: Final = tag(AttributeChange, "value_json")
_CHANGE_TIME: Final = tag(AttributeChange, "change_time")

SOURCE: Final = "merhaba:profile"
ATTRIBUTES_SET: Final = "attributes_set"
CONSENT_CHANGED: Final = "consent_changed"
RESTRICTION_CHANGED: Final = "restriction_changed"

_MOST_MICROS: Final = 1 << 60
_CONSENT_EVENTS: Final = {"consent_granted": True, "consent_withdrawn": False}
_TOLD_OF_CONSENT: Final = (
    *("channel", "text_version", "proof", "legal_basis", "medium", "language", "jurisdiction"),
)
_AMOUNTS: Final = ("total", "revenue", "value")
_OUTCOMES: Final = frozenset(
    f"message_{outcome}"
    for outcome in (
        *("planned", "suppressed", "sent", "delivered", "read", "played", "failed", "held"),
        *("unknown", "clicked", "replied", "held_out"),
    )
)
_OF_SOMEBODY: Final = {
    *("message_received", "message_edited", "message_revoked", "message_echoed"),
    *("preference_changed", "user_id_changed", "call_changed", "contact_synced"),
    *("tracked", "identified", "page_viewed", "screen_viewed", "grouped", "aliased"),
    *("location_pinged", CONSENT_CHANGED),
}
_OF_ANYBODY: Final = _OUTCOMES | {
    *("link_clicked", "ad_link_clicked", "group_changed", "handover_changed")
}
"""Bodies that may name no person, as messages of who was erased do; then they are no business of
profile's."""


def decoded(raw: bytes) -> Event:
    """An event of the log. Raises `FieldInvalid` when it is none."""
    try:
        return Event.FromString(raw)
    except DecodeError:
        raise FieldInvalid("event", "not a serialised merhaba.event.v1.Event") from None


def happening(event: Event, raw: bytes, traceparent: str) -> Happening | None:
    """What an event says of a person; None when it concerns none.

    Raises `FieldInvalid` when it should concern one and names nobody, or cannot be understood.
    """
    body = event.WhichOneof("body")
    if body is None or not (body in _OF_SOMEBODY or body in _OF_ANYBODY):
        return None
    if not event.event_id or not event.HasField("event_time"):
        raise FieldInvalid("event_id", "an event needs an id and a time")
    found = Happening(
        event.event_id,
        body,
        milliseconds(event.event_time),
        milliseconds(event.received_time),
        event.source,
        raw=raw,
        traceparent=traceparent,
    )
    if event.contact_id:
        found.contact_id = contact_id(event.contact_id)
        if not found.contact_id:
            raise FieldInvalid("contact_id", "not a contact's id")
    if not (body in _OUTCOMES and found.contact_id):
        # What became of a message says nothing new of how to recognise the person.
        found.identities = tuple([normalised(i.kind, i.scope, i.value) for i in event.identities])
    if read := _READERS.get(body):
        read(found, getattr(event, body))
    given = dict.fromkeys(found.identities)
    found.identities = tuple([i for i in given if means_somebody(i)])
    if not found.identities and not found.contact_id:
        if body in _OF_ANYBODY:
            return None
        raise FieldInvalid(
            "identities", "the event names nobody; what stands for no id is to be left out"
        )
    return found


def _message_received(found: Happening, message: MessageReceived) -> None:
    if message.profile_name:
        found.attributes = {"profile_name": message.profile_name}
    content = message.content
    kind = content.WhichOneof("content")
    found.properties = observed.said(content)
    if kind == "system_notice":
        found.counts = False  # WhatsApp says it, not the person
        notice = content.system_notice
        if notice.new_wa_id:
            _moved(found, Kind.WA_ID, normalised(Kind.WA_ID, "", notice.new_wa_id))
        if notice.new_user_id:
            scope = _scope(found, Kind.BSUID)
            _moved(found, Kind.BSUID, Identity(Kind.BSUID, scope, notice.new_user_id))
        return
    if not message.group_id:
        found.phone_number_id = message.phone_number_id
    texts: tuple[str, ...] = ()
    if kind == "text":
        texts = (content.text,)
    elif kind == "button_reply":
        texts = (content.button_reply.title, content.button_reply.payload)
    for said in texts:
        granted = consent.keyword(said)
        if granted is not None:
            line = ConsentChanged(
                purpose=consent.MARKETING,
                granted=granted,
                channel=consent.KEYWORD,
                proof=message.wamid,
            )
            found.consents = (consent_line(line, found.event_id, found.time, 0, found.source),)
            return


def _moved(found: Happening, kind: int, new: Identity) -> None:
    """A person has a new identity of a kind; those the event came with lead there no longer."""
    found.ended += tuple(i for i in found.identities if i.kind == kind and i != new)
    found.identities = (*found.identities, new)


def _scope(found: Happening, kind: int) -> str:
    """The scope of an id that is given without one: that of its kind in the envelope, or else the
    account the event came from."""
    for identity in found.identities:
        if identity.kind == kind:
            return identity.scope
    return found.source.partition(":")[2]


def _user_id_changed(found: Happening, change: UserIdChanged) -> None:
    scope = _scope(found, Kind.BSUID)
    previous = Identity(Kind.BSUID, scope, change.previous_user_id)
    current = Identity(Kind.BSUID, scope, change.current_user_id)
    said = [i for i in (previous, current) if i.value and i not in found.identities]
    found.identities = (*found.identities, *said)
    if previous.value:
        found.ended = tuple(i for i in (previous,) if i != current)


def _preference_changed(found: Happening, change: PreferenceChanged) -> None:
    purpose = consent.MARKETING if change.category == "marketing_messages" else change.category
    if not purpose or change.value not in ("stop", "resume", "signup"):
        raise FieldInvalid("preference_changed", "neither stop, resume nor signup of a category")
    line = ConsentChanged(
        purpose=purpose,
        granted=change.value != "stop",
        channel="user_preferences",
        proof=change.signup_id or found.event_id,
    )
    found.consents = (consent_line(line, found.event_id, found.time, 0, found.source),)


def _call_changed(found: Happening, call: CallChanged) -> None:
    if call.from_person:
        found.phone_number_id = call.phone_number_id


def _tracked(found: Happening, tracked: Tracked) -> None:
    name = found.name = tracked.name
    found.counts = name in traits.TRACKED  # a tracker cannot say that a message was read
    if found.counts:
        found.properties = _object(tracked.properties_json, "properties_json")
    if name in traits.MONEY:
        found.amount = _micros(found.properties)
    elif name in _CONSENT_EVENTS:
        properties = _object(tracked.properties_json, "properties_json")
        found.consents = tuple(_consents(found, properties, _CONSENT_EVENTS[name]))


def _consents(found: Happening, properties: Mapping[str, Any], granted: bool) -> Iterable[Consent]:
    purposes = properties.get("purposes") or [properties.get("purpose")]
    for purpose in purposes if isinstance(purposes, list) else [purposes]:
        if not isinstance(purpose, str) or not purpose:
            raise FieldInvalid("properties.purpose", "a consent needs the purpose it is for")
        line = ConsentChanged(purpose=purpose, granted=granted)
        for name in _TOLD_OF_CONSENT:
            if isinstance(value := properties.get(name), str):
                setattr(line, name, value)
        if expire_time := properties.get("expire_time"):
            try:
                line.expire_time.FromJsonString(expire_time)
            except (ValueError, TypeError, AttributeError):
                raise FieldInvalid("properties.expire_time", "not an RFC 3339 time") from None
        yield consent_line(line, found.event_id, found.time, 0, found.source)


def _identified(found: Happening, identified: Identified) -> None:
    found.attributes = attributes.named(_object(identified.traits_json, "traits_json"))


def _aliased(found: Happening, aliased: Aliased) -> None:
    """Trackers do not say whether the former id was a customer's or a browser's: both are."""
    scope = found.identities[0].scope if found.identities else found.source.partition(":")[2]
    if aliased.previous_id:
        found.identities = (
            *found.identities,
            normalised(Kind.EXTERNAL_ID, scope, aliased.previous_id),
            normalised(Kind.ANONYMOUS_ID, scope, aliased.previous_id),
        )


def _consent_changed(found: Happening, change: ConsentChanged) -> None:
    if not change.purpose:
        raise FieldInvalid("consent_changed.purpose", "a consent needs the purpose it is for")
    found.consents = (consent_line(change, found.event_id, found.time, 0, found.source),)


def _browsed(found: Happening, viewed: PageViewed | ScreenViewed) -> None:
    found.properties = observed.browsed(_object(viewed.context_json, "context_json"))


def _link_clicked(found: Happening, clicked: LinkClicked) -> None:
    found.properties = observed.clicked(clicked)


def _location_pinged(found: Happening, pinged: LocationPinged) -> None:
    found.properties = observed.located(pinged)


def _became(found: Happening, outcome: MessageDelivered | MessageClicked | MessageReplied) -> None:
    found.properties = observed.became(outcome)


_READERS: Final[dict[str, Callable[[Happening, Any], None]]] = {
    "message_received": _message_received,
    "message_delivered": _became,
    "message_clicked": _became,
    "message_replied": _became,
    "page_viewed": _browsed,
    "screen_viewed": _browsed,
    "link_clicked": _link_clicked,
    "location_pinged": _location_pinged,
    "user_id_changed": _user_id_changed,
    "preference_changed": _preference_changed,
    "call_changed": _call_changed,
    "tracked": _tracked,
    "identified": _identified,
    "aliased": _aliased,
    CONSENT_CHANGED: _consent_changed,
}


def consent_line(
    change: ConsentChanged, event_id: str, time: int, create_time: int, source: str
) -> Consent:
    """A line of the ledger for what a person said at `time`."""
    return Consent(
        derived_id("con", event_id, change.purpose, change.medium),
        time,
        change.purpose,
        change.granted,
        change.channel,
        change.text_version,
        change.proof,
        change.legal_basis,
        change.medium,
        milliseconds(change.expire_time) if change.HasField("expire_time") else 0,
        create_time,
        source,
        event_id,
        change.language,
        change.jurisdiction,
        tuple(change.data_categories),
    )


def consent_changed(line: Consent) -> ConsentChanged:
    """What a line says."""
    return ConsentChanged(
        purpose=line.purpose,
        granted=line.granted,
        channel=line.channel,
        text_version=line.text_version,
        proof=line.proof,
        legal_basis=line.legal_basis,
        expire_time=timestamp(line.expire_time) if line.expire_time else None,
        medium=line.medium,
        language=line.language,
        jurisdiction=line.jurisdiction,
        data_categories=line.data_categories,
    )


def kept(happening: Happening) -> bytes:
    """A happening as it is kept: with the facts an API call told, which its event has no room
    for."""
    if happening.name != ATTRIBUTES_SET:
        return happening.raw
    given = [
        Change(
            name,
            b"" if value is None else orjson.dumps(value),
            happening.attribute_times.get(name, happening.time),
        )
        for name, value in happening.attributes.items()
    ]
    return happening.raw + Event(changes=_changes(given)).SerializeToString()


def computed(
    event_id: str, contact_id: str, time: int, now: int, request_id: str = ""
) -> Happening:
    """What causes changes that nobody told: time, or a run that computes anew."""
    event = Event(
        event_id=event_id,
        event_time=timestamp(time),
        received_time=timestamp(now),
        source=SOURCE,
        attributes_set=AttributesSet(request_id=request_id),
    )
    raw = event.SerializeToString()
    return Happening(event_id, ATTRIBUTES_SET, time, now, SOURCE, contact_id, raw=raw)


def published(note: Note) -> bytes:
    """A note as an event of the topic `contact`."""
    cause = note.cause
    if note.body is None:
        # Joined serialised messages are one message: later fields win, repeated ones add up. So
        # the event needs no second decoding, and what is added no message objects.
        return b"".join(
            (
                cause.raw,
                text(_CONTACT_ID, note.contact_id),
                text(_TRACEPARENT, cause.traceparent),
                *[
                    message(
                        _CHANGES,
                        word(_NAME, name),
                        message(_VALUE, json) if json else b"",
                        moment(_CHANGE_TIME, time),
                    )
                    for name, json, time in note.changes
                ],
            )
        )
    event = Event(
        event_id=note.event_id,
        event_time=timestamp(note.time),
        received_time=timestamp(cause.received),
        traceparent=cause.traceparent,
        source=SOURCE,
        contact_id=note.contact_id,
        changes=_changes(note.changes),
    )
    match note.body:
        case Created():
            event.contact_created.CopyFrom(ContactCreated())
            event.identities.extend(identities(cause.identities))
        case Merged(absorbed_id, member_ids):
            event.contact_merged.absorbed_contact_id = absorbed_id
            event.contact_merged.member_contact_ids.extend(member_ids)
        case Split(from_id, member_ids):
            event.contact_split.from_contact_id = from_id
            event.contact_split.member_contact_ids.extend(member_ids)
        case Staged(previous, stage):
            event.stage_changed.previous_stage, event.stage_changed.stage = previous, stage
        case Restriction() as restriction:
            event.restriction_changed.restricted = restriction.stands
            event.restriction_changed.reason = restriction.reason
        case Consent() as line:
            event.consent_changed.CopyFrom(consent_changed(line))
            if note.confirm:
                event.consent_changed.confirm_phone_number_id = cause.phone_number_id
    return event.SerializeToString()


def note_name(note: Note) -> str:
    """A note's event as expressions know it."""
    match note.body:
        case None:
            return note.cause.name
        case Created():
            return "contact_created"
        case Merged():
            return "contact_merged"
        case Split():
            return "contact_split"
        case Staged():
            return "stage_changed"
        case Restriction():
            return RESTRICTION_CHANGED
        case Consent():
            return CONSENT_CHANGED


def identities(found: Iterable[Identity]) -> list[WireIdentity]:
    """Identities as the contract has them."""
    return [
        WireIdentity(kind=WireIdentity.Kind.Name(kind), scope=scope, value=value)  # type: ignore[arg-type]  # names are accepted
        for kind, scope, value in found
    ]


def _changes(changes: Sequence[Change]) -> list[AttributeChange]:
    return [
        AttributeChange(name=name, value_json=value, change_time=timestamp(time))
        for name, value, time in changes
    ]


def _object(json: bytes, field: str) -> dict[str, Any]:
    try:
        found = orjson.loads(json) if json else {}
    except orjson.JSONDecodeError:
        raise FieldInvalid(field, "not JSON") from None
    if not isinstance(found, dict):
        raise FieldInvalid(field, "not a JSON object")
    return found


def _micros(properties: Mapping[str, Any]) -> int:
    """The money an order is about; its sign does not matter, cancellations come with either."""
    amount = next((properties[n] for n in _AMOUNTS if properties.get(n) is not None), 0)
    try:
        number = abs(float(amount))
    except (TypeError, ValueError):
        raise FieldInvalid("properties.total", "not a number") from None
    if not isfinite(number) or number * 1_000_000 > _MOST_MICROS:
        raise FieldInvalid("properties.total", "too large")
    return round(number * 1_000_000)
