"""Between the contracts and the model."""

from collections.abc import Callable, Mapping
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
    MessageDelivered,
    MessageFailed,
    MessagePlayed,
    MessageRead,
    MessageRef,
    MessageSent,
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
    ref = MessageRef()
    _refer(ref, message)
    return ref


def _refer(ref: MessageRef, message: Message) -> None:
    ref.message_id = message.message_id
    ref.wamid = message.wamid
    ref.campaign_id = message.campaign_id
    ref.occurrence_id = message.occurrence_id
    ref.template_name = message.template
    ref.language = message.language
    ref.variant = message.variant
    ref.propensity = message.propensity
    ref.category = message.category
    ref.phone_number_id = message.phone_number_id
    ref.market = message.market
    ref.content_kind = _shown(message.body)


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
    """A happening as it is published on `message`. Filled in place, which costs half of putting
    messages together from others."""
    message, what = happening.message, happening.what
    fill = _FILLED.get(what)
    if fill is None:
        raise ValueError(f"no event is called {what}")
    event = Event(
        event_id=f"{message.message_id}/{what}",
        traceparent=happening.traceparent or message.traceparent,
        source=_SOURCE,
        contact_id=message.home_id or message.contact_id,
    )
    _stamp(event.event_time, happening.time)
    _stamp(event.received_time, happening.received_time or message.received_time)
    body: Any = getattr(event, what)
    _refer(body.message, message)
    fill(body, happening, message)
    if what == "message_held":
        event.event_id += f"/{message.due_time}"
    return Record("message", message.contact_id or message.message_id, event.SerializeToString())


def _stamp(field: Timestamp, time: int) -> None:
    if time and time < NEVER:
        field.seconds, field.nanos = time // 1000, time % 1000 * 1_000_000


def _charge(body: Any, _: Happening, message: Message) -> None:
    if message.pricing:
        body.pricing.MergeFromString(message.pricing)
    body.cost_micros, body.currency_code = message.cost_micros, message.currency


def _deliver(body: Any, happening: Happening, message: Message) -> None:
    body.implied = happening.implied
    _charge(body, happening, message)


def _read(body: Any, happening: Happening, _: Message) -> None:
    body.implied = happening.implied


def _fail(body: Any, happening: Happening, message: Message) -> None:
    if message.error_code:
        body.error.code = message.error_code
    body.kind = happening.kind


def _suppress(body: Any, _: Happening, message: Message) -> None:
    body.gate, body.reason = message.gate, message.reason


def _hold(body: Any, _: Happening, message: Message) -> None:
    body.reason = message.gate
    _stamp(body.retry_time, message.due_time)


def _hold_out(body: Any, _: Happening, message: Message) -> None:
    body.group = message.reason


def _doubt(body: Any, _: Happening, message: Message) -> None:
    body.reason = message.reason


def _click(body: Any, happening: Happening, _: Message) -> None:
    body.kind, body.target = happening.kind, happening.target


def _reply(body: Any, happening: Happening, message: Message) -> None:
    body.reply_wamid, body.match = happening.target, happening.kind or "context"
    _stamp(body.message_time, message.sent_time)


def _no_more(_body: Any, _happening: Happening, _message: Message) -> None:
    """Which message it is says all."""


_FILLED: Final[Mapping[str, Callable[[Any, Happening, Message], None]]] = {
    "message_planned": _no_more,
    "message_held": _hold,
    "message_held_out": _hold_out,
    "message_suppressed": _suppress,
    "message_unknown": _doubt,
    "message_sent": _charge,
    "message_delivered": _deliver,
    "message_read": _read,
    "message_played": _no_more,
    "message_failed": _fail,
    "message_clicked": _click,
    "message_replied": _reply,
}
"""What is said of a message besides which it is, by what became of it."""


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
