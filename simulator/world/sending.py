"""The business writes: what is accepted, and what will come of it. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from simulator.messages.content import Choice, Content, MediaUse
from simulator.messages.content import text as text_at
from simulator.messages.kinds import content_of
from simulator.messages.media import fits
from simulator.people.crowd import wa_id_of
from simulator.people.dice import Dice
from simulator.people.person import Person
from simulator.people.plan import Act, Step, failing, plan
from simulator.refusals import SPAM_LIMIT, WINDOW_CLOSED, Refused, invalid, missing
from simulator.templates.definition import Template
from simulator.templates.filling import fill
from simulator.webhooks.updates import Face
from simulator.world.numbers import Chat, Number
from simulator.world.world import World

_DAY_S = 86_400.0
_US = "1"
_POLICIES = ("CLOUD_API_FALLBACK", "STRICT")


class Message(msgspec.Struct, gc=False):
    """An accepted message on its way; `steps` from `at` on are still to come."""

    seq: int
    wamid: str
    callback_data: str | None
    number: Number
    person: Person
    content: Content
    template: Template | None
    steps: tuple[Step, ...]
    by_phone: bool
    in_window: bool
    free: bool
    """Somebody whom an ad brought."""
    counted: bool
    """By this message the person counts for the messaging limit."""
    at: int = 0
    delivery_priced: bool = False
    face: Face | None = None
    """How statuses show the person, once the first was told."""


class Sent(NamedTuple):
    """The answer to a send, and the message if something is to follow."""

    answer: dict[str, Any]
    message: Message | None = None


class _Recipient(NamedTuple):
    person: Person
    shown: dict[str, Any]
    """The contacts[] item of the answer."""
    by_phone: bool


class Sending:
    """POST /{phone_number_id}/messages and /marketing_messages."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(
        self,
        phone_number_id: str,
        body: Mapping[str, Any],
        now: float,
        *,
        marketing: bool = False,
        fail_code: int = 0,
    ) -> Sent:
        """`marketing`: through the endpoint for marketing. `fail_code`: if the message is
        accepted, it will fail with this."""
        world = self._world
        number = world.number(phone_number_id)
        if body.get("messaging_product") != "whatsapp":
            raise Refused(100, "The parameter messaging_product is required and must be whatsapp.")
        _check_number(number)
        if "status" in body and not marketing:
            return Sent(self._mark_read(number, body))
        if body.get("recipient_type", "individual") != "individual":
            raise Refused(100, "recipient_type: only individual is supported.")
        callback_data = text_at(
            body, "biz_opaque_callback_data", "biz_opaque_callback_data", 512, required=False
        )
        content, template = self._content(number, body, now, marketing=marketing)
        person, shown, by_phone = self._recipient(number, body, content)
        if content.answers and not self._knows(content.answers, number, person, now):
            raise invalid("reaction['message_id']", "is not the id of a message of this chat.")
        chat = world.chat(number, person, now)
        in_window = chat.open_at(now)
        fail_code = (
            self._check_may_open(number, person, now, content, in_window=in_window) or fail_code
        )
        self._check_pace(number, chat, now)
        seq = world.ledger.add(
            to=person.wa_id,
            phone_number_id=phone_number_id,
            kind=content.type,
            template=content.template,
            callback_data=callback_data or None,
            now=now,
        )
        wamid = world.ids.sent(seq)
        person.received += 1
        world.counts["accepted"] += 1
        counted = not in_window and world.portfolio.reach(person.wa_id, now)
        free = chat.answer(now)
        steps, status = self._becomes(
            number, person, content, template, now, in_window=in_window, fail_code=fail_code
        )
        accepted: dict[str, Any] = {"id": wamid}
        if content.template:
            accepted["message_status"] = status
        answer = {"messaging_product": "whatsapp", "contacts": [shown], "messages": [accepted]}
        if not steps:
            return Sent(answer)
        message = Message(
            seq, wamid, callback_data or None, number, person, content, template, steps, by_phone,
            in_window, free, counted,
        )  # fmt: skip
        return Sent(answer, message)

    # --- may it go ----------------------------------------------------------------------------

    def _check_may_open(
        self, number: Number, person: Person, now: float, content: Content, *, in_window: bool
    ) -> int:
        """0, or the code that the message will fail with. Raises Refused where that is told at
        once."""
        if in_window:
            return 0
        rules = self._world.rules
        if not content.template:
            if rules.window_error == "sync":
                raise Refused(131047, WINDOW_CLOSED)
            return 131047
        if number.flagged or not self._world.portfolio.admits(person.wa_id, now):
            if rules.limit_error == "sync":
                raise Refused(131048, SPAM_LIMIT)
            return 131048
        return 0

    def _check_pace(self, number: Number, chat: Chat, now: float) -> None:
        if not number.throughput.has_room(now):
            self._world.seconds.count(number.phone_number_id, "refused", now)
            raise Refused(130429, "Cloud API message throughput has been reached.")
        rules = self._world.rules
        if not chat.take(now, rules.pair_interval_s, rules.pair_burst):
            raise Refused(
                131056,
                "Message failed to send because there were too many messages sent from this "
                "phone number to the same phone number in a short period of time.",
            )
        number.throughput.take(now)
        self._world.seconds.count(number.phone_number_id, "accepted", now)

    # --- what it is ---------------------------------------------------------------------------

    def _content(
        self, number: Number, body: Mapping[str, Any], now: float, *, marketing: bool
    ) -> tuple[Content, Template | None]:
        content, template = content_of(body), None
        if content.type == "template":
            template = self._template(number, body["template"])
            content = _filled(template, body["template"], marketing=marketing)
            if marketing:
                _check_policy(body)
        elif marketing:
            raise Refused(131055, "Only template messages can be sent through this endpoint.")
        for use in content.media:
            if use.media_id:
                media = self._world.media.get(use.media_id, now)
                if media is None or media.phone_number_id != number.phone_number_id:
                    raise Refused(
                        100,
                        message=f"(#100) Param {use.where}['id'] is not a valid whatsapp business "
                        "account media attachment ID",
                    )
        context = body.get("context")
        if context is not None and (
            not isinstance(context, dict) or not isinstance(context.get("message_id"), str)
        ):
            raise missing("context['message_id']")
        return content, template

    def _template(self, number: Number, given: Mapping[str, Any]) -> Template:
        name, language = given["name"], given.get("language")
        code = language.get("code") if isinstance(language, dict) else None
        if not isinstance(code, str):
            raise missing("template['language']['code']")
        template = self._world.templates.find(number.waba_id, name, code)
        if template is None or template.status not in {"APPROVED", "PAUSED", "DISABLED"}:
            raise Refused(132001, f"template name ({name}) does not exist in {code}")
        if template.status == "PAUSED":
            raise Refused(132015, f"template name ({name}) is paused due to low quality")
        if template.status == "DISABLED":
            raise Refused(132016, f"template name ({name}) is disabled")
        return template

    def _knows(self, wamid: str, number: Number, person: Person, now: float) -> bool:
        """Whether there is such a message between these two, not older than 30 days."""
        ids, chat = self._world.ids, (number.phone_number_id, person.wa_id)
        place = ids.place(wamid)
        if place is None:
            return ids.was_heard(wamid, *chat)
        entry = self._world.ledger.get(place)
        if entry is None or (entry.phone_number_id, entry.to) != chat:
            return False
        return entry.accepted > now - 30 * _DAY_S

    def _recipient(self, number: Number, body: Mapping[str, Any], content: Content) -> _Recipient:
        people, to, recipient = self._world.people, body.get("to"), body.get("recipient")
        if to and isinstance(to, (str, int)):
            wa_id = wa_id_of(str(to), "to")
            if wa_id == number.wa_id:
                raise Refused(131021, "Recipient's phone number is the sender's.")
            person = people.settle(wa_id)
            shown: dict[str, Any] = {"input": str(to), "wa_id": wa_id}
            if person.identity_mode != "phone":
                shown["user_id"] = people.bsuid_of(person)
            found = _Recipient(person, shown, True)
        elif not isinstance(recipient, str) or not recipient:
            raise missing("to")
        elif content.category == "authentication":
            raise Refused(131062, "Authentication templates need a phone number in to.")
        else:
            known = people.find(recipient)
            if known is None or people.bsuid_of(known) != recipient:
                raise invalid("recipient", "is not a user id of this business.")
            found = _Recipient(known, {"input": recipient, "user_id": recipient}, False)
        if found.person.wa_id in number.blocked:
            raise Refused(130403, "The business blocked this user.")
        return found

    # --- what will come of it -----------------------------------------------------------------

    def _becomes(
        self,
        number: Number,
        person: Person,
        content: Content,
        template: Template | None,
        now: float,
        *,
        in_window: bool,
        fail_code: int,
    ) -> tuple[tuple[Step, ...], str]:
        """The steps, and message_status."""
        world = self._world
        code = fail_code or self._fails(person, content, now, in_window=in_window)
        if code:
            return failing(person, world.seed, code), "accepted"
        utc_s = world.lifetime.utc_s(now) if world.rules.nights else None
        blocked = number.phone_number_id in person.blocking
        steps = plan(person, content, world.seed, utc_s=utc_s, blocked=blocked)
        held = None if template is None else self._held(template, now)
        if held is None or not steps:
            return steps, "accepted"
        return (Step(Act.ASSESS, held), *steps), "held_for_quality_assessment"

    def _fails(self, person: Person, content: Content, now: float, *, in_window: bool) -> int:
        rules, behaviour = self._world.rules, person.behaviour
        if not behaviour.on_whatsapp or self._is_one_of(person, "number", rules.not_on_whatsapp):
            return 131026
        marketing = content.category.startswith("marketing")
        code = behaviour.fail_code
        if code and (marketing or code not in {131049, 131050}):
            return code
        for use in content.media:
            if self._broken(use, now, voice=content.voice):
                return 131053
        # Whoever stopped marketing gets none until they resume it. Inside the window, where the
        # person is talking with the business, caps and experiments do not bind.
        if marketing and person.opted_out:
            return 131050
        if not marketing or in_window:
            return 0
        if self._is_one_of(person, "experiment", rules.experiment):
            return 130472
        if not rules.us_marketing and person.wa_id.startswith(_US):
            return 131049
        return 131049 if self._over_cap(person, now) else 0

    def _over_cap(self, person: Person, now: float) -> bool:
        cap = self._world.rules.marketing_cap
        if not cap:
            return False
        recent = tuple(at for at in person.marketing if at > now - _DAY_S)
        over = len(recent) >= cap
        person.marketing = recent if over else (*recent, now)
        return over

    def _is_one_of(self, person: Person, what: str, share: float) -> bool:
        if not share:
            return False
        return Dice(f"{self._world.seed}/{person.wa_id}/{what}").happens(share)

    def _broken(self, use: MediaUse, now: float, *, voice: bool) -> bool:
        if use.link:
            return use.link.startswith(self._world.rules.broken_links)
        media = self._world.media.get(use.media_id, now)
        return media is not None and not fits(use.kind, media, voice=voice)

    def _held(self, template: Template, now: float) -> float | None:
        """Simulated seconds until Meta decides about this message; None: it is not held."""
        rules = self._world.rules
        if not rules.pacing_after or template.category != "MARKETING":
            return None
        if template.feedback.told in {"GREEN", "YELLOW"}:
            return None
        template.paced += 1
        if template.paced <= rules.pacing_after:
            return None
        lived = now * self._world.lifetime.speed
        if template.held_until is None:
            template.held_until = lived + rules.pacing_delay_s
        return max(0.0, template.held_until - lived)

    def _mark_read(self, number: Number, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["status"] != "read":
            raise Refused(100, "status: must be read.")
        message_id = text_at(body, "message_id", "message_id", 128)
        if not self._world.ids.was_heard(message_id, number.phone_number_id):
            raise invalid("message_id", "is not the id of a message that this number received.")
        indicator = body.get("typing_indicator")
        if indicator is not None and indicator != {"type": "text"}:
            raise invalid("typing_indicator['type']", "must be text.")
        self._world.counts["marked_read"] += 1
        self._world.counts["typing"] += indicator is not None
        return {"success": True}


def _check_number(number: Number) -> None:
    if not number.registered:
        raise Refused(133010, "The phone number is not registered on the Cloud API.")
    if number.refuse_code:
        raise Refused(
            number.refuse_code, "Messages of this number are refused until further notice."
        )


def _check_policy(body: Mapping[str, Any]) -> None:
    if body.get("product_policy", _POLICIES[0]) not in _POLICIES:
        raise Refused(100, f"product_policy: must be one of {', '.join(_POLICIES)}.")
    if not isinstance(body.get("message_activity_sharing", False), bool):
        raise Refused(100, "message_activity_sharing: must be true or false.")


def _filled(template: Template, given: Mapping[str, Any], *, marketing: bool) -> Content:
    if marketing and template.category != "MARKETING":
        raise Refused(134100, f"template name ({template.name}) is {template.category}")
    filled = fill(template, given.get("components"))
    return Content(
        "template",
        "marketing_lite" if marketing else template.category.lower(),
        template.name,
        template.language,
        tuple(Choice("button", t.value, t.text) for t in filled.tappable if t.kind != "url"),
        tuple(t.value for t in filled.tappable if t.kind == "url"),
        filled.media,
    )
