"""The events that are the business's to tell."""

from typing import Final

from chassis.failures import FieldInvalid
from merhaba.event.v1.event_pb2 import Event
from services.ingest.api import checks
from services.ingest.failures import EventNotAccepted
from services.ingest.track import snake

_ACCEPTED: Final = (
    *("tracked", "identified", "page_viewed", "screen_viewed", "grouped", "aliased"),
    *("location_pinged", "consent_changed"),
)


def accepted(given: Event, where: str, now_ms: int) -> Event:
    """A copy of what the business may say. Raises when it may not."""
    name = given.WhichOneof("body") or ""
    if name not in _ACCEPTED:
        raise EventNotAccepted(name, ",".join(_ACCEPTED))
    if not given.identities or any(not one.kind or not one.value for one in given.identities):
        raise FieldInvalid(f"{where}.identities", "need at least one, with kind and value")
    if not given.HasField("event_time"):
        raise FieldInvalid(f"{where}.event_time", "is missing")
    checks.moment_ms(given.event_time, f"{where}.event_time", now_ms)
    if given.event_id:
        checks.named(given.event_id, f"{where}.event_id")
    event = Event(event_time=given.event_time, identities=given.identities)
    body = getattr(event, name)
    body.CopyFrom(getattr(given, name))
    for field in ("properties_json", "traits_json", "context_json"):
        if field in body.DESCRIPTOR.fields_by_name:
            checks.json_object(getattr(body, field), f"{where}.{name}.{field}")
    if name == "location_pinged":
        checks.position(body.latitude, body.longitude, f"{where}.{name}")
    if name == "consent_changed":
        checks.named(body.purpose, f"{where}.{name}.purpose")
    if name == "tracked":
        body.name = snake(body.name)
        if not body.name:
            raise FieldInvalid(f"{where}.tracked.name", "is missing")
    return event


def person_key(event: Event) -> str:
    """What keeps the order of a person's events within a shard."""
    return event.identities[0].value
