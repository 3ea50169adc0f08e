"""Between the contracts and the model."""

from datetime import timedelta
from typing import Any, Final

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.streams import Record
from chassis.times import milliseconds, timestamp
from merhaba.event.v1 import (
    CampaignChanged,
    Event,
    MessageClicked,
    MessageDelivered,
    MessageFailed,
    MessageHeld,
    MessageHeldOut,
    MessagePlanned,
    MessagePlayed,
    MessageRead,
    MessageRef,
    MessageReplied,
    MessageSent,
    MessageSuppressed,
    MessageUnknown,
    PlatformError,
    Pricing,
    StatusReceived,
)
from merhaba.event.v1 import Event as InboundEvent
from merhaba.sender.v1 import Message as MessageProto
from services.sender.model import (
    NEVER,
    CampaignPhase,
    Happening,
    Message,
    Standing,
    State,
)

_SOURCE: Final = "merhaba:sender"
_DELIVERED: Final = 2  # bit of `Message.implied`, as `progress.Kind`
_MEDIA: Final = frozenset({"image", "video", "document", "audio"})
_STATUSES: Final = {
    "sent": MessageSent,
    "delivered": MessageDelivered,
    "read": MessageRead,
    "played": MessagePlayed,
    "failed": MessageFailed,
}


def stamp(time: int) -> Timestamp | None:
    """A time of the contract; None for never."""
    if not time or time >= NEVER:
        return None
    return timestamp(time)


def at(message: Any, field: str) -> int:
    """A time field of the contract in milliseconds; 0 when unset."""
    return milliseconds(getattr(message, field)) if message.HasField(field) else 0


def span(duration: Duration) -> int:
    """A duration in milliseconds."""
    return int(duration.ToTimedelta() / timedelta(milliseconds=1))


def ref_of(message: Message) -> MessageRef:
    """What identifies a message in every event about it."""
    return MessageRef(
        message_id=message.message_id,
        wamid=message.wamid,
        campaign_id=message.campaign_id,
        occurrence_id=message.occurrence_id,
        template_name=message.template,
        language=message.language,
        variant=message.variant,
        propensity=message.propensity,
        category=message.category,
        phone_number_id=message.phone_number_id,
        market=message.market,
        content_kind=_shown(message.body),
    )


def _shown(body: bytes) -> str:
    """What a person sees first of a message: its header's kind, or else text."""
    said = orjson.loads(body) if body else {}
    kind = said.get("type", "")
    if kind == "template":
        components = said.get("template", {}).get("components", ())
        parts = next((c["parameters"] for c in components if c.get("type") == "header"), ())
        return next((part["type"] for part in parts if part["type"] in _MEDIA), "text")
    if kind == "interactive":
        header = said["interactive"].get("header", {}).get("type", "text")
        return header if header in _MEDIA else "text"
    return str(kind)


def record_of(happening: Happening) -> Record:
    """A happening as it is published on `message`."""
    message = happening.message
    event = Event(
        event_id=f"{message.message_id}/{happening.what}",
        event_time=stamp(happening.time),
        received_time=stamp(happening.received_time or message.received_time),
        traceparent=happening.traceparent or message.traceparent,
        source=_SOURCE,
        contact_id=message.home_id or message.contact_id,
    )
    ref = ref_of(message)
    match happening.what:
        case "message_sent":
            event.message_sent.CopyFrom(
                MessageSent(message=ref, pricing=_pricing(message), **cost_of(message))
            )
        case "message_delivered":
            event.message_delivered.CopyFrom(
                MessageDelivered(
                    message=ref,
                    implied=happening.implied,
                    pricing=_pricing(message),
                    **cost_of(message),
                )
            )
        case "message_read":
            event.message_read.CopyFrom(MessageRead(message=ref, implied=happening.implied))
        case "message_played":
            event.message_played.CopyFrom(MessagePlayed(message=ref))
        case "message_failed":
            error = PlatformError(code=message.error_code) if message.error_code else None
            event.message_failed.CopyFrom(
                MessageFailed(message=ref, error=error, kind=happening.kind)
            )
        case "message_planned":
            event.message_planned.CopyFrom(MessagePlanned(message=ref))
        case "message_suppressed":
            event.message_suppressed.CopyFrom(
                MessageSuppressed(message=ref, gate=message.gate, reason=message.reason)
            )
        case "message_held_out":
            event.message_held_out.CopyFrom(MessageHeldOut(message=ref, group=message.reason))
        case "message_held":
            event.event_id = f"{event.event_id}/{message.due_time}"
            event.message_held.CopyFrom(
                MessageHeld(message=ref, reason=message.gate, retry_time=stamp(message.due_time))
            )
        case "message_unknown":
            event.message_unknown.CopyFrom(MessageUnknown(message=ref, reason=message.reason))
        case "message_clicked":
            event.message_clicked.CopyFrom(
                MessageClicked(message=ref, kind=happening.kind, target=happening.target)
            )
        case "message_replied":
            event.message_replied.CopyFrom(
                MessageReplied(
                    message=ref,
                    reply_wamid=happening.target,
                    match=happening.kind or "context",
                    message_time=stamp(message.sent_time),
                )
            )
        case other:
            raise ValueError(f"no event is called {other}")
    return Record("message", message.contact_id or message.message_id, event.SerializeToString())


