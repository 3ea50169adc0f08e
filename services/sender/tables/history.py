"""What happened to one message, as far as its row and the gates' last verdicts tell."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from merhaba.event.v1 import StatusReceived
from merhaba.sender.v1 import Message as MessageProto
from merhaba.sender.v1 import MessageAttempt, MessageEvent
from services.sender.delivery.progress import Kind
from services.sender.gates import GateVerdict, Verdict
from services.sender.model import Message, State
from services.sender.tables.verdicts import verdict_proto
from services.sender.wire import stamp

_STATUSES: Final = {
    Kind.SENT: State.SENT,
    Kind.DELIVERED: State.DELIVERED,
    Kind.READ: State.READ,
    Kind.PLAYED: State.PLAYED,
    Kind.FAILED: State.FAILED,
}
_STOPPED: Final = frozenset({State.SUPPRESSED, State.HELD_OUT, State.CANCELLED})


class Recorded(NamedTuple):
    """What the gates said when a message last came to its turn."""

    time: int
    verdicts: list[GateVerdict]


def history(message: Message, recorded: Recorded | None) -> list[MessageEvent]:
    """All that is known, in the order of time."""
    found = [*_own(message, recorded), *_told(message)]
    return sorted(found, key=lambda event: event.event_time.ToNanoseconds())


def _own(message: Message, recorded: Recorded | None) -> Iterator[MessageEvent]:
    yield _event(MessageEvent.KIND_PLANNED, message.plan_time, State.PLANNED)
    if recorded is not None:
        event = _event(MessageEvent.KIND_GATED, recorded.time, _after(message, recorded))
        event.verdicts.extend(map(verdict_proto, recorded.verdicts))
        yield event
    if message.attempts and message.attempt_time:  # a limiter may have called it back
        event = _event(MessageEvent.KIND_ATTEMPTED, message.attempt_time, State.ATTEMPTING)
        event.attempt.CopyFrom(
            MessageAttempt(
                number=message.attempts,
                phone_number_id=message.phone_number_id,
                trace_id=message.traceparent[3:35],
            )
        )
        yield event


def _after(message: Message, recorded: Recorded) -> State:
    """Where a message stood once the gates had been asked."""
    said = {one.verdict for one in recorded.verdicts}
    if Verdict.REFUSE in said and message.state in _STOPPED:
        return State(message.state)
    return State.HELD if Verdict.WAIT in said else State.ATTEMPTING


def _told(message: Message) -> Iterator[MessageEvent]:
    """What Meta and the person said; what only follows from that is left out."""
    for kind, state in _STATUSES.items():
        name = state.name.lower()
        time = getattr(message, f"{name}_time")
        if time and not message.implied & kind:
            event = _event(MessageEvent.KIND_STATUS, time, state)
            event.status.CopyFrom(
                StatusReceived(
                    wamid=message.wamid, phone_number_id=message.phone_number_id, status=name
                )
            )
            yield event
    if message.replied_time:
        yield _event(MessageEvent.KIND_REPLIED, message.replied_time, State(message.state))
    if message.clicked_time:
        yield _event(MessageEvent.KIND_CLICKED, message.clicked_time, State(message.state))


def _event(kind: MessageEvent.Kind.ValueType, time: int, state: State) -> MessageEvent:
    return MessageEvent(
        kind=kind, event_time=stamp(time), state=MessageProto.State.ValueType(state)
    )
