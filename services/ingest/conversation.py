"""Messages and statuses of the Cloud API as occurrences. Pure."""

from typing import Any, Final

import orjson

from chassis.failures import FieldInvalid
from services.ingest.content import content, errors
from services.ingest.fields import content_id, event_id, flag, mapping, required, text
from services.ingest.item import Item
from services.ingest.model import MESSAGES, STATUSES, Body, Occurrence
from services.ingest.people import person, sender

_NOTHING: Final[dict[str, Any]] = {}


def message_received(item: Item) -> Occurrence:
    change, message = item.change, item.body
    wamid = required(message, "id")
    kind = required(message, "type")
    people, contact = sender(
        change, text(message, "from"), text(message, "from_user_id"),
        text(message, "from_parent_user_id"),
    )  # fmt: skip
    if not people and kind == "system":
        people = person(change, "", text(mapping(message, "system"), "user_id"), "")
    if not people:
        raise FieldInvalid("from", "is missing, and no user id or contact stands for it")
    phone = change.phone_number_id
    if kind == "revoke":
        original = required(mapping(message, "revoke"), "original_message_id")
        name = "message_revoked"
        body: Body = {"wamid": wamid, "original_wamid": original, "phone_number_id": phone}
        known = True
    elif kind == "edit":
        edit = mapping(message, "edit")
        original = required(edit, "original_message_id")
        said, known = content(mapping(edit, "message"))
        name = "message_edited"
        body = {"wamid": wamid, "original_wamid": original, "phone_number_id": phone}
        body["content"] = said
    else:
        said, known = content(message)
        profile = contact.get("profile")
        profile = profile if isinstance(profile, dict) else _NOTHING
        name = "message_received"
        body = {
            "wamid": wamid,
            "phone_number_id": phone,
            "waba_id": change.waba_id,
            "profile_name": text(profile, "name"),
            "username": text(profile, "username"),
            "group_id": text(message, "group_id"),
            "content": said,
        }
        if context := message.get("context"):
            body["context"] = _context(message) if context else None
        if message.get("referral"):
            body["referral"] = _referral(mapping(message, "referral"))
    return Occurrence(
        MESSAGES, event_id(wamid), change.time_ms(message.get("timestamp")), change.source,
        name, body, people, unrecognised=not known,
    )  # fmt: skip


def _context(message: dict[str, Any]) -> Body:
    context = mapping(message, "context")
    product = mapping(context, "referred_product")
    return {
        "wamid": text(context, "id"),
        "from": text(context, "from"),
        "forwarded": flag(context, "forwarded"),
        "frequently_forwarded": flag(context, "frequently_forwarded"),
        "catalog_id": text(product, "catalog_id"),
        "product_retailer_id": text(product, "product_retailer_id"),
    }


_REFERRAL: Final = (
    "source_type", "source_id", "source_url", "headline", "body", "ctwa_clid", "ref",
)  # fmt: skip


def _referral(referral: dict[str, Any]) -> Body:
    return {name: text(referral, name) for name in _REFERRAL}


def status_received(item: Item) -> Occurrence:
    change, status = item.change, item.body
    wamid, state = required(status, "id"), required(status, "status")
    body: Body = {
        "wamid": wamid,
        "phone_number_id": change.phone_number_id,
        "status": state,
        "callback_data": text(status, "biz_opaque_callback_data"),
    }
    recipient, participant = text(status, "recipient_id"), ""
    user_id = text(status, "recipient_user_id")
    parent = text(status, "recipient_parent_user_id")
    if status.get("recipient_type") == "group":
        body["group_id"] = recipient
        recipient = text(status, "recipient_participant_id") or text(
            status, "participant_recipient_id"
        )
        user_id = text(status, "recipient_participant_user_id")
        parent = text(status, "recipient_participant_parent_user_id")
        participant = recipient or user_id
        people = person(change, recipient, user_id, parent)
    else:
        people, _ = sender(change, recipient, user_id, parent)
    pricing = status.get("pricing")
    conversation = status.get("conversation")
    if conversation:
        conversation = mapping(status, "conversation")
        body["conversation_id"] = text(conversation, "id")
        pricing = pricing or conversation.get("pricing")
    if pricing:
        body["pricing"] = _pricing(pricing)
    if status.get("errors"):
        body["errors"] = errors(status)
    part = "payment" if status.get("type") == "payment" else ""
    return Occurrence(
        STATUSES, event_id(wamid, part, state, participant),
        change.time_ms(status.get("timestamp")), change.source, "status_received", body,
        people,
    )  # fmt: skip


