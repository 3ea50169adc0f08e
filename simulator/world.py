"""The world of the simulator: numbers, templates, people, windows, and what happens next.

Pure: nothing here waits, looks at a clock or opens anything. `now` is Unix time in seconds.
Every method either answers or raises Refused as Meta would.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from simulator.chats import Chat, Number
from simulator.crowd import Crowd, wa_id_of
from simulator.ids import Ids
from simulator.kinds import Choice, Content, content_of
from simulator.kinds import text as text_at
from simulator.ledger import Entry, Ledger
from simulator.limits import Pair, Throughput
from simulator.people import Act, Person, Step, plan
from simulator.refusals import Refused, invalid, missing, template_fault, unknown_object
from simulator.templates import Status, Template, Templates, define, fill
from simulator.updates import (
    Metadata,
    StatusName,
    Update,
    choice_of,
    message_of,
    preference_of,
    pricing_of,
    status_of,
    template_status_of,
)

_NUMBERS_LIMIT = 1000


class Rules(NamedTuple):
    """Limits of Meta's that tests may move."""

    pair_interval_s: float = 6.0
    """Real seconds that one message to a person costs; 0 turns the pair limit off."""
    pair_burst: int = 45
    window_error: Literal["sync", "async"] = "sync"
    """Whether 131047 answers the call or comes as a failed status."""
    review_delay_s: float = 0.0
    """Simulated seconds that a new template waits for its decision."""
    reject_templates: frozenset[str] = frozenset()
    """Names of templates that will be rejected."""
    reject_reason: str = "PROMOTIONAL"


@dataclass(slots=True)
class Message:
    """An accepted message on its way; `steps` from `at` on are still to come."""

    entry: Entry
    number: Number
    person: Person
    content: Content
    steps: tuple[Step, ...]
    by_phone: bool
    in_window: bool
    at: int = 0
    delivery_priced: bool = False


class Review(NamedTuple):
    """A template's decision that is still to come, after so many simulated seconds."""

    template: Template
    decision: Status
    reason: str
    after: float


class Sent(NamedTuple):
    """The answer to a send, and the message if something is to follow."""

    answer: dict[str, Any]
    message: Message | None = None


