"""A Cloud API webhook, entry × change × item, as occurrences. Pure; each item is read by itself.

What the lists of each field become stands in the table at the end of this file; messages and
statuses are read in `conversation.py`, what concerns no person in `account.py`.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
from msgspec.structs import replace

from chassis.failures import FieldInvalid
from services.ingest import account
from services.ingest.conversation import (
    echoed,
    history,
    history_media,
    message_received,
    problem,
    status_received,
)
from services.ingest.fields import content_id, event_id, mapping, required, text
from services.ingest.item import OBJECT, Broken, Change, Item
from services.ingest.model import MESSAGES, Occurrence
from services.ingest.people import person, sender

_NOTHING: Final[dict[str, Any]] = {}


class Unreadable(ValueError):
    """A body that is no webhook of WhatsApp's. The text says why, without quoting it."""


def webhook(body: bytes) -> dict[str, Any]:
    """Parse a body. Raises `Unreadable` when it is no webhook of a WhatsApp Business Account."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unreadable("not JSON") from None
    if not isinstance(found, dict) or found.get("object") != OBJECT:
        raise Unreadable(f"its object is not {OBJECT}")
    if not isinstance(found.get("entry"), list):
        raise Unreadable("it has no list of entries")
    return found


def items(
    found: dict[str, Any], received_ms: int, portfolio_id: str = ""
) -> Iterator[Item | Broken]:
    """Every item of a webhook."""
    for entry in found["entry"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("changes"), list):
            yield Broken(FieldInvalid("entry.changes", "is not a list"), entry)
            continue
        raw_id = entry.get("id")
        waba_id = raw_id if isinstance(raw_id, str) else str(raw_id or "")
        for raw in entry["changes"]:
            field = raw.get("field") if isinstance(raw, dict) else None
            value = raw.get("value") if isinstance(raw, dict) else None
            if not isinstance(field, str) or not isinstance(value, dict):
                lone = {**entry, "changes": [raw]}
                yield Broken(FieldInvalid("change", "has no field and value"), lone)
                continue
            metadata = value.get("metadata")
            if not isinstance(metadata, dict):
                metadata = _NOTHING
            change = Change(
                waba_id,
                entry.get("time"),
                field,
                value,
                str(metadata.get("phone_number_id") or ""),
                str(metadata.get("display_phone_number") or ""),
                received_ms,
                portfolio_id or waba_id,
            )
            parts = PARTS.get(field)
            if parts is None:
                yield Item(change, "", value)
            else:
                yield from _inside(change, parts)


def _inside(change: Change, parts: dict[str, Any]) -> Iterator[Item]:
    some = False
    for part in parts:
        bodies = change.value.get(part)
        if not isinstance(bodies, list):
            continue
        for body in bodies:
            some = True
            if part == "history" and isinstance(body, dict) and body.get("threads"):
                yield from _threads(change, body)
            else:
                yield Item(change, part, body)
    if not some:
        yield Item(change, "", change.value)


def _threads(change: Change, chunk: dict[str, Any]) -> Iterator[Item]:
    threads = chunk["threads"] if isinstance(chunk["threads"], list) else [None]
    for thread in threads:
        if not isinstance(thread, dict) or not isinstance(thread.get("messages"), list):
            yield Item(change, "history", chunk)
            continue
        around = {key: value for key, value in thread.items() if key != "messages"}
        for message in thread["messages"]:
            yield Item(change, "history", message, around)


def read(item: Item | Broken) -> Occurrence:
    """What happened, by one item. Raises `FieldInvalid` when it cannot be told."""
    found = _read(item)
    if not found.unrecognised:
        return found
    # The id is left to the event that a later version makes of the same bytes, which would be
    # dropped as a repeat otherwise
    return replace(found, event_id=event_id(found.event_id, "unrecognised"))


def _read(item: Item | Broken) -> Occurrence:
    if isinstance(item, Broken):
        raise item.failure
    if not isinstance(item.body, dict):
        raise FieldInvalid(item.part, "holds something that is not an object")
    change = item.change
    if item.part:
        reader: Reader = PARTS[change.field][item.part]
        return reader(item)
    if change.field == "messaging_handovers":
        return _handover(item)
    if change.field in PARTS and change.field not in account.READERS:
        raise FieldInvalid(change.field, f"has none of {', '.join(PARTS[change.field])}")
    told = account.read(change.field, change.waba_id, item.body, change.time_ms(None))
    return Occurrence(
        MESSAGES, told.event_id, told.time_ms, change.source, told.name, told.body,
        unrecognised=told.name == "webhook_unrecognised",
    )  # fmt: skip


def _preference(item: Item) -> Occurrence:
    change, preference = item.change, item.body
    category, value = text(preference, "category"), required(preference, "value")
    people, _ = sender(
        change, text(preference, "wa_id"), text(preference, "user_id"),
        text(preference, "parent_user_id"),
    )  # fmt: skip
    if not people:
        raise FieldInvalid("wa_id", "is missing, and no user id stands for it")
    return Occurrence(
        MESSAGES,
        content_id("pref", preference, change.waba_id, change.phone_number_id, people[0].value),
        change.time_ms(preference.get("timestamp")), change.source, "preference_changed",
        {
            "category": category,
            "value": value,
            "phone_number_id": change.phone_number_id,
            "signup_id": text(preference, "signup_id"),
            "detail": text(preference, "detail"),
        },
        people,
    )  # fmt: skip


def _user_id(item: Item) -> Occurrence:
    change, update = item.change, item.body
    ids = mapping(update, "user_id")
    current = required(ids, "current")
    parent = text(mapping(update, "parent_user_id"), "current")
    return Occurrence(
        MESSAGES, content_id("userid", update, change.waba_id),
        change.time_ms(update.get("timestamp")), change.source, "user_id_changed",
        {
            "previous_user_id": text(ids, "previous"),
            "current_user_id": current,
            "phone_number_id": change.phone_number_id,
        },
        person(change, text(update, "wa_id"), current, parent),
    )  # fmt: skip


def _call(item: Item) -> Occurrence:
    change, call = item.change, item.body
    call_id, state = required(call, "id"), text(call, "event") or required(call, "status")
    from_person = text(call, "direction") != "BUSINESS_INITIATED"
    number = text(call, "from")
    if not number or number == change.display_phone_number:
        number = text(call, "to") or text(call, "recipient_id")
    user_id = (
        text(call, "from_user_id") or text(call, "to_user_id") or text(call, "recipient_user_id")
    )
    people, _ = sender(change, number, user_id, "")
    detail = {key: value for key, value in call.items() if key != "session"}
    return Occurrence(
        MESSAGES, event_id(call_id, state), change.time_ms(call.get("timestamp")), change.source,
        "call_changed",
        {
            "call_id": call_id,
            "state": state,
            "from_person": from_person and item.part == "calls",
            "phone_number_id": change.phone_number_id,
            "detail_json": orjson.dumps(detail),
        },
        people,
    )  # fmt: skip


def _group(item: Item) -> Occurrence:
    change, group = item.change, item.body
    return Occurrence(
        MESSAGES, content_id("group", group, change.field, change.waba_id),
        change.time_ms(group.get("timestamp")), change.source, "group_changed",
        {
            "group_id": required(group, "group_id"),
            "change": required(group, "type"),
            "phone_number_id": change.phone_number_id,
            "detail_json": orjson.dumps(group),
        },
    )  # fmt: skip


def _action(item: Item) -> Occurrence:
    change, action = item.change, item.body
    kind = required(action, "action_type")
    data = mapping(action, "marketing_messages_link_click_data")
    return Occurrence(
        MESSAGES, content_id("action", action, change.waba_id),
        change.time_ms(action.get("timestamp")), change.source, "ad_link_clicked",
        {
            "click_id": required(data, "click_id"),
            "tracking_token": text(data, "tracking_token"),
            "component": text(data, "click_component")
            or (kind if kind == "landing_page_view" else ""),
            "phone_number_id": change.phone_number_id,
            "product_id": text(data, "product_id"),
        },
    )  # fmt: skip


def _synced(item: Item) -> Occurrence:
    change, entry = item.change, item.body
    contact = mapping(entry, "contact")
    people = person(change, text(contact, "phone_number"), text(contact, "user_id"), "")
    if not people:
        raise FieldInvalid("contact.phone_number", "is missing")
    return Occurrence(
        MESSAGES, content_id("sync", entry, change.waba_id, change.phone_number_id),
        change.time_ms(mapping(entry, "metadata").get("timestamp")), change.source,
        "contact_synced",
        {
            "action": required(entry, "action"),
            "full_name": text(contact, "full_name") or text(contact, "first_name"),
            "phone_number_id": change.phone_number_id,
        },
        people,
    )  # fmt: skip


def _automatic(item: Item) -> Occurrence:
    """An ad's outcome that Meta saw in the conversation: kept as a change of the account."""
    change, event = item.change, item.body
    return Occurrence(
        MESSAGES, content_id("automatic", event, change.waba_id),
        change.time_ms(event.get("timestamp")), change.source, "account_changed",
        {
            "waba_id": change.waba_id,
            "field": change.field,
            "change": required(event, "event_name"),
            "detail_json": orjson.dumps(event),
        },
    )  # fmt: skip