def _pricing(pricing: Any) -> Body:
    if not isinstance(pricing, dict):
        raise FieldInvalid("pricing", "is not an object")
    return {
        "billable": flag(pricing, "billable"),
        "pricing_model": text(pricing, "pricing_model"),
        "category": text(pricing, "category"),
        "type": text(pricing, "type"),
    }


def echoed(item: Item) -> Occurrence:
    """What the business wrote on its phone."""
    change, message = item.change, item.body
    wamid = required(message, "id")
    said, known = content(message)
    people, _ = sender(
        change, text(message, "to"), text(message, "to_user_id"), text(message, "to_parent_user_id")
    )
    return Occurrence(
        MESSAGES, event_id(wamid), change.time_ms(message.get("timestamp")), change.source,
        "message_echoed",
        {"wamid": wamid, "phone_number_id": change.phone_number_id, "content": said},
        people, unrecognised=not known and said["kind"] not in ("edit", "revoke"),
    )  # fmt: skip


def history(item: Item) -> Occurrence:
    """A message from before Merhaba, of either side."""
    if item.thread is None:
        if not item.body.get("errors"):
            raise FieldInvalid("threads", "is not a list of conversations with messages")
        return problem(item)
    change, message, thread = item.change, item.body, item.thread
    wamid = required(message, "id")
    said, known = content(message)
    around = mapping(thread, "context")
    user_id = text(around, "user_id")
    people = person(
        change, text(thread, "id") or text(around, "wa_id"), user_id, text(around, "parent_user_id")
    )
    wrote = {text(message, "from").removeprefix("+"), text(message, "from_user_id")} - {""}
    return Occurrence(
        MESSAGES, event_id(wamid), change.time_ms(message.get("timestamp")), change.source,
        "message_echoed",
        {
            "wamid": wamid,
            "phone_number_id": change.phone_number_id,
            "content": said,
            "historical": True,
            "from_person": not wrote.isdisjoint(one.value for one in people),
        },
        people, unrecognised=not known,
    )  # fmt: skip


def history_media(item: Item) -> Occurrence:
    """The attachment behind a placeholder of the history, which had the same id."""
    change, message = item.change, item.body
    wamid = required(message, "id")
    said, known = content(message)
    number = text(message, "from").removeprefix("+")
    ours = bool(number) and number == change.display_phone_number
    people = (
        sender(change, text(message, "to"), text(message, "to_user_id"), "")
        if ours
        else sender(change, number, text(message, "from_user_id"), "")
    )[0]
    return Occurrence(
        MESSAGES, event_id(wamid, "media"), change.time_ms(message.get("timestamp")),
        change.source, "message_echoed",
        {
            "wamid": wamid,
            "phone_number_id": change.phone_number_id,
            "content": said,
            "historical": True,
            "from_person": not ours,
        },
        people, unrecognised=not known,
    )  # fmt: skip


def problem(item: Item) -> Occurrence:
    """An error of Meta's about a whole change; it concerns no person."""
    change = item.change
    return Occurrence(
        MESSAGES, content_id("account", item.body, change.field, change.waba_id,
                             str(change.entry_time or "")),
        change.time_ms(None), change.source, "account_changed",
        {
            "waba_id": change.waba_id,
            "field": change.field,
            "change": "ERROR",
            "detail_json": orjson.dumps(item.body),
        },
    )  # fmt: skip
