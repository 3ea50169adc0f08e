"""How a message moves forward: a function of the set of facts, whatever their order. Pure."""

from collections.abc import Iterable, Mapping
from enum import IntFlag
from typing import Final, NamedTuple

from msgspec import Struct

from services.sender.model import UNCONFIRMED, Happening, Message, State


class Kind(IntFlag):
    """What can become known of a message; the bits of `Message.implied`."""

    SENT = 1
    DELIVERED = 2
    READ = 4
    PLAYED = 8
    FAILED = 16
    CLICKED = 32
    REPLIED = 64


class Fact(NamedTuple):
    """One thing that became known, with the time at which it happened."""

    kind: Kind
    time: int
    wamid: str = ""
    error_code: int = 0
    error_kind: str = ""
    pricing: bytes = b""
    target: str = ""
    match: str = ""


class Status(Struct, frozen=True):
    """What Meta says became of a message."""

    event_id: str
    callback_data: str
    fact: Fact | None
    """None for a kind of status nobody knows."""
    received_time: int
    traceparent: str
    event: bytes
    """As it came, for messages that are not ours."""
    phone_number_id: str = ""


class Talk(Struct, frozen=True):
    """Something a contact did: wrote to us, tapped a button, opened a link."""

    event_id: str
    contact_id: str
    time: int
    received_time: int
    traceparent: str
    phone_number_id: str = ""
    """Set when the person wrote."""
    wamid: str = ""
    context_wamid: str = ""
    button: bool = False
    payload: str = ""
    """Of the quick reply that was tapped."""
    message_id: str = ""
    """Of the message whose link was opened."""
    link_id: str = ""


# By plain numbers: those of an enumeration cost ten times as much to look up, for every status.
_SENT, _DELIVERED, _READ, _PLAYED, _FAILED, _CLICKED, _REPLIED = map(int, Kind)
_FIELDS: Final = {int(kind): f"{kind.name.lower()}_time" for kind in Kind if kind.name}
_NAMES: Final = {int(kind): f"message_{kind.name.lower()}" for kind in Kind if kind.name}
# Told by nobody, but certain: who read it got it, who got it was sent it.
_IMPLIED_BY: Final = (
    (_READ, (_PLAYED, _CLICKED, _REPLIED)),
    (_DELIVERED, (_READ, _PLAYED, _CLICKED, _REPLIED)),
    (_SENT, (_DELIVERED, _READ, _PLAYED, _CLICKED, _REPLIED)),
)
_NOT_SENT: Final = (State.SUPPRESSED, State.HELD_OUT, State.CANCELLED)
_NOTHING: Final = Fact(Kind(0), 0)


def learn(message: Message, facts: Iterable[Fact]) -> list[Happening]:
    """Add facts to a message; returns what was not known before, in the order of the lattice.

    The earliest time told of a kind holds, and a time that was told holds over one that only
    follows. What reached a device has not failed, whoever says so.
    """
    if message.state in _NOT_SENT:
        return []
    before = {kind: time for kind, field in _FIELDS.items() if (time := getattr(message, field))}
    told = {kind: time for kind, time in before.items() if not message.implied & kind}
    latest: dict[int, Fact] = {}
    for fact in facts:
        if message.state == State.FAILED and message.reason == UNCONFIRMED:
            told.pop(_FAILED, None)  # a guess of ours, which this fact disproves
            message.reason, message.state = "", State.UNKNOWN
            message.failed_time = 0
            before.pop(_FAILED, None)
        kind = int(fact.kind)
        earlier = told.get(kind, 0)
        if not earlier or fact.time < earlier:
            told[kind] = fact.time
            latest[kind] = fact
            if kind == _FAILED:
                message.error_code, message.reason = fact.error_code, fact.error_kind
        elif kind == _FAILED and fact.time == earlier:
            message.error_code, message.reason = min(
                (message.error_code, message.reason), (fact.error_code, fact.error_kind)
            )
        message.wamid = message.wamid or fact.wamid
        # Statuses of one message agree; where they should not, any total order keeps this free of
        # the order of arrival.
        message.pricing = max(message.pricing, fact.pricing)
    if not told:
        return []
    times = dict(told)
    message.implied = 0
    for kind, stronger in _IMPLIED_BY:
        if kind not in told:
            found = [told[s] for s in stronger if s in told]
            if found:
                times[kind] = min(found)
                message.implied |= kind
    for kind, time in times.items():
        setattr(message, _FIELDS[kind], time)
    message.state = _state(times)
    if message.state != State.FAILED:
        message.gate = ""
    return [
        Happening(
            name,
            message,
            times[kind],
            implied=bool(message.implied & kind),
            kind=fact.error_kind or fact.match,
            target=fact.target,
        )
        for kind, name in _NAMES.items()
        if kind in times and kind not in before
        for fact in [latest.get(kind, _NOTHING)]
    ]


def _state(times: Mapping[int, int]) -> State:
    for kind, state in (
        (_PLAYED, State.PLAYED),
        (_READ, State.READ),
        (_DELIVERED, State.DELIVERED),
        (_FAILED, State.FAILED),
    ):
        if kind in times:
            return state
    return State.SENT
