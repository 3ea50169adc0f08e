"""What callers send, checked and in the words of the model."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.failures import BatchTooLarge, FieldInvalid
from chassis.ids import derived_id, fresh_id
from chassis.times import milliseconds, timestamp
from merhaba.event.v1 import AttributeChange, AttributesSet, ConsentChanged, Event
from merhaba.event.v1 import Identity as WireIdentity
from merhaba.profile.v1 import ContactRef, ContactUpsert
from services.profile.contract.wire import ATTRIBUTES_SET, CONSENT_CHANGED, consent_line, identities
from services.profile.person.directory import Ref
from services.profile.person.identity import contact_id, means_somebody, normalised
from services.profile.person.model import Happening, Identity, ValueInvalid

_AHEAD: Final = 3_600_000
"""How far (ms) a caller's clock may be ahead of ours."""


def batch(given: Sequence[Any], field: str, most: int) -> None:
    """Raises `BatchTooLarge`, or `FieldInvalid` when there is nothing."""
    if not given:
        raise FieldInvalid(field, "none given")
    if len(given) > most:
        raise BatchTooLarge(field, most, len(given))


def reference(ref: ContactRef, region: str) -> Ref:
    """Whom a caller means."""
    match ref.WhichOneof("ref"):
        case "contact_id":
            return known_id(ref.contact_id)
        case "identity":
            return identity(ref.identity, region)
        case _:
            raise FieldInvalid("contact", "neither contact_id nor identity")


def known_id(text: str) -> str:
    """A contact's id as it is written here. Raises `FieldInvalid` for what cannot be one."""
    found = contact_id(text)
    if not found:
        raise FieldInvalid("contact_id", "not a contact's id")
    return found


def identity(given: WireIdentity, region: str) -> Identity:
    """An identity; phone numbers in any usual form."""
    return normalised(given.kind, given.scope, given.value, region)


def time_of(given: Timestamp | None, now: int, field: str) -> int:
    """A caller's time, or now. Raises `FieldInvalid` when it is over an hour ahead."""
    if given is None:
        return now
    time = milliseconds(given)
    if time > now + _AHEAD:
        raise FieldInvalid(field, "over one hour ahead")
    return time


def call_id(request_id: str) -> str:
    """What the ids of a call's events follow from."""
    return request_id or fresh_id("req")


def upserted(
    given: ContactUpsert, region: str, now: int, call: str, request_id: str, index: int
) -> Happening:
    """What an upsert says of a contact."""
    masked = list(given.update_mask.paths)
    for path in masked:
        if path.partition(".")[0] not in ("identities", "attributes"):
            raise FieldInvalid("update_mask", "only identities and attributes can be written")
    named = known_id(given.contact_id) if given.contact_id else ""
    each = dict.fromkeys(identity(one, region) for one in given.identities)
    found = tuple(one for one in each if means_somebody(one))
    if not named and not found:
        raise FieldInvalid("identities", "neither contact_id nor an identity that is somebody's")
    if masked and named and "identities" not in masked:
        found = ()
    changes = list(given.attributes)
    removed: list[str] = []
    if masked and "attributes" not in masked:
        names = {path.removeprefix("attributes.") for path in masked if path != "identities"}
        changes = [change for change in changes if change.name in names]
        removed = sorted(names - {change.name for change in changes})
    happening = _told(named, found, changes, now, "api", request_id, derived(call, index))
    happening.attributes = {**happening.attributes, **dict.fromkeys(removed)}
    happening.etag = given.etag
    return happening


def told(
    ref: Ref,
    changes: Sequence[AttributeChange],
    now: int,
    source: str,
    call: str,
    request_id: str,
    index: int,
) -> Happening:
    """What a caller says of a known contact."""
    named, found = (ref, ()) if not isinstance(ref, Identity) else ("", (ref,))
    happening = _told(named, found, changes, now, source, request_id, derived(call, index))
    happening.create = False
    return happening


def agreed(contact: str, change: ConsentChanged, time: int, now: int, call: str) -> Happening:
    """What a caller says that a person agreed to or withdrew."""
    if not change.purpose:
        raise FieldInvalid("change.purpose", "none given")
    event_id = derived(call, 0)
    event = Event(
        event_id=event_id,
        event_time=timestamp(time),
        received_time=timestamp(now),
        source="api",
        consent_changed=change,
    )
    return Happening(
        event_id,
        CONSENT_CHANGED,
        time,
        now,
        "api",
        contact,
        consents=(consent_line(change, event_id, time, now, "api"),),
        create=False,
        raw=event.SerializeToString(),
    )


def related(now: int, call: str) -> Happening:
    """That a caller says who is, or is not, one person."""
    return Happening(derived(call, 0), "", now, now, "api")


def _told(
    contact: str,
    found: tuple[Identity, ...],
    changes: Sequence[AttributeChange],
    now: int,
    source: str,
    request_id: str,
    event_id: str,
) -> Happening:
    event = Event(
        event_id=event_id,
        event_time=timestamp(now),
        received_time=timestamp(now),
        source=source,
        identities=identities(found),
        attributes_set=AttributesSet(request_id=request_id),
    )
    return Happening(
        event_id,
        ATTRIBUTES_SET,
        now,
        now,
        source,
        contact,
        found,
        attributes={change.name: _value(change) for change in changes},
        attribute_times={
            change.name: time_of(change.change_time, now, "attributes.change_time")
            for change in changes
            if change.HasField("change_time")
        },
        raw=event.SerializeToString(),
    )


def derived(call: str, index: int) -> str:
    """The id of the event that one item of a call is."""
    return derived_id("api", call, str(index))


def _value(change: AttributeChange) -> Any:
    if not change.value_json:
        return None
    try:
        return orjson.loads(change.value_json)
    except orjson.JSONDecodeError:
        raise ValueInvalid(
            "an attribute's value is JSON: strings in quotes", name=change.name, expected="JSON"
        ) from None
