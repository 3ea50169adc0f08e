"""What a webhook says: single updates, and several of them as one body. Pure."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from simulator.kinds import Choice, Content
from simulator.people import Person
from simulator.refusals import failure_of
from simulator.templates import Template

# Since then Meta charges for service messages and for utility templates inside the window.
_SERVICE_CHARGED_FROM = datetime(2026, 10, 1, tzinfo=UTC).timestamp()

StatusName = Literal["sent", "delivered", "read", "failed"]


class Metadata(NamedTuple):
    """The business number that an update is about."""

    display_phone_number: str
    phone_number_id: str


class Update(NamedTuple):
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
    values: dict[tuple[str, str, Metadata, str], dict[str, Any]] = {}
    for update in updates:
        key = (update.waba_id, update.metadata is None)
        entry = entries.get(key)
        if entry is None:
            entry = entries[key] = {"id": update.waba_id, "changes": []}
            if update.metadata is None:
                entry["time"] = int(update.time)
        if update.metadata is None:
            entry["changes"].append({"field": update.field, "value": update.item})
            continue
        place = (update.waba_id, update.field, update.metadata, update.list_name)
        value = values.get(place)
        if value is None:
            value = values[place] = {
                "messaging_product": "whatsapp",
                "metadata": update.metadata._asdict(),
            }
            entry["changes"].append({"field": update.field, "value": value})
        if update.contact is not None:
            contacts = value.setdefault("contacts", [])
            if update.contact not in contacts:
                contacts.append(update.contact)
        value.setdefault(update.list_name, []).append(update.item)
    payload = {"object": "whatsapp_business_account", "entry": list(entries.values())}
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def contact_of(person: Person, *, show_phone: bool) -> dict[str, Any]:
    """The contacts[] item for a person."""
    contact: dict[str, Any] = {"profile": {"name": person.name}}
    if show_phone:
        contact["wa_id"] = person.wa_id
    if person.identity_mode != "phone":
        contact["user_id"] = person.bsuid
    return contact


def pricing_of(content: Content, *, in_window: bool, now: float) -> dict[str, Any]:
    """The pricing object of a sent or delivered status, by the rules of `now`."""
    charged_later = content.category == "service" or (content.category == "utility" and in_window)
    free = charged_later and now < _SERVICE_CHARGED_FROM
    return {
        "billable": not free,
        "pricing_model": "PMP",
        "type": "free_customer_service" if free else "regular",
        "category": content.category,
    }


def status_of(
    name: StatusName,
    wamid: str,
    person: Person,
    *,
    by_phone: bool,
    callback_data: str | None,
    now: float,
    pricing: dict[str, Any] | None = None,
    code: int = 0,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A statuses[] item and the contact beside it, if this person's identity shows one."""
    show_phone = by_phone or person.identity_mode != "bsuid"
    status: dict[str, Any] = {"id": wamid, "status": name, "timestamp": str(int(now))}
    if show_phone:
        status["recipient_id"] = person.wa_id
    with_bsuid = person.identity_mode != "phone" and not (name == "failed" and by_phone)
    if with_bsuid:
        status["recipient_user_id"] = person.bsuid
    if callback_data is not None:
        status["biz_opaque_callback_data"] = callback_data
    if pricing is not None:
        status["pricing"] = pricing
    if code:
        status["errors"] = [failure_of(code)]
    told = with_bsuid and name != "failed"
    return status, contact_of(person, show_phone=show_phone) if told else None


def message_of(
    wamid: str, person: Person, message: dict[str, Any], now: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A messages[] item from `message` ({type, <type>, context?}) and the contact beside it."""
    show_phone = person.identity_mode != "bsuid"
    item: dict[str, Any] = {}
    if show_phone:
        item["from"] = person.wa_id
    if person.identity_mode != "phone":
        item["from_user_id"] = person.bsuid
    item |= {"id": wamid, "timestamp": str(int(now)), **message}
    return item, contact_of(person, show_phone=show_phone)


def choice_of(choice: Choice) -> dict[str, Any]:
    """The message that picking a choice makes."""
    if choice.kind == "button":
        return {"type": "button", "button": {"payload": choice.value, "text": choice.title}}
    reply = {"id": choice.value, "title": choice.title}
    if choice.description:
        reply["description"] = choice.description
    return {"type": "interactive", "interactive": {"type": choice.kind, choice.kind: reply}}


def preference_of(
    person: Person, value: Literal["stop", "resume"], now: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A user_preferences[] item and the contact beside it."""
    show_phone = person.identity_mode != "bsuid"
    item: dict[str, Any] = {"wa_id": person.wa_id} if show_phone else {}
    if person.identity_mode != "phone":
        item["user_id"] = person.bsuid
    item |= {
        "detail": f"User requested to {value} marketing messages",
        "category": "marketing_messages",
        "value": value,
        "timestamp": int(now),
    }
    return item, contact_of(person, show_phone=show_phone)


def template_status_of(template: Template, now: float) -> Update:
    """message_template_status_update; languages are written en-US here and en_US in Graph."""
    return Update(
        template.waba_id,
        "message_template_status_update",
        None,
        "",
        {
            "event": template.status,
            "message_template_id": int(template.template_id),
            "message_template_name": template.name,
            "message_template_language": template.language.replace("_", "-"),
            "reason": template.rejected_reason,
            "message_template_category": template.category,
        },
        None,
        now,
    )