def _handover(item: Item) -> Occurrence:
    change, value = item.change, item.body
    theirs = mapping(value, "sender")
    ours = mapping(value, "recipient")
    if theirs.get("phone_number_id"):
        theirs, ours = ours, theirs
    phone = text(ours, "phone_number_id")
    return Occurrence(
        MESSAGES, content_id("handover", value, change.waba_id),
        change.time_ms(value.get("timestamp")), f"whatsapp:{phone or change.waba_id}",
        "handover_changed",
        {
            "change": required(value, "type"),
            "phone_number_id": phone,
            "detail_json": orjson.dumps(value),
        },
        person(change, text(theirs, "phone_number"), text(theirs, "user_id"), ""),
    )  # fmt: skip


Reader = Callable[[Item], Occurrence]

_GROUPS: Final[dict[str, Reader]] = {"groups": _group}
PARTS: Final[dict[str, dict[str, Reader]]] = {
    "messages": {
        "messages": message_received,
        "statuses": status_received,
        "user_actions": _action,
        "errors": problem,
    },
    "calls": {"calls": _call, "statuses": _call, "errors": problem},
    "history": {"history": history, "messages": history_media, "message_echoes": echoed},
    "smb_message_echoes": {"message_echoes": echoed},
    "smb_app_state_sync": {"state_sync": _synced},
    "user_preferences": {"user_preferences": _preference},
    "user_id_update": {"user_id_update": _user_id},
    "automatic_events": {"automatic_events": _automatic},
    "group_lifecycle_update": _GROUPS,
    "group_participants_update": _GROUPS,
    "group_settings_update": _GROUPS,
    "group_status_update": _GROUPS,
}
"""Fields that come with a block of metadata, and what the items of each of their lists become."""