class World:
    """One portfolio: its accounts, their numbers and templates, and everybody they can reach."""

    def __init__(self, *, seed: int, ids: Ids, people_limit: int, ledger_limit: int) -> None:
        self.rules = Rules()
        self.numbers: dict[str, Number] = {}
        self.subscribed: dict[str, bool] = {}
        """Account id: whether its webhooks are subscribed."""
        self.templates = Templates()
        self.people = Crowd(seed, people_limit)
        self.ledger = Ledger(ledger_limit)
        self.counts: Counter[str] = Counter()
        self._seed = seed
        self._ids = ids
        self._chats: dict[tuple[str, str], Chat] = {}

    # --- who is there -------------------------------------------------------------------------

    def put_number(
        self,
        phone_number_id: str,
        waba_id: str,
        display_phone_number: str,
        throughput: float,
        now: float,
    ) -> Number:
        """Add a number, or change it. A new account is subscribed to webhooks."""
        if phone_number_id not in self.numbers and len(self.numbers) >= _NUMBERS_LIMIT:
            raise Refused(100, f"The world holds {_NUMBERS_LIMIT} numbers.")
        number = Number(
            phone_number_id,
            waba_id,
            Metadata(display_phone_number, phone_number_id),
            Throughput(throughput, throughput, now),
        )
        self.numbers[phone_number_id] = number
        self.subscribed.setdefault(waba_id, True)
        return number

    def number(self, phone_number_id: str, method: str = "POST") -> Number:
        found = self.numbers.get(phone_number_id)
        if found is None:
            raise unknown_object(method, phone_number_id)
        return found

    def _chat(self, number: Number, person: Person) -> Chat:
        key = (number.phone_number_id, person.wa_id)
        chat = self._chats.get(key)
        if chat is None:
            chat = self._chats[key] = Chat(Pair())
        return chat

    # --- the business writes ------------------------------------------------------------------

    def send(
        self,
        phone_number_id: str,
        body: Mapping[str, Any],
        now: float,
        *,
        marketing: bool = False,
        has_media: Callable[[str], bool] = lambda _: True,
    ) -> Sent:
        """POST /{phone_number_id}/messages, or /marketing_messages if `marketing`.

        `has_media` says whether a media id was uploaded.
        """
        number = self.number(phone_number_id)
        if body.get("messaging_product") != "whatsapp":
            raise Refused(100, "The parameter messaging_product is required and must be whatsapp.")
        if "status" in body and not marketing:
            return Sent(_mark_read(body))
        if body.get("recipient_type", "individual") != "individual":
            raise Refused(100, "recipient_type: only individual is supported.")
        callback_data = (
            text_at(
                body, "biz_opaque_callback_data", "biz_opaque_callback_data", 512, required=False
            )
            or None
        )
        content = self._content(number, body, marketing=marketing)
        if content.media_id and not has_media(content.media_id):
            raise invalid(f"{content.type}['id']", "is not the id of uploaded media.")
        person, shown, by_phone = self._recipient(body, content)
        chat = self._chat(number, person)
        in_window = chat.open_at(now)
        closed = not in_window and not content.template
        if closed and self.rules.window_error == "sync":
            raise Refused(
                131047,
                "Message failed to send because more than 24 hours have passed since the "
                "customer last replied to this number.",
            )
        if not number.throughput.has_room(now):
            raise Refused(
                130429,
                "Message failed to send because there were too many messages sent from this "
                "phone number in a short period of time.",
            )
        if not chat.pair.take(now, self.rules.pair_interval_s, self.rules.pair_burst):
            raise Refused(
                131056,
                "Message failed to send because there were too many messages sent from this "
                "phone number to the same phone number in a short period of time.",
            )
        number.throughput.take(now)
        entry = self.ledger.add(
            wamid=self._ids.wamid(),
            to=person.wa_id,
            phone_number_id=phone_number_id,
            kind=content.type,
            template=content.template,
            callback_data=callback_data,
            now=now,
        )
        person.received += 1
        self.counts["accepted"] += 1
        steps = (
            (Step(Act.FAILED, 0.4, code=131047),)
            if closed
            else plan(person, content, self._seed, in_window=in_window)
        )
        accepted: dict[str, Any] = {"id": entry.wamid}
        if content.template:
            accepted["message_status"] = "accepted"
        answer = {"messaging_product": "whatsapp", "contacts": [shown], "messages": [accepted]}
        if not steps:
            return Sent(answer)
        return Sent(answer, Message(entry, number, person, content, steps, by_phone, in_window))

    def _content(self, number: Number, body: Mapping[str, Any], *, marketing: bool) -> Content:
        content = content_of(body)
        if content.type != "template":
            if marketing:
                raise Refused(131055, "Only template messages can be sent through this endpoint.")
            return content
        given = body["template"]
        name, language = given["name"], given.get("language")
        code = language.get("code") if isinstance(language, dict) else None
        if not isinstance(code, str):
            raise missing("template['language']['code']")
        template = self.templates.find(number.waba_id, name, code)
        if template is None or template.status in {"PENDING", "REJECTED"}:
            raise Refused(132001, f"template name ({name}) does not exist in {code}")
        if template.status == "PAUSED":
            raise Refused(132015, f"template name ({name}) is paused due to low quality")
        if template.status == "DISABLED":
            raise Refused(132016, f"template name ({name}) is disabled")
        if marketing and template.category != "MARKETING":
            raise Refused(134100, f"template name ({name}) is of category {template.category}")
        tappable = fill(template, given.get("components"))
        return Content(
            "template",
            "marketing_lite" if marketing else template.category.lower(),
            name,
            code,
            tuple(Choice("button", t.value, t.text) for t in tappable if t.kind == "quick_reply"),
            tuple(t.value for t in tappable if t.kind == "url"),
        )

    def _recipient(
        self, body: Mapping[str, Any], content: Content
    ) -> tuple[Person, dict[str, Any], bool]:
        """Who it is for, the contacts[] item of the answer, whether it was addressed by phone."""
        to, recipient = body.get("to"), body.get("recipient")
        if isinstance(to, str | int) and to:
            wa_id = wa_id_of(str(to), "to")
            person = self.people.settle(wa_id)
            shown: dict[str, Any] = {"input": str(to), "wa_id": wa_id}
            if person.identity_mode != "phone":
                shown["user_id"] = person.bsuid
            return person, shown, True
        if not isinstance(recipient, str) or not recipient:
            raise missing("to")
        if content.category == "authentication":
            raise Refused(131062, "Authentication templates need a phone number in to.")
        found = self.people.find(recipient)
        if found is None or found.bsuid != recipient:
            raise invalid("recipient", "is not a user id of this business.")
        return found, {"input": recipient, "user_id": found.bsuid}, False

    # --- and then -----------------------------------------------------------------------------

    def happen(self, message: Message, now: float) -> tuple[list[Update], str | None]:
        """The message's next step: what Meta tells of it, and the link that was tapped if any."""
        step = message.steps[message.at]
        message.at += 1
        match step.act:
            case Act.SENT:
                return [self._status(message, "sent", now)], None
            case Act.DELIVERED:
                return [self._status(message, "delivered", now)], None
            case Act.READ:
                return [self._status(message, "read", now)], None
            case Act.FAILED:
                return [self._status(message, "failed", now, step.code)], None
            case Act.TAP:
                self.counts["taps"] += 1
                return [], step.words
            case Act.SAY:
                self.counts["replies"] += 1
                said = {"type": "text", "text": {"body": step.words}}
                return [self._heard(message.number, message.person, said, now)[1]], None
            case Act.CHOOSE:
                assert step.choice is not None
                self.counts["choices"] += 1
                context = {
                    "from": message.number.metadata.display_phone_number,
                    "id": message.entry.wamid,
                }
                chosen = {"context": context, **choice_of(step.choice)}
                return [self._heard(message.number, message.person, chosen, now)[1]], None
            case Act.PREFER_STOP:
                return [self.prefer(message.number, message.person, "stop", now)], None

    def _status(self, message: Message, name: StatusName, now: float, code: int = 0) -> Update:
        entry = message.entry
        entry.statuses[name] = now
        self.counts[name] += 1
        pricing = None
        if name == "sent" or (name in {"delivered", "read"} and not message.delivery_priced):
            pricing = pricing_of(message.content, in_window=message.in_window, now=now)
            message.delivery_priced = name != "sent"
        status, contact = status_of(
            name,
            entry.wamid,
            message.person,
            by_phone=message.by_phone,
            callback_data=entry.callback_data,
            now=now,
            pricing=pricing,
            code=code,
        )
        number = message.number
        return Update(number.waba_id, "messages", number.metadata, "statuses", status, contact, now)

    def say(
        self, phone_number_id: str, person: Person, message: dict[str, Any], now: float
    ) -> tuple[str, Update]:
        """A person writes ({type, <type>, context?}) to a number; their wamid and what Meta
        tells."""
        self.counts["said"] += 1
        return self._heard(self.number(phone_number_id), person, message, now)

    def _heard(
        self, number: Number, person: Person, message: dict[str, Any], now: float
    ) -> tuple[str, Update]:
        self._chat(number, person).last_heard = now
        number.throughput.take(now)
        wamid = self._ids.wamid()
        item, contact = message_of(wamid, person, message, now)
        return wamid, Update(
            number.waba_id, "messages", number.metadata, "messages", item, contact, now
        )

    def prefer(
        self, number: Number, person: Person, value: Literal["stop", "resume"], now: float
    ) -> Update:
        """A person stops or resumes marketing messages with WhatsApp's own switch."""
        person.opted_out = value == "stop"
        self.counts[f"preferences_{value}"] += 1
        item, contact = preference_of(person, value, now)
        return Update(
            number.waba_id,
            "user_preferences",
            number.metadata,
            "user_preferences",
            item,
            contact,
            now,
        )

    # --- templates ----------------------------------------------------------------------------

    def create_template(self, waba_id: str, body: Mapping[str, Any]) -> tuple[Template, Review]:
        """POST /{waba_id}/message_templates: pending, and the decision that is to come."""
        self.account(waba_id, "POST")
        template = define(self._ids.number(), waba_id, body)
        self.templates.add(template)
        rejected = template.name in self.rules.reject_templates
        reason = self.rules.reject_reason if rejected else "NONE"
        decision: Status = "REJECTED" if rejected else "APPROVED"
        return template, Review(template, decision, reason, self.rules.review_delay_s)

    def decide(self, review: Review, now: float) -> Update:
        """The template takes the status decided; what Meta tells of it."""
        review.template.status = review.decision
        review.template.rejected_reason = review.reason
        return template_status_of(review.template, now)

    def delete_templates(
        self, waba_id: str, *, name: str | None = None, template_id: str | None = None
    ) -> None:
        """By name in all languages, or one by id."""
        self.account(waba_id, "DELETE")
        found = [
            t
            for t in self.templates.of(waba_id)
            if (template_id is None or t.template_id == template_id)
            and (name is None or t.name == name)
        ]
        if not found or (name is None and template_id is None):
            raise template_fault(
                2593002, "Message Template Not Found", "No template has this name or id."
            )
        for template in found:
            self.templates.remove(template)

    def account(self, waba_id: str, method: str) -> None:
        """Raises Refused if there is no such account."""
        if waba_id not in self.subscribed:
            raise unknown_object(method, waba_id)


def _mark_read(body: Mapping[str, Any]) -> dict[str, Any]:
    if body["status"] != "read":
        raise Refused(100, "status: must be read.")
    message_id = text_at(body, "message_id", "message_id", 128)
    if not message_id.startswith("wamid."):
        raise invalid("message_id", "is not the id of a message.")
    return {"success": True}
