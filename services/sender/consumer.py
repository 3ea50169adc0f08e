"""What comes over the log: statuses, triggers, what contacts did, what Meta says of the account."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from google.protobuf.message import DecodeError

from chassis import telemetry
from merhaba.event.v1 import Event
from services.sender.model import AccountChange, FieldInvalid, Occurrence
from services.sender.outcome import kind_of
from services.sender.progress import Fact, Kind, Status, Talk
from services.sender.wire import at

_KINDS: Final = {
    "sent": Kind.SENT,
    "delivered": Kind.DELIVERED,
    "read": Kind.READ,
    "played": Kind.PLAYED,
    "failed": Kind.FAILED,
}
_TEMPLATE_STATES: Final = {"FLAGGED": "", "REINSTATED": "APPROVED", "UNARCHIVED": "APPROVED"}


class Ears(Protocol):
    """The outbox, as statuses and contacts change it."""

    async def hear(self, statuses: Sequence[Status], onward: Sequence[str]) -> None:
        """Fold statuses in; each has its effect once."""
        ...

    async def talk(self, talks: Sequence[Talk], onward: Sequence[str]) -> None:
        """Fold in what contacts did; each has its effect once."""
        ...


class Occurring(Protocol):
    """Planning, as triggers call it."""

    async def occur(self, occurrences: Sequence[Occurrence]) -> None:
        """Make the message of each occurrence, once."""
        ...


class Accounts(Protocol):
    """The registry, as Meta changes it."""

    async def account(self, changes: Sequence[AccountChange]) -> None:
        """Fold changes in, each once."""
        ...


def _decode(batch: Sequence[bytes]) -> list[Event]:
    try:
        return [Event.FromString(one) for one in batch]
    except DecodeError as error:
        raise FieldInvalid("not a merhaba.event.v1.Event", field="event") from error


class StatusConsumer:
    """Group `sender.status`, of `inbound.status`."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears

    async def handle(self, batch: Sequence[bytes]) -> None:
        """Fold a batch of statuses into the outbox."""
        statuses = [
            _status(event, raw)
            for event, raw in zip(_decode(batch), batch, strict=True)
            if event.HasField("status_received")
        ]
        traces = [status.traceparent for status in statuses]
        with telemetry.batch("sender process", "sender.status", traces) as onward:
            if statuses:
                await self._ears.hear(statuses, onward)


def _status(event: Event, raw: bytes) -> Status:
    told = event.status_received
    kind = _KINDS.get(told.status)
    code = told.errors[0].code if told.errors else 0
    fact = None
    if kind is not None:
        fact = Fact(
            kind,
            at(event, "event_time"),
            told.wamid,
            code,
            kind_of(code) if kind == Kind.FAILED else "",
            told.pricing.SerializeToString() if told.HasField("pricing") else b"",
        )
    return Status(
        event.event_id,
        told.callback_data,
        fact,
        at(event, "received_time"),
        event.traceparent,
        raw,
    )


class ContactConsumer:
    """Group `sender.contact`, of `contact`: windows, replies and clicks."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears

    async def handle(self, batch: Sequence[bytes]) -> None:
        """Fold in what contacts wrote, tapped and opened."""
        found = [talk for event in _decode(batch) if (talk := _talk(event)) is not None]
        traces = [talk.traceparent for talk in found]
        with telemetry.batch("sender process", "sender.contact", traces) as onward:
            if found:
                await self._ears.talk(found, onward)


def _talk(event: Event) -> Talk | None:
    match event.WhichOneof("body"):
        case "message_received":
            said = event.message_received
            button = said.content.WhichOneof("content") == "button_reply"
            return Talk(
                event.event_id,
                event.contact_id,
                at(event, "event_time"),
                at(event, "received_time"),
                event.traceparent,
                phone_number_id=said.phone_number_id,
                wamid=said.wamid,
                context_wamid=said.context.wamid,
                button=button and bool(said.context.wamid),
                payload=said.content.button_reply.payload if button else "",
            )
        case "link_clicked" if event.link_clicked.message_id:
            return Talk(
                event.event_id,
                event.contact_id,
                at(event, "event_time"),
                at(event, "received_time"),
                event.traceparent,
                message_id=event.link_clicked.message_id,
                link_id=event.link_clicked.link_id,
            )
        case _:
            return None


class SignalConsumer:
    """Group `sender.signal`, of `signal`: triggers that name a campaign."""

    def __init__(self, occurring: Occurring) -> None:
        self._occurring = occurring

    async def handle(self, batch: Sequence[bytes]) -> None:
        """Make a message of each occurrence."""
        events = [e for e in _decode(batch) if e.HasField("trigger_fired")]
        events = [event for event in events if event.trigger_fired.campaign_id]
        traces = [event.traceparent for event in events]
        with telemetry.batch("sender process", "sender.signal", traces) as onward:
            if events:
                await self._occurring.occur(
                    [_occurrence(e, t) for e, t in zip(events, onward, strict=True)]
                )


def _occurrence(event: Event, trace: str) -> Occurrence:
    fired = event.trigger_fired
    try:
        parameters = msgspec.json.decode(fired.parameters_json or b"{}", type=dict)
    except msgspec.MsgspecError as error:
        raise FieldInvalid(
            "parameters_json must be a JSON object", field="trigger_fired.parameters_json"
        ) from error
    return Occurrence(
        event.event_id,
        event.contact_id,
        fired.campaign_id,
        fired.occurrence_id,
        fired.trigger_id,
        parameters,
        at(event, "event_time"),
        at(fired, "not_after_time"),
        at(event, "received_time"),
        trace,
    )


class AccountConsumer:
    """Group `sender.account`, of `inbound.message`: templates and numbers."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def handle(self, batch: Sequence[bytes]) -> None:
        """Fold what Meta says into the registry."""
        changes = [c for event in _decode(batch) if (c := _change(event)) is not None]
        if changes:
            await self._accounts.account(changes)


def _change(event: Event) -> AccountChange | None:
    time = at(event, "event_time")
    match event.WhichOneof("body"):
        case "template_status_changed":
            status = event.template_status_changed
            state = _TEMPLATE_STATES.get(status.status, status.status)
            return AccountChange(
                event.event_id,
                time,
                status.waba_id,
                template_id=status.template_id,
                state=state,
                state_reason="" if status.reason == "NONE" else status.reason,
                state_detail=status.detail,
            )
        case "template_category_changed":
            category = event.template_category_changed
            return AccountChange(
                event.event_id,
                time,
                category.waba_id,
                template_id=category.template_id,
                category=category.category,
                category_time=at(category, "effective_time"),
            )
        case "number_quality_changed":
            number = event.number_quality_changed
            return AccountChange(
                event.event_id,
                time,
                number.waba_id,
                display_phone_number=number.display_phone_number,
                messaging_limit=number.messaging_limit,
            )
        case _:
            return None
