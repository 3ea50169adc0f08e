"""What a webhook says: single updates, and several of them as one body. Pure."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec
import orjson

from simulator.messages.content import Choice, Content
from simulator.people.person import Person
from simulator.refusals import failure_of

# Since then Meta charges for service messages and for utility templates inside the window.
_SERVICE_CHARGED_FROM = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
# From this version on, webhooks name no conversation but those that an ad began.
_WITHOUT_CONVERSATION = 24
_DAY_S = 86_400
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")

StatusName = Literal["sent", "delivered", "read", "played", "failed"]


class Metadata(NamedTuple):
    """The business number that an update is about."""

    display_phone_number: str
    phone_number_id: str


class Update(msgspec.Struct, frozen=True, gc=False):
    """One thing Meta tells. `list_name` is the list in `value` that holds `item`, or empty
    when `item` is the whole value."""

    waba_id: str
    field: str
    metadata: Metadata | None
    list_name: str
    item: dict[str, Any]
    contact: dict[str, Any] | None
    time: float


def body_of(updates: Iterable[Update]) -> bytes:
    """One POST's body as Meta writes it: one entry per account, updates of one kind and number
    together in one change, non-ASCII as \\uXXXX, slashes as \\/."""
    entries: dict[tuple[str, bool], dict[str, Any]] = {}
    values: dict[tuple[str, str, Metadata, str], tuple[dict[str, Any], set[str]]] = {}
    for update in updates:
        if update.metadata is None:
            entry = _entry(entries, update)
            entry["changes"].append({"field": update.field, "value": update.item})
            continue
        place = (update.waba_id, update.field, update.metadata, update.list_name)
        if (found := values.get(place)) is None:
            value: dict[str, Any] = {
                "messaging_product": "whatsapp",
                "metadata": update.metadata._asdict(),
            }
            found = values[place] = value, set()
            _entry(entries, update)["changes"].append({"field": update.field, "value": value})
        value, told = found
        contact = update.contact
        if contact is not None:
            who = contact.get("user_id") or contact["wa_id"]
            if who not in told:
                told.add(who)
                value.setdefault("contacts", []).append(contact)
        value.setdefault(update.list_name, []).append(update.item)
    payload = {"object": "whatsapp_business_account", "entry": list(entries.values())}
    raw = orjson.dumps(payload).replace(b"/", b"\\/")
    return raw if raw.isascii() else _NOT_ASCII.sub(_escaped, raw.decode()).encode()


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _entry(entries: dict[tuple[str, bool], dict[str, Any]], update: Update) -> dict[str, Any]:
    key = (update.waba_id, update.metadata is None)
    entry = entries.get(key)
    if entry is None:
        entry = entries[key] = {"id": update.waba_id, "changes": []}
        if update.metadata is None:
            entry["time"] = int(update.time)
    return entry


def contact_of(person: Person, bsuid: str, *, show_phone: bool) -> dict[str, Any]:
    """The contacts[] item for a person."""
    contact: dict[str, Any] = {"profile": {"name": person.name}}
    if show_phone:
        contact["wa_id"] = person.wa_id
    if person.identity_mode != "phone":
        contact["user_id"] = bsuid
    return contact


def pricing_of(
    content: Content, *, in_window: bool, now: float, by_ad: bool = False
) -> dict[str, Any]:
    """The pricing object of a sent or delivered status, by the rules of `now`. `by_ad`: within 72
    hours of the answer to somebody whom an ad brought."""
    charged_later = content.category == "service" or (content.category == "utility" and in_window)
    kind = "regular"
    if by_ad:
        kind = "free_entry_point"
    elif charged_later and now < _SERVICE_CHARGED_FROM:
        kind = "free_customer_service"
    return {
        "billable": kind == "regular",
        "pricing_model": "PMP",
        "type": kind,
        "category": content.category,
    }


def conversation_of(name: StatusName, wamid: str, category: str, now: float) -> dict[str, Any]:
    """The conversation object that older versions of the webhook have."""
    conversation: dict[str, Any] = {"id": wamid.encode().hex()[-32:]}
    if name == "sent":
        conversation["expiration_timestamp"] = str(int(now) + _DAY_S)
    return conversation | {"origin": {"type": category.replace("-", "_")}}


class Face(msgspec.Struct, frozen=True, gc=False):
    """How statuses show the one who got a message."""

    phone: dict[str, Any]
    """recipient_id, if it is shown."""
    user_id: dict[str, Any]
    """recipient_user_id, if there is one."""
    contact: dict[str, Any] | None
    """The contacts[] item beside them."""
    by_phone: bool


def face_of(person: Person, bsuid: str, *, by_phone: bool) -> Face:
    """`by_phone`: the message was addressed to the phone number."""
    show_phone = by_phone or person.identity_mode != "bsuid"
    phone = {"recipient_id": person.wa_id} if show_phone else {}
    if person.identity_mode == "phone":
        return Face(phone, {}, None, by_phone)
    contact = contact_of(person, bsuid, show_phone=show_phone)
    return Face(phone, {"recipient_user_id": bsuid}, contact, by_phone)


def status_of(
    name: StatusName,
    wamid: str,
    face: Face,
    *,
    callback_data: str | None,
    now: float,
    pricing: dict[str, Any] | None = None,
    version: int = 25,
    code: int = 0,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A statuses[] item and the contact beside it, if this person's identity shows one."""
    status: dict[str, Any] = {
        "id": wamid,
        "status": name,
        "timestamp": str(int(now)),
        **face.phone,
    }
    if name != "failed" or not face.by_phone:
        status |= face.user_id
    if callback_data is not None:
        status["biz_opaque_callback_data"] = callback_data
    if pricing is not None:
        by_ad = pricing["type"] == "free_entry_point"
        if version < _WITHOUT_CONVERSATION or by_ad:
            origin = "referral_conversion" if by_ad else pricing["category"]
            status["conversation"] = conversation_of(name, wamid, origin, now)
        status["pricing"] = pricing
    if code:
        status["errors"] = [failure_of(code)]
    return status, None if name == "failed" else face.contact


def message_of(
    wamid: str, person: Person, bsuid: str, message: dict[str, Any], now: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A messages[] item from `message` ({type, <type>, context?}) and the contact beside it."""
    show_phone = person.identity_mode != "bsuid"
    item: dict[str, Any] = {}
    if show_phone:
        item["from"] = person.wa_id
    if person.identity_mode != "phone":
        item["from_user_id"] = bsuid
    item |= {"id": wamid, "timestamp": str(int(now)), **message}
    return item, contact_of(person, bsuid, show_phone=show_phone)


def choice_of(choice: Choice) -> dict[str, Any]:
    """The message that picking a choice makes."""
    if choice.kind == "button":
        return {"type": "button", "button": {"payload": choice.value, "text": choice.title}}
    reply = {"id": choice.value, "title": choice.title}
    if choice.description:
        reply["description"] = choice.description
    return {"type": "interactive", "interactive": {"type": choice.kind, choice.kind: reply}}


def preference_of(
    person: Person, bsuid: str, value: Literal["stop", "resume"], now: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A user_preferences[] item and the contact beside it."""
    show_phone = person.identity_mode != "bsuid"
    item: dict[str, Any] = {"wa_id": person.wa_id} if show_phone else {}
    if person.identity_mode != "phone":
        item["user_id"] = bsuid
    item |= {
        "detail": f"User requested to {value} marketing messages",
        "category": "marketing_messages",
        "value": value,
        "timestamp": int(now),
    }
    return item, contact_of(person, bsuid, show_phone=show_phone)
