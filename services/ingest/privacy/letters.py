"""Records of the log and dead letters: whether they tell of a person, and what is theirs."""

from typing import Any

import msgspec
import orjson
from google.protobuf.message import DecodeError

from chassis.readable import readable
from merhaba.event.v1.event_pb2 import Event
from services.ingest.archive.segment import words
from services.ingest.model import RAW, RETRY
from services.ingest.privacy.parting import part
from services.ingest.privacy.person import Person
from services.ingest.wire import posted, raw_webhooks


def concerns(person: Person, topic: str, record: bytes) -> bool:
    """Whether a record of a topic tells of a person."""
    if topic == RETRY:
        return _posted(person, record)
    if not person.may_be_in(record):
        return False
    if topic == RAW:
        return _raw(person, record)
    try:
        event = Event.FromString(record)
    except DecodeError:
        return person.is_told_in(record)
    if event.contact_id in person.contact_ids:
        return True
    return any(person.is_known_as(one.kind, one.scope, one.value) for one in event.identities)


def theirs(person: Person, topic: str, record: bytes) -> Any:
    """What of such a record is the person's, to be told as JSON."""
    try:
        if topic == RETRY:
            (item,) = posted([record])
            if item.door == "track":
                return orjson.loads(item.body)
            return _webhook(person, item.body, item.received_ms)
        if topic == RAW:
            (webhook,) = raw_webhooks([record])
            return _webhook(person, webhook.body, webhook.received_ms)
        return readable(Event.FromString(record))
    except (msgspec.MsgspecError, orjson.JSONDecodeError, DecodeError):
        return record.decode(errors="replace")


def _webhook(person: Person, body: bytes, received_ms: int) -> Any:
    parted = part(body, received_ms, person.on_whatsapp)
    return orjson.loads(parted.theirs) if parted and parted.theirs else None


def _raw(person: Person, record: bytes) -> bool:
    try:
        (webhook,) = raw_webhooks([record])
    except msgspec.MsgspecError:
        return person.is_told_in(record)
    return not person.on_whatsapp.isdisjoint({*webhook.identities, *words(webhook.body)})


def _posted(person: Person, record: bytes) -> bool:
    try:
        (item,) = posted([record])
    except msgspec.MsgspecError:
        return person.is_told_in(record)
    if item.door == "track":
        return person.called(item.body)
    return not person.on_whatsapp.isdisjoint(words(item.body))
