"""What comes over the log: statuses, triggers, what contacts did, what Meta says of the account."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from google.protobuf.message import DecodeError
from msgspec.structs import replace

from chassis import telemetry
from chassis.failures import FieldInvalid
from merhaba.event.v1 import Event
from services.sender.account_wire import number_facts, template_change, volume_tier
from services.sender.delivery.outcome import kind_of
from services.sender.delivery.progress import Fact, Kind, Status, Talk
from services.sender.gates.now import OPEN_COMPLAINT
from services.sender.model import (
    AccountChange,
    Departure,
    Kinship,
    Occurrence,
    Relief,
    Understood,
)
from services.sender.numbers.facts import NumberFact
from services.sender.rules.volumes import VolumeTier
from services.sender.wire import at

_COMPLAINTS: Final = frozenset({"complaint_opened", "complaint_closed"})
_KINDS: Final = {
    "sent": Kind.SENT,
    "delivered": Kind.DELIVERED,
    "read": Kind.READ,
    "played": Kind.PLAYED,
    "failed": Kind.FAILED,
}


class Ears(Protocol):
    """The outbox, as statuses and contacts change it."""

    async def hear(self, statuses: Sequence[Status], onward: Sequence[str]) -> None:
        """Fold statuses in; each has its effect once."""
        ...

    async def talk(self, talks: Sequence[Talk], onward: Sequence[str]) -> None:
        """Fold in what contacts did; each has its effect once."""
        ...

    async def relieve(self, contact_ids: Sequence[str], now: int) -> None:
        """Ask again what waits for complaints of these contacts."""
        ...


class Relations(Protocol):
    """Persons, as merges change them."""

    async def follow(self, changes: Sequence[Kinship]) -> None:
        """Fold in who is, and who is no longer, one person; each has its effect once."""
        ...


class Occurring(Protocol):
    """Planning, as triggers call it."""

    async def occur(self, occurrences: Sequence[Occurrence]) -> None:
        """Make the message of each occurrence, once."""
        ...


class Templates(Protocol):
    """Templates, as Meta changes them."""

    async def account(self, changes: Sequence[AccountChange]) -> None:
        """Fold changes in, each once."""
        ...


class Numbers(Protocol):
    """Business numbers, as Meta changes them."""

    async def told(self, facts: Sequence[NumberFact]) -> None:
        """Fold facts in, each once."""
        ...


class Volumes(Protocol):
    """Volumes of messages, as Meta counts them."""

    async def told(self, tiers: Sequence[VolumeTier]) -> None:
        """Fold tiers in, each once."""
        ...


def _decode(batch: Sequence[bytes]) -> list[Event]:
    try:
        return [Event.FromString(one) for one in batch]
    except DecodeError as error:
        raise FieldInvalid("event", "not a serialised merhaba.event.v1.Event") from error


class Traced(Protocol):
    """Something that happened, in the words of the model."""

    @property
    def traceparent(self) -> str: ...


T = TypeVar("T", bound=Traced)


class _Consumer(Generic[T]):
    """Reads what concerns a group from events, and has it taken under their traces."""

    def __init__(
        self,
        group: str,
        read: Callable[[Event, bytes], T | None],
        take: Callable[[Sequence[T], Sequence[str]], Awaitable[None]],
    ) -> None:
        self._group = group
        self._read = read
        self._take = take

    async def handle(self, batch: Sequence[bytes]) -> None:
        """Take what a batch tells."""
        events = zip(_decode(batch), batch, strict=True)
        found = [one for event, raw in events if (one := self._read(event, raw)) is not None]
        traces = [one.traceparent for one in found]
        with telemetry.batch("sender process", self._group, traces) as onward:
            if found:
                await self._take(found, onward)


class StatusConsumer(_Consumer[Status]):
    """Group `sender.status`, of `inbound.status`."""

    def __init__(self, ears: Ears) -> None:
        super().__init__("sender.status", _status, ears.hear)


def _status(event: Event, raw: bytes) -> Status | None:
    if not event.HasField("status_received"):
        return None
    told = event.status_received
    kind = _KINDS.get(told.status)
    code = told.errors[0].code if told.errors else None
    fact = None
    if kind is not None:
        fact = Fact(
            kind,
            at(event, "event_time"),
            told.wamid,
            code or 0,
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
        told.phone_number_id,
    )


Told = Talk | Kinship | Departure | Understood | Relief


class ContactConsumer(_Consumer[Told]):
    """Group `sender.contact`, of `contact`: windows, replies and clicks, who is one person, who was
    erased, whose complaints are settled, and who is to be told that a keyword was understood."""

    def __init__(
        self,
        ears: Ears,
        relations: Relations,
        erase: Callable[[str], Awaitable[object]],
        confirm: Callable[[Sequence[Understood]], Awaitable[None]] | None = None,
        heard: Callable[[Mapping[str, int]], Awaitable[None]] | None = None,
    ) -> None:
        """`erase` deletes everything of a contact, for good; `confirm` answers keywords; `heard` is
        told how many messages came in, by number."""
        super().__init__("sender.contact", _told, self._hear)
        self._ears = ears
        self._relations = relations
        self._erase = erase
        self._confirm = confirm
        self._heard = heard

    async def _hear(self, told: Sequence[Told], onward: Sequence[str]) -> None:
        # First: Meta has counted them already, whatever becomes of them here.
        received = Counter(
            one.phone_number_id
            for one in told
            if isinstance(one, Talk) and one.phone_number_id and one.wamid
        )
        if received and self._heard is not None:
            await self._heard(received)
        for one in told:
            if isinstance(one, Departure):
                await self._erase(one.contact_id)
        if changes := [one for one in told if isinstance(one, Kinship)]:
            await self._relations.follow(changes)
        talks = [(one, t) for one, t in zip(told, onward, strict=True) if isinstance(one, Talk)]
        if talks:
            await self._ears.talk([talk for talk, _ in talks], [trace for _, trace in talks])
        if relieved := [one.contact_id for one in told if isinstance(one, Relief)]:
            await self._ears.relieve(relieved, max(o.time for o in told if isinstance(o, Relief)))
        # After the messages that opened the windows.
        understood = [
            replace(one, traceparent=trace)
            for one, trace in zip(told, onward, strict=True)
            if isinstance(one, Understood)
        ]
        if understood and self._confirm is not None:
            await self._confirm(understood)


def _told(event: Event, raw: bytes) -> Told | None:
    if event.tracked.name in _COMPLAINTS and _settled(event):
        return Relief(event.contact_id, at(event, "received_time"), event.traceparent)
    match event.WhichOneof("body"):
        case "contact_erased":
            if not event.contact_id:
                raise FieldInvalid("contact_id", "missing; say who was erased")
            return Departure(event.contact_id, event.traceparent)
        case "consent_changed" if event.consent_changed.confirm_phone_number_id:
            return Understood(
                event.event_id,
                event.contact_id,
                event.consent_changed.granted,
                event.consent_changed.confirm_phone_number_id,
                at(event, "event_time"),
                at(event, "received_time"),
                event.traceparent,
            )
        case "contact_merged":
            ids = event.contact_merged.member_contact_ids
            from_id = ""
        case "contact_split":
            ids = event.contact_split.member_contact_ids
            from_id = event.contact_split.from_contact_id
        case _:
            return _talk(event, raw)
    return Kinship(
        event.event_id,
        event.contact_id,
        list(ids),
        at(event, "event_time"),
        not from_id,
        from_id,
        event.traceparent,
    )


def _settled(event: Event) -> bool:
    """Whether profile says with the event that no complaint is open any more."""
    said = {change.name: change.value_json for change in event.changes}
    return OPEN_COMPLAINT in said and said[OPEN_COMPLAINT] != b"true"


def _talk(event: Event, _raw: bytes) -> Talk | None:
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
        case "call_changed" if event.call_changed.from_person:
            return Talk(
                event.event_id,
                event.contact_id,
                at(event, "event_time"),
                at(event, "received_time"),
                event.traceparent,
                phone_number_id=event.call_changed.phone_number_id,
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


class SignalConsumer(_Consumer[Occurrence]):
    """Group `sender.signal`, of `signal`: triggers and steps of journeys that name a campaign."""

    def __init__(self, occurring: Occurring) -> None:
        super().__init__("sender.signal", _occurrence, self._occur)
        self._occurring = occurring

    async def _occur(self, occurrences: Sequence[Occurrence], onward: Sequence[str]) -> None:
        await self._occurring.occur(
            [replace(o, traceparent=t) for o, t in zip(occurrences, onward, strict=True)]
        )


def _occurrence(event: Event, _raw: bytes) -> Occurrence | None:
    kind = event.WhichOneof("body")
    if kind not in ("trigger_fired", "journey_step_reached"):
        return None
    told = getattr(event, kind)
    if not told.campaign_id:
        return None
    try:
        parameters = msgspec.json.decode(told.parameters_json or b"{}", type=dict)
    except msgspec.MsgspecError as error:
        raise FieldInvalid(f"{kind}.parameters_json", "not a JSON object") from error
    fired = event.trigger_fired
    return Occurrence(
        event.event_id,
        event.contact_id,
        told.campaign_id,
        # The id of a step that a journey has done is that of its event.
        fired.occurrence_id or event.event_id,
        fired.trigger_id,
        parameters,
        at(event, "event_time"),
        at(told, "not_after_time"),
        at(event, "received_time"),
        event.traceparent,
        event.journey_step_reached.journey_id,
    )


class AccountConsumer:
    """Group `sender.account`, of `inbound.message`: templates, numbers and volumes."""

    def __init__(
        self, templates: Templates, numbers: Numbers, volumes: Volumes | None = None
    ) -> None:
        self._templates = templates
        self._numbers = numbers
        self._volumes = volumes

    async def handle(self, batch: Sequence[bytes]) -> None:
        """Fold what Meta says into the registry."""
        events = _decode(batch)
        changes = [c for event in events if (c := template_change(event)) is not None]
        if changes:
            await self._templates.account(changes)
        if facts := [fact for event in events for fact in number_facts(event)]:
            await self._numbers.told(facts)
        tiers = [tier for event in events if (tier := volume_tier(event)) is not None]
        if tiers and self._volumes is not None:
            await self._volumes.told(tiers)
