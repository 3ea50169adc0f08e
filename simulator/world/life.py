"""What becomes of accepted messages, step by step. Pure."""

import msgspec

from simulator.people.plan import Act, Step
from simulator.webhooks.updates import (
    StatusName,
    Update,
    choice_of,
    face_of,
    pricing_of,
    status_of,
)
from simulator.world.figures import Figure, Subject, country_code_of, digits
from simulator.world.sending import Message
from simulator.world.standing import NOTHING, Standing
from simulator.world.world import Later, Told, World

_STATUSES: dict[Act, StatusName] = {
    Act.SENT: "sent",
    Act.DELIVERED: "delivered",
    Act.READ: "read",
    Act.PLAYED: "played",
    Act.FAILED: "failed",
}


class Happened(msgspec.Struct, frozen=True, gc=False):
    """What came of one step."""

    updates: list[Update]
    link: str | None = None
    """What was tapped."""
    later: tuple[Later, ...] = ()


class Life:
    """Lets the steps of messages happen."""

    def __init__(self, world: World, standing: Standing) -> None:
        self._world = world
        self._standing = standing

    def happen(self, message: Message, now: float) -> Happened:
        """The message's next step."""
        step = message.steps[message.at]
        message.at += 1
        act = step.act
        if name := _STATUSES.get(act):
            return self._status(message, name, now, step.code)
        world, number, person = self._world, message.number, message.person
        match act:
            case Act.TAP:
                world.counts["taps"] += 1
                self._count("clicked", message, now)
                return Happened([], step.words)
            case Act.SAY:
                world.counts["replies"] += 1
                said = {"type": "text", "text": {"body": step.words}}
                return Happened(world.hear(number, person, said, now)[1])
            case Act.CHOOSE:
                return Happened(self._choose(message, step, now))
            case Act.PREFER_STOP:
                return Happened([world.prefer(number, person, "stop", now)])
            case Act.BLOCK:
                world.counts["blocks"] += 1
                person.blocking |= {number.phone_number_id}
                return self._complained(message, now)
            case Act.REPORT:
                world.counts["reports"] += 1
                return self._complained(message, now)
            case Act.ASSESS:
                return self._assess(message, now)
        raise AssertionError(act)

    def _complained(self, message: Message, now: float) -> Happened:
        told = self._standing.complained(message.number, message.template, now)
        return Happened(told.updates, later=told.later)

    def _assess(self, message: Message, now: float) -> Happened:
        assert message.template is not None
        free, told = self._standing.assess(message.template, now)
        if not free:
            message.steps = (Step(Act.FAILED, 0.0, code=132015),)
            message.at = 0
        return Happened(told.updates, later=told.later)

    def _choose(self, message: Message, step: Step, now: float) -> list[Update]:
        assert step.choice is not None
        self._world.counts["choices"] += 1
        context = {
            "from": message.number.metadata.display_phone_number,
            "id": message.wamid,
        }
        chosen = {"context": context, **choice_of(step.choice)}
        return self._world.hear(message.number, message.person, chosen, now)[1]

    def _status(self, message: Message, name: StatusName, now: float, code: int) -> Happened:
        world, number, person = self._world, message.number, message.person
        world.ledger.tell(message.seq, name, now, code)
        world.counts[name] += 1
        pricing, told = None, NOTHING
        arrived = name in {"delivered", "read"} and not message.delivery_priced
        if name == "sent" or arrived:
            pricing = pricing_of(
                message.content, in_window=message.in_window, now=now, by_ad=message.free
            )
        if arrived:
            message.delivery_priced = True
            if not message.in_window:
                world.portfolio.reach(person.wa_id, now)
            told = self._arrived(message, now)
        if name == "sent":
            self._count("sent", message, now)
        if arrived:
            self._count("delivered", message, now)
            self._count("volume", message, now)
        if name == "read":
            self._count("read", message, now)
        if name == "failed":
            world.counts[f"failed_{code}"] += 1
            if message.counted:
                world.portfolio.miss(person.wa_id)
        if message.face is None:
            bsuid = world.people.bsuid_of(person)
            message.face = face_of(person, bsuid, by_phone=message.by_phone)
        status, contact = status_of(
            name,
            message.wamid,
            message.face,
            callback_data=message.callback_data,
            now=now,
            pricing=pricing,
            version=world.rules.webhook_version,
            code=code,
        )
        update = Update(
            number.waba_id, "messages", number.metadata, "statuses", status, contact, now
        )
        return Happened([update, *told.updates], later=told.later)

    def _count(self, figure: Figure, message: Message, now: float) -> None:
        """For Meta's analytics, which tell what was sent by template."""
        sent = self._world.ledger.accepted(message.seq)
        pricing = pricing_of(
            message.content, in_window=message.in_window, now=now, by_ad=message.free
        )
        subject = Subject(
            message.number.waba_id,
            digits(message.number.metadata.display_phone_number),
            country_code_of(message.person.wa_id),
            message.content.category,
            pricing["type"],
            "" if message.template is None else message.template.template_id,
        )
        self._world.figures.count(figure, subject, now if sent is None else sent, now)

    def _arrived(self, message: Message, now: float) -> Told:
        return self._standing.delivered(message.number, message.template, now)
