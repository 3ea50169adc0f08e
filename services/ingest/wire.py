"""Occurrences as events of the contract, and the forms of the raw and the retry topic."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chassis.streams import Done, EventLog, Record
from merhaba.event.v1.event_pb2 import Event
from services.ingest.content import timestamp
from services.ingest.model import RAW, RETRY, Identity, Occurrence, Posted, RawWebhook

_raw_encoder: Final = msgspec.msgpack.Encoder()
_raw_decoder: Final = msgspec.msgpack.Decoder(RawWebhook)
_posted_decoder: Final = msgspec.msgpack.Decoder(Posted)


def event(occurrence: Occurrence, received_ms: int, trace: str) -> Event:
    """An occurrence in the contract's form. Raises `ValueError` or `TypeError` when it does not
    fit (a number too large, a text that is no Unicode)."""
    # Messages inside may be given as dicts, which the type checker's stubs do not know
    inside: dict[str, Any] = {
        "event_time": timestamp(occurrence.time_ms),
        "received_time": timestamp(received_ms),
        occurrence.name: occurrence.body,
    }
    return Event(
        event_id=occurrence.event_id,
        traceparent=trace,
        source=occurrence.source,
        contact_id=occurrence.contact_id,
        identities=[_identity(one) for one in occurrence.identities],
        **inside,
    )


def _identity(identity: Identity) -> Any:
    return {"kind": identity.kind, "scope": identity.scope, "value": identity.value}


class LogWriter:
    """Puts things into the log's form, and into the log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def event(self, occurrence: Occurrence, received_ms: int, trace: str) -> Record:
        """An occurrence as a record. Raises when it does not fit the contract."""
        said = event(occurrence, received_ms, trace).SerializeToString()
        return Record(occurrence.topic, occurrence.key, said)

    def raw(self, webhook: RawWebhook) -> Record:
        """What was posted as a record for the archive."""
        return Record(RAW, webhook.webhook_id, _raw_encoder.encode(webhook))

    def retry(self, posted: Posted) -> Record:
        """An item that could not be read as a record to read it again."""
        return Record(RETRY, posted.source, _raw_encoder.encode(posted))

    async def append(self, records: Sequence[Record]) -> None:
        """Durable when it returns. Raises `Busy` or `Unavailable`."""
        await self._log.append(records)

    def post(self, records: Sequence[Record], done: Done) -> None:
        """Tells `done` when it is durable. Raises `Busy`."""
        self._log.post(records, done)


def raw_webhooks(records: Sequence[bytes]) -> list[RawWebhook]:
    """What the raw topic holds."""
    return [_raw_decoder.decode(record) for record in records]


def posted(records: Sequence[bytes]) -> list[Posted]:
    """What the retry topic holds."""
    return [_posted_decoder.decode(record) for record in records]


def topic_of(stream: str) -> str:
    """The topic of a stream, by its hash tag: `log:{inbound.status:0}`."""
    return stream.partition("{")[2].rpartition(":")[0]