def _pricing(message: Message) -> Pricing | None:
    return Pricing.FromString(message.pricing) if message.pricing else None


def cost_of(message: Message) -> dict[str, Any]:
    """What a message costs, in the fields of the contract."""
    return {"cost_micros": message.cost_micros, "currency_code": message.currency}


def foreign_record(status: bytes, traceparent: str) -> Record | None:
    """What a status says of a message that is not ours; None for a status nobody knows.

    It names no contact: the inbound identities go with it, and profile resolves them.
    """
    inbound = InboundEvent.FromString(status)
    told: StatusReceived = inbound.status_received
    if told.status not in _STATUSES:
        return None
    event = Event(
        event_id=f"{told.wamid}/message_{told.status}",
        event_time=inbound.event_time,
        received_time=inbound.received_time,
        traceparent=traceparent,
        source=inbound.source,
        identities=inbound.identities,
    )
    ref = MessageRef(wamid=told.wamid, phone_number_id=told.phone_number_id)
    body = _STATUSES[told.status](message=ref)
    if isinstance(body, MessageSent | MessageDelivered) and told.HasField("pricing"):
        body.pricing.CopyFrom(told.pricing)
        body.message.category = told.pricing.category
    if isinstance(body, MessageFailed) and told.errors:
        body.error.CopyFrom(told.errors[0])
    getattr(event, f"message_{told.status}").CopyFrom(body)
    key = inbound.identities[0].value if inbound.identities else told.wamid
    return Record("message", key, event.SerializeToString())


def campaign_record(standing: Standing) -> Record:
    """A campaign's change of state, on `message`."""
    now = stamp(standing.update_time)
    event = Event(
        event_id=f"{standing.campaign_id}/{standing.version}",
        event_time=now,
        received_time=now,
        source=_SOURCE,
        campaign_changed=CampaignChanged(
            campaign_id=standing.campaign_id,
            name=standing.name,
            state=CampaignPhase(standing.state).name.lower(),
            reason=standing.state_reason,
            recipients=standing.recipients if standing.planned else 0,
        ),
    )
    return Record("message", standing.campaign_id, event.SerializeToString())


def message_proto(message: Message) -> MessageProto:
    """A message as the contract shows it, without its content."""
    known = message.state in {State.PLANNED, State.HELD}
    return MessageProto(
        ref=ref_of(message),
        contact_id=message.contact_id,
        state=MessageProto.State.ValueType(message.state),
        gate=message.gate,
        reason=message.reason,
        error=PlatformError(code=message.error_code) if message.error_code else None,
        context_wamid=message.context_wamid,
        attempts=message.attempts,
        plan_time=stamp(message.plan_time),
        not_after_time=stamp(message.not_after),
        retry_time=stamp(message.due_time) if known else None,
        send_time=stamp(message.sent_time),
        deliver_time=stamp(message.delivered_time),
        read_time=stamp(message.read_time),
        reply_time=stamp(message.replied_time),
        click_time=stamp(message.clicked_time),
        update_time=stamp(updated(message)),
        delivery_implied=bool(message.implied & _DELIVERED),
        pricing=_pricing(message),
        **cost_of(message),
    )


def updated(message: Message) -> int:
    """When something of a message last changed."""
    return max(
        message.plan_time,
        message.attempt_time,
        message.sent_time,
        message.delivered_time,
        message.read_time,
        message.failed_time,
        message.clicked_time,
        message.replied_time,
    )
